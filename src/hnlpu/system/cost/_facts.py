"""A costing -> the documents of `hnlpu cost --json`: of chips that are built, of systems that are bought."""

from __future__ import annotations

from typing import Any

from hnlpu.system.catalog import Rate, System
from hnlpu.system.cost._assumptions import assume, end
from hnlpu.system.cost._baselines import Comparison, own_bought
from hnlpu.system.cost._estimate import Owned, cost_per_mtoken
from hnlpu.system.cost._mask_plans import MaskPlan, mask_plans, plan_estimate
from hnlpu.system.cost._masks import mask_bill
from hnlpu.system.cost._pays import GIVEN, LIVES, Pays, Rival, pays
from hnlpu.system.cost._rate import PricedRate
from hnlpu.system.cost._summary import Costing, OwnershipPlan
from hnlpu.system.cost._wafer import die_yield, gross_dies


def facts(c: Costing, gpu: System | Rival) -> dict[str, Any]:
    """The JSON document of `hnlpu cost` for a system that is built, beside bought ones.

    Raises InvalidInput for numbers of a rival that make no sense, and for one without price.
    """
    v, plan, rate = c.value, c.plan, c.rate
    rival = gpu if isinstance(gpu, Rival) else Rival(gpu)
    rival.check(c.subject.shape.name)
    bought = rival.rated(c.subject.shape.name)

    def ends(name: str) -> dict[str, float]:
        return {"low": float(getattr(c.low, name)), "high": float(getattr(c.high, name))}

    per_token = {"low": c.usd_per_mtoken(c.low), "high": c.usd_per_mtoken(c.high)}
    one = c.usd_per_mtoken(v)
    return {
        "system": c.system.name,
        "model": c.subject.shape.name,
        "weights": c.subject.shape.hardwired_weights,
        "weight_bits": c.subject.bits,
        "weights_counted": c.subject.counted,
        "chips": int(v.chips),
        "die_mm2": c.system.die.area.value,
        "area_mm2": float(v.area_mm2),
        "power_w": float(v.power_w),
        "systems": plan.systems,
        "respins": plan.respins,
        **_wafer_facts(c.system),
        "chip_usd": ends("chip_usd"),
        "system_musd": ends("system_musd"),
        "masks_musd": ends("masks_musd"),
        "mask_layers": _mask_facts(c.system),
        "mask_plans": _plan_facts(c),
        "shared_masks_musd": ends("shared_masks_musd"),
        "chip_masks_musd": ends("chip_masks_musd"),
        "design_musd": ends("design_musd"),
        "nre_musd": ends("nre_musd"),
        "first_build_musd": ends("first_build_musd"),
        "respin_musd": float(v.respin_musd),
        "capex_musd": float(v.owned.capex_musd),
        "electricity_musd": float(v.owned.electricity_musd),
        "maintenance_musd": float(v.owned.maintenance_musd),
        "facility_mw": float(v.owned.facility_mw),
        "years": float(v.years),
        "tco_musd": float(v.tco_musd),
        "tokens_per_second": rate.tokens_per_second,
        "tokens_per_second_per_user": rate.tokens_per_second / rate.users if rate.users else None,
        "rate_source": rate.source,
        "rate": _rate_facts(rate),
        "published_rates": [_published_facts(c, each) for each in c.published],
        "usd_per_mtoken": one,
        "usd_per_moutput_token": one / plan.output_share,
        "tco2e": float(v.tco2e),
        "carbon_t": {
            "operation": float(v.owned.operation_t),
            "modules": float(v.owned.modules_t),
            "respun_modules": float(v.respin_modules_t),
            "masks_not_in_tco2e": float(v.masks_t),
        },
        "ranges": {
            "respin_musd": ends("respin_musd"),
            "tco_musd": ends("tco_musd"),
            "usd_per_mtoken": per_token,
            "tco2e": ends("tco2e"),
        },
        "bands": {name: vars(band) for name, band in c.bands.items()},
        "tornado_tco_musd": [
            {
                "key": s.doubt.key, "low": s.doubt.low, "high": s.doubt.high, "unit": s.doubt.unit,
                "at_low": s.at_low, "at_high": s.at_high, "source": s.doubt.source,
            }
            for s in c.tornado
        ],
        "against": [_comparison_facts(row, bought) for row in c.comparisons(bought)],
        "against_price": _price_facts(c, rival.usd_per_mtoken),
        "buyers": _buyers_facts(pays(c, rival)),
    }  # fmt: skip


