"""Constants of a network, by their sources, from the tensors of a checkpoint.

    source (a tree over tensors) ─► a slice of the file, or numbers moved in memory ─► float32

Nothing is read before it is asked for, and of a tensor no more than is asked for: `_part` takes the
rows down to the tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.errors import NotFinite, TensorMismatch
from hnlpu.model.checkpoint._model import Float32, UInt8, finite
from hnlpu.model.checkpoint._part import Tensors, decided, first_rows, read_part, whole
from hnlpu.model.checkpoint._shapes import MatrixShape
from hnlpu.model.checkpoint._tensors import FLOATS
from hnlpu.model.network import Mxfp4, Source, Stack, chosen_leaves, leaf_tensors, source_shape


def claim(source: Source, stored: Tensors, directory: Path) -> Tensors:
    """The tensors that a source takes, by name; raises TensorMismatch for one that does not fit."""
    found = {}
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


def _format(tensors: Tensors) -> str:
    """The format of what is made of some tensors: their own where it is one."""
    formats = {tensor.dtype for tensor in tensors.values()}
    return formats.pop() if len(formats) == 1 and "U8" not in formats else "F32"


@dataclass(frozen=True)
class SourcedTensor:
    """A constant under its name in the network; its format is that of the tensors it comes from."""

    name: str
    source: Source
    tensors: Tensors

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
        return self._read(whole(self.shape))

    def rows(self, rows: slice) -> npt.NDArray[Any]:
        """Some entries of its first axis, as `map` has them; the others are not read."""
        return self._read(first_rows(self.shape, rows)) if self.shape else self.map()

    def _read(self, box: tuple[slice, ...]) -> npt.NDArray[Any]:
        several = len({tensor.dtype for tensor in self.tensors.values()} - {"U8"}) > 1
        return np.asarray(read_part(self.source, box, self.tensors, widen=several))


@dataclass(frozen=True)
class SourcedMatrix:
    """A stack of matrices as a network's source finds it; columns padded with zeros."""

    shape: MatrixShape
    source: Source
    tensors: Tensors
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
        """Blocks [rows, columns/32, 16] and scales [rows, columns/32] of one; raises NotFinite.

        255 is a scale that the standard keeps for NaN.
        """
        source, stacked = self._one(index)
        assert isinstance(source, Mxfp4)
        lead = (slice(index, index + 1, 1),) if stacked else ()
        blocks, scales = (
            tensor.read((*lead, *first_rows(tensor.shape[len(lead) :], rows)))
            for tensor in (self.tensors[name] for name in leaf_tensors(source))
        )
        blocks, scales = (blocks[0], scales[0]) if stacked else (blocks, scales)
        if scales.max(initial=0) == 255:
            row, block = np.unravel_index(int(np.argmax(scales == 255)), scales.shape)
            first = rows.indices(self.shape.rows)[0]
            one = f"expert {index}, " if self.shape.bank else ""
            raise NotFinite(
                f"{self.origin}: {source.name}_scales holds the scale 255, the standard's NaN "
                f"({one}row {first + row}, block {block}); repair the checkpoint"
            )
        return blocks, scales

    def dense(self, index: int, rows: slice = slice(None)) -> Float32:
        """Some rows of one matrix as float32 [rows, columns]; raises NotFinite."""
        source, stacked = self._one(index)
        shape = source_shape(source)
        if stacked:
            box = (slice(index, index + 1, 1), *first_rows(shape[1:], rows))
            raw = read_part(source, box, self.tensors, widen=True)[0]
        else:
            raw = read_part(source, first_rows(shape, rows), self.tensors, widen=True)
        values = finite(SourcedTensor(self._blamed(source), source, self._taken(source)), raw)
        if self.shape.padding:
            values = np.pad(values, ((0, 0), (0, self.shape.padding)))
        return values

    def _taken(self, source: Source) -> Tensors:
        leaves = chosen_leaves(source, self.tensors.__contains__)
        names = sorted({name for leaf in leaves for name in leaf_tensors(leaf)})
        return {name: self.tensors[name] for name in names}

    def _blamed(self, source: Source) -> str:
        """The tensor that holds what is wrong, where it can only be one."""
        taken = self._taken(source)
        return next(iter(taken)) if len(taken) == 1 else self.shape.name

    def bias(self) -> Float32 | None:
        """Biases [count, rows], or None; raises NotFinite."""
        if self.bias_tensor is None:
            return None
        values = finite(self.bias_tensor, self.bias_tensor.map())
        return values.reshape(self.shape.count, self.shape.rows)
