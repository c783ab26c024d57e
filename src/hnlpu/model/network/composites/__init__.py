"""Composites: parts of networks, each defined by the steps that it expands into.

Each is a function of values that writes its steps inside a named span.  A consumer may do a span at
once where its result equals that of the steps.
"""

from hnlpu.model.network.composites._attend import attend
from hnlpu.model.network.composites._beside import (
    LowRankPart,
    down_name,
    up_name,
    with_low_rank,
)
from hnlpu.model.network.composites._causal_conv import causal_conv
from hnlpu.model.network.composites._delta_rule import delta_rule
from hnlpu.model.network.composites._dense import dense, dense_all
from hnlpu.model.network.composites._glu import Gate, clamped_swiglu, glu, silu
from hnlpu.model.network.composites._gru import gru
from hnlpu.model.network.composites._held import check_composites
from hnlpu.model.network.composites._lif import Reset, leaky, lif
from hnlpu.model.network.composites._low_rank import low_rank
from hnlpu.model.network.composites._moe import moe, route
from hnlpu.model.network.composites._norm import layer_norm, norm, unit_norm
from hnlpu.model.network.composites._retention import linear_attention, retention
from hnlpu.model.network.composites._rope import rope, turns
from hnlpu.model.network.composites._route_groups import route_groups
from hnlpu.model.network.composites._selective_scan import selective_scan
from hnlpu.model.network.composites._softmax import softmax
from hnlpu.model.network.composites._ssm_scan import ssm_scan
from hnlpu.model.network.composites._wkv import wkv
from hnlpu.model.network.composites._wkv7 import wkv7

__all__ = [
    "Gate",
    "LowRankPart",
    "Reset",
    "attend",
    "causal_conv",
    "check_composites",
    "clamped_swiglu",
    "delta_rule",
    "dense",
    "dense_all",
    "down_name",
    "glu",
    "gru",
    "layer_norm",
    "leaky",
    "lif",
    "linear_attention",
    "low_rank",
    "moe",
    "norm",
    "retention",
    "rope",
    "route",
    "route_groups",
    "selective_scan",
    "silu",
    "softmax",
    "ssm_scan",
    "turns",
    "unit_norm",
    "up_name",
    "with_low_rank",
    "wkv",
    "wkv7",
]
