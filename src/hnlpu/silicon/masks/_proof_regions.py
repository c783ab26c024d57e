"""Regions: why any routing is legal, in numbers, and a tile that has all that may stand side by side.

Programmable shapes are wires of one width on tracks and cuts on crossings of tracks with uprights.

across tracks    shapes of two tracks, of one row or of two, are further apart than every space:
                 what stands above or below a shape does not matter
along a track    wires keep `clear` from last to first via, which leaves space between their ends
                 and their cuts; within a wire cuts are an upright's pitch apart
at a crossing    wire and upright reach beyond the cut by what the enclosures ask for

`require_reach` computes each of these from the rules and the places of a tile's uprights.  The
tile is for KLayout to say so too: every pair of codes side by side, above each other and on both
diagonals, rows of nothing, of one value and of two, at every shift, and rows whose last track meets
the first of the next with vias on one port and on one trunk.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import BLOCK, TWICE_E2M1, pack
from hnlpu.errors import DoesNotFit
from hnlpu.silicon.embed import Regions, Routes, TileDigits, TileShape, canonical, route
from hnlpu.silicon.masks._pairs import CODES, all_pairs
from hnlpu.silicon.technology import ViaLayer

UInt8 = npt.NDArray[np.uint8]
ROWS = 48  # of any codes


def require_reach(regions: Regions, shape: TileShape) -> None:
    """Raise DoesNotFit unless the rules hold for any wires in tiles of this shape."""
    t, r, frame = regions.technology, regions.rules, regions.frame(shape)
    cuts = t.port_cut, t.lower_cut, t.upper_cut
    needed: list[tuple[str, float, float]] = [
        ("tracks of a row, wires", r.track_pitch - r.stub_width, t.stub.end_space_nm),
        ("tracks of two rows, wires", _between_rows(regions, shape) - r.stub_width, t.stub.end_space_nm),
        ("ends of wires on a track", r.clear - 2 * r.stub_end, t.stub.end_space_nm),
        ("length of a wire", 2 * r.stub_end, t.stub.length.value),
        ("width of a wire", r.stub_width, t.stub.width.value),
    ]  # fmt: skip
    uprights = _apart(frame.port_x, frame.tie_x, frame.power_x, frame.ground_x)
    needed += [
        ("uprights below wires", uprights - r.lower_width, t.lower.space.value),
        ("uprights above wires", _apart(frame.trunk_x) - r.upper_width, t.upper.space.value),
        ("ports of two rows", 2 * r.half_space, t.lower.end_space_nm),
        ("ties of a group", r.tie_step * r.track_pitch - r.pad_length, t.lower.end_space_nm),
    ]
    for cut in cuts:
        size, space = cut.size.value, cut.space.value
        needed.append((f"{cut.name} on two uprights", _pitch_of(regions, shape, cut) - size, space))
        if cut is not t.port_cut:
            needed += [
                (f"{cut.name} on two tracks", r.track_pitch - size, space),
                (f"{cut.name} in two rows", _between_rows(regions, shape) - size, space),
                (f"{cut.name} in two wires", r.clear - size, space),
            ]
    needed += _enclosures(regions)
    for what, there, least in needed:
        if there < least:
            raise DoesNotFit(
                f"technology {t.name}: {what} leave {there:g} nm and need {least:g} nm"
            )


def _between_rows(regions: Regions, shape: TileShape) -> int:
    """From the last track of a row to the first of the next."""
    tracks = max(regions.kind.tracks, regions.least_tracks)
    return regions.row_pitch_nm(shape) - (tracks - 1) * regions.rules.track_pitch


def _apart(*x: npt.NDArray[np.int32]) -> int:
    """The least distance of neighbouring centres."""
    return int(
        np.diff(np.sort(np.concatenate([part.reshape(-1) for part in x]))).min(initial=2**30)
    )


def _pitch_of(regions: Regions, shape: TileShape, cut: ViaLayer) -> int:
    """The least distance of two crossings where cuts of one wire may stand."""
    frame = regions.frame(shape)
    if cut is regions.technology.upper_cut:
        return _apart(frame.trunk_x)
    return _apart(frame.port_x, frame.tie_x, frame.power_x, frame.ground_x)


def _enclosures(regions: Regions) -> list[tuple[str, float, float]]:
    """Metal beside and beyond cuts."""
    t, r = regions.technology, regions.rules
    found = []
    for cut, metal, width, end, above in (
        (t.port_cut, t.lower, r.lower_width, r.pad_length / 2, True),
        (t.lower_cut, t.lower, r.lower_width, min(r.pad_length / 2, r.margin - r.half_space), False),
        (t.lower_cut, t.stub, r.stub_width, r.stub_end, True),
        (t.upper_cut, t.stub, r.stub_width, r.stub_end, False),
        (t.upper_cut, t.upper, r.upper_width, r.margin, True),
    ):  # fmt: skip
        sides = cut.enclosure_above if above else cut.enclosure_below
        ends = cut.end_enclosure_above if above else cut.end_enclosure_below
        half = cut.size.value / 2
        found += [
            (f"sides of {metal.name} at {cut.name}", width / 2 - half, sides.value),
            (f"ends of {metal.name} at {cut.name}", end - half, max(sides.value, ends.value)),
        ]
    return found


def regions_proof(regions: Regions) -> tuple[Regions, TileDigits]:
    """The proof tile, and the scheme with just the tracks that it needs, so that rows are full."""
    special = _special_rows(regions.kind.scale_range)
    for seed in itertools.count():
        codes = np.random.default_rng(seed).choice(CODES, (ROWS, special[0].shape[1]))
        if not all_pairs(codes):
            continue
        shifts = np.arange(ROWS) % (regions.kind.scale_range + 1)
        digits = _digits(np.concatenate([special[0], codes]), np.append(special[1], shifts))
        routes = route(
            digits, regions.frame(_shape(digits)), regions.kind.scale_range, 0, growing=True
        )
        stacked = _stacked(routes)
        if stacked:
            rows = [*range(digits.rows), *stacked]
            tracks = int(routes.needed.max())
            full = Regions(regions.technology, dataclasses.replace(regions.kind, tracks=tracks))
            return full, TileDigits(digits.codes[rows], digits.shifts[rows])
    raise AssertionError  # itertools.count does not end


def _special_rows(scale_range: int) -> tuple[UInt8, npt.NDArray[np.int64]]:
    """Codes [rows, inputs] and shifts [rows]: nothing, each value alone, two values in turn.

    The more values there are, the more inputs, as wires beside few groups would have no neighbours.
    """
    inputs = (2 + scale_range // 4) * BLOCK
    row_of_value = {
        int(TWICE_E2M1[code]) << shift: (code, shift)
        for shift in range(scale_range, -1, -1)
        for code in CODES.tolist()
    }
    rows = [(np.full(inputs, code), shift) for code, shift in row_of_value.values()]
    for shift in {0, scale_range}:
        rows += [(np.resize(CODES[1:][[n, -1 - n]], inputs), shift) for n in range(7)]
    return np.stack([codes for codes, _ in rows]).astype(np.uint8), np.array([s for _, s in rows])


def _digits(codes: UInt8, shifts: npt.NDArray[np.int64]) -> TileDigits:
    """Digits of rows with one shift each."""
    both = np.repeat(shifts[:, None], codes.shape[1] // BLOCK, axis=1).astype(np.uint8)
    return canonical(pack(codes), both, np.zeros(len(codes), np.uint8))


def _stacked(routes: Routes) -> list[int]:
    """Rows in pairs whose border two vias meet at: on one port, and on one trunk; else nothing.

    Within a row a port and a trunk have one via, so only here can two stand above each other.
    """
    last = int(routes.needed.max()) - 1
    found: list[int] = []
    inputs = np.broadcast_to(np.arange(routes.port.shape[1]), routes.port.shape)
    for upright in (routes.port, inputs):
        below = [
            set(upright[row, routes.track[row] == last].tolist()) for row in range(len(upright))
        ]
        above = [set(upright[row, routes.track[row] == 0].tolist()) for row in range(len(upright))]
        pairs = ((a, b) for a in np.flatnonzero(routes.needed > last).tolist()
                 for b in range(len(upright)) if below[a] & above[b])  # fmt: skip
        found += next(pairs, ())
    return found if len(found) == 4 else []


def _shape(digits: TileDigits) -> TileShape:
    return TileShape(digits.rows, digits.blocks)
