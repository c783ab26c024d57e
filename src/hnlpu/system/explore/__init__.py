"""A search over machines for one model: what to build, and why it beats what was published.

Design ──► _chip (area, power, Specification) ──► machine.simulate ──► _price (cost) ──► Score
Optuna or Ray ──► Designs ──► Scores ──► Pareto front ──► _why
"""

from hnlpu.system.explore._chip import Chip, make_chip
from hnlpu.system.explore._design import ExploredDesign, choices
from hnlpu.system.explore._evaluate import DesignScore, Point, Problem, evaluate, make_problem
from hnlpu.system.explore._options import Options, load_options
from hnlpu.system.explore._price import Bill, price
from hnlpu.system.explore._search import (
    OBJECTIVES,
    Candidate,
    Search,
    check_installed,
    gain,
    pareto_front,
    parse_objectives,
    search,
)
from hnlpu.system.explore._start import check_explorable, published_design
from hnlpu.system.explore._why import (
    Reason,
    best,
    best_per_precision,
    changed_fields,
    demands,
    explain,
    least_gain,
)

__all__ = [
    "OBJECTIVES",
    "Bill",
    "Candidate",
    "Chip",
    "DesignScore",
    "ExploredDesign",
    "Options",
    "Point",
    "Problem",
    "Reason",
    "Search",
    "best",
    "best_per_precision",
    "changed_fields",
    "check_explorable",
    "check_installed",
    "choices",
    "demands",
    "evaluate",
    "explain",
    "gain",
    "least_gain",
    "load_options",
    "make_chip",
    "make_problem",
    "pareto_front",
    "parse_objectives",
    "price",
    "published_design",
    "search",
]
