"""Reading checkpoints: a folder or a Hub id becomes a `Model`."""

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.model.checkpoint._config import Architecture, first_problem, read_architecture
from hnlpu.model.checkpoint._facts import NO_LIMIT, ModelFacts
from hnlpu.model.checkpoint._gpt_oss import (
    EMBEDDING,
    FINAL_NORM,
    UNEMBEDDING,
    gpt_oss_network,
    layer_prefix,
    matrix_shapes,
    vector_shapes,
)
from hnlpu.model.checkpoint._hub import is_hub_id, locate, locate_config
from hnlpu.model.checkpoint._model import Kept, Model, StoredMatrix, finite
from hnlpu.model.checkpoint._read import (
    describe_model,
    gguf_files,
    is_checkpoint,
    read_model,
    read_network,
    read_network_model,
)
from hnlpu.model.checkpoint._shapes import MatrixShape, kept_parameters, shape_of, shapes_of
from hnlpu.model.checkpoint._tensors import (
    FLOATS,
    StoredRows,
    StoredTensor,
    bfloat16_to_float32,
    pieces,
    read_header,
    to_float32,
)
from hnlpu.model.families import Rope
from hnlpu.model.network import Role

__all__ = [
    "BLOCK",
    "EMBEDDING",
    "FINAL_NORM",
    "FLOATS",
    "NO_LIMIT",
    "UNEMBEDDING",
    "Architecture",
    "Kept",
    "MatrixShape",
    "Model",
    "ModelFacts",
    "Role",
    "Rope",
    "StoredMatrix",
    "StoredRows",
    "StoredTensor",
    "bfloat16_to_float32",
    "describe_model",
    "finite",
    "first_problem",
    "gguf_files",
    "gpt_oss_network",
    "is_checkpoint",
    "is_hub_id",
    "kept_parameters",
    "layer_prefix",
    "locate",
    "locate_config",
    "matrix_shapes",
    "pieces",
    "read_architecture",
    "read_header",
    "read_model",
    "read_network",
    "read_network_model",
    "shape_of",
    "shapes_of",
    "to_float32",
    "vector_shapes",
]
