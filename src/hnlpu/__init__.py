"""Hardwire a language model: every weight becomes metal, and the result talks.

import hnlpu

hnlpu.build("openai/gpt-oss-20b", "build/20b")
hnlpu.verify("build/20b").passed
for token in hnlpu.open("build/20b").generate("def add(a, b):"):
    print(token.text, end="")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hnlpu._version import __version__

if TYPE_CHECKING:
    from hnlpu.errors import HnlpuError
    from hnlpu.insight.report import report
    from hnlpu.insight.verify import Verification, verify
    from hnlpu.run.emulate import LanguageModel, Score, Token
    from hnlpu.run.emulate import open_language_model as open  # noqa: A004  as in `hnlpu.open`
    from hnlpu.silicon.hardwire import build
    from hnlpu.system.design import Design, cost, design, simulate, sweep

__all__ = [
    "Design",
    "HnlpuError",
    "LanguageModel",
    "Score",
    "Token",
    "Verification",
    "__version__",
    "build",
    "cost",
    "design",
    "open",
    "report",
    "simulate",
    "sweep",
    "verify",
]

_FOUND_IN = {
    "Design": ("system.design", "Design"),
    "HnlpuError": ("errors", "HnlpuError"),
    "LanguageModel": ("run.emulate", "LanguageModel"),
    "Policy": ("model.policy", "Policy"),
    "Score": ("run.emulate", "Score"),
    "Token": ("run.emulate", "Token"),
    "Verification": ("insight.verify", "Verification"),
    "build": ("silicon.hardwire", "build"),
    "cost": ("system.design", "cost"),
    "design": ("system.design", "design"),
    "make_policy": ("model.policy", "make_policy"),
    "open": ("run.emulate", "open_language_model"),
    "report": ("insight.report", "report"),
    "simulate": ("system.design", "simulate"),
    "sweep": ("system.design", "sweep"),
    "verify": ("insight.verify", "verify"),
}


def __getattr__(name: str) -> Any:
    """Loads what is asked for when it is: who runs a model needs no masks in memory."""
    if name not in _FOUND_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    folder, attribute = _FOUND_IN[name]
    value = getattr(import_module(f"{__name__}.{folder}"), attribute)
    globals()[name] = value
    return value
