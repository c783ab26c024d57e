"""What a chip keeps beside its arrays, as metal: ties, and the words that a place selects.

    embedding rows ─► words of values       norms ─► beats of values
    row exponents and biases ─► beats of shifts and biases       sinks ─► words of values

Every module is nothing but ties; `hnlpu_store` in silicon selects a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.fixed_point import norm_weights, row_shifts, shifted, to_fixed
from hnlpu.errors import NotFinite
from hnlpu.model.network import Given
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.rtl.chip._constants import make
from hnlpu.silicon.rtl.chip._program import Program, StoredBeat
from hnlpu.silicon.rtl.chip._shape import ChipShape

Int64 = npt.NDArray[np.int64]

SHIFT_BITS, VALUE_BITS = 9, 32


def stored(build: Build, shape: ChipShape, program: Program) -> dict[str, list[int]]:
    """Words by module, as integers, lane 0 lowest.  Raises NotFinite for NaN and infinity."""
    found = {
        "embedding": list(_embedding(build, shape, program)),
        "parameters": list(_parameters(build, shape, program)),
        "rows": list(_rows(build, shape, program)),
        "sinks": list(_sinks(build, program)),
    }
    return {name: words for name, words in found.items() if words}


def word_bits(shape: ChipShape, program: Program) -> dict[str, int]:
    """Bits of a word of each module."""
    width = shape.width
    heads = program.attention.heads if program.attention else 1
    return {
        "embedding": width * VALUE_BITS,
        "parameters": width * VALUE_BITS,
        "rows": width * (SHIFT_BITS + VALUE_BITS),
        "sinks": heads * VALUE_BITS,
    }


def ties(name: str, words: Sequence[int], bits: int) -> Iterator[str]:
    """Text of module `stored_NAME` in pieces."""
    yield f"""\
// Stored {name}: {len(words)} words of {bits} bits.  Ties only: these are the model's.
//
// Latency  none
// Numbers  see hnlpu_core.sv; lane 0 lowest
module stored_{name} (
    output logic [{len(words) - 1}:0][{bits - 1}:0] words
);
"""
    digits = -(-bits // 4)
    for place, word in enumerate(words):
        yield f"  assign words[{place}] = {bits}'h{word:0{digits}x};\n"
    yield "endmodule\n"


def _packed(values: Sequence[int], bits: int) -> int:
    """Values as one word, the first lowest, two's complement."""
    mask, word = (1 << bits) - 1, 0
    for value in reversed(values):
        word = word << bits | (value & mask)
    return word


def _beats(values: Int64, shape: ChipShape) -> Iterator[list[int]]:
    """A vector cut into beats, filled up with zeros."""
    padded = np.zeros(shape.beats(len(values)) * shape.width, np.int64)
    padded[: len(values)] = values
    for beat in padded.reshape(-1, shape.width):
        yield beat.tolist()


def _vector(build: Build, name: str) -> npt.NDArray[np.float32]:
    """A parameter: the checkpoint's, one that the network gives itself, or one made of them.

    Raises NotFinite.
    """
    known = {p.name: p for p in build.network.parameters}
    if name not in known:
        found = make(build.network, name, partial(_vector, build))
    elif isinstance(source := known[name].source, Given):
        found = np.asarray(source.values, np.float32).reshape(known[name].shape)
    else:
        found = build.vector(name)
    if not np.isfinite(found).all():
        raise NotFinite(f"{build.directory}: {name} holds NaN or infinity, which no value is")
    return found


def _embedding(build: Build, shape: ChipShape, program: Program) -> Iterator[int]:
    if program.embedding is None:
        return
    for row in to_fixed(_vector(build, program.embedding)):
        for beat in _beats(row, shape):
            yield _packed(beat, VALUE_BITS)


def _parameters(build: Build, shape: ChipShape, program: Program) -> Iterator[int]:
    for one in program.parameters:
        numbers = np.zeros(shape.width, np.int64)
        numbers[: one.count] = _numbers(build, one)
        yield _packed(numbers.tolist(), VALUE_BITS)


def _numbers(build: Build, one: StoredBeat) -> Int64:
    """The numbers of a stored beat."""
    part = slice(one.first, one.first + one.count)
    match one.how:
        case "mask":
            return np.ones(one.count, np.int64)
        case "norm":
            return norm_weights(_vector(build, one.name)).ravel()[part]
        case "heads":
            weights = norm_weights(_vector(build, one.name))
            return np.tile(weights, -(-part.stop // len(weights)))[part]
        case "value":
            return to_fixed(_vector(build, one.name)).ravel()[part]
        case "placed":
            places = np.array(one.places)
            numbers = to_fixed(_vector(build, one.name)).ravel()[places]
            return np.where(places >= 0, shifted(numbers, one.finer), 0)


def _rows(build: Build, shape: ChipShape, program: Program) -> Iterator[int]:
    shapes, lanes = build.shapes(), shape.width
    for read, expert in program.row_places:
        one = program.reads[read]
        matrix = build.matrix(shapes[one.matrix], expert)
        rows = list(one.rows())
        shifts = np.zeros(lanes, np.int64)
        biases = np.zeros(lanes, np.int64)
        shifts[: len(rows)] = row_shifts(matrix.row_exponents)[rows]
        if matrix.bias is not None:
            biases[: len(rows)] = to_fixed(matrix.bias)[rows]
        shift_word = _packed(shifts.tolist(), SHIFT_BITS)
        yield _packed(biases.tolist(), VALUE_BITS) << (lanes * SHIFT_BITS) | shift_word


def _sinks(build: Build, program: Program) -> Iterator[int]:
    for name in program.attention.sinks if program.attention else ():
        yield _packed(to_fixed(_vector(build, name)).tolist(), VALUE_BITS)
