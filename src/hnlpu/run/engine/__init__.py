"""The engine: many requests on one hardwired model at once, each as if it were alone."""

from hnlpu.run.engine._adapted import Adapted
from hnlpu.run.engine._adapter import Adapter, read_adapter
from hnlpu.run.engine._adapter_targets import linear_modules
from hnlpu.run.engine._device import CPU
from hnlpu.run.engine._disturbed import Disturbed
from hnlpu.run.engine._engine import Counters, Engine, Limits
from hnlpu.run.engine._experts import Experts, experts_of
from hnlpu.run.engine._layout import PAGE
from hnlpu.run.engine._open import gives_hidden, network_of
from hnlpu.run.engine._request import (
    Constraint,
    Request,
    Result,
    Sampling,
    TokenScore,
    Update,
    collect,
)
from hnlpu.run.engine._runner import Runner, Snapshot
from hnlpu.run.engine._scoring import Likelihood, likelihoods

__all__ = [
    "CPU",
    "PAGE",
    "Adapted",
    "Adapter",
    "Constraint",
    "Counters",
    "Disturbed",
    "Engine",
    "Experts",
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
    "experts_of",
    "gives_hidden",
    "likelihoods",
    "linear_modules",
    "network_of",
    "read_adapter",
]
