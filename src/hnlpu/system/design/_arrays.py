"""A model, a process and a scheme -> area of its arrays on the fullest of some chips, and their grid."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from hnlpu.errors import DoesNotFit, InvalidInput
from hnlpu.model.checkpoint import shapes_of
from hnlpu.silicon.embed import ArrayKind, array_kind, open_scheme
from hnlpu.silicon.hardwire import Manifest
from hnlpu.silicon.place import Embedding, Target, array_area_mm2, chip_grid, make_target, place
from hnlpu.silicon.technology import Technology, load_technology
from hnlpu.system.catalog import DIGIT_BITS, ROW_RANGE, ModelShape, NetworkShape, near_square

EXPERT_GROUPS = ("experts",)
MOST_CHIPS = 4096


@dataclass(frozen=True)
class Arrays:
    """Arrays of all weights: mm2 on the fullest chip, the grid, and how they are made.

    `bank` experts share a popcount; `why` says where the area is from; `kinds` are those of a build's arrays,
    none where nothing is built.  `sum_bits` hold every sum of a matrix that is cut by heads, of a build.
    """

    area_mm2: float
    grid: tuple[int, int]
    scheme: str
    bank: int
    why: str
    kinds: tuple[ArrayKind, ...] = ()
    sum_bits: int | None = None

    @property
    def chips(self) -> int:
        """Chips of the grid."""
        return self.grid[0] * self.grid[1]


def built_arrays(manifest: Manifest) -> Arrays:
    """Those of a build, as they are placed."""
    placement = manifest.placement
    area = max(array_area_mm2(placement, manifest.technology))
    why = f"tiles of scheme {placement.scheme} on the fullest chip, as the build places them"
    kinds = tuple(sorted(placement.kinds()))
    by_heads = [
        record.accumulator_bits
        for record in manifest.matrices.values()
        if record.role == "attention"
    ]
    bits = max(by_heads, default=None)
    return Arrays(area, placement.grid, placement.scheme, placement.bank, why, kinds, bits)


def arrays_of(
    model: ModelShape | NetworkShape, technology: str, scheme: str, grid: tuple[int, int],
    one_digit: bool = False,
) -> Arrays:  # fmt: skip
    """Those of a model that is not built, on a grid of chips: one digit a weight, or two beyond 4.25 bits.

    `one_digit` has a single one for every weight.
    """
    target = make_target(technology, scheme, grid[0] * grid[1])
    most = 1 if one_digit else 2
    digits = "one digit a weight" if one_digit else "digits by the width of the stored weights"
    if isinstance(model, NetworkShape):
        area = _network_mm2(model, target, most)
        why = f"tiles of scheme {scheme}, {digits}"
    else:
        area = _catalog_mm2(model, technology, target, most) / (grid[0] * grid[1])
        why = f"scheme {scheme} at the mean area of a digit, {digits}, spread evenly"
    return Arrays(area, grid, scheme, target.bank, why)


def grids(
    model: ModelShape | NetworkShape, fewest: int, most: int = MOST_CHIPS
) -> Iterator[tuple[int, int]]:
    """Grids that a model can be cut over, the fewest chips first."""
    seen = set()
    for chips in range(fewest, most + 1):
        try:
            if isinstance(model, NetworkShape):
                grid = chip_grid(shapes_of(model.network), chips)
            else:
                grid = near_square(chips, model.most_columns)
        except (DoesNotFit, InvalidInput):
            continue
        if grid[0] * grid[1] > most:
            continue  # no grid of exactly so many
        if max(grid) <= 4 * min(grid) and grid not in seen:
            seen.add(grid)
            yield grid


def _network_mm2(model: NetworkShape, target: Target, most: int) -> float:
    digits = {
        role: 1 if bits <= DIGIT_BITS else most
        for role, (_, bits) in zip(model.weights(), model.stored(), strict=True)
    }
    shapes = shapes_of(model.network)
    embeddings = {s.name: Embedding(digits[s.role], ROW_RANGE) for s in shapes}
    return max(array_area_mm2(place(shapes, embeddings, target), target.technology))


def _catalog_mm2(model: ModelShape, technology: str, target: Target, most: int) -> float:
    total = 0.0
    for group, weights in model.weights().items():
        digits = 1 if model.formats[group].bits.value <= DIGIT_BITS else most
        bank = 1
        if group in EXPERT_GROUPS and model.experts:
            bank = max(1, min(target.bank, model.experts.count // (target.chips or 1)))
        total += weights * digits * digit_um2(technology, target.scheme, digits, bank, ROW_RANGE)
    return total / 1e6


@functools.cache
def digit_um2(technology: str, scheme: str, digits: int, bank: int, spread: int) -> float:
    """Area of a digit in arrays of a kind."""
    kind = array_kind(scheme, digits, bank, spread)
    return open_scheme(load_technology(technology), kind).area_um2()


def scaled(library: Technology, technology: Technology) -> float:
    """Area of logic in a process over that in the one that a library is of."""
    return library.silicon.density.value / technology.silicon.density.value
