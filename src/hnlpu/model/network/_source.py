"""Where a constant of a network comes from: tensors of a checkpoint, and what is done to them.

A source is a small tree.  Its leaves name tensors with the shape that the config implies, so that
the tree's own shape follows; every node knows its inverse, so that a value can be put back where it
came from (`restore`), which proves that nothing is lost or taken twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.errors import MalformedNetwork

Array = npt.NDArray[Any]
Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Tensor:
    """A tensor of the checkpoint as it lies there."""

    name: str
    shape: Sizes


@dataclass(frozen=True)
class Mxfp4:
    """Weights [..., columns] kept as `NAME_blocks` and `NAME_scales`; `shape` is the weights'."""

    name: str
    shape: Sizes


@dataclass(frozen=True)
class Given:
    """Numbers that the family computes from the config, row by row."""

    values: tuple[float, ...]
    shape: Sizes


@dataclass(frozen=True)
class Slice:
    """Entries start, start + step, ... before stop along an axis."""

    of: Source
    axis: int
    start: int
    stop: int
    step: int = 1


@dataclass(frozen=True)
class Transpose:
    """Axes in another order."""

    of: Source
    order: Sizes


@dataclass(frozen=True)
class Reshaped:
    """The same numbers, row by row, in another shape."""

    of: Source
    shape: Sizes


@dataclass(frozen=True)
class Stack:
    """Several of one shape along a new first axis."""

    of: tuple[Source, ...]


@dataclass(frozen=True)
class Either:
    """The first of several whose tensors are all there: a checkpoint may lie in several ways."""

    of: tuple[Source, ...]


Source = Tensor | Mxfp4 | Given | Slice | Transpose | Reshaped | Stack | Either


def source_shape(source: Source) -> Sizes:
    """Shape of what a source gives; raises MalformedNetwork where it makes no sense."""
    match source:
        case Tensor():
            if min(source.shape, default=1) < 1:
                raise MalformedNetwork("source", f"{source.name} {list(source.shape)} is empty")
            return source.shape
        case Mxfp4():
            if not source.shape or source.shape[-1] % BLOCK:
                raise MalformedNetwork(
                    "source",
                    f"MXFP4 {source.name} {list(source.shape)} is not in blocks of {BLOCK}",
                )
            return source.shape
        case Given():
            if not all(map(math.isfinite, source.values)):
                raise MalformedNetwork("number", "numbers that a family gives must be finite")
            if math.prod(source.shape) != len(source.values):
                raise MalformedNetwork(
                    "source", f"{len(source.values)} numbers do not make {list(source.shape)}"
                )
            return source.shape
        case Slice():
            return _slice_shape(source)
        case Transpose():
            inner = source_shape(source.of)
            if sorted(source.order) != list(range(len(inner))):
                raise MalformedNetwork(
                    "source", f"order {list(source.order)} does not permute {list(inner)}"
                )
            return tuple(inner[axis] for axis in source.order)
        case Reshaped():
            inner = source_shape(source.of)
            if math.prod(inner) != math.prod(source.shape):
                raise MalformedNetwork(
                    "source", f"{list(inner)} does not reshape to {list(source.shape)}"
                )
            return source.shape
        case Stack():
            return (len(source.of), *_same([source_shape(part) for part in source.of]))
        case Either():
            return _same([source_shape(part) for part in source.of])
        case _:
            assert_never(source)


def _slice_shape(source: Slice) -> Sizes:
    inner = list(source_shape(source.of))
    axis, start, stop, step = source.axis, source.start, source.stop, source.step
    if not (0 <= axis < len(inner) and step > 0 and 0 <= start < stop <= inner[axis]):
        raise MalformedNetwork(
            "source", f"no slice {start}:{stop}:{step} along axis {axis} of {inner}"
        )
    inner[axis] = len(range(start, stop, step))
    return tuple(inner)


def _same(shapes: list[Sizes]) -> Sizes:
    if len(set(shapes)) != 1:
        raise MalformedNetwork("source", f"parts of a source differ in shape: {shapes}")
    return shapes[0]


