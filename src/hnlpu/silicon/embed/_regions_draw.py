"""Routes of a regions tile -> its programmable rectangles, ordered by y and then by x.

Files are smaller that way, and the reader need not sort.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.silicon.embed._regions_frame import Frame
from hnlpu.silicon.embed._regions_route import NO_PORT, Int16, Int32, Routes
from hnlpu.silicon.embed._regions_values import ground_ties, tie_count

Rectangles = npt.NDArray[np.int32]


class _Words(NamedTuple):
    """The ground tie of every word; ties, the tracks from one to the next, and ports of a group."""

    of_ground: Int16
    ties: int
    tie_step: int
    group: int


class _Places(NamedTuple):
    """The x of a frame's trunks, ports, supplies and ties."""

    trunk_x: Int32
    port_x: Int32
    power_x: Int32
    ground_x: Int32
    tie_x: Int32


class _Sizes(NamedTuple):
    """Pitches of rows and tracks and the first track, half a wire and its end, sizes of the two cuts, in nm."""

    pitch: int
    margin: int
    track_pitch: int
    half: int
    end: int
    low_size: int
    up_size: int


def draw_routes(
    routes: Routes, frame: Frame, scale_range: int, pitch: int, cut_sizes: tuple[int, int]
) -> tuple[Rectangles, Rectangles, Rectangles]:
    """Lower cuts, stub wires and upper cuts; `pitch` from row to row, sizes of the two cuts."""
    ties = tie_count(scale_range)
    wires = int((routes.port != NO_PORT).sum())
    both = routes.word[:, 0::2] & routes.word[:, 1::2]
    joined = int(np.bitwise_count(both).sum())  # one wire from tie to tie over PWR
    all_ties = routes.word.size * ties
    unused = int(frame.group * routes.word.size - routes.used.sum(dtype=np.int64))
    lower = np.empty((wires + 2 * all_ties - joined + unused, 4), np.int32)
    stub = np.empty((wires + all_ties - joined, 4), np.int32)
    upper = np.empty((wires, 4), np.int32)
    rules = frame.rules
    places = _Places(
        frame.trunk_x, frame.port_x.reshape(-1), frame.power_x, frame.ground_x, frame.tie_x
    )
    sizes = _Sizes(
        pitch, rules.margin, rules.track_pitch, rules.stub_width // 2, rules.stub_end, *cut_sizes
    )
    words = _Words(ground_ties(scale_range), ties, rules.tie_step, frame.group)
    _draw(routes, words, places, sizes, lower, stub, upper)
    return lower, stub, upper


@njit(cache=True, nogil=True)
def _by_track(
    port: Int32, track: Int16, trunk_x: Int32, port_x: Int32, first: Int32, order: Int32,
    left: Int32, filled: Int32,
) -> None:  # fmt: skip
    """Inputs with a wire by track and, within one, by x: order[first[t]:first[t + 1]]."""
    first[:] = 0
    for i in range(len(port)):
        if port[i] != NO_PORT:
            first[track[i] + 1] += 1
            left[i] = min(trunk_x[i], port_x[port[i]])
    for t in range(1, len(first)):
        first[t] += first[t - 1]
    filled[: len(first)] = first
    for i in range(len(port)):
        if port[i] != NO_PORT:
            start, at = first[track[i]], filled[track[i]]
            filled[track[i]] = at + 1
            # trunks and ports rise together, so that an input rarely goes before others
            while at > start and left[order[at - 1]] > left[i]:
                order[at] = order[at - 1]
                at -= 1
            order[at] = i


