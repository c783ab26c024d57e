"""Integer weights of an array -> vectors and the products that the golden integers give.

A bench drives 64 vectors at once, one a lane.  A batch is a member, and for every bit and input
a word with that bit of 64 vectors; then for every neuron and bit one of the products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic import golden
from hnlpu.silicon.rtl._shape import ArrayShape

LANES = 64
_CHECKED = 4
"""Products of every call that the definition in plain Python integers must give too."""
_EXACT_BITS = 53
"""Sums below 2^53 are exact in float64."""

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Vectors:
    """Members int64 [batches]; x int64 [batches, 64, inputs]."""

    members: Int64
    x: Int64

    @property
    def count(self) -> int:
        """Vectors of all batches."""
        return len(self.members) * LANES

    def words(self, shape: ArrayShape) -> npt.NDArray[np.uint64]:
        """uint64 [batches, words] of member and x by bit and input."""
        count = len(self.members)
        x = _lanes(self.x, shape.activation_bits).transpose(0, 2, 1).reshape(count, -1)
        return np.concatenate([self.members.astype(np.uint64)[:, None], x], axis=1)

    def products(self, weights: Int64) -> Int64:
        """int64 [batches, 64, neurons] for weights [neurons, members, inputs].

        Float64 holds every partial sum exactly, which is asserted.
        """
        bound = int(np.abs(weights).sum(-1).max(initial=0)) * int(np.abs(self.x).max(initial=0))
        assert bound < 1 << _EXACT_BITS
        y = np.empty((len(self.members), LANES, len(weights)), np.int64)
        for member in np.unique(self.members).tolist():
            at = np.flatnonzero(self.members == member)
            x = self.x[at].reshape(-1, self.x.shape[-1]).astype(np.float64)
            y[at] = (x @ weights[:, member].T).reshape(len(at), LANES, -1)
        rng = np.random.default_rng(y.size)
        for _ in range(_CHECKED):
            batch, lane, neuron = (int(rng.integers(n)) for n in y.shape)
            row = weights[neuron, self.members[batch]].tolist()
            assert golden.neuron(row, self.x[batch, lane].tolist()) == y[batch, lane, neuron]
        return y

    def result_words(self, y: Int64, shape: ArrayShape) -> npt.NDArray[np.uint64]:
        """uint64 [batches, words] of products by neuron and bit."""
        return _lanes(y, shape.total_bits).reshape(len(self.members), -1)


@dataclass(frozen=True)
class Batches:
    """Vectors and their products y int64 [batches, 64, neurons]."""

    vectors: Vectors
    y: Int64

    def words(self, shape: ArrayShape) -> npt.NDArray[np.uint64]:
        """The file of a bench: uint64 [batches, words] of member, x by bit and input, y by neuron."""
        results = self.vectors.result_words(self.y, shape)
        return np.concatenate([self.vectors.words(shape), results], axis=1)


def make_vectors(
    shape: ArrayShape, weights: Int64, vectors: int, seed: int,
    recorded: Sequence[npt.NDArray[np.integer]] = (),
) -> Vectors:  # fmt: skip
    """At least `vectors` vectors for integer weights [neurons, members, inputs].

    Members take turns.  Each member's begin with the most negative and the largest activation
    everywhere, all ones (-1), zeros, both ends in turn, what drives a neuron to its ends, and one
    input alone at either end; the rest are random.  At most half of them are of these kinds.
    `recorded` [vectors, inputs] of every member come on top, and more random ones to fill a batch.
    """
    rng = np.random.default_rng(seed)
    bank = shape.kind.bank
    turns = np.arange(max(-(-vectors // LANES), bank)) % bank
    members, x = [], []
    for member in range(bank):
        count = int((turns == member).sum()) * LANES
        own = recorded[member] if recorded else np.empty((0, shape.inputs), np.int64)
        count += -len(own) % LANES
        drawn = _draw(shape, weights[:, member], count, rng)
        all_ = np.concatenate([drawn, own.astype(np.int64)])
        x.append(all_.reshape(-1, LANES, shape.inputs))
        members.append(np.full(len(x[-1]), member, np.int64))
    # first batches of all members first, then the second ones
    turn = np.concatenate([np.arange(len(one)) for one in members])
    of_all = np.concatenate(members)
    order = np.lexsort((of_all, turn))
    return Vectors(of_all[order], np.concatenate(x)[order])


def make_batches(shape: ArrayShape, weights: Int64, vectors: int, seed: int) -> Batches:
    """`make_vectors` with their products."""
    drawn = make_vectors(shape, weights, vectors, seed)
    return Batches(drawn, drawn.products(weights))


def _draw(shape: ArrayShape, weights: Int64, count: int, rng: np.random.Generator) -> Int64:
    """`count` vectors for weights [neurons, inputs]."""
    low, high, inputs = (
        -(1 << shape.activation_bits - 1),
        (1 << shape.activation_bits - 1) - 1,
        shape.inputs,
    )
    flat = np.array([low, high, -1, 0], np.int64)[:, None].repeat(inputs, 1)
    turns = np.where(np.arange(inputs) % 2 == np.arange(2)[:, None], low, high)
    rows = weights[rng.permutation(len(weights))[: count // 16]]
    ends = np.concatenate([np.where(rows > 0, high, low), np.where(rows > 0, low, high)])
    alone = rng.permutation(2 * inputs)[: count // 4]
    one = np.zeros((len(alone), inputs), np.int64)
    one[np.arange(len(alone)), alone // 2] = np.where(alone % 2, low, high)
    special = np.concatenate([flat, turns, ends, one])[:count]
    rest = rng.integers(low, high + 1, (count - len(special), inputs))
    return np.concatenate([special, rest])


def _lanes(values: Int64, bits: int) -> npt.NDArray[np.uint64]:
    """[batches, 64, n] integers -> uint64 [batches, n, bits]: bit `lane` of a word is a lane's."""
    batches, _, n = values.shape
    planes = np.empty((batches, n, bits), np.uint64)
    for bit in range(bits):
        ones = (values >> bit & 1).astype(np.uint8)
        packed = np.packbits(ones, axis=1, bitorder="little")  # [batches, 8, n]
        planes[:, :, bit] = np.ascontiguousarray(packed.transpose(0, 2, 1)).view("<u8")[..., 0]
    return planes
