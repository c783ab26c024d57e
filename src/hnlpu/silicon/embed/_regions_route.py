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

from typing import Any, NamedTuple

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


class Routes(NamedTuple):
    """Port [rows, inputs] (group * g + k, or NO_PORT) and track; word and ports used by group.

    `needed` [rows] is the number of tracks that each row takes.
    """

    port: Int32
    track: Int16
    word: UInt8
    used: Int16
    needed: Int32


class RowSweep(NamedTuple):
    """The x of trunks and ports of a row in one ascending order, the same for every row.

    `freed` is the first place where a track is free again whose wire ends here, `window` the
    number of PWR trunks to the left.
    """

    x: Int32
    of_trunk: Int32
    of_port: Int32
    freed: Int32
    window: Int32


class _Words(NamedTuple):
    """What codes and groups mean: word of a code, ground tie of a word, shares of spare groups."""

    of_code: Int16
    of_ground: Int16
    shares: Float64
    group: int
    ties: int
    tie_step: int


class _Places(NamedTuple):
    """The x of a frame's trunks, ports and ties, the distance of two groups, and the clearance."""

    trunk_x: Int32
    port_x: Int32
    power_x: Int32
    ground_x: Int32
    tie_x: Int32
    spacing: float
    clear: int


class _Scratch(NamedTuple):
    """Arrays of one row, used again for the next.

    By input: its word, chunk, and rank in the chunk.  By word: inputs, chunks, its first chunk, and
    what `_order` has seen.  By chunk in order: chunk, middle, group.  By chunk: inputs, word, first
    port.  Pools of the regression.  By pair of groups and tie: where a tie's track is free.  By
    place of the sweep: the other end of its wire, the track; left and right ends of wires.
    """

    words: Int16
    chunk_of: Int32
    rank: Int16
    counts: Int32
    chunks: Int32
    first_chunk: Int32
    word_state: Int32
    order: Int32
    middle: Int32
    slots: Int32
    size: Int16
    chunk_word: UInt8
    start: Int32
    mean: Float64
    members: Int32
    opens: Int32
    closes: Int32
    partner: Int32
    found: Int16
    lefts: Int32
    rights: Int32
    ends: Int32


def _scratch(inputs: int, groups: int, ties: int, pairs: int, places: int) -> _Scratch:
    def ints(*shape: int) -> Int32:
        return np.empty(shape, np.int32)

    return _Scratch(
        np.empty(inputs, np.int16), ints(inputs), np.empty(inputs, np.int16),
        ints(1 << ties), ints(1 << ties), ints(1 << ties), ints(1 << ties, 5),
        ints(groups), ints(groups), ints(groups),
        np.empty(groups, np.int16), np.empty(groups, np.uint8), ints(groups),
        np.empty(groups), ints(groups), ints(pairs + 1, ties), ints(pairs + 1, ties),
        ints(places), np.empty(places, np.int16), ints(places + 1), ints(places + 1), ints(ties),
    )  # fmt: skip


