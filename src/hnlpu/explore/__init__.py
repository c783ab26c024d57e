"""A search over machines for one model: what to build, and why it beats what was published.

Design ──► _chip (area, power, Specification) ──► machine.simulate ──► _price (hnlpu.cost) ──► Score
Optuna or Ray ──► Designs ──► Scores ──► Pareto front ──► _why
"""

from hnlpu.explore._chip import Chip, make_chip, published_design
from hnlpu.explore._design import Design, choices
from hnlpu.explore._evaluate import Point, Problem, Score, evaluate, make_problem
from hnlpu.explore._options import Options, load_options
from hnlpu.explore._price import Bill, price
from hnlpu.explore._search import (
    OBJECTIVES,
    Candidate,
    Search,
    gain,
    pareto_front,
    parse_objectives,
    search,
)
from hnlpu.explore._why import (
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
    "Design",
    "Options",
    "Point",
    "Problem",
    "Reason",
    "Score",
    "Search",
    "best",
    "best_per_precision",
    "changed_fields",
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
