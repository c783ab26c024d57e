"""Integer weights of an array -> vectors and the products that the golden integers give.

A bench drives 64 vectors at once, one a lane.  A batch is a member, and for every bit and input
a word with that bit of 64 vectors; then for every neuron and bit one of the products.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hnlpu.hardwire import golden
from hnlpu.rtl._shape import ArrayShape

LANES = 64
_CHECKED = 4
"""Products of every call that the definition in plain Python integers must give too."""

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batches:
    """Members int64 [batches]; x int64 [batches, 64, inputs]; y int64 [batches, 64, neurons]."""

    members: Int64
    x: Int64
    y: Int64

    def words(self, shape: ArrayShape) -> npt.NDArray[np.uint64]:
        """The file of a bench: uint64 [batches, words] of member, x by bit and input, y by neuron."""
        count = len(self.members)
        x = _lanes(self.x, shape.activation_bits).transpose(0, 2, 1).reshape(count, -1)
        y = _lanes(self.y, shape.total_bits).reshape(count, -1)
        return np.concatenate([self.members.astype(np.uint64)[:, None], x, y], axis=1)


def make_batches(shape: ArrayShape, weights: Int64, vectors: int, seed: int) -> Batches:
    """At least `vectors` vectors for integer weights [neurons, members, inputs].

    Members take turns.  Each member's begin with the most negative and the largest activation
    everywhere, all ones (-1), zeros, both ends in turn, what drives a neuron to its ends, and one
    input alone at either end; the rest are random.  At most half of them are of these kinds.
    """
    rng = np.random.default_rng(seed)
    members = np.arange(max(-(-vectors // LANES), shape.kind.bank)) % shape.kind.bank
    x = np.empty((len(members), LANES, shape.inputs), np.int64)
    y = np.empty((len(members), LANES, shape.neurons), np.int64)
    for member in range(shape.kind.bank):
        at = np.flatnonzero(members == member)
        drawn = _draw(shape, weights[:, member], len(at) * LANES, rng)
        x[at] = drawn.reshape(len(at), LANES, shape.inputs)
        y[at] = (drawn @ weights[:, member].T).reshape(len(at), LANES, shape.neurons)
    for _ in range(_CHECKED):
        batch, lane, neuron = (int(rng.integers(n)) for n in y.shape)
        row = weights[neuron, members[batch]].tolist()
        assert golden.neuron(row, x[batch, lane].tolist()) == y[batch, lane, neuron]
    return Batches(members, x, y)


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
