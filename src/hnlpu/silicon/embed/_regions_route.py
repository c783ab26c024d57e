"""Routing of the regions scheme: digits of a row -> a port and a track for every non-zero one.

For each row, in four passes over its inputs:

    count    inputs by value; a value gets ceil(count / g) chunks of ports, and where most helps
             some of the spare ones: a value with k inputs in c chunks fills about k / 4c tracks
    order    a value's chunks take its inputs in order; chunks stand in the order of the inputs in
             their middles, spare groups between them where that brings them closer (isotonic
             regression of the distance)
    place    a chunk's inputs go to its group's ports in order
    tracks   left edge: a sweep over x gives every wire the free track used last; the tracks of
             ties are free between two clusters of ties only
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit
from hnlpu.silicon.embed._digits import TileDigits
from hnlpu.silicon.embed._regions_frame import Frame
from hnlpu.silicon.embed._regions_values import (
    NO_VALUE,
    ground_ties,
    tie_count,
    words_of_codes,
)

NO_PORT = -1
SPARE_SHARES = np.array([0.5, 0.75, 0.25, 1.0, 0.0])
"""Share of the spare groups that split values, tried in turn until a row fits; the rest are put
between groups to bring these closer to their inputs.  One half is best for most rows."""

UInt8 = npt.NDArray[np.uint8]
Int16 = npt.NDArray[np.int16]
Int32 = npt.NDArray[np.int32]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Routes:
    """Port [rows, inputs] (group * g + k, or NO_PORT) and track; word and ports used by group.

    `needed` [rows] is the number of tracks that each row takes.
    """

    port: Int32
    track: Int16
    word: UInt8
    used: Int16
    needed: Int32


@dataclass(frozen=True)
class Sweep:
    """The x of trunks and ports of a row in one ascending order, the same for every row.

    `freed` is the first place where a track is free again whose wire ends here, `window` the
    number of PWR trunks to the left.
    """

    x: Int32
    of_trunk: Int32
    of_port: Int32
    freed: Int32
    window: Int32


def sweep_of(frame: Frame) -> Sweep:
    """Merge trunks and ports of a tile."""
    x = np.concatenate([frame.trunk_x, frame.port_x.reshape(-1)])
    order = np.argsort(x, kind="stable").astype(np.int32)
    place = np.empty_like(order)
    place[order] = np.arange(len(order), dtype=np.int32)
    x = x[order]
    return Sweep(
        x,
        place[: frame.inputs].copy(),
        place[frame.inputs :].copy(),
        np.searchsorted(x, x + frame.rules.clear).astype(np.int32),
        np.searchsorted(frame.power_x, x).astype(np.int32),
    )


def route(
    digits: TileDigits, frame: Frame, scale_range: int, limit: int, *, growing: bool = False
) -> Routes:
    """Ports and tracks of a tile; a row that does not fit `limit` tracks has its best attempt.

    With `growing`, the limit is raised to what each row needs at best, and the most tracks of any
    row is the fewest that the tile fits.
    """
    rows, inputs = digits.rows, digits.blocks * 32
    sweep, rules = sweep_of(frame), frame.rules
    routes = Routes(
        np.empty((rows, inputs), np.int32),
        np.empty((rows, inputs), np.int16),
        np.empty((rows, frame.groups), np.uint8),
        np.empty((rows, frame.groups), np.int16),
        np.empty(rows, np.int32),
    )
    _route(
        digits.codes, digits.shifts, words_of_codes(), ground_ties(scale_range), SPARE_SHARES,
        frame.group, tie_count(scale_range), rules.tie_step, limit, growing,
        frame.trunk_x, frame.port_x.reshape(-1), frame.power_x, frame.ground_x, frame.tie_x,
        frame.pair_width / 2, rules.clear,
        sweep.x, sweep.of_trunk, sweep.of_port, sweep.freed, sweep.window,
        routes.port, routes.track, routes.word, routes.used, routes.needed,
    )  # fmt: skip
    return routes


@njit(cache=True, nogil=True)
def _words(codes: UInt8, shifts: UInt8, of_code: Int16, words: Int16, counts: Int32) -> None:
    """Word of every input of a row and the number of inputs of every word."""
    counts[:] = 0
    for block in range(len(shifts)):
        shifted = np.int16(4 * shifts[block])
        at = 32 * block
        for j in range(16):
            byte = codes[block, j]
            for word in (of_code[byte & 15], of_code[byte >> 4]):
                if word != NO_VALUE:
                    word += shifted
                    counts[word] += 1
                words[at] = word
                at += 1


@njit(cache=True, nogil=True)
def _chunks(counts: Int32, group: int, groups: int, share: float, chunks: Int32) -> int:
    """Chunks of every word; returns their sum."""
    total = 0
    for word in range(len(counts)):
        chunks[word] = (counts[word] + group - 1) // group
        total += chunks[word]
    for _ in range(int((groups - total) * share)):
        best, most = -1, 0.0
        for word in range(len(counts)):
            here = chunks[word]
            if here < counts[word]:
                gain = counts[word] / (here * (here + 1.0))
                if gain > most:
                    best, most = word, gain
        if best < 0:
            break
        chunks[best] += 1
        total += 1
    return total


@njit(cache=True, nogil=True)
def _order(
    words: Int16, counts: Int32, chunks: Int32, trunk_x: Int32, first_chunk: Int32,
    word_state: Int32, chunk_of: Int32, rank: Int16, order: Int32, middle: Int32,
    size: Int16, chunk_word: UInt8,
) -> None:  # fmt: skip
    """Chunk and rank in it of every input; chunks in the order of their middle inputs."""
    at = 0
    for word in range(len(counts)):
        first_chunk[word] = at
        if counts[word]:
            at += chunks[word]
            word_state[word, 0] = 0  # inputs so far
            word_state[word, 1] = -1  # chunk of the word
            word_state[word, 2] = 0  # where that chunk ends
    ordered = 0
    for i in range(len(words)):
        word = words[i]
        if word == NO_VALUE:
            chunk_of[i] = -1
            continue
        seen = word_state[word, 0]
        if seen == word_state[word, 2]:
            chunk = word_state[word, 1] + 1
            end = (chunk + 1) * counts[word] // chunks[word]
            word_state[word, 1], word_state[word, 2] = chunk, end
            word_state[word, 3] = seen  # where it starts
            word_state[word, 4] = seen + (end - seen) // 2  # its middle
            size[first_chunk[word] + chunk] = end - seen
            chunk_word[first_chunk[word] + chunk] = word
        chunk = first_chunk[word] + word_state[word, 1]
        chunk_of[i] = chunk
        rank[i] = seen - word_state[word, 3]
        if seen == word_state[word, 4]:
            order[ordered], middle[ordered] = chunk, trunk_x[i]
            ordered += 1
        word_state[word, 0] = seen + 1


@njit(cache=True, nogil=True)
def _slots(
    chunks: int, groups: int, middle: Int32, x0: float, spacing: float, slots: Int32,
    mean: Float64, members: Int32,
) -> None:  # fmt: skip
    """Groups of ordered chunks: ascending, and as near to their middles as that allows.

    Isotonic regression by pooling adjacent violators of the spare groups to leave before each.
    """
    pools = 0
    for n in range(chunks):
        mean[pools], members[pools] = (middle[n] - x0) / spacing - n, 1
        pools += 1
        while pools > 1 and mean[pools - 2] > mean[pools - 1]:
            both = members[pools - 2] + members[pools - 1]
            mean[pools - 2] += (mean[pools - 1] - mean[pools - 2]) * members[pools - 1] / both
            members[pools - 2] = both
            pools -= 1
    n = 0
    for pool in range(pools):
        before = min(max(int(np.rint(mean[pool])), 0), groups - chunks)
        for _ in range(members[pool]):
            slots[n] = n + before
            n += 1


@njit(cache=True, nogil=True)
def _free_spans(
    word: UInt8, used: Int16, of_ground: Int16, group: int,
    port_x: Int32, ground_x: Int32, tie_x: Int32, clear: int, opens: Int32, closes: Int32,
) -> None:  # fmt: skip
    """From where to where the track of each tie is free: opens, closes [pairs + 1, ties].

    A tie's wire reaches to PWR or to its ground trunk, and the one at ground that the group's
    unused ports hang on to the furthest of these.
    """
    pairs, ties = len(opens) - 1, opens.shape[1]
    opens[0, :], closes[pairs, :] = -(2**30), 2**30
    for pair in range(pairs):
        left, right = 2 * pair, 2 * pair + 1
        for tie in range(ties):
            low = tie_x[left] if word[left] >> tie & 1 else ground_x[left]
            high = tie_x[right] if word[right] >> tie & 1 else ground_x[right]
            closes[pair, tie], opens[pair + 1, tie] = low - clear, high + clear
        if used[left] < group:
            closes[pair, of_ground[word[left]]] = port_x[left * group + used[left]] - clear
        if used[right] < group:
            last = port_x[right * group + group - used[right] - 1]
            opens[pair + 1, of_ground[word[right]]] = last + clear


@njit(cache=True, nogil=True)
def _on_ties(
    partner: Int32, x: Int32, window: Int32, opens: Int32, closes: Int32, clear: int,
    tie_step: int, ends: Int32, found: Int16, lefts: Int32, rights: Int32,
) -> int:  # fmt: skip
    """Put wires between two clusters of ties on these tracks, where they are free.

    Fills `lefts` and `rights` with the ends of all others in order and returns their number.
    """
    places, ties = len(x), opens.shape[1]
    ends[:] = -(2**30)
    wires = 0
    for place in range(places):  # without a branch: which end a place is cannot be predicted
        lefts[wires] = place
        wires += partner[place] > place
    others = 0
    for n in range(wires):
        left = lefts[n]
        right = partner[left]
        chosen = -1
        here = window[left]
        if here == window[right]:
            for tie in range(ties):
                start = max(opens[here, tie], ends[tie])
                if x[left] >= start and x[right] <= closes[here, tie]:
                    chosen = tie * tie_step
                    ends[tie] = x[right] + clear
                    break
        found[left] = found[right] = chosen
        lefts[others] = left
        others += chosen < 0
    at = 0
    for place in range(places):
        rights[at] = place
        at += (partner[place] < place) & (partner[place] >= 0) & (found[place] < 0)
    return others


@njit(cache=True, nogil=True)
def _tracks(
    partner: Int32, wires: int, lefts: Int32, rights: Int32, freed: Int32, ties: int,
    tie_step: int, found: Int16,
) -> int:  # fmt: skip
    """Left edge for all other wires; returns how many tracks the row takes.

    Every wire takes the track that was freed first.  Where that is not free yet none is.
    """
    last_tie = tie_step * (ties - 1)
    opened, oldest = 0, 0
    for n in range(wires):
        left = lefts[n]
        if freed[rights[oldest]] <= left:
            chosen = found[rights[oldest]]
            oldest += 1
        else:  # the next track that is no tie's
            while opened <= last_tie and opened % tie_step == 0:
                opened += 1
            chosen = opened
            opened += 1
        found[left] = found[partner[left]] = chosen
    return max(opened, last_tie + 1)


@njit(cache=True, nogil=True)
def _route(
    codes: UInt8, shifts: UInt8, of_code: Int16, of_ground: Int16, shares: Float64,
    group: int, ties: int, tie_step: int, limit: int, growing: bool,
    trunk_x: Int32, port_x: Int32, power_x: Int32, ground_x: Int32, tie_x: Int32,
    spacing: float, clear: int,
    x: Int32, of_trunk: Int32, of_port: Int32, freed: Int32, window: Int32,
    port: Int32, track: Int16, word: UInt8, used: Int16, needed: Int32,
) -> None:  # fmt: skip
    rows, inputs = port.shape
    groups, words_in_all = word.shape[1], 1 << ties
    words, counts = np.empty(inputs, np.int16), np.empty(words_in_all, np.int32)
    chunks, first_chunk = np.empty_like(counts), np.empty_like(counts)
    word_state = np.empty((words_in_all, 5), np.int32)
    chunk_of, rank = np.empty(inputs, np.int32), np.empty(inputs, np.int16)
    order, middle, slots = (
        np.empty(groups, np.int32),
        np.empty(groups, np.int32),
        np.empty(groups, np.int32),
    )
    size, chunk_word = np.empty(groups, np.int16), np.empty(groups, np.uint8)
    start = np.empty(groups, np.int32)
    mean, members = np.empty(groups, np.float64), np.empty(groups, np.int32)
    opens = np.empty((len(power_x) + 1, ties), np.int32)
    closes = np.empty_like(opens)
    places = len(x)
    partner, found = np.empty(places, np.int32), np.empty(places, np.int16)
    lefts, rights = np.empty(places + 1, np.int32), np.empty(places + 1, np.int32)
    ends = np.empty(ties, np.int32)
    x0 = power_x[0] - spacing / 2
    for row in range(rows):
        _words(codes[row], shifts[row], of_code, words, counts)
        best, fewest, tries = 0, 2**30, len(shares)
        for attempt in range(tries + 1):
            # when no share fits, the best one is routed again
            share = shares[attempt] if attempt < tries else shares[best]
            total = _chunks(counts, group, groups, share, chunks)
            _order(words, counts, chunks, trunk_x, first_chunk, word_state, chunk_of, rank, order,
                   middle, size, chunk_word)  # fmt: skip
            _slots(total, groups, middle, x0, spacing, slots, mean, members)
            word[row, :] = 0
            used[row, :] = 0
            for n in range(total):
                chunk, slot = order[n], slots[n]
                word[row, slot], used[row, slot] = chunk_word[chunk], size[chunk]
                # the second group of a pair fills its ports from the far side of the ties, too
                start[chunk] = slot * group + (group - size[chunk] if slot & 1 else 0)
            partner[:] = -1
            for i in range(inputs):
                chunk = chunk_of[i]
                if chunk < 0:
                    port[row, i] = NO_PORT
                else:
                    to = start[chunk] + rank[i]
                    port[row, i] = to
                    partner[of_trunk[i]], partner[of_port[to]] = of_port[to], of_trunk[i]
            _free_spans(word[row], used[row], of_ground, group, port_x, ground_x, tie_x, clear,
                        opens, closes)  # fmt: skip
            wires = _on_ties(partner, x, window, opens, closes, clear, tie_step, ends, found, lefts,
                             rights)  # fmt: skip
            needed[row] = _tracks(partner, wires, lefts, rights, freed, ties, tie_step, found)
            for i in range(inputs):
                track[row, i] = found[of_trunk[i]] if port[row, i] != NO_PORT else NO_PORT
            if needed[row] <= limit or attempt == tries:
                break
            if needed[row] < fewest:
                best, fewest = attempt, needed[row]
        if growing:
            limit = max(limit, needed[row])


def wires_um(routes: Routes, frame: Frame) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Input and sideways distance in um from trunk to port of every wire."""
    row, column = np.nonzero(routes.port != NO_PORT)
    to = frame.port_x.reshape(-1)[routes.port[row, column]]
    return column, np.abs(to - frame.trunk_x[column]) * 1e-3
