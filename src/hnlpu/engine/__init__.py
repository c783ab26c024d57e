"""The engine: many requests on one hardwired model at once, each as if it were alone."""

from hnlpu.engine._adapted import Adapted
from hnlpu.engine._adapter import Adapter, read_adapter
from hnlpu.engine._engine import Counters, Engine, Limits
from hnlpu.engine._request import Constraint, Request, Result, Sampling, TokenScore, Update, collect
from hnlpu.engine._runner import Runner, Snapshot
from hnlpu.engine._scoring import Likelihood, likelihoods

__all__ = [
    "Adapted",
    "Adapter",
    "Constraint",
    "Counters",
    "Engine",
    "Likelihood",
    "Limits",
    "Request",
    "Result",
    "Runner",
    "Sampling",
    "Snapshot",
    "TokenScore",
    "Update",
    "collect",
    "likelihoods",
    "read_adapter",
]
