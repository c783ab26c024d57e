"""Places where weights may put cuts and wires -> exposures and masks that print any of them.

    pitch that weights may demand ──► k1 of each scanner ──► masks, each legal on its own

Cuts stand on a grid of columns i and tracks j.  Two that weights may set at once and that are nearer than
one exposure prints must be on two masks.  A cut's mask is (a * i + b * j) mod n, whatever the weights: two
cuts with the same mask differ by a step (di, dj) with a * di + b * dj = 0 mod n, so it is enough that no
step of a conflict has this property.  Wires of one direction are printed as they are, or as lines on every
track by spacers, with cuts between.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hnlpu.silicon.technology import Lithography, Metal, Scanner, ViaLayer

MOST_MASKS = 12
"""Beyond so many masks a scanner is taken not to print a layer."""
MOST_STEPS = 64
"""Places in a row or column that one exposure may be too coarse for: beyond, no masks are counted."""
NUMBERS = ("no", "single", "double", "triple", "quadruple")
_TOUCH = 1e-6

Step = tuple[int, int]
Limit = Literal["low", "value", "high"]


@dataclass(frozen=True)
class Colouring:
    """The mask of the cut in column `i` and on track `j`: (across * i + along * j) mod masks."""

    masks: int
    across: int
    along: int

    def mask(self, column: int, track: int) -> int:
        """Number of the mask from 0."""
        return (self.across * column + self.along * track) % self.masks


@dataclass(frozen=True)
class Pitches:
    """Least distances in nm from centre to centre that weights may demand; inf where none."""

    across: float
    along: float
    diagonal: float

    @property
    def least(self) -> float:
        """In any direction."""
        return min(self.across, self.along, self.diagonal)


@dataclass(frozen=True)
class CutGrid:
    """Where the cuts of a layer may stand; lengths in nm.

    `x` are the columns of one period of `width`, ascending; `y` the tracks of a row, ascending, and rows
    are `height` apart.  `fixed` columns have a cut on every track.  Of the others, those of one `stub` have
    at most one cut a row.  In one row two cuts of a column are at least `apart` tracks from each other.
    """

    x: tuple[int, ...]
    width: int
    fixed: tuple[bool, ...]
    stub: tuple[int, ...]
    y: tuple[int, ...]
    height: int
    apart: int = 1

    def only(self, *, fixed: bool) -> CutGrid:
        """The same with the fixed or with the programmable columns alone."""
        kept = [n for n, found in enumerate(self.fixed) if found == fixed]
        return replace(
            self,
            x=tuple(self.x[n] for n in kept),
            fixed=tuple(self.fixed[n] for n in kept),
            stub=tuple(self.stub[n] for n in kept),
        )

    def pitches(self) -> Pitches:
        """Least distances: in a row, in a column, and between neighbours in both."""
        if not self.x:
            return Pitches(math.inf, math.inf, math.inf)
        return Pitches(
            _least(self._across, self._apart_x),
            _least(self._along, self._apart_y),
            math.hypot(self._apart_x(1), self._apart_y(1)),
        )

    def conflicts(self, limit_nm: float) -> frozenset[Step] | None:
        """Steps (columns, tracks) between cuts that may both be there, nearer than the limit.

        None where the grid is finer than that by more than `MOST_STEPS` places.
        """
        found: set[Step] = set()
        if not self.x:
            return frozenset()
        near = limit_nm - _TOUCH
        columns = _while_below(self._apart_x, near)
        tracks = _while_below(self._apart_y, near)
        if max(len(columns), len(tracks)) > MOST_STEPS:
            return None
        for di, dj in itertools.product([0, *columns], [0, *tracks]):
            if di == dj == 0:
                continue
            if not dj:
                distance = self._across(di)
            elif not di:
                distance = self._along(dj)
            else:
                distance = math.hypot(self._apart_x(di), self._apart_y(dj))
            if distance < near:
                found |= {(di, dj), (di, -dj)}
        return frozenset(found)

    def _apart_x(self, step: int) -> float:
        """Least distance of two columns, whether they have cuts at once or not."""
        return min(self._column(n + step) - x for n, x in enumerate(self.x))

    def _apart_y(self, step: int) -> float:
        return min(self._track(n + step) - y for n, y in enumerate(self.y))

    def _column(self, n: int) -> int:
        period, at = divmod(n, len(self.x))
        return period * self.width + self.x[at]

    def _track(self, n: int) -> int:
        row, at = divmod(n, len(self.y))
        return row * self.height + self.y[at]

    def _across(self, step: int) -> float:
        """Least distance of two cuts of a row; inf where each pair is of one stub."""
        found = math.inf
        for n, x in enumerate(self.x):
            period, at = divmod(n + step, len(self.x))
            alone = period == 0 and self.stub[n] == self.stub[at]
            if not alone or self.fixed[n] or self.fixed[at]:
                found = min(found, self._column(n + step) - x)
        return found

    def _along(self, step: int) -> float:
        """Least distance of two cuts of a column."""
        found = math.inf
        for n, y in enumerate(self.y):
            if n + step >= len(self.y) or step >= self.apart:
                found = min(found, self._track(n + step) - y)
        return found


@dataclass(frozen=True)
class WireGrid:
    """Wires of one direction on tracks; lengths in nm.

    `pitch` is the least from track to track, `gap` the least between the ends of two wires of a track,
    `cut_pitch` the least from one gap of a track to the next, `gap` wide each.
    """

    pitch: float
    gap: float
    cut_pitch: float

    def pitches(self) -> Pitches:
        """Of gaps across, of tracks along; gaps of two tracks may face each other."""
        return Pitches(self.cut_pitch, self.pitch, self.pitch)


@dataclass(frozen=True)
class Way:
    """One way to print a layer with one scanner: its masks, and what they cost in DUV masks.

    `programmable` masks differ between weights, `shared` ones do not.  `k1` is that of the least pitch in
    one exposure.  `colourings` says which cut is on which mask: one for all cuts, or one for the
    programmable and one for the fixed; empty where nothing is to be told apart.
    """

    scanner: str
    method: str
    k1: float
    least_pitch_nm: float
    programmable: int
    shared: int
    mask_weight: float
    colourings: tuple[Colouring, ...] = ()

    @property
    def cost(self) -> tuple[float, float]:
        """DUV masks for new weights, and in all: the first is paid for each chip and re-spin."""
        total = self.programmable + self.shared
        return self.programmable * self.mask_weight, total * self.mask_weight


def colouring_of(steps: Iterable[Step] | None) -> Colouring | None:
    """A colouring with the fewest masks that sets no conflict on one; None beyond `MOST_MASKS`.

    `steps` are those of conflicts, None where there are too many to tell.

    Every cut's mask follows from its column and track alone.  Other colourings, made for the weights at
    hand, may do with fewer masks from three on; one mask is enough if and only if there is no conflict.
    """
    if steps is None:
        return None
    steps = list(steps)
    for masks in range(1, MOST_MASKS + 1):
        for across, along in itertools.product(range(masks), repeat=2):
            if all((across * di + along * dj) % masks for di, dj in steps):
                return Colouring(masks, across, along)
    return None


def cut_ways(lithography: Lithography, grid: CutGrid, limit: Limit = "value") -> Iterator[Way]:
    """Ways to print the cuts of a layer, one for each scanner that can.

    Fixed cuts share the masks of the others, or have their own, which no weights change: whichever costs
    less.  `limit` takes the low or the high end of the least k1.
    """
    least_k1 = getattr(lithography.least_k1_cuts, limit)
    for scanner in lithography.scanner:
        pitch = scanner.least_pitch_nm(least_k1)
        joint, free, fixed = (
            colouring_of(part.conflicts(pitch))
            for part in (grid, grid.only(fixed=False), grid.only(fixed=True))
        )
        found = []
        if joint:
            found.append(_cut_way(scanner, grid, pitch, joint.masks, 0, (joint,)))
        if free and fixed and any(grid.fixed):
            found.append(_cut_way(scanner, grid, pitch, free.masks, fixed.masks, (free, fixed)))
        if found:
            yield min(found, key=lambda way: way.cost)


def _cut_way(
    scanner: Scanner, grid: CutGrid, pitch: float, programmable: int, shared: int,
    colourings: tuple[Colouring, ...],
) -> Way:  # fmt: skip
    k1 = scanner.k1(grid.pitches().least)
    return Way(
        scanner.name, method_of(programmable + shared), k1, pitch, programmable, shared,
        scanner.mask_weight.value, colourings,
    )  # fmt: skip


def wire_ways(lithography: Lithography, grid: WireGrid, limit: Limit = "value") -> Iterator[Way]:
    """Ways to print wires of one direction, for each scanner that can.

    As they are, in one exposure, where tracks and gaps allow it.  Else as lines: spacers beside mandrels
    of twice the pitch leave a line on every track, the same for any weights, and cut masks part them.
    Cuts of a track are numbered from its start, tracks from the tile's: with `n` numbers along and `m`
    across, cuts of one mask are n cuts of a track apart, or m tracks.
    """
    lines, cuts = (
        getattr(table, limit)
        for table in (lithography.least_k1_lines, lithography.least_k1_cuts)
    )  # fmt: skip
    for scanner in lithography.scanner:
        k1 = scanner.k1(min(grid.pitch, 2 * grid.gap))
        # a gap is a feature of two directions, its width a half pitch
        if scanner.k1(grid.pitch) >= lines and scanner.k1(2 * grid.gap) >= cuts:
            yield Way(
                scanner.name, "single", k1, scanner.least_pitch_nm(lines), 1, 0,
                scanner.mask_weight.value,
            )  # fmt: skip
        elif scanner.k1(2 * grid.pitch) >= lines:
            masks = line_cuts(scanner, grid, cuts)
            if masks <= MOST_MASKS:
                yield Way(
                    scanner.name, f"spacer, {method_of(masks)} cut", k1,
                    scanner.least_pitch_nm(cuts), masks, 1, scanner.mask_weight.value,
                )  # fmt: skip


def line_cuts(scanner: Scanner, grid: WireGrid, least_k1: float) -> int:
    """Masks for the cuts between wires of one direction, whatever the weights."""
    pitch = scanner.least_pitch_nm(least_k1) - _TOUCH
    return math.ceil(pitch / grid.cut_pitch) * math.ceil(pitch / grid.pitch)


def method_of(masks: int) -> str:
    """Words for a number of exposures."""
    return NUMBERS[masks] if masks < len(NUMBERS) else f"{masks}-fold"


def cheapest_first(ways: Iterable[Way]) -> tuple[Way, ...]:
    """Ways by cost; of equal ones the first, as a technology names older scanners first."""
    return tuple(sorted(ways, key=lambda way: way.cost))


def mask_names(layer: Metal | ViaLayer, way: Way) -> tuple[str, ...]:
    """Names of a way's programmable masks: the process's own where it has enough of them."""
    count = way.programmable
    if way.method.startswith("spacer"):
        stated = tuple(name for name in layer.masks if not name.endswith(" mandrel"))
        name = stated[0] if len(stated) == 1 else f"{layer.name} cut"
        return _lettered(name, count)
    if count <= len(layer.masks) and isinstance(layer, ViaLayer):
        return tuple(layer.masks[:count])
    return _lettered(layer.masks[0] if len(layer.masks) == 1 else layer.name, count)


def _lettered(name: str, count: int) -> tuple[str, ...]:
    return (name,) if count == 1 else tuple(f"{name} {chr(65 + n)}" for n in range(count))


def worst_of(found: Sequence[Sequence[Way]]) -> tuple[Way, ...]:
    """Ways that serve arrays of several kinds, from the ways of each: masks of a chip are one set.

    As many programmable masks as the neediest kind has, and in all as many as any kind: cuts that are
    fixed in one kind may stand on any mask of the others.
    """
    ways = []
    for scanner in dict.fromkeys(way.scanner for way in found[0]):
        same = [way for one in found for way in one if way.scanner == scanner]
        if len(same) < len(found):
            continue
        worst = max(same, key=lambda way: way.cost)
        programmable = max(way.programmable for way in same)
        total = max(way.programmable + way.shared for way in same)
        method = worst.method if worst.method.startswith("spacer") else method_of(total)
        ways.append(
            replace(
                worst, k1=min(way.k1 for way in same), programmable=programmable,
                shared=total - programmable, colourings=(), method=method,
            )
        )  # fmt: skip
    return cheapest_first(ways)


def _while_below(distance: Callable[[int], float], limit: float) -> list[int]:
    """Steps from 1 whose distance, which grows with the step, is below the limit; not many too many."""
    steps = range(1, MOST_STEPS + 2)
    return list(itertools.takewhile(lambda step: distance(step) < limit, steps))


def _least(distance: Callable[[int], float], bound: Callable[[int], float]) -> float:
    """The least distance of any step; `bound` grows with the step and is never above it."""
    least = math.inf
    for step in itertools.count(1):
        if bound(step) >= least:
            break
        least = min(least, distance(step))
    return least
