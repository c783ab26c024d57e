"""Which commands know no family, and the one line in which the others refuse a model."""

from __future__ import annotations

from hnlpu.errors import UnsupportedArchitecture

EVERY_FAMILY = ("build", "verify", "place", "masks", "rtl", "generate", "score")
"""Commands that read a network as it is: what works for one family works for all."""
GPT_OSS_ALONE = ("chip", "serve", "report", "simulate", "cost", "audit", "adapter")
"""Commands that still read gpt-oss's own structure."""


def refusal(where: object, family: str, what: str) -> UnsupportedArchitecture:
    """`what` (a command, or an option with its value) refuses a model of `family` at `where`."""
    return UnsupportedArchitecture(
        f"{where}: a model of the family {family}, and {what} reads gpt_oss alone; what works for "
        f"every family: {', '.join(EVERY_FAMILY)}"
    )
