"""A part of what a source gives, without the rest: a box of slices goes down to the tensors.

box [rows a:b, columns c:d] of a source ─► boxes of its tensors ─► numbers of that part

A tensor that has to be decoded is decoded where it is met and nowhere else, so that a large matrix
can be read a few rows at a time whatever way it lies in the file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, assert_never

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import dequantize
from hnlpu.model.checkpoint._tensors import to_float32
from hnlpu.model.network import (
    Either,
    Given,
    Mxfp4,
    Reshaped,
    Slice,
    Source,
    Stack,
    Tensor,
    Transpose,
    chosen_leaves,
    leaf_tensors,
    source_shape,
)

Array = npt.NDArray[Any]
Box = tuple[slice, ...]
"""One slice for each axis, with start, stop and a step of at least 1."""


class NamedTensor(Protocol):
    """A named tensor of a checkpoint, as it lies in a file, or is decoded or put together."""

    @property
    def name(self) -> str:
        """The name that a network's sources know, or a build."""
        ...

    @property
    def dtype(self) -> str:
        """Its format when it is read, as safetensors names it."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of its axes."""
        ...

    @property
    def file(self) -> Path:
        """The file that holds it, or the first of several."""
        ...


class Stored(NamedTensor, Protocol):
    """A tensor of which any part can be read."""

    def read(self, box: Box) -> Array:
        """The numbers of a part; bfloat16 as bits."""
        ...


Tensors = Mapping[str, Stored]


def whole(shape: tuple[int, ...]) -> Box:
    """The box that holds all of a shape."""
    return tuple(slice(0, length, 1) for length in shape)


def first_rows(shape: tuple[int, ...], rows: slice) -> Box:
    """The box of some entries along the first axis, with all that is in them."""
    start, stop, step = rows.indices(shape[0])
    return (slice(start, stop, step), *whole(shape[1:]))


def decided(source: Source, tensors: Mapping[str, Any]) -> Source:
    """A source without alternatives at its root: the first whose tensors are all there."""
    while isinstance(source, Either):
        source = next(
            (part for part in source.of if _is_there(part, tensors)), source.of[0]
        )  # the first of all where none is, to be missed by name
    return source


def _is_there(source: Source, tensors: Mapping[str, Any]) -> bool:
    leaves = chosen_leaves(source, tensors.__contains__)
    return all(name in tensors for leaf in leaves for name in leaf_tensors(leaf))


def read_part(source: Source, box: Box, tensors: Tensors, *, widen: bool) -> Array:
    """The numbers of a source in a box; `widen` makes all of them float32, else they are as stored."""

    def read(part: Source, of: Box) -> Array:
        return read_part(part, of, tensors, widen=widen)

    match source:
        case Tensor():
            raw = tensors[source.name].read(box)
            return to_float32(raw) if widen else raw
        case Mxfp4():
            blocks, scales = (tensors[name] for name in leaf_tensors(source))
            lead = box[:-1]
            decoded = dequantize(
                blocks.read((*lead, *whole(blocks.shape[-2:]))),
                scales.read((*lead, *whole(scales.shape[-1:]))),
            )
            return decoded[..., box[-1]]
        case Given():
            values = np.asarray(source.values, np.float64).astype(np.float32)
            return values.reshape(source.shape)[box]
        case Slice(of, axis, start, _, step):
            inner = list(box)
            cut = inner[axis]
            inner[axis] = slice(
                start + cut.start * step, start + (cut.stop - 1) * step + 1, cut.step * step
            )
            return read(of, tuple(inner))
        case Transpose(of, order):
            moved = [box[order.index(axis)] for axis in range(len(order))]
            return read(of, tuple(moved)).transpose(order)
        case Reshaped(of, shape):
            return _reshaped(of, shape, box, read)
        case Stack(parts):
            return np.stack([read(part, box[1:]) for part in parts[box[0]]])
        case Either():
            return read(decided(source, tensors), box)
        case _:
            assert_never(source)


def _reshaped(
    of: Source, shape: tuple[int, ...], box: Box, read: Callable[[Source, Box], Array]
) -> Array:
    """A box of a source in another shape: the entries of its first axis that hold the box's."""
    inner = source_shape(of)
    if not inner or not shape:
        return read(of, whole(inner)).reshape(shape)[box]
    width, inner_width = math.prod(shape[1:]), math.prod(inner[1:])
    first, last = box[0].start * width, box[0].stop * width
    begin, end = first // inner_width, -(-last // inner_width)
    flat = read(of, (slice(begin, end, 1), *whole(inner[1:]))).reshape(-1)
    start = first - begin * inner_width
    rows = flat[start : start + last - first].reshape(-1, *shape[1:])
    return rows[(slice(None, None, box[0].step), *box[1:])]
