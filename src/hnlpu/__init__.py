"""Hardwire a language model: every weight becomes metal, and the result talks.

import hnlpu

hnlpu.build("openai/gpt-oss-20b", "build/20b")
hnlpu.verify("build/20b").passed
for token in hnlpu.open("build/20b").generate("def add(a, b):"):
    print(token.text, end="")
"""

from hnlpu._version import __version__
from hnlpu.emulate import LanguageModel, Score, Token
from hnlpu.emulate import open_language_model as open  # noqa: A004  the verb, as in `hnlpu.open`
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
