"""gpt-oss: what its architecture implies, and the reader of its checkpoints.

    model.safetensors ──► matrices  (what is hardwired: attention, router, experts, unembedding)
                     └──► vectors   (what stays in memory: embedding, norms, sinks, biases)

Its tensors are claimed as those of every family are.  Beside that, float32 that is all bfloat16 is
read as bfloat16: a fine-tune saved wide builds as the same model saved narrow does.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from hnlpu.model.checkpoint._claim import Weights, claimed
from hnlpu.model.checkpoint._config import Architecture
from hnlpu.model.checkpoint._model import Model
from hnlpu.model.checkpoint._part import Stored
from hnlpu.model.checkpoint._shapes import MatrixShape, kept_parameters, shapes_of
from hnlpu.model.checkpoint._tensors import StoredTensor, narrowed
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


def gpt_oss_model(directory: Path, architecture: Architecture, weights: Weights) -> Model:
    """The model of an architecture in some tensors; raises TensorMismatch."""
    network = gpt_oss_network(architecture)
    narrow = {name: _as_narrow(tensor) for name, tensor in weights.tensors.items()}
    return claimed(directory, architecture, network, replace(weights, tensors=narrow))


def _as_narrow(tensor: Stored) -> Stored:
    if isinstance(tensor, StoredTensor) and tensor.dtype == "F32":
        return narrowed(tensor) or tensor
    return tensor