def sweep_of(frame: Frame) -> RowSweep:
    """Merge trunks and ports of a tile."""
    x = np.concatenate([frame.trunk_x, frame.port_x.reshape(-1)])
    order = np.argsort(x, kind="stable").astype(np.int32)
    place = np.empty_like(order)
    place[order] = np.arange(len(order), dtype=np.int32)
    x = x[order]
    return RowSweep(
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
    words = _Words(
        words_of_codes(), ground_ties(scale_range), SPARE_SHARES, frame.group,
        tie_count(scale_range), rules.tie_step,
    )  # fmt: skip
    places = _Places(
        frame.trunk_x, frame.port_x.reshape(-1), frame.power_x, frame.ground_x, frame.tie_x,
        frame.pair_width / 2, rules.clear,
    )  # fmt: skip
    scratch = _scratch(inputs, frame.groups, words.ties, len(frame.power_x), len(sweep.x))
    _route(digits.codes, digits.shifts, words, places, sweep, limit, growing, scratch, routes)
    return routes


_compiled = njit(cache=True, nogil=True, _nrt=False)
# without Numba's counting of references: nothing here makes an array, and the caller keeps those
# that it hands in


@_compiled
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


@_compiled
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


@_compiled
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


@_compiled
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


@_compiled
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


@_compiled
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


@_compiled
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


@_compiled
def _route(
    codes: UInt8, shifts: UInt8, words: _Words, places: _Places, sweep: RowSweep, limit: int,
    growing: bool, scratch: _Scratch, routes: Routes,
) -> None:  # fmt: skip
    """Route every row: the first share that fits, or else the best one again."""
    tries = len(words.shares)
    for row in range(len(codes)):
        _words(codes[row], shifts[row], words.of_code, scratch.words, scratch.counts)
        best, fewest = 0, 2**30
        for attempt in range(tries + 1):
            share = words.shares[attempt] if attempt < tries else words.shares[best]
            _to_groups(row, share, words, places, scratch, routes)
            _to_ports(row, sweep, scratch, routes)
            needed = _to_tracks(row, words, places, sweep, scratch, routes)
            if needed <= limit or attempt == tries:
                break
            if needed < fewest:
                best, fewest = attempt, needed
        if growing:
            limit = max(limit, routes.needed[row])


@_compiled
def _to_groups(
    row: int, share: float, words: _Words, places: _Places, s: _Scratch, routes: Routes
) -> None:
    """Count, order and place the chunks of a row: word and used ports of every group."""
    groups, group = routes.word.shape[1], words.group
    total = _chunks(s.counts, group, groups, share, s.chunks)
    _order(s.words, s.counts, s.chunks, places.trunk_x, s.first_chunk, s.word_state, s.chunk_of,
           s.rank, s.order, s.middle, s.size, s.chunk_word)  # fmt: skip
    x0 = places.power_x[0] - places.spacing / 2
    _slots(total, groups, s.middle, x0, places.spacing, s.slots, s.mean, s.members)
    order, slots, size, chunk_word, start = s.order, s.slots, s.size, s.chunk_word, s.start
    word, used = routes.word[row], routes.used[row]
    word[:] = 0
    used[:] = 0
    for n in range(total):
        chunk, slot = order[n], slots[n]
        word[slot], used[slot] = chunk_word[chunk], size[chunk]
        # the second group of a pair fills its ports from the far side of the ties, too
        start[chunk] = slot * group + (group - size[chunk] if slot & 1 else 0)


@_compiled
def _to_ports(row: int, sweep: RowSweep, s: _Scratch, routes: Routes) -> None:
    """Join every input of a row to a port of its chunk's group."""
    port, chunk_of, start, rank, partner = routes.port[row], s.chunk_of, s.start, s.rank, s.partner
    of_trunk, of_port = sweep.of_trunk, sweep.of_port
    partner[:] = -1
    for i in range(len(port)):
        chunk = chunk_of[i]
        if chunk < 0:
            port[i] = NO_PORT
        else:
            to = start[chunk] + rank[i]
            port[i] = to
            partner[of_trunk[i]], partner[of_port[to]] = of_port[to], of_trunk[i]


@_compiled
def _to_tracks(
    row: int, words: _Words, places: _Places, sweep: RowSweep, s: _Scratch, routes: Routes
) -> int:
    """Give every wire of a row a track; returns how many the row takes."""
    clear, tie_step = places.clear, words.tie_step
    _free_spans(routes.word[row], routes.used[row], words.of_ground, words.group, places.port_x,
                places.ground_x, places.tie_x, clear, s.opens, s.closes)  # fmt: skip
    wires = _on_ties(s.partner, sweep.x, sweep.window, s.opens, s.closes, clear, tie_step, s.ends,
                     s.found, s.lefts, s.rights)  # fmt: skip
    needed = _tracks(
        s.partner, wires, s.lefts, s.rights, sweep.freed, words.ties, tie_step, s.found
    )
    routes.needed[row] = needed
    port, track, found, of_trunk = routes.port[row], routes.track[row], s.found, sweep.of_trunk
    for i in range(len(port)):
        track[i] = found[of_trunk[i]] if port[i] != NO_PORT else NO_PORT
    return needed


def wires_um(routes: Routes, frame: Frame) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Input and sideways distance in um from trunk to port of every wire."""
    row, column = np.nonzero(routes.port != NO_PORT)
    to = frame.port_x.reshape(-1)[routes.port[row, column]]
    return column, np.abs(to - frame.trunk_x[column]) * 1e-3
