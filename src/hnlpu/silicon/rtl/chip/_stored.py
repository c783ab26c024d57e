"""What a chip keeps beside its arrays, as metal: ties, and the words that a place selects.

    embedding rows ─► words of values       norms ─► beats of values
    row exponents and biases ─► beats of shifts and biases       sinks ─► words of values

Every module is nothing but ties; `hnlpu_store` in silicon selects a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.fixed_point import norm_weights, row_shifts, to_fixed
from hnlpu.model.checkpoint import EMBEDDING, layer_prefix
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.rtl.chip._program import Program
from hnlpu.silicon.rtl.chip._shape import ChipShape

Int64 = npt.NDArray[np.int64]

SHIFT_BITS, VALUE_BITS = 9, 32


def stored(build: Build, shape: ChipShape, program: Program) -> dict[str, list[int]]:
    """Words by module, as integers, lane 0 lowest.  Raises InvalidInput for NaN and infinity."""
    return {
        "embedding": list(_embedding(build, shape)),
        "parameters": list(_parameters(build, shape, program)),
        "rows": list(_rows(build, shape, program)),
        "sinks": list(_sinks(build, shape)),
    }


def word_bits(shape: ChipShape) -> dict[str, int]:
    """Bits of a word of each module."""
    width = shape.width
    return {
        "embedding": width * VALUE_BITS,
        "parameters": width * VALUE_BITS,
        "rows": width * (SHIFT_BITS + VALUE_BITS),
        "sinks": shape.architecture.num_attention_heads * VALUE_BITS,
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


def _embedding(build: Build, shape: ChipShape) -> Iterator[int]:
    for row in to_fixed(build.vector(EMBEDDING)):
        for beat in _beats(row, shape):
            yield _packed(beat, VALUE_BITS)


def _parameters(build: Build, shape: ChipShape, program: Program) -> Iterator[int]:
    for name, beat in program.parameters:
        weights = list(_beats(norm_weights(build.vector(name)), shape))
        yield _packed(weights[beat], VALUE_BITS)


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


def _sinks(build: Build, shape: ChipShape) -> Iterator[int]:
    for layer in range(shape.architecture.num_hidden_layers):
        sinks = to_fixed(build.vector(f"{layer_prefix(layer)}.self_attn.sinks"))
        yield _packed(sinks.tolist(), VALUE_BITS)
