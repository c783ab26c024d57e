"""The engine: many requests on one hardwired model at once, each as if it were alone."""

from hnlpu.engine._engine import Counters, Engine, Limits
from hnlpu.engine._request import Constraint, Request, Result, Sampling, TokenScore, Update, collect
from hnlpu.engine._runner import Runner, Snapshot

__all__ = [
    "Constraint",
    "Counters",
    "Engine",
    "Limits",
    "Request",
    "Result",
    "Runner",
    "Sampling",
    "Snapshot",
    "TokenScore",
    "Update",
    "collect",
]