def leaf_tensors(leaf: Tensor | Mxfp4 | Given) -> dict[str, Sizes]:
    """Tensors of the checkpoint that a leaf takes, with their shapes."""
    match leaf:
        case Tensor():
            return {leaf.name: leaf.shape}
        case Mxfp4():
            blocks = (*leaf.shape[:-1], leaf.shape[-1] // BLOCK)
            return {f"{leaf.name}_blocks": (*blocks, BLOCK // 2), f"{leaf.name}_scales": blocks}
        case Given():
            return {}
        case _:
            assert_never(leaf)


def prefixed(source: Source, name: str) -> Source:
    """The source with `name.` in front of every tensor's name."""
    match source:
        case Tensor() | Mxfp4():
            return replace(source, name=f"{name}.{source.name}")
        case Given():
            return source
        case Slice() | Transpose() | Reshaped():
            return replace(source, of=prefixed(source.of, name))
        case Stack() | Either():
            return replace(source, of=tuple(prefixed(part, name) for part in source.of))
        case _:
            assert_never(source)


def all_leaves(source: Source) -> Iterator[Tensor | Mxfp4 | Given]:
    """The leaves of a source, of every alternative."""
    match source:
        case Tensor() | Mxfp4() | Given():
            yield source
        case Slice() | Transpose() | Reshaped():
            yield from all_leaves(source.of)
        case Stack() | Either():
            for part in source.of:
                yield from all_leaves(part)
        case _:
            assert_never(source)


def chosen_leaves(source: Source, there: Callable[[str], bool]) -> Iterator[Tensor | Mxfp4 | Given]:
    """The leaves that a checkpoint has, with `Either` decided by what is `there`."""
    match source:
        case Tensor() | Mxfp4() | Given():
            yield source
        case Slice() | Transpose() | Reshaped():
            yield from chosen_leaves(source.of, there)
        case Stack():
            for part in source.of:
                yield from chosen_leaves(part, there)
        case Either():
            yield from chosen_leaves(_decided(source, there), there)
        case _:
            assert_never(source)


def _decided(source: Either, there: Callable[[str], bool]) -> Source:
    """The first alternative that is there; the first of all where none is, to be missed by name."""
    for part in source.of:
        leaves = chosen_leaves(part, there)
        if all(there(name) for leaf in leaves for name in leaf_tensors(leaf)):
            return part
    return source.of[0]


def read_source(
    source: Source, tensors: Mapping[str, Array], dequantize: Callable[[Array, Array], Array]
) -> Array:
    """What a source gives, from `tensors` by name; `dequantize` turns MXFP4 blocks and scales.

    Raises KeyError for a tensor that is not there.
    """

    def read(part: Source) -> Array:
        return read_source(part, tensors, dequantize)

    match source:
        case Tensor():
            return tensors[source.name]
        case Mxfp4():
            return dequantize(tensors[f"{source.name}_blocks"], tensors[f"{source.name}_scales"])
        case Given():
            return np.asarray(source.values, np.float64).astype(np.float32).reshape(source.shape)
        case Slice():
            return read(source.of)[_where(source)]
        case Transpose():
            return read(source.of).transpose(source.order)
        case Reshaped():
            return read(source.of).reshape(source.shape)
        case Stack():
            return np.stack([read(part) for part in source.of])
        case Either():
            return read(_decided(source, tensors.__contains__))
        case _:
            assert_never(source)


def _where(source: Slice) -> tuple[slice, ...]:
    return (*[slice(None)] * source.axis, slice(source.start, source.stop, source.step))


def restore(source: Source, values: Array, into: Mapping[str, Array]) -> None:
    """Write `values` back into the tensors `into` that `read_source` would take them from.

    Raises ValueError for MXFP4, which is not a matter of moving numbers.
    """
    match source:
        case Tensor():
            into[source.name][...] = values
        case Given():
            pass
        case Mxfp4():
            raise ValueError(f"{source.name}: MXFP4 is quantised, not moved")
        case Slice() | Transpose() | Reshaped():
            whole = read_source(source.of, into, lambda blocks, scales: blocks).copy()
            match source:
                case Slice():
                    whole[_where(source)] = values
                case Transpose():
                    whole = values.transpose(np.argsort(source.order))
                case Reshaped():
                    whole = values.reshape(whole.shape)
            restore(source.of, whole, into)
        case Stack():
            for part, value in zip(source.of, values, strict=True):
                restore(part, value, into)
        case Either():
            restore(_decided(source, into.__contains__), values, into)
        case _:
            assert_never(source)
