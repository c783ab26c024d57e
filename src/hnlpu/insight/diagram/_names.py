"""What boxes are called: the field's names of composites, and of plain operations."""

from __future__ import annotations

from collections.abc import Sequence

from hnlpu.model.network import Span, Step, op_name, ops

COMPOSITES = {
    "attend": "attention", "causal_conv": "causal convolution", "clamped_swiglu": "clamped SwiGLU",
    "delta_rule": "gated delta rule", "dense": "linear", "glu": "gated feed-forward",
    "gru": "gated recurrent unit", "layer_norm": "layer norm",
    "linear_attention": "linear attention", "moe": "mixture of experts", "norm": "RMS norm",
    "rope": "rotary embedding", "route": "choose experts",
    "route_groups": "choose experts by groups", "selective_scan": "selective scan", "silu": "SiLU",
    "ssm_scan": "state-space scan", "turns": "angles of the position", "unit_norm": "unit norm",
    "wkv": "WKV", "wkv7": "WKV of RWKV-7",
}  # fmt: skip
"""Standard names; a composite that is not here is called what it is called."""

_SIGNS = {"add": "+", "sub": "−", "mul": "×", "divide": "÷", "inverse_root": "1/√",
          "dot": "sum of products", "outer": "outer product"}  # fmt: skip
_MOVES = ("reshape", "permute", "split", "concat")


def title_of(span: Span) -> tuple[str, str]:
    """Title of a composite, and those of its options that are lengths or names."""
    title = COMPOSITES.get(span.composite, span.composite.replace("_", " "))
    shown = [
        f"{name} = {value}"
        for name, value in span.options
        if not isinstance(value, bool | float) and value not in (0, "")
    ]
    return title, ", ".join(shown)


def op_title(steps: Sequence[Step], sort: str) -> tuple[str, str]:
    """Title of steps outside of any composite, and what they do."""
    named: list[str] = []
    for step in steps:
        op = step.op
        match op:
            case ops.Table(function=function):
                named.append(function)
            case ops.Read(state, when):
                named.append(f"read {state.rpartition('.')[2]} {when} its write")
            case ops.Write(state):
                named.append(f"write {state.rpartition('.')[2]}")
            case ops.Repeat(ticks=ticks):
                named.append(f"up to {ticks} times")
            case _:
                named.append(_SIGNS.get(op_name(op), op_name(op).replace("_", " ")))
    if sort == "wires":
        return "linear", ""
    if sort == "memory":
        return "look up", ""
    different = list(dict.fromkeys(named))
    told = [name for name in different if name not in _MOVES] or different
    return ", ".join(told[:4]) + (" ..." if len(told) > 4 else ""), ""
