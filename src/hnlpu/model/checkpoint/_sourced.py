"""Constants of a network, by their sources, from the tensors of a checkpoint.

    source (a tree over tensors) ─► a slice of the file, or numbers moved in memory ─► float32

Nothing is read before it is asked for.  What lies in a file as it is wanted stays a mapping of it;
of a stack of tensors only the one that is asked for is met.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import dequantize
from hnlpu.errors import NotFinite, TensorMismatch
from hnlpu.model.checkpoint._model import Float32, UInt8, finite
from hnlpu.model.checkpoint._shapes import MatrixShape
from hnlpu.model.checkpoint._tensors import FLOATS, StoredTensor, to_float32
from hnlpu.model.network import (
    Either,
    Mxfp4,
    Source,
    Stack,
    chosen_leaves,
    leaf_tensors,
    read_source,
    source_shape,
)

Stored = Mapping[str, StoredTensor]


class _Mapped(dict[str, npt.NDArray[Any]]):
    """Tensors as arrays, each mapped when it is met; all float32 where their formats differ."""

    def __init__(self, tensors: Stored, widen: bool):
        super().__init__()
        self._tensors, self._widen = tensors, widen

    def __missing__(self, name: str) -> npt.NDArray[Any]:
        tensor = self._tensors[name]
        raw = tensor.map()
        return to_float32(raw) if self._widen and tensor.dtype != "U8" else raw

    def __contains__(self, name: object) -> bool:
        return name in self._tensors


def decided(source: Source, stored: Stored) -> Source:
    """A source without alternatives at its root: the first whose tensors are all there."""
    while isinstance(source, Either):
        source = next(
            (part for part in source.of if _is_there(part, stored)), source.of[0]
        )  # the first of all where none is, to be missed by name
    return source


def _is_there(source: Source, stored: Stored) -> bool:
    leaves = chosen_leaves(source, stored.__contains__)
    return all(name in stored for leaf in leaves for name in leaf_tensors(leaf))


def claim(source: Source, stored: Stored, directory: Path) -> dict[str, StoredTensor]:
    """The tensors that a source takes, by name; raises TensorMismatch for one that does not fit."""
    found: dict[str, StoredTensor] = {}
    for leaf in chosen_leaves(source, stored.__contains__):
        formats = ("U8",) if isinstance(leaf, Mxfp4) else FLOATS
        for name, shape in leaf_tensors(leaf).items():
            tensor = stored.get(name)
            if tensor is None:
                raise TensorMismatch(f"{directory}: tensor {name} is missing")
            if tensor.dtype not in formats:
                raise TensorMismatch(
                    f"{tensor.file}: {name} is {tensor.dtype}, expected {' or '.join(formats)}; "
                    "save the checkpoint in one of these formats"
                )
            if tensor.shape != shape:
                raise TensorMismatch(
                    f"{tensor.file}: {name} has shape {list(tensor.shape)}, "
                    f"config.json implies {list(shape)}"
                )
            found[name] = tensor
    return found


def _format(tensors: Stored) -> str:
    """The format of what is made of some tensors: their own where it is one."""
    formats = {tensor.dtype for tensor in tensors.values()}
    return formats.pop() if len(formats) == 1 and "U8" not in formats else "F32"


def _read(source: Source, tensors: Stored) -> npt.NDArray[Any]:
    several = len({tensor.dtype for tensor in tensors.values()} - {"U8"}) > 1
    array = read_source(source, _Mapped(tensors, several), dequantize)
    return np.asarray(array)


@dataclass(frozen=True)
class SourcedTensor:
    """A constant under its name in the network; its format is that of the tensors it comes from."""

    name: str
    source: Source
    tensors: Stored

    @property
    def dtype(self) -> str:
        """Format, as safetensors names it."""
        return _format(self.tensors)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of its axes."""
        return source_shape(self.source)

    @property
    def file(self) -> Path:
        """The first file that holds some of it."""
        return next(iter(self.tensors.values())).file

    def map(self) -> npt.NDArray[Any]:
        """Its numbers; bfloat16 as bits."""
        return _read(self.source, self.tensors)


@dataclass(frozen=True)
class SourcedMatrix:
    """A stack of matrices as a network's source finds it; columns padded with zeros."""

    shape: MatrixShape
    source: Source
    tensors: Stored
    bias_tensor: SourcedTensor | None

    @property
    def origin(self) -> str:
        """The file to blame."""
        return str(next(iter(self.tensors.values())).file)

    @property
    def is_mxfp4(self) -> bool:
        """Whether each matrix of the stack lies as MXFP4 blocks and scales."""
        return isinstance(self._one(0)[0], Mxfp4)

    def _one(self, index: int) -> tuple[Source, bool]:
        """The source of one of the stack, and whether the stack is still an axis of it."""
        source = decided(self.source, self.tensors)
        if self.shape.bank and isinstance(source, Stack):
            return decided(source.of[index], self.tensors), False
        return source, self.shape.bank

    def packed(self, index: int, rows: slice = slice(None)) -> tuple[UInt8, UInt8]:
        """Blocks [rows, columns/32, 16] and scales [rows, columns/32] of one; raises NotFinite."""
        source, stacked = self._one(index)
        assert isinstance(source, Mxfp4)
        arrays = (self.tensors[name].map() for name in leaf_tensors(source))
        blocks, scales = (array[index][rows] if stacked else array[rows] for array in arrays)
        if scales.max(initial=0) == 255:
            raise NotFinite(
                f"{self.origin}: {source.name}_scales holds the scale 255, the standard's NaN; "
                "repair the checkpoint"
            )
        return blocks, scales

    def dense(self, index: int, rows: slice = slice(None)) -> Float32:
        """Some rows of one matrix as float32 [rows, columns]; raises NotFinite."""
        source, stacked = self._one(index)
        names = {
            n
            for leaf in chosen_leaves(source, self.tensors.__contains__)
            for n in leaf_tensors(leaf)
        }
        tensors = {name: self.tensors[name] for name in sorted(names)}
        raw = _read(source, tensors)
        raw = raw[index] if stacked else raw
        values = finite(SourcedTensor(self.shape.name, source, tensors), raw[rows])
        if self.shape.padding:
            values = np.pad(values, ((0, 0), (0, self.shape.padding)))
        return values

    def bias(self) -> Float32 | None:
        """Biases [count, rows], or None; raises NotFinite."""
        if self.bias_tensor is None:
            return None
        values = finite(self.bias_tensor, self.bias_tensor.map())
        return values.reshape(self.shape.count, self.shape.rows)
