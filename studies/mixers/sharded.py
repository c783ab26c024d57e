"""Attention over processes: each holds some of the positions, and what they say is merged by place."""

from __future__ import annotations

import pickle
import selectors
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from hnlpu.arithmetic import fixed_point, sharded

Array = np.ndarray[Any, Any]
ROOT = Path(__file__).parents[2]


class Shards(AbstractContextManager["Shards"]):
    """Processes in the order of the positions that they hold."""

    def __init__(self, count: int):
        command = [sys.executable, "-m", "studies.mixers.worker"]
        self._workers = [
            subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for _ in range(count)
        ]

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            assert worker.stdin
            worker.stdin.close()
            worker.wait()

    def ask(self, messages: Sequence[tuple[Any, ...]]) -> tuple[list[Any], list[int]]:
        """Answers of the first processes in the order of places, and the order in which they came."""
        with selectors.DefaultSelector() as ready:
            for place, (worker, message) in enumerate(zip(self._workers, messages, strict=False)):
                assert worker.stdin
                assert worker.stdout
                pickle.dump(message, worker.stdin)
                worker.stdin.flush()
                ready.register(worker.stdout, selectors.EVENT_READ, (place, worker.stdout))
            answers: dict[int, Any] = {}
            while len(answers) < len(messages):
                for key, _ in ready.select():
                    place, stream = key.data
                    answers[place] = pickle.load(stream)
                    ready.unregister(stream)
        return [answers[place] for place in range(len(messages))], list(answers)

    def attend(
        self, q: Array, keys: Array, values: Array, sizes: Sequence[int], waits: Sequence[float]
    ) -> tuple[Array, list[int]]:
        """Attention in float64 of q [heads, d]; shard n holds the next sizes[n] positions."""
        self.ask(
            [("keep", k, v) for k, v in zip(_cut(keys, sizes), _cut(values, sizes), strict=True)]
        )
        parts, order = self.ask([("part", q, q.shape[1] ** -0.5, wait) for wait in waits])
        return sharded.attended(sharded.merge(parts)), order

    def attend_exact(
        self, q: Array, keys: Array, values: Array, sinks: Array, sizes: Sequence[int],
        waits: Sequence[float],
    ) -> tuple[Array, list[int]]:  # fmt: skip
        """Attention in fixed point; keys and values [kv heads, positions, d]."""
        pieces = zip(_cut(keys, sizes, 1), _cut(values, sizes, 1), strict=True)
        self.ask([("keep", k, v) for k, v in pieces])
        scores, _ = self.ask([("largest", q) for _ in sizes])
        largest = np.max([sinks, *scores], axis=0)
        parts, order = self.ask([("exact", q, largest, wait) for wait in waits])
        return fixed_point.merge_parts(parts, largest, sinks), order


def _cut(x: Array, sizes: Sequence[int], axis: int = 0) -> list[Array]:
    return [np.ascontiguousarray(piece) for piece in np.split(x, np.cumsum(sizes)[:-1], axis)]


def splits(random: np.random.Generator, positions: int, shards: int) -> list[list[int]]:
    """Positions per shard: as even as can be, uneven by chance, and all but one with a single one."""
    even = [positions * (n + 1) // shards - positions * n // shards for n in range(shards)]
    places = np.sort(random.integers(0, positions + 1, shards - 1))
    uneven = np.diff([0, *places, positions]).tolist()
    return [even, uneven, [1] * (shards - 1) + [positions - shards + 1]]


def compare(
    seeds: Sequence[int], counts: Sequence[int], positions: int, heads: int, d: int
) -> dict[str, float]:
    """Differences between the whole and shards of so many processes each, and how many cases."""
    found = dict.fromkeys(("difference", "exact_bits", "order_bits", "cases", "orders"), 0.0)
    with Shards(max(counts)) as shards:
        for seed in seeds:
            random = np.random.default_rng([51, seed])
            real, fixed = _Real(random, positions, heads, d), _Fixed(random, positions, heads, d)
            for count in counts:
                for sizes in splits(random, positions, count):
                    found["difference"] = max(found["difference"], real.off(shards, sizes, found))
                    found["exact_bits"] += fixed.off(shards, sizes, found)
                    found["cases"] += 1
    return found


class _Real:
    """A query, keys and values in float64, and attention of the whole."""

    def __init__(self, random: np.random.Generator, positions: int, heads: int, d: int):
        self.q = random.normal(size=(heads, d))
        self.keys, self.values = (random.normal(size=(positions, 2, d)) for _ in range(2))
        part = sharded.attend_part(self.q, self.keys, self.values, d**-0.5)
        self.whole = sharded.attended(part)

    def off(self, shards: Shards, sizes: list[int], found: dict[str, float]) -> float:
        """The largest difference over the largest output."""
        waits = _waits(sizes)
        runs = [shards.attend(self.q, self.keys, self.values, sizes, w) for w in waits]
        _compare_orders(runs, found)
        most = max(np.abs(y - self.whole).max() for y, _ in runs)
        return float(most / np.abs(self.whole).max())


class _Fixed:
    """The same in fixed point, with sinks."""

    def __init__(self, random: np.random.Generator, positions: int, heads: int, d: int):
        def drawn(*shape: int) -> Array:
            return random.integers(-(2**16), 2**16, shape)

        self.q, self.sinks = drawn(heads, d).astype(np.int32), drawn(heads)
        self.keys, self.values = (drawn(2, positions, d).astype(np.int32) for _ in range(2))
        self.whole = fixed_point.attend(
            self.q[None], self.keys, self.values, positions - 1, 0, self.sinks
        )[0]

    def off(self, shards: Shards, sizes: list[int], found: dict[str, float]) -> int:
        """Numbers that differ from the whole."""
        runs = [
            shards.attend_exact(self.q, self.keys, self.values, self.sinks, sizes, w)
            for w in _waits(sizes)
        ]
        _compare_orders(runs, found)
        return sum(int((y != self.whole).sum()) for y, _ in runs)


def _waits(sizes: list[int]) -> list[list[float]]:
    """Seconds that processes wait: the first answers first, and last."""
    rising = [0.004 * n for n in range(len(sizes))]
    return [rising, rising[::-1]]


def _compare_orders(runs: list[tuple[Array, list[int]]], found: dict[str, float]) -> None:
    (a, first), (b, second) = runs
    found["order_bits"] += int((a.view(np.uint64) != b.view(np.uint64)).sum())
    found["orders"] += first != second
