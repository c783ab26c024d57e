"""Codebooks: what values a digit may have, as small integers in data files.

    NAME.toml ──► values ──► odd part, power of two and sign ──► codes, trunks, steps of a product

A value counts half units of its block: n means n * 2^(e - 128) at block exponent e.  A digit in metal has
one of 16 codes.  The codes of a codebook whose values are all among E2M1's are E2M1's
(`hnlpu.arithmetic.golden`).  Any other has codes of its own: 0 is zero, 1 to 7 are the values of one sign,
9 to 15 those of the other and 8 its eighth, each by magnitude.

Files hold E2M1 codes alone, so that all that computes with weights needs no codebook: a value that E2M1
has not is stored as the sum of two that it has (5 as 4 and 1), both under the block's exponent.
Metal of the taps scheme joins them again to one digit, whose trunk carries the sum (`Codebook.joined`).

A codebook of few values may have two inputs a port: its value a + 3 b stands for the values a and b that two
neighbours have, and the trunk carries a times the first plus b times the second.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.golden import ODD_AND_SHIFT
from hnlpu.errors import InvalidInput

E2M1 = "e2m1"
"""The codebook of digits that are any of the 16 codes."""
NO_CODE = 255
"""In `Codebook.joined`, for two E2M1 codes whose sum is no value, or is stored in another way."""
_OF_CODE = tuple((-1 if code & 8 else 1) * (odd << shift) for code, (odd, shift) in
                 enumerate(2 * ODD_AND_SHIFT))  # fmt: skip
"""Half units of each E2M1 code."""


@dataclass(frozen=True)
class Codebook:
    """Values in half units, 0 among them, at most eight of a sign; `source` says whose they are.

    With two `inputs` a port, `of` names the codebook of the values of each.
    """

    name: str
    title: str
    values: tuple[int, ...]
    source: str
    inputs: int = 1
    of: str = ""

    @functools.cached_property
    def of_e2m1(self) -> bool:
        """Whether E2M1 has all of its values, and so its codes are E2M1's."""
        return set(self.values) <= set(_OF_CODE)

    @functools.cached_property
    def table(self) -> tuple[int, ...]:
        """Value of each of the 16 codes; 0 of one that is not in use."""
        if self.of_e2m1:
            return _OF_CODE
        plus = sorted(v for v in self.values if v > 0)
        minus = sorted((v for v in self.values if v < 0), reverse=True)
        few, many = (minus, plus) if len(plus) > len(minus) else (plus, minus)
        found = [0] * 16
        found[1 : 1 + len(few)] = few
        for code, value in zip((*range(9, 16), 8), many, strict=False):
            found[code] = value
        return tuple(found)

    @functools.cached_property
    def codes(self) -> tuple[int, ...]:
        """Codes of the values, ascending; zero's is 0 alone."""
        used = set(self.values)
        return (0, *(code for code, v in enumerate(self.table) if v and v in used))

    @property
    def magnitudes(self) -> tuple[int, ...]:
        """Of the values, ascending from 0."""
        return tuple(sorted({abs(value) for value in self.values}))

    @property
    def product_bits(self) -> int:
        """Bits that the largest value adds to an activation: those of a product are as many more."""
        if self.inputs > 1:
            return max(sum(map(abs, self.both_of(value))) for value in self.values).bit_length()
        return max(self.magnitudes).bit_length()

    @staticmethod
    def both_of(value: int) -> tuple[int, int]:
        """The values of both inputs of a port with two."""
        first = (value + 1) % 3 - 1
        return first, (value - first) // 3

    def by_input(self, ports: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """Values [..., ports] -> values [..., inputs]."""
        found: npt.NDArray[np.int64] = ports.astype(np.int64)
        if self.inputs == 1:
            return found
        first = (found + 1) % 3 - 1
        pairs = np.stack([first, (found - first) // 3], -1)
        return pairs.reshape(*found.shape[:-1], -1)

    @functools.cached_property
    def paired(self) -> npt.NDArray[np.uint8]:
        """Code of two neighbours' codes, uint8 [256] at first + 16 * second; else NO_CODE."""
        found = np.full(256, NO_CODE, np.uint8)
        of_input = open_codebook(self.of)
        code_of = {of_input.table[code]: code for code in of_input.codes}
        for code in self.codes:
            first, second = self.both_of(self.table[code])
            found[code_of[first] + 16 * code_of[second]] = code
        return found

    @functools.cached_property
    def products(self) -> tuple[tuple[int, int, int], ...]:
        """(sign, odd part, shift) of each value but 0, in the order of codes."""
        found = []
        for code in self.codes[1:]:
            value = self.table[code]
            shift = (value & -value).bit_length() - 1
            found.append((1 if value > 0 else -1, abs(value) >> shift, shift))
        return tuple(found)

    @functools.cached_property
    def parts(self) -> tuple[tuple[int, ...], ...]:
        """E2M1 codes of each of the 16 codes whose values add up to its value: one each, or two each."""
        if self.of_e2m1:
            return tuple((code,) for code in range(16))
        return tuple(_two_codes(self.name, value) for value in self.table)

    @property
    def stored(self) -> int:
        """E2M1 codes that a digit is stored as."""
        return len(self.parts[0])

    @functools.cached_property
    def joined(self) -> npt.NDArray[np.uint8]:
        """Code of two E2M1 codes that are stored, uint8 [256] at first + 16 * second; else NO_CODE.

        Of a codebook with two codes a digit; minus zero counts as zero.
        """
        found = np.full(256, NO_CODE, np.uint8)
        for code in self.codes:
            first, second = self.parts[code]
            for a in (first, *((8,) if first == 0 else ())):
                for b in (second, *((8,) if second == 0 else ())):
                    found[a + 16 * b] = code
        return found


def _two_codes(name: str, value: int) -> tuple[int, int]:
    """Two E2M1 codes that add up to `value`: the nearest toward zero first, then the rest."""
    sign = 8 if value < 0 else 0
    known = {_OF_CODE[code]: code for code in range(8)}
    for first in sorted((v for v in known if v <= abs(value)), reverse=True):
        if (rest := abs(value) - first) in known:
            second = known[rest]
            return known[first] + sign * (first > 0), second + sign * (second > 0)
    raise InvalidInput(
        f"codebook {name}: {value} is no sum of two of E2M1's values (0, 1, 2, 3, 4, 6, 8, 12), which "
        "is how weights are stored; take values up to 16 or 18, 20 and 24"
    )


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
    found = Codebook(
        name, values["title"], _checked(name, values["values"]), values["source"],
        values.get("inputs", 1), values.get("of", ""),
    )  # fmt: skip
    assert values["name"] == name
    return found


def _checked(name: str, values: Sequence[int]) -> tuple[int, ...]:
    signs = [sum(value > 0 for value in values), sum(value < 0 for value in values)]
    assert len(set(values)) == len(values), name
    assert 0 in values, name
    assert 1 <= min(signs) <= 7, name
    assert max(signs) <= 8, name
    return tuple(values)