@njit(cache=True, nogil=True)
def _draw(
    routes: Routes, words: _Words, places: _Places, sizes: _Sizes,
    lower: Rectangles, stub: Rectangles, upper: Rectangles,
) -> None:  # fmt: skip
    """Walk the tracks from left to right: centres of vias and ends of wires, then their sides.

    One loop with everything written out: a call that takes an array costs more than a shape.
    """
    port, track, word, used = routes[:4]
    of_ground, ties, tie_step, group = words
    trunk_x, port_x, power_x, ground_x, tie_x = places
    pitch, margin, track_pitch, half, end, low_size, up_size = sizes
    rows, inputs = port.shape
    pairs = len(power_x)
    low, wire, up = 0, 0, 0
    order, left = np.empty(inputs, np.int32), np.empty(inputs, np.int32)
    filled = np.empty(track.max() + ties * tie_step + 3, np.int32)
    for row in range(rows):
        tracks = max(track[row].max() + 1, tie_step * (ties - 1) + 1)
        first = np.empty(tracks + 1, np.int32)
        _by_track(port[row], track[row], trunk_x, port_x, first, order, left, filled)
        for t in range(tracks):
            low_from, wire_from, up_from = low, wire, up
            tie = t // tie_step if t % tie_step == 0 else ties
            pair = 0 if tie < ties else pairs
            n = first[t]
            while n < first[t + 1] or pair < pairs:
                if pair == pairs or (n < first[t + 1] and left[order[n]] < power_x[pair]):
                    i = order[n]
                    a, b = trunk_x[i], port_x[port[row, i]]
                    upper[up, 0], lower[low, 0] = a, b
                    stub[wire, 0], stub[wire, 2] = min(a, b), max(a, b)
                    low, wire, up, n = low + 1, wire + 1, up + 1, n + 1
                    continue
                g, h = 2 * pair, 2 * pair + 1
                power = power_x[pair]
                pair += 1
                # the group to the left of PWR
                if word[row, g] >> tie & 1:
                    lower[low, 0], lower[low + 1, 0] = tie_x[g], power
                    stub[wire, 0], stub[wire, 2] = tie_x[g], power
                    low += 2
                    if word[row, h] >> tie & 1:  # one wire from tie to tie
                        lower[low, 0], stub[wire, 2] = tie_x[h], tie_x[h]
                        low, wire = low + 1, wire + 1
                        continue
                else:
                    stub[wire, 0], stub[wire, 2] = ground_x[g], tie_x[g]
                    if of_ground[word[row, g]] == tie:
                        for p in range(g * group + used[row, g], h * group):
                            lower[low, 0] = port_x[p]
                            stub[wire, 0] = min(stub[wire, 0], port_x[p])
                            low += 1
                    lower[low, 0], lower[low + 1, 0] = ground_x[g], tie_x[g]
                    low += 2
                wire += 1
                # the group to the right of it
                if word[row, h] >> tie & 1:
                    lower[low, 0], lower[low + 1, 0] = power, tie_x[h]
                    stub[wire, 0], stub[wire, 2] = power, tie_x[h]
                    low += 2
                else:
                    lower[low, 0], lower[low + 1, 0] = tie_x[h], ground_x[h]
                    stub[wire, 0], stub[wire, 2] = tie_x[h], ground_x[h]
                    low += 2
                    if of_ground[word[row, h]] == tie:
                        for p in range(h * group, (h + 1) * group - used[row, h]):
                            lower[low, 0], stub[wire, 2] = port_x[p], port_x[p]
                            low += 1
                wire += 1
            y = row * pitch + margin + t * track_pitch
            _wires(stub[wire_from:wire], y, half, end)
            _squares(lower[low_from:low], y, low_size)
            _squares(upper[up_from:up], y, up_size)


@njit(cache=True, nogil=True)
def _wires(shapes: Rectangles, y: int, half: int, end: int) -> None:
    """Make wires of their first and last centres on a track."""
    for n in range(len(shapes)):
        shapes[n, 0] -= end
        shapes[n, 2] += end
        shapes[n, 1], shapes[n, 3] = y - half, y + half


@njit(cache=True, nogil=True)
def _squares(shapes: Rectangles, y: int, size: int) -> None:
    """Make cuts of their centres on a track."""
    for n in range(len(shapes)):
        shapes[n, 0] -= size // 2
        shapes[n, 2] = shapes[n, 0] + size
        shapes[n, 1], shapes[n, 3] = y - size // 2, y - size // 2 + size
