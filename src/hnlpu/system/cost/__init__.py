"""What a hardwired system costs: silicon, masks, design, ownership, carbon, and against what.

    System ──► Assumptions ──► Estimate ──► bands, tornado
    Model  ──► bits, chips ──┘         └──► beside GPUs; where hardwiring pays

Formulas take numbers or arrays alike.  Tokens/s come in as a plain number: published, bounded, or simulated.
"""

from hnlpu.system.catalog import DIGIT_BITS
from hnlpu.system.cost._assumptions import (
    Assumptions,
    Doubt,
    Owning,
    assume,
    doubts,
    end,
    owning_of,
)
from hnlpu.system.cost._baselines import Comparison, Rates, compare, own_bought, rates_of
from hnlpu.system.cost._buyers import BuyersMap, Demand, buyers_map
from hnlpu.system.cost._charts import Bar, bars_svg, buyers_svg, tornado_svg
from hnlpu.system.cost._checks import CostCheck, EnergyRow, check_roma, check_taalas, energy_rows
from hnlpu.system.cost._doubts import Band, Swing, bands, tornado
from hnlpu.system.cost._estimate import (
    HOURS_PER_YEAR,
    SECONDS_PER_YEAR,
    Estimate,
    Owned,
    chips_needed,
    cost_per_mtoken,
    estimate,
    own,
    spare_systems,
)
from hnlpu.system.cost._facts import bought_facts
from hnlpu.system.cost._facts import facts as cost_facts
from hnlpu.system.cost._mask_plans import (
    MaskPlan,
    layer_way,
    mask_plans,
    plan_estimate,
    scheme_plan,
)
from hnlpu.system.cost._masks import MaskPrice, mask_bill, mask_count, mask_shares
from hnlpu.system.cost._pays import Pays, Rival, pays
from hnlpu.system.cost._rate import PricedRate, computed_rate, given_rate, published_words
from hnlpu.system.cost._reproduction import TableCell, TableRow, reported_rows, reproduce
from hnlpu.system.cost._sizing import (
    WAYS,
    CostSubject,
    Weights,
    subject_of_directory,
    subject_of_model,
    weight_bits,
)
from hnlpu.system.cost._summary import Costing, OwnershipPlan, cost
from hnlpu.system.cost._wafer import Value, die_yield, good_dies, gross_dies

__all__ = [
    "DIGIT_BITS",
    "HOURS_PER_YEAR",
    "SECONDS_PER_YEAR",
    "WAYS",
    "Assumptions",
    "Band",
    "Bar",
    "BuyersMap",
    "Comparison",
    "CostCheck",
    "CostSubject",
    "Costing",
    "Demand",
    "Doubt",
    "EnergyRow",
    "Estimate",
    "MaskPlan",
    "MaskPrice",
    "Owned",
    "OwnershipPlan",
    "Owning",
    "Pays",
    "PricedRate",
    "Rates",
    "Rival",
    "Swing",
    "TableCell",
    "TableRow",
    "Value",
    "Weights",
    "assume",
    "bands",
    "bars_svg",
    "bought_facts",
    "buyers_map",
    "buyers_svg",
    "check_roma",
    "check_taalas",
    "chips_needed",
    "compare",
    "computed_rate",
    "cost",
    "cost_facts",
    "cost_per_mtoken",
    "die_yield",
    "doubts",
    "end",
    "energy_rows",
    "estimate",
    "given_rate",
    "good_dies",
    "gross_dies",
    "layer_way",
    "mask_bill",
    "mask_count",
    "mask_plans",
    "mask_shares",
    "own",
    "own_bought",
    "owning_of",
    "pays",
    "plan_estimate",
    "published_words",
    "rates_of",
    "reported_rows",
    "reproduce",
    "scheme_plan",
    "spare_systems",
    "subject_of_directory",
    "subject_of_model",
    "tornado",
    "tornado_svg",
    "weight_bits",
]
