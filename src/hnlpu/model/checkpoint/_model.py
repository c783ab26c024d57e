"""A checkpoint folder -> `Model`: the architecture and every tensor, checked by name and shape.

    model.safetensors ──► Matrix  (what is hardwired: attention, router, experts, unembedding)
                     └──► vector  (what stays in memory: embedding, norms, sinks, biases)

A `Matrix` is a stack of `count` equal matrices of `rows` neurons by `columns`
inputs (`count` is the number of experts, else 1).  It reads itself one matrix
of the stack at a time, whatever way the checkpoint stores it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.errors import CheckpointNotFound, NotFinite, TensorMismatch
from hnlpu.model.checkpoint._config import Architecture, read_architecture
from hnlpu.model.checkpoint._tensors import StoredTensor, bfloat16_to_float32, read_index
from hnlpu.model.families import gpt_oss
from hnlpu.model.network import Network, Role, Tensor

Float32 = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]

EMBEDDING = "model.embed_tokens.weight"
UNEMBEDDING = "lm_head"
FINAL_NORM = "model.norm.weight"
CARRIED_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                 "chat_template.jinja", "generation_config.json")  # fmt: skip


def layer_prefix(layer: int) -> str:
    """Prefix of the tensor names of `layer`, without the final dot."""
    return f"model.layers.{layer}"


@dataclass(frozen=True)
class MatrixShape:
    """Name, role and size of a stack of `count` matrices [rows, columns] of an architecture."""

    name: str
    role: Role
    count: int
    rows: int
    columns: int
    has_bias: bool
    layer: int | None

    @property
    def weights(self) -> int:
        """Number of weights in the whole stack."""
        return self.count * self.rows * self.columns


@lru_cache(maxsize=8)
def architecture_network(a: Architecture) -> Network:
    """The network of an architecture."""
    known = {name: getattr(a, name) for name in gpt_oss.GptOss.model_fields if hasattr(a, name)}
    return gpt_oss.network(gpt_oss.GptOss.model_validate(known))


def matrix_shapes(a: Architecture) -> Iterator[MatrixShape]:
    """Every matrix that is hardwired, in the order in which data meets them."""
    for m in architecture_network(a).matrices:
        yield MatrixShape(m.name, m.role, m.count, m.rows, m.columns, m.bias is not None, m.block)


def vector_shapes(a: Architecture) -> dict[str, tuple[int, ...]]:
    """Tensors that stay bfloat16 in memory, except the matrices' biases; those of no layer first."""
    stored = [p for p in architecture_network(a).parameters if isinstance(p.source, Tensor)]
    stored.sort(key=lambda p: p.block is not None)
    return {p.name: p.shape for p in stored}


@dataclass(frozen=True)
class Matrix:
    """A stack of matrices as the checkpoint stores it.

    `tensors` is (blocks, scales) when the weights are MXFP4, else one BF16
    tensor, `transposed` when it lies as [count, columns, rows].
    """

    shape: MatrixShape
    tensors: tuple[StoredTensor, ...]
    transposed: bool
    bias_tensor: StoredTensor | None

    @property
    def is_mxfp4(self) -> bool:
        """Whether the checkpoint holds MXFP4 blocks and scales."""
        return len(self.tensors) == 2

    def packed(self, index: int, rows: slice = slice(None)) -> tuple[UInt8, UInt8]:
        """Blocks [rows, columns/32, 16] and scales [rows, columns/32] of one MXFP4 matrix.

        `rows` selects some of them.  Raises NotFinite when a scale is 255,
        which the standard reserves for NaN.
        """
        blocks, scales = (tensor.map()[index, rows] for tensor in self.tensors)
        if scales.max() == 255:
            row, block = np.unravel_index(int(np.argmax(scales == 255)), scales.shape)
            raise NotFinite(
                f"{self.tensors[1].file}: {self.tensors[1].name} holds the scale 255, the "
                f"standard's NaN (expert {index}, row {row + (rows.start or 0)}, block {block}); "
                "repair the checkpoint"
            )
        return blocks, scales

    def dense(self, index: int, rows: slice = slice(None)) -> Float32:
        """Some rows of one BF16 matrix as float32 [rows, columns]; raises NotFinite."""
        (tensor,) = self.tensors
        raw = tensor.map()
        raw = raw[index] if raw.ndim == 3 else raw
        return finite(tensor, raw[:, rows].T if self.transposed else raw[rows])

    def bias(self) -> Float32 | None:
        """Biases [count, rows], or None; raises NotFinite."""
        if self.bias_tensor is None:
            return None
        values = finite(self.bias_tensor, self.bias_tensor.map())
        return values.reshape(self.shape.count, self.shape.rows)


