"""The closed set of operations, each with the rule of its shapes and kinds.

A consumer is a `match` over `Op` that ends in `assert_never`: the type checker proves that it
forgets none.  An operation's `types(args, declared)` gives the types of what it defines, or raises
MalformedNetwork; `Repeat` holds steps, so that its rule is in `hnlpu.model.network._infer`.
"""

from hnlpu.model.network.ops._hardwired import FromSums, Lookup, Project, Quantize
from hnlpu.model.network.ops._move import Concat, Gather, Permute, Reshape, Split, Window
from hnlpu.model.network.ops._pointwise import (
    Add,
    Compare,
    Divide,
    Function,
    InverseRoot,
    Maximum,
    Minimum,
    Mul,
    Shift,
    Sub,
    Table,
    Where,
)
from hnlpu.model.network.ops._reduce import ArgMax, Dot, Max, Outer, Sum, TopK
from hnlpu.model.network.ops._state import Read, Write
from hnlpu.model.network.ops._structure import Arg, Repeat, Step

Plain = (
    Project | Lookup
    | Quantize | FromSums
    | Add | Sub | Mul | Shift | Minimum | Maximum | Compare | Where | Table
    | Sum | Max | Dot | Outer | InverseRoot | Divide | TopK | ArgMax
    | Reshape | Permute | Split | Concat | Gather | Window
    | Read | Write
)  # fmt: skip
"""All but `Repeat`."""
Op = Plain | Repeat

__all__ = [
    "Add",
    "Arg",
    "ArgMax",
    "Compare",
    "Concat",
    "Divide",
    "Dot",
    "FromSums",
    "Function",
    "Gather",
    "InverseRoot",
    "Lookup",
    "Max",
    "Maximum",
    "Minimum",
    "Mul",
    "Op",
    "Outer",
    "Permute",
    "Plain",
    "Project",
    "Quantize",
    "Read",
    "Repeat",
    "Reshape",
    "Shift",
    "Split",
    "Step",
    "Sub",
    "Sum",
    "Table",
    "TopK",
    "Where",
    "Window",
    "Write",
]
