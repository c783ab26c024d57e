"""Which commands know no family, and the one line in which the others refuse a model."""

from __future__ import annotations

from hnlpu.errors import UnsupportedArchitecture

EVERY_FAMILY = (
    "build", "verify", "place", "masks", "rtl", "generate", "score", "serve", "draw", "report",
    "simulate", "cost", "audit", "adapter", "sensitivity",
)  # fmt: skip
"""Commands that read a network as it is: what works for one family works for all."""
OF_SIGNALS = ("build", "verify", "place", "masks", "rtl", "run", "score", "draw", "simulate", "cost", "audit")  # fmt: skip
"""Commands that networks of signals work with; those of text refuse them in one line."""
BY_OPERATION = ("chip",)
"""Commands that read a network as it is, and refuse an operation that they do not have by its name."""


def refusal(where: object, family: str, what: str) -> UnsupportedArchitecture:
    """What `what` (a command, or what one asks for) says of a model of `family` at `where`."""
    return UnsupportedArchitecture(
        f"{where}: a model of the family {family}; {what}: gpt_oss alone so far; what works for "
        f"every family: {', '.join(EVERY_FAMILY)}"
    )
