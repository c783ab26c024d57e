"""Reading checkpoints: a folder or a Hub id becomes a `Model`."""

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.model.checkpoint._config import Architecture, first_problem, read_architecture
from hnlpu.model.checkpoint._hub import locate
from hnlpu.model.checkpoint._model import (
    EMBEDDING,
    FINAL_NORM,
    UNEMBEDDING,
    Matrix,
    MatrixShape,
    Model,
    architecture_network,
    finite,
    layer_prefix,
    matrix_shapes,
    read_model,
    vector_shapes,
)
from hnlpu.model.checkpoint._tensors import (
    StoredRows,
    StoredTensor,
    bfloat16_to_float32,
    read_header,
)
from hnlpu.model.families import Rope
from hnlpu.model.network import Role

__all__ = [
    "BLOCK",
    "EMBEDDING",
    "FINAL_NORM",
    "UNEMBEDDING",
    "Architecture",
    "Matrix",
    "MatrixShape",
    "Model",
    "Role",
    "Rope",
    "StoredRows",
    "StoredTensor",
    "architecture_network",
    "bfloat16_to_float32",
    "finite",
    "first_problem",
    "layer_prefix",
    "locate",
    "matrix_shapes",
    "read_architecture",
    "read_header",
    "read_model",
    "vector_shapes",
]
