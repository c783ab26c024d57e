"""Codebooks: what values a digit may have, as small integers in data files.

    NAME.toml ──► values ──► odd part, power of two and sign ──► codes, trunks, steps of a product

A value counts half units of its block: n means n * 2^(e - 128) at block exponent e.  A digit in metal has
one of 16 codes, whose odd parts are 1 and 3 (`hnlpu.arithmetic.golden`), so a codebook of such values is a
choice among them: its weights are exact in all that reads codes, and an array made for it alone has
fewer trunks and fewer steps.  One with another odd part has no metal.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from hnlpu.arithmetic.golden import ODD_AND_SHIFT
from hnlpu.errors import InvalidInput

E2M1 = "e2m1"
"""The codebook of digits that are any of the 16 codes."""


@dataclass(frozen=True)
class Codebook:
    """Values in half units, 0 among them, each with its opposite; `source` says whose they are."""

    name: str
    title: str
    values: tuple[int, ...]
    source: str

    @property
    def magnitudes(self) -> tuple[int, ...]:
        """Of the values, ascending from 0."""
        return tuple(sorted({abs(value) for value in self.values}))

    @property
    def codes(self) -> tuple[int, ...]:
        """Codes of the values, ascending; minus zero is none.

        Raises InvalidInput for a value without a code.
        """
        known = {odd << shift: code for code, (odd, shift) in enumerate(ODD_AND_SHIFT)}
        lacking = [m for m in self.magnitudes if m not in known]
        if lacking:
            odd = " and ".join(str(m) for m in lacking)
            raise InvalidInput(
                f"format {self.name} has no metal: no trunk carries {odd} times an input (odd parts 1 "
                "and 3 have trunks); two digits hold it exactly where its scales are powers of "
                "two: give the format auto or mxfp4x2"
            )
        return tuple(sorted(known[abs(v)] + (8 if v < 0 else 0) for v in self.values))

    @property
    def product_bits(self) -> int:
        """Bits that the largest value adds to an activation: those of a product are as many more."""
        return max(self.magnitudes).bit_length()

    @property
    def odd_and_shift(self) -> tuple[tuple[int, int], ...]:
        """(odd part, shift) of each magnitude but 0, in the order of codes."""
        return tuple(ODD_AND_SHIFT[code] for code in self.codes if 0 < code < 8)


@functools.cache
def codebook_names() -> tuple[str, ...]:
    """Every codebook that comes with hnlpu."""
    files = resources.files(__package__ or "").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


@functools.cache
def open_codebook(name: str) -> Codebook:
    """A codebook by its name; raises InvalidInput for an unknown one."""
    if name not in codebook_names():
        raise InvalidInput(
            f"codebook {name!r} is unknown; choose from {', '.join(codebook_names())}"
        )
    text = (resources.files(__package__ or "") / f"{name}.toml").read_text("utf-8")
    values = tomllib.loads(text)
    found = Codebook(name, values["title"], _checked(name, values["values"]), values["source"])
    assert values["name"] == name
    return found


def _checked(name: str, values: Sequence[int]) -> tuple[int, ...]:
    assert len(set(values)) == len(values), name
    assert 0 in values, name
    assert all(-value in values for value in values), name
    return tuple(values)
