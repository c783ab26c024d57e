"""What a placement needs beside what the technology has: chips, areas, reticle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from hnlpu.errors import DoesNotFit
from hnlpu.model.checkpoint import MatrixShape
from hnlpu.silicon.embed import ArrayKind, open_scheme
from hnlpu.silicon.place._placement import (
    Embedding,
    Placement,
    array_area_mm2,
    banks,
    fewest_chips,
    weights_by_chip,
)
from hnlpu.silicon.place._target import Target
from hnlpu.silicon.technology import Technology


@dataclass(frozen=True)
class PlacementFacts:
    """Areas in mm2 of the fullest chip.

    `*_by_published` follow from the technology's array area per weight (None where its file has
    none); `chips_needed` is None where no number of chips is enough.
    """

    scheme: str
    technology: str
    chips: int
    grid: tuple[int, int]
    weights: int
    digits: int
    most_weights: int
    least_weights: int
    array_area_mm2: float
    array_room_mm2: float
    area_per_digit_um2: float
    transistors_per_digit: float
    die_area_mm2: float
    reticle_mm2: float
    fits: bool
    chips_needed: int | None
    published_um2_per_weight: float | None
    array_area_by_published_mm2: float | None
    chips_by_published: int | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def verdict(self) -> str:
        """Whether it fits, and by how much, in a sentence."""
        spare = self.array_room_mm2 - self.array_area_mm2
        if self.fits:
            return f"fits: {spare:,.4g} of {self.array_room_mm2:,.4g} mm2 for arrays are left"
        needed = "no number" if self.chips_needed is None else f"{self.chips_needed}"
        return (
            f"does not fit: arrays need {self.array_area_mm2:,.4g} mm2 of the "
            f"{self.array_room_mm2:,.4g} mm2 that a die has for them "
            f"({self.array_area_mm2 / self.array_room_mm2:.2f} times); {needed} of chips would do"
        )


def placement_facts(
    shapes: Sequence[MatrixShape], embeddings: dict[str, Embedding], placement: Placement,
    technology: Technology,
) -> PlacementFacts:  # fmt: skip
    """Count a placement, and find how many chips it needs by the scheme and by published area."""
    target = Target(
        technology, placement.scheme, placement.chips, placement.bank, placement.group
    )  # fmt: skip
    # silicon has the tracks that were found for it, whatever number of chips it is cut over
    embeddings = {
        placed.name: replace(embeddings[placed.name], tracks=placed.tracks)
        for placed in placement.matrices
    }
    areas = array_area_mm2(placement, technology)
    weights = weights_by_chip(placement)
    digits, transistors = _digits(placement, technology)
    die = technology.die
    room = die.area.value - die.other_area_mm2
    published = die.array_area_per_weight.value if die.array_area_per_weight else None
    return PlacementFacts(
        scheme=placement.scheme,
        technology=technology.name,
        chips=placement.chips,
        grid=placement.grid,
        weights=sum(weights),
        digits=digits,
        most_weights=max(weights),
        least_weights=min(weights),
        array_area_mm2=max(areas),
        array_room_mm2=room,
        area_per_digit_um2=sum(areas) / digits * 1e6,
        transistors_per_digit=transistors / digits,
        die_area_mm2=max(areas) + die.other_area_mm2,
        reticle_mm2=technology.die_outline_mm2,
        fits=max(areas) <= room,
        chips_needed=_needed(shapes, embeddings, target, None),
        published_um2_per_weight=published,
        array_area_by_published_mm2=None if published is None else max(weights) * published * 1e-6,
        chips_by_published=(
            None if published is None else _needed(shapes, embeddings, target, published)
        ),
    )


def _needed(
    shapes: Sequence[MatrixShape], embeddings: dict[str, Embedding], target: Target,
    published: float | None,
) -> int | None:  # fmt: skip
    try:
        return fewest_chips(shapes, embeddings, target, published)
    except DoesNotFit:
        return None


def _digits(placement: Placement, technology: Technology) -> tuple[int, float]:
    """Digits on all chips, and the transistors below them."""
    each: dict[tuple[ArrayKind, int, int], float] = {}
    digits, transistors = 0, 0.0
    for placed in placement.matrices:
        for part in placed.slices:
            inputs, neurons = ((b - a) for a, b in (part.blocks, part.neurons))
            for first, behind in banks(part, placement.bank):
                kind = placement.kind(placed, behind - first)
                key = kind, inputs * 32, neurons
                if key not in each:
                    each[key] = open_scheme(technology, kind).transistors(inputs * 32, neurons)
                count = neurons * inputs * 32 * (behind - first) * placed.digits
                digits += count
                transistors += count * each[key]
    return digits, transistors
