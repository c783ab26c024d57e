"""Smaller before it is cast: steps that take something out of a checkpoint, and what that does to silicon.

checkpoint ─► step ─► checkpoint ─► step ─► ... ─► checkpoint of the same family
    └─ build, score, design, cost ──┴─ the same ───────┴──► ledger

Steps decide on one text and are judged on another.
"""

from hnlpu.insight.compress._amp import Amp
from hnlpu.insight.compress._compress import LEDGER, Task, compress, said
from hnlpu.insight.compress._experts import ExpertPruning
from hnlpu.insight.compress._finercut import FinerCut
from hnlpu.insight.compress._heal import Heal
from hnlpu.insight.compress._ledger import Chips, Ledger, Stage
from hnlpu.insight.compress._options import StepOptions
from hnlpu.insight.compress._recipe import STEPS, parse_steps, read_recipe
from hnlpu.insight.compress._round import Round, round_columns

__all__ = [
    "LEDGER",
    "STEPS",
    "Amp",
    "Chips",
    "ExpertPruning",
    "FinerCut",
    "Heal",
    "Ledger",
    "Round",
    "Stage",
    "StepOptions",
    "Task",
    "compress",
    "parse_steps",
    "read_recipe",
    "round_columns",
    "said",
]
