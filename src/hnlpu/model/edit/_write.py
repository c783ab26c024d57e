"""A `Cutting` of a model -> a new checkpoint folder, one tensor at a time.

Numbers are copied as they are stored: what is kept is exact.  MXFP4 stays MXFP4 where whole blocks of
32 inputs are kept, and becomes bfloat16, which holds its values exactly, where they are not.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import BLOCK, dequantize
from hnlpu.errors import UnsupportedArchitecture
from hnlpu.model.checkpoint import Model, StoredMatrix
from hnlpu.model.checkpoint._sourced import SourcedMatrix, SourcedTensor
from hnlpu.model.checkpoint._tensors import FLOATS
from hnlpu.model.checkpoint._writer import SafetensorsWriter, layout_bytes
from hnlpu.model.edit._network import Cutting, KeptOfMatrix
from hnlpu.model.edit._selection import Edit, Float32
from hnlpu.model.network import (
    Either,
    Matrix,
    Mxfp4,
    Parameter,
    Reshaped,
    Slice,
    Source,
    Stack,
    Tensor,
    Transpose,
    all_leaves,
    leaf_tensors,
    restore,
)

SHARD_BYTES = 5 * 10**9
"""Tensors of one file, as transformers splits them."""
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
Array = npt.NDArray[Any]
Layout = dict[str, tuple[str, tuple[int, ...]]]


@dataclass(frozen=True)
class _Part:
    """A constant of the new network: where it goes, in which format, and what it is."""

    source: Source
    dtype: str
    member: Callable[[int], Array]
    """Its numbers as stored; of a bank those of one member."""
    members: int | None


def write_checkpoint(model: Model, cutting: Cutting, edit: Edit, folder: Path) -> None:
    """Write the edited model into `folder`, which exists and is empty.

    Raises NotFinite, UnsupportedArchitecture for a checkpoint that cannot be written back, OSError.
    """
    old = {matrix.name: matrix for matrix in model.network.matrices}
    parts = [
        part
        for matrix in cutting.network.matrices
        for part in _matrix_parts(model, old, matrix, *cutting.matrices[matrix.name], edit)
    ]
    for parameter in cutting.network.parameters:
        name, kept = cutting.parameters[parameter.name]
        if name in model.vectors:
            parts.append(_vector_part(model, parameter, name, kept, edit))
    layout: Layout = {}
    for part in parts:
        layout |= _layout(part)
    for file, names in _files(layout):
        with SafetensorsWriter(folder / file, {name: layout[name] for name in names}) as writer:
            _fill(writer, parts, layout, set(names))
    _write_index(folder, layout)
    packed = any(part.dtype == "U8" for part in parts)
    config = dict(cutting.config)
    if packed:
        config["quantization_config"] = {"quant_method": "mxfp4"}
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (folder / "config.json").write_text(text, "utf-8")
    for path in model.carried_files():
        target = folder / path.relative_to(model.settings)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)


def _matrix_parts(
    model: Model, old: Mapping[str, Matrix], new: Matrix, name: str, kept: KeptOfMatrix, edit: Edit
) -> Iterator[_Part]:
    """A matrix as one or two constants: its weights, packed or not, and its biases."""
    was, stored = old[name], model.matrices[name]
    if not isinstance(stored, SourcedMatrix):
        raise UnsupportedArchitecture(f"{stored.origin}: {name} cannot be written back")
    count = new.members
    values = edit.values.get(name)
    whole_blocks = kept.columns is None or _blocks(kept.columns) is not None
    if values is None and stored.is_mxfp4 and whole_blocks:
        yield from _packed_parts(stored, new, kept)
    else:
        dtype = "BF16" if stored.is_mxfp4 else _dtype(stored.tensors)
        source = _chosen(new.source, stored.tensors, packed=False)

        def weights(index: int) -> Array:
            member = index if kept.members is None else kept.members[index]
            made = _dense(stored, member) if values is None else values(member)
            return _bits(_cut(made[:, : was.columns], kept, index), dtype)

        if not _is_shared(source, new, model):
            yield _Part(source, dtype, weights, count)
    if stored.bias_tensor is not None and new.bias is not None:
        bias = stored.bias_tensor
        assert isinstance(bias, SourcedTensor)
        raw = bias.map()

        if (others := edit.vectors.get(f"{name} bias")) is not None:
            raw = _bits(others().reshape(raw.shape), bias.dtype)

        def biases(index: int) -> Array:
            member = index if kept.members is None else kept.members[index]
            one = raw if count is None else raw[member]
            return np.asarray(one[_row(kept.rows, index)])

        yield _Part(_chosen(new.bias, bias.tensors, packed=False), bias.dtype, biases, count)


def _is_shared(source: Source, matrix: Matrix, model: Model) -> bool:
    """Whether the tensor is a parameter's, too: an unembedding that is tied to the embedding."""
    names = {name for leaf in all_leaves(source) for name in leaf_tensors(leaf)}
    kept = {n for p in model.network.parameters for leaf in all_leaves(p.source)
            for n in leaf_tensors(leaf)}  # fmt: skip
    return bool(names & kept)


