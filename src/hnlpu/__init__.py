"""Hardwire a language model: every weight becomes metal, and the result talks.

import hnlpu

hnlpu.build("openai/gpt-oss-20b", "build/20b")
hnlpu.verify("build/20b").passed
for token in hnlpu.open("build/20b").generate("def add(a, b):"):
    print(token.text, end="")
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hnlpu._version import __version__

if TYPE_CHECKING:
    from hnlpu.emulate import LanguageModel, Score, Token
    from hnlpu.emulate import open_language_model as open  # noqa: A004  as in `hnlpu.open`
    from hnlpu.errors import HnlpuError
    from hnlpu.hardwire import build
    from hnlpu.quantize import Policy, make_policy
    from hnlpu.report import report
    from hnlpu.verify import Verification, verify

__all__ = [
    "HnlpuError",
    "LanguageModel",
    "Policy",
    "Score",
    "Token",
    "Verification",
    "__version__",
    "build",
    "make_policy",
    "open",
    "report",
    "verify",
]

_FOUND_IN = {
    "HnlpuError": ("errors", "HnlpuError"),
    "LanguageModel": ("emulate", "LanguageModel"),
    "Policy": ("quantize", "Policy"),
    "Score": ("emulate", "Score"),
    "Token": ("emulate", "Token"),
    "Verification": ("verify", "Verification"),
    "build": ("hardwire", "build"),
    "make_policy": ("quantize", "make_policy"),
    "open": ("emulate", "open_language_model"),
    "report": ("report", "report"),
    "verify": ("verify", "verify"),
}


class _Package(ModuleType):
    """Loads what is asked for when it is: who runs a model needs no masks in memory.

    `report` and `verify` are functions here, whose folders have the same names;
    Python would put a folder in the function's place when it is imported.
    """

    def __getattr__(self, name: str) -> Any:
        if name not in _FOUND_IN:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        folder, attribute = _FOUND_IN[name]
        value = getattr(import_module(f"{__name__}.{folder}"), attribute)
        self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _FOUND_IN and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
