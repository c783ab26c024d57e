"""The form of a network: any model as a small typed graph that every stage reads."""

from hnlpu.model.network import ops
from hnlpu.model.network._check import check
from hnlpu.model.network._compose import Builder, Value
from hnlpu.model.network._declare import (
    Append,
    Cut,
    Input,
    Keeps,
    LeftOut,
    Matrix,
    Parameter,
    Replace,
    Ring,
    Role,
    State,
)
from hnlpu.model.network._extract import extract
from hnlpu.model.network._form import Network, Span, span_ends
from hnlpu.model.network._formats import (
    AT_ONCE,
    WHOLE,
    Formats,
    constant_steps,
    done_at_once,
    formats,
)
from hnlpu.model.network._include import in_parallel, in_sequence, include
from hnlpu.model.network._infer import all_steps, class_name, op_name, taken_by
from hnlpu.model.network._schedule import Region, regions
from hnlpu.model.network._source import (
    Either,
    Given,
    Mxfp4,
    Reshaped,
    Slice,
    Source,
    Stack,
    Tensor,
    Transpose,
    all_leaves,
    chosen_leaves,
    leaf_tensors,
    read_source,
    restore,
    source_shape,
)
from hnlpu.model.network._text import dump, load
from hnlpu.model.network._types import Dim, Kind, Positions, Shape, ValueType
from hnlpu.model.network.ops import Op, Step

__all__ = [
    "AT_ONCE",
    "WHOLE",
    "Append",
    "Builder",
    "Cut",
    "Dim",
    "Either",
    "Formats",
    "Given",
    "Input",
    "Keeps",
    "Kind",
    "LeftOut",
    "Matrix",
    "Mxfp4",
    "Network",
    "Op",
    "Parameter",
    "Positions",
    "Region",
    "Replace",
    "Reshaped",
    "Ring",
    "Role",
    "Shape",
    "Slice",
    "Source",
    "Span",
    "Stack",
    "State",
    "Step",
    "Tensor",
    "Transpose",
    "Value",
    "ValueType",
    "all_leaves",
    "all_steps",
    "check",
    "chosen_leaves",
    "class_name",
    "constant_steps",
    "done_at_once",
    "dump",
    "extract",
    "formats",
    "in_parallel",
    "in_sequence",
    "include",
    "leaf_tensors",
    "load",
    "op_name",
    "ops",
    "read_source",
    "regions",
    "restore",
    "source_shape",
    "span_ends",
    "taken_by",
]