def _packed_parts(stored: SourcedMatrix, new: Matrix, kept: KeptOfMatrix) -> Iterator[_Part]:
    """MXFP4 as its blocks and its scales."""
    leaf = _chosen(new.source, stored.tensors, packed=True)
    assert isinstance(leaf, Mxfp4)
    names = leaf_tensors(leaf)
    for place, (name, shape) in enumerate(names.items()):

        def one(index: int, place: int = place) -> Array:
            member = index if kept.members is None else kept.members[index]
            found = stored.packed(member)[place][_row(kept.rows, index)]
            if kept.columns is None:
                return np.asarray(found)
            columns = kept.columns if kept.columns.ndim == 1 else kept.columns[index]
            return np.asarray(found[:, columns[::BLOCK] // BLOCK])

        yield _Part(Tensor(name, shape), "U8", one, new.members)


def _blocks(columns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | None:
    """Numbers of the blocks that columns are made of, None where a block is not whole."""
    if columns.shape[-1] % BLOCK:
        return None
    runs = columns.reshape(*columns.shape[:-1], -1, BLOCK)
    whole = runs[..., :1] % BLOCK == 0
    follow = runs == runs[..., :1] + np.arange(BLOCK)
    return runs[..., 0] // BLOCK if bool(np.all(whole & follow)) else None


def _vector_part(
    model: Model, new: Parameter, name: str, kept: npt.NDArray[np.int64] | None, edit: Edit
) -> _Part:
    stored = model.vectors[name]
    assert isinstance(stored, SourcedTensor)
    others = edit.vectors.get(name)

    def values(_: int) -> Array:
        raw = stored.map() if others is None else _bits(others(), stored.dtype)
        return np.asarray(raw if kept is None else raw[kept])

    return _Part(_chosen(new.source, stored.tensors, packed=False), stored.dtype, values, None)


def _chosen(source: Source, tensors: Mapping[str, Any], *, packed: bool) -> Source:
    """A source with each `Either` decided: as the old checkpoint has it, MXFP4 where it is `packed`."""
    match source:
        case Either(of):
            fitting = [
                part
                for part in of
                if packed == any(isinstance(leaf, Mxfp4) for leaf in all_leaves(part))
            ]
            there = [
                part
                for part in fitting
                if all(n in tensors for leaf in all_leaves(part) for n in leaf_tensors(leaf))
            ]
            return _chosen((there or fitting)[0], tensors, packed=packed)
        case Slice() | Transpose() | Reshaped():
            return replace(source, of=_chosen(source.of, tensors, packed=packed))
        case Stack(of):
            return Stack(tuple(_chosen(part, tensors, packed=packed) for part in of))
        case _:
            return source


def _dtype(tensors: Mapping[str, Any]) -> str:
    """The format of matrices made of some tensors; float32 where they are packed or differ."""
    formats = {tensor.dtype for tensor in tensors.values()}
    return formats.pop() if len(formats) == 1 and formats <= set(FLOATS) else "F32"


def _dense(stored: StoredMatrix, member: int) -> Float32:
    if stored.is_mxfp4:
        return dequantize(*stored.packed(member))
    return stored.dense(member)


def _row(rows: npt.NDArray[np.int64] | None, index: int) -> Any:
    if rows is None:
        return slice(None)
    return rows if rows.ndim == 1 else rows[index]


def _cut(values: Array, kept: KeptOfMatrix, index: int) -> Array:
    rows = values[_row(kept.rows, index)]
    return np.asarray(rows[:, _row(kept.columns, index)])


def _bits(values: Float32, dtype: str) -> Array:
    """Float32 in a stored format, rounded to nearest even; bfloat16 as its bits."""
    if dtype == "F32":
        return np.asarray(values, np.float32)
    if dtype == "F16":
        return np.asarray(values, np.float16)
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return np.asarray(rounded >> np.uint32(16), np.uint16)


def _layout(part: _Part) -> Layout:
    return {
        name: (part.dtype, shape)
        for leaf in all_leaves(part.source)
        for name, shape in leaf_tensors(leaf).items()
    }


def _files(layout: Layout) -> Iterator[tuple[str, list[str]]]:
    """Names of files and of the tensors in each, at most `SHARD_BYTES` unless one has more."""
    shards: list[list[str]] = [[]]
    size = 0
    for name, one in layout.items():
        size += layout_bytes({name: one})
        if shards[-1] and size > SHARD_BYTES:
            shards.append([])
            size = layout_bytes({name: one})
        shards[-1].append(name)
    if len(shards) == 1:
        yield SINGLE, shards[0]
        return
    for number, names in enumerate(shards, 1):
        yield f"model-{number:05}-of-{len(shards):05}.safetensors", names


def _write_index(folder: Path, layout: Layout) -> None:
    files = list(_files(layout))
    if len(files) > 1:
        index = {
            "metadata": {"total_size": layout_bytes(layout)},
            "weight_map": {name: file for file, names in files for name in names},
        }
        (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", "utf-8")


def _fill(writer: SafetensorsWriter, parts: list[_Part], layout: Layout, names: set[str]) -> None:
    """Write the tensors `names`: member by member, or together where constants share one."""
    shared: dict[str, list[_Part]] = {}
    for part in parts:
        for one in _apart(part):
            (name,) = _layout(one)
            if name in names:
                shared.setdefault(name, []).append(one)
    for name, makers in shared.items():
        if len(makers) == 1 and _by_member(writer, makers[0]):
            continue
        dtype, shape = layout[name]
        into = {name: np.zeros(shape, _NUMPY[dtype])}
        for part in makers:
            count = part.members
            made = (
                part.member(0) if count is None else np.stack(list(map(part.member, range(count))))
            )
            restore(part.source, made, into)
        writer.put(name, into[name])


def _apart(part: _Part) -> Iterator[_Part]:
    """A bank whose members have tensors of their own as so many constants."""
    if not isinstance(part.source, Stack):
        yield part
        return
    for number, source in enumerate(part.source.of):
        yield _Part(source, part.dtype, partial(_member, part, number), None)


def _member(part: _Part, number: int, _: int) -> Array:
    return part.member(number)


_NUMPY = {"BF16": np.uint16, "F16": np.float16, "F32": np.float32, "U8": np.uint8}


def _by_member(writer: SafetensorsWriter, part: _Part) -> bool:
    """Write a bank whose members lie one behind the other, so that one at a time is in memory."""
    source, order = part.source, None
    match source:
        case Transpose(of, (0, *rest)):
            source, order = of, [axis - 1 for axis in rest]
    if part.members is None or not isinstance(source, Tensor):
        return False
    size = math.prod(source.shape[1:])
    for index in range(part.members):
        made = part.member(index)
        writer.put(
            source.name, made if order is None else made.transpose(np.argsort(order)), index * size
        )
    return True