def _rate_facts(rate: PricedRate) -> dict[str, Any] | None:
    """What the computed rate is for and what limits it; None where the rate was given."""
    if (found := rate.computed) is None:
        return None
    return {
        "kind": "computed",
        "context": found.context,
        "users": found.users,
        "output_share": found.output_share,
        "resource": found.resource,
        "grid": list(found.grid),
        "generated_tokens_per_second": found.generated_per_second,
    }


def _published_facts(c: Costing, rate: Rate) -> dict[str, Any]:
    """A published rate as published, and what a million tokens would cost at it."""
    processed = rate.tokens.value
    if rate.counts == "output":
        processed /= c.plan.output_share
    return {
        "kind": "published",
        "name": rate.name,
        "counts": rate.counts,
        "tokens_per_second": rate.tokens.value,
        "tokens_per_second_per_user": rate.per_user,
        "users": rate.users,
        "context": rate.context,
        "source": rate.tokens.source,
        "usd_per_mtoken": c.usd_per_mtoken(c.value, processed),
    }


def bought_facts(system: System, model: str, plan: OwnershipPlan) -> dict[str, Any]:
    """The same document for systems that are bought: no masks, no design, no re-spins.

    Raises InvalidInput for a system without price or ownership in its file.
    """
    plan.check()
    low, value, high = (own_bought(system, plan.systems, e) for e in ("low", "value", "high"))
    rates = [
        {
            "name": rate.name,
            "counts": rate.counts,
            "tokens_per_second": rate.tokens.value,
            "tokens_per_second_per_user": rate.per_user,
            "usd_per_mtoken": _bought_usd(value, system, rate.tokens.value, plan),
            "source": rate.tokens.source,
        }
        for rate in system.rate
        if rate.model == model
    ]
    best = max(rates, key=lambda row: float(row["tokens_per_second"] or 0), default=None)
    rate = plan.tokens_per_second or (best["tokens_per_second"] if best else None)
    nothing = {"low": 0.0, "high": 0.0}
    return {
        "system": system.name,
        "model": model,
        "chips": system.chips,
        "die_mm2": system.die.area.value,
        "area_mm2": system.silicon_mm2,
        "power_w": system.power.system.value,
        "systems": plan.systems,
        "respins": plan.respins,
        "masks_musd": nothing,
        "nre_musd": nothing,
        "respin_musd": 0.0,
        "capex_musd": float(value.capex_musd),
        "electricity_musd": float(value.electricity_musd),
        "maintenance_musd": float(value.maintenance_musd),
        "facility_mw": float(value.facility_mw),
        "tco_musd": float(value.tco_musd),
        "tokens_per_second": rate,
        "rate_source": (
            "given" if plan.tokens_per_second else best["name"] if best else "none known"
        ),
        "usd_per_mtoken": None if rate is None else _bought_usd(value, system, float(rate), plan),
        "tco2e": float(value.tco2e),
        "ranges": {"tco_musd": {"low": float(low.tco_musd), "high": float(high.tco_musd)}},
        "rates": rates,
    }  # fmt: skip


def _bought_usd(owned: Owned, system: System, rate: float, plan: OwnershipPlan) -> float:
    assert system.ownership
    years = system.ownership.years.value
    return float(cost_per_mtoken(owned.tco_musd, rate * plan.systems, years, plan.utilisation))