@dataclass(frozen=True)
class Model:
    """A gpt-oss checkpoint: checked, mapped, nothing read but the headers."""

    directory: Path
    architecture: Architecture
    matrices: Mapping[str, Matrix]
    vectors: Mapping[str, StoredTensor]

    def vector(self, name: str, rows: slice = slice(None)) -> Float32:
        """A tensor that stays in memory (or some rows of it), as float32; raises NotFinite."""
        tensor = self.vectors[name]
        return finite(tensor, tensor.map()[rows])

    def weight_files(self) -> list[Path]:
        """The safetensors files that hold this model, sorted."""
        stored = {t.file for t in self.vectors.values()}
        for matrix in self.matrices.values():
            stored.update(t.file for t in matrix.tensors)
        return sorted(stored)

    def carried_files(self) -> list[Path]:
        """Tokenizer and generation settings that a build carries along."""
        return [p for name in CARRIED_FILES if (p := self.directory / name).is_file()]


def finite(tensor: StoredTensor, raw: npt.NDArray[np.uint16]) -> Float32:
    """bfloat16 bits `raw` of `tensor` as contiguous float32; raises NotFinite on NaN or infinity."""
    if bool(((raw & 0x7F80) == 0x7F80).any()):
        raise NotFinite(
            f"{tensor.file}: {tensor.name} holds NaN or infinity; repair the checkpoint"
        )
    return np.ascontiguousarray(bfloat16_to_float32(raw))


def read_model(directory: Path) -> Model:
    """Read the headers of a gpt-oss checkpoint folder and check every tensor.

    Raises CheckpointNotFound, UnsupportedArchitecture, InvalidConfig,
    DamagedCheckpoint or TensorMismatch.
    """
    if not directory.exists():
        raise CheckpointNotFound(f"{directory}: no such folder")
    if not directory.is_dir():
        raise CheckpointNotFound(f"{directory}: not a folder; give the folder of a checkpoint")
    architecture = read_architecture(directory)
    stored = _Remaining(directory, read_index(directory))
    matrices: dict[str, Matrix] = {}
    for shape in matrix_shapes(architecture):
        if shape.role == "unembedding":
            continue
        matrices[shape.name] = _take_matrix(stored, shape)
    vectors = {
        name: stored.take(name, "BF16", shape)
        for name, shape in vector_shapes(architecture).items()
    }
    *_, unembedding = matrix_shapes(architecture)
    matrices[UNEMBEDDING] = _take_unembedding(stored, unembedding, architecture, vectors)
    stored.expect_empty()
    return Model(directory, architecture, matrices, vectors)


class _Remaining:
    """The tensors of a checkpoint that nobody has claimed yet."""

    def __init__(self, directory: Path, tensors: dict[str, StoredTensor]):
        self.directory = directory
        self.tensors = tensors

    def take(self, name: str, dtype: str, shape: tuple[int, ...]) -> StoredTensor:
        tensor = self.tensors.pop(name, None)
        if tensor is None:
            raise TensorMismatch(f"{self.directory}: tensor {name} is missing")
        if tensor.dtype != dtype:
            raise TensorMismatch(
                f"{tensor.file}: {name} is {tensor.dtype}, expected {dtype}; "
                "save the checkpoint in its original format"
            )
        if tensor.shape != shape:
            raise TensorMismatch(
                f"{tensor.file}: {name} has shape {list(tensor.shape)}, "
                f"config.json implies {list(shape)}"
            )
        return tensor

    def expect_empty(self) -> None:
        for name in sorted(self.tensors):
            raise TensorMismatch(
                f"{self.tensors[name].file}: unexpected tensor {name}; "
                "a gpt-oss model of this config has none by that name"
            )


def _take_matrix(stored: _Remaining, shape: MatrixShape) -> Matrix:
    count, rows, columns = shape.count, shape.rows, shape.columns
    if shape.role == "experts":
        bias = stored.take(f"{shape.name}_bias", "BF16", (count, rows))
        if f"{shape.name}_blocks" in stored.tensors or f"{shape.name}_scales" in stored.tensors:
            blocks = stored.take(
                f"{shape.name}_blocks", "U8", (count, rows, columns // BLOCK, BLOCK // 2)
            )
            scales = stored.take(f"{shape.name}_scales", "U8", (count, rows, columns // BLOCK))
            return Matrix(shape, (blocks, scales), False, bias)
        weight = stored.take(shape.name, "BF16", (count, columns, rows))
        return Matrix(shape, (weight,), True, bias)
    weight = stored.take(f"{shape.name}.weight", "BF16", (rows, columns))
    bias_tensor = stored.take(f"{shape.name}.bias", "BF16", (rows,)) if shape.has_bias else None
    return Matrix(shape, (weight,), False, bias_tensor)


def _take_unembedding(
    stored: _Remaining, shape: MatrixShape, a: Architecture, vectors: Mapping[str, StoredTensor]
) -> Matrix:
    """lm_head, or the embedding table again where the two are tied."""
    if a.tie_word_embeddings and f"{shape.name}.weight" not in stored.tensors:
        return Matrix(shape, (vectors[EMBEDDING],), False, None)
    return _take_matrix(stored, shape)
