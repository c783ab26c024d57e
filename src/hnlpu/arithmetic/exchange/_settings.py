"""`Exchange`: in which format each kind of exchange crosses links, and which way sums take."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, Self, get_args

from hnlpu.arithmetic.exchange._formats import FORMATS, Format
from hnlpu.arithmetic.exchange._sums import WAYS, Way
from hnlpu.errors import InvalidInput

Kind = Literal["sums", "experts", "attention", "activations", "values", "logits"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class ExchangeFormats:
    """A format for each kind of exchange (docs/exchange.md).

    Raises InvalidInput for one that there is not.
    """

    sums: Format = "exact"
    experts: Format = "exact"
    attention: Format = "exact"
    activations: Format = "exact"
    values: Format = "exact"
    logits: Format = "exact"

    def __post_init__(self) -> None:
        """Raises InvalidInput."""
        for field in fields(self):
            given = getattr(self, field.name)
            if given not in FORMATS:
                raise InvalidInput(
                    f"exchange format {given!r} of {field.name}: choose from {', '.join(FORMATS)}"
                )

    @classmethod
    def all_of(cls, form: Format) -> Self:
        """One format for every kind."""
        return cls(*[form] * len(KINDS))

    def of(self, kind: Kind) -> Format:
        """That of a kind."""
        return getattr(self, kind)  # type: ignore[no-any-return]  # fields by name

    @property
    def exact(self) -> bool:
        """Whether any number of chips has the bits of one."""
        return all(self.of(kind) == "exact" for kind in KINDS)

    def __str__(self) -> str:
        """One word where all are alike, else each kind with its format."""
        used = {self.of(kind) for kind in KINDS}
        if len(used) == 1:
            return used.pop()
        return ", ".join(f"{kind} {self.of(kind)}" for kind in KINDS)


USUAL = ExchangeFormats("fp16", "fp16", "fp16", "exact", "fp16", "fp16")
"""What designs take where nobody says: the cheapest that loses nothing measurable (docs/machine.md)."""


def parse_formats(text: str) -> ExchangeFormats:
    """Formats of one word (`fp16`), or by kind (`sums=fp16,attention=vector`; others exact).

    Raises InvalidInput.
    """
    if "=" not in text:
        if text not in FORMATS:
            raise InvalidInput(
                f"exchange {text!r}: give one of {', '.join(FORMATS)}, or KIND=FORMAT,... with "
                f"kinds {', '.join(KINDS)}"
            )
        return ExchangeFormats.all_of(text)
    found: dict[str, str] = {}
    for pair in text.split(","):
        kind, _, form = (part.strip() for part in pair.partition("="))
        if kind not in KINDS or kind in found:
            raise InvalidInput(
                f"exchange {text!r}: {kind!r} is no kind, or stands there twice; kinds are "
                f"{', '.join(KINDS)}"
            )
        found[kind] = form
    return ExchangeFormats(**found)  # type: ignore[arg-type]  # formats are checked there


@dataclass(frozen=True)
class Exchange:
    """Formats, the ways of sums in a row and in a column, and whether candidates stand for logits."""

    formats: ExchangeFormats = ExchangeFormats()
    row: Way = "direct"
    column: Way = "direct"
    candidates: bool = True

    def __post_init__(self) -> None:
        """Raises InvalidInput for a way that there is not."""
        for way in (self.row, self.column):
            if way not in WAYS:
                raise InvalidInput(f"way {way!r} of an exchange: choose from {', '.join(WAYS)}")

    @classmethod
    def of_formats(cls, formats: ExchangeFormats = USUAL) -> Self:
        """That of a machine of which nothing but formats is said: direct, logits gathered if any are rounded."""
        return cls(formats, candidates=formats.exact)