def _wafer_facts(system: System) -> dict[str, Any]:
    """Dies of a wafer, and the yield by each model beside the one that the system's file chooses."""
    assert system.prices
    wafer, area = system.prices.wafer, system.die.area.value
    defects, alpha = wafer.defect_density.value, wafer.clustering.value
    return {
        "gross_dies_per_wafer": float(
            gross_dies(area, wafer.diameter.value, wafer.edge_exclusion.value)
        ),
        "yield_model": wafer.yield_model,
        "yields": {
            name: float(die_yield(name, area, defects, alpha))
            for name in ("murphy", "poisson", "negative_binomial")
        },
        "good_dies_per_wafer": float(assume(system).dies_per_wafer_good),
    }


def _mask_facts(system: System) -> list[dict[str, Any]]:
    assert system.prices
    return [vars(layer) for layer in mask_bill(system.prices.masks)]


def _plan_facts(c: Costing) -> list[dict[str, Any]]:
    """Masks as published, and as scanners print them, each with what it makes of the price."""
    plans = mask_plans(c.system, c.subject.shape, int(c.value.chips))
    return [_priced(c, plan) for plan in plans]


def _priced(c: Costing, plan: MaskPlan) -> dict[str, Any]:
    estimates = {
        "low": plan_estimate(plan, c.system, assume(c.system, end("low")), c.low),
        "value": plan_estimate(plan, c.system, assume(c.system, end("value")), c.value),
        "high": plan_estimate(plan, c.system, assume(c.system, end("high")), c.high),
    }

    def ends(name: str) -> dict[str, float]:
        return {which: float(getattr(e, name)) for which, e in estimates.items()}

    return {
        "name": plan.name,
        "programmable_masks": dict(
            zip(("low", "value", "high"), plan.programmable, strict=True)
        ),
        "what": plan.what,
        **{name: ends(name) for name in ("masks_musd", "nre_musd", "respin_musd")},
    }  # fmt: skip


def _price_facts(c: Costing, price: float | None) -> dict[str, Any] | None:
    """Output tokens of the chips beside tokens at a price, $ a million: how many times it they cost."""
    if price is None:
        return None
    own = {
        name: c.usd_per_mtoken(estimate) / c.plan.output_share
        for name, estimate in (("low", c.low), ("value", c.value), ("high", c.high))
    }
    return {
        "kind": "given",
        "usd_per_moutput_token": price,
        "own_usd_per_moutput_token": own,
        "times_the_price": {name: value / price for name, value in own.items()},
    }


def _buyers_facts(found: Pays | None) -> dict[str, Any] | None:
    """From which volume hardwiring pays; None where nobody says what the other side costs."""
    if found is None:
        return None
    return {
        "against": found.against,
        "what": found.words,
        "kind": found.kind,
        "output_tokens_per_second": found.output_tokens_per_second,
        "usd_per_hour": found.usd_per_hour,
        "usd_per_moutput_token": found.usd_per_mtoken,
        "life_months": LIVES.tolist(),
        "break_even_output_tokens_per_day": found.break_even(),
    }


def _comparison_facts(row: Comparison, gpu: System) -> dict[str, Any]:
    return {
        "system": gpu.name,
        "rate": row.rate.name,
        "kind": "given" if row.rate.name == GIVEN else "published",
        "source": row.rate.source,
        "output_tokens_per_second": row.rate.output,
        "processed_tokens_per_second": row.rate.processed,
        "users": row.rate.users,
        "output_tokens_per_second_per_user": row.rate.output_per_user,
        "gpus_for_same_output": row.gpus,
        "gpus_as_published": row.gpus_as_published,
        "tco_musd": row.tco_musd,
        "tco_ratio": row.tco_ratio,
        "tco_ratio_as_published": row.tco_ratio_as_published,
        "usd_per_moutput_token": row.usd_per_mtoken,
        "energy_ratio": row.energy_ratio,
        "carbon_ratio": row.carbon_ratio,
    }
