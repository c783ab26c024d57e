"""The reader of gpt-oss: a folder whose tensors have the names and forms of its releases.

    model.safetensors ──► Matrix  (what is hardwired: attention, router, experts, unembedding)
                     └──► vector  (what stays in memory: embedding, norms, sinks, biases)

A `Matrix` is a stack of `count` equal matrices of `rows` neurons by `columns`
inputs (`count` is the number of experts, else 1).  It reads itself one matrix
of the stack at a time, whatever way the checkpoint stores it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.errors import NotFinite, TensorMismatch
from hnlpu.model.checkpoint._config import Architecture, read_architecture
from hnlpu.model.checkpoint._model import Float32, Model, UInt8, finite
from hnlpu.model.checkpoint._shapes import MatrixShape, kept_parameters, shapes_of
from hnlpu.model.checkpoint._tensors import ORIGINAL, StoredTensor, narrowed, read_index
from hnlpu.model.families import gpt_oss
from hnlpu.model.network import Network, Tensor

EMBEDDING = "model.embed_tokens.weight"
UNEMBEDDING = "lm_head"
FINAL_NORM = "model.norm.weight"


def layer_prefix(layer: int) -> str:
    """Prefix of the tensor names of `layer`, without the final dot."""
    return f"model.layers.{layer}"


@lru_cache(maxsize=8)
def gpt_oss_network(a: Architecture) -> Network:
    """The network of an architecture."""
    known = {name: getattr(a, name) for name in gpt_oss.GptOss.model_fields if hasattr(a, name)}
    known["rope"] = a.rope.model_dump()
    return gpt_oss.network(gpt_oss.GptOss.model_validate(known))


@lru_cache(maxsize=8)
def matrix_shapes(a: Architecture) -> tuple[MatrixShape, ...]:
    """Every matrix of gpt-oss that is hardwired, in the order in which data meets them."""
    return shapes_of(gpt_oss_network(a))


def vector_shapes(a: Architecture) -> dict[str, tuple[int, ...]]:
    """Tensors that stay bfloat16 in memory, except the matrices' biases; those of no layer first."""
    kept = kept_parameters(gpt_oss_network(a))
    return {p.name: p.shape for p in kept if isinstance(p.source, Tensor)}


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

    @property
    def origin(self) -> str:
        """The file to blame."""
        return str(self.tensors[-1].file)

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


def read_gpt_oss(directory: Path) -> Model:
    """Read the headers of a gpt-oss checkpoint folder and check every tensor.

    Raises UnsupportedArchitecture, InvalidConfig, DamagedCheckpoint or TensorMismatch.
    """
    architecture = read_architecture(directory)
    index = read_index(directory)
    _refuse_other_layouts(directory, index)
    stored = _Remaining(directory, dict(index))
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
    network = gpt_oss_network(architecture)
    return Model(directory, architecture, network, matrices, vectors, tuple(index.values()))


def _refuse_other_layouts(directory: Path, index: Mapping[str, StoredTensor]) -> None:
    """Say of a layout that others write which it is.  Raises TensorMismatch."""
    for name in index:
        if ".mlp.experts." in name and ("gate_up_projs." in name or "down_projs." in name):
            raise TensorMismatch(
                f"{directory}: {name} is of Unsloth's layout, a linear layer per expert "
                "(gate_up_projs, down_projs); merge and save it in the layout of transformers: "
                "model.save_pretrained_merged(..., save_method='merged_16bit')"
            )
        if name.startswith("block.") and ".mlp.mlp1_" in name:
            raise TensorMismatch(f"{directory}: {ORIGINAL}")


class _Remaining:
    """The tensors of a checkpoint that nobody has claimed yet."""

    def __init__(self, directory: Path, tensors: dict[str, StoredTensor]):
        self.directory = directory
        self.tensors = tensors

    def take(self, name: str, dtype: str, shape: tuple[int, ...]) -> StoredTensor:
        tensor = self.tensors.pop(name, None)
        if tensor is None:
            raise TensorMismatch(f"{self.directory}: tensor {name} is missing")
        if tensor.dtype != dtype and (tensor.dtype, dtype) != ("F32", "BF16"):
            raise TensorMismatch(
                f"{tensor.file}: {name} is {tensor.dtype}, expected {dtype}; "
                "save the checkpoint in its original format"
            )
        if tensor.shape != shape:
            raise TensorMismatch(
                f"{tensor.file}: {name} has shape {list(tensor.shape)}, "
                f"config.json implies {list(shape)}"
            )
        if tensor.dtype == dtype:
            return tensor
        narrow = narrowed(tensor)
        if narrow is None:
            raise TensorMismatch(
                f"{tensor.file}: {name} is F32 and some of its numbers are no bfloat16; "
                "convert the checkpoint to bfloat16: model.to(torch.bfloat16).save_pretrained(...)"
            )
        return narrow

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
