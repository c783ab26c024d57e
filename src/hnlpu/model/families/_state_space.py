"""What state-space models share: the convolution before a scan, and Mamba-2's whole mixer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hnlpu.model.families._parts import linear, weights
from hnlpu.model.network import Builder, Cut, Reshaped, Tensor, Value, ops
from hnlpu.model.network.composites import causal_conv, dense, norm, silu, ssm_scan


def vector(b: Builder, name: str, *shape: int) -> Value:
    """A parameter kept in memory under its tensor's own name."""
    return b.parameter(name, shape, Tensor(name, shape))


def convolved(x: Value, name: str, length: int, *, bias: bool) -> Value:
    """x [channels] through the short convolution that torch.nn.Conv1d keeps under a name."""
    b, (channels,) = x.builder, x.sizes
    kernel, shape = Tensor(f"{name}.weight", (channels, 1, length)), (channels, length)
    weight = b.parameter(f"{name}.weight", shape, Reshaped(kernel, shape))
    return causal_conv(x, weight, vector(b, f"{name}.bias", channels) if bias else None)


def time_step_limit(given: Any) -> Any:
    """Bounds of the time step; an upper one of infinity, in any of its spellings, is None."""
    if not isinstance(given, list | tuple) or len(given) != 2:
        return given
    ends = [end.get("__float__") if isinstance(end, dict) else end for end in given]
    no_end = ends[1] in (None, float("inf"), "inf", "Infinity")
    return ends[0], None if no_end else ends[1]


@dataclass(frozen=True)
class StateSpace:
    """Sizes and switches of a Mamba-2 mixer.

    `least` and `most` bound the time step.  `norm_eps` is of the norm behind the gate, in
    `norm_groups` runs; None where there is no such norm.
    """

    heads: int
    head_dim: int
    groups: int
    state_size: int
    conv_kernel: int
    norm_eps: float | None
    norm_groups: int
    bias: bool
    conv_bias: bool
    least: float = 0.0
    most: float | None = None

    @property
    def inner(self) -> int:
        """Width of all heads together."""
        return self.heads * self.head_dim


def mamba2_mixer(h: Value, prefix: str, s: StateSpace) -> Value:
    """Mamba-2 in place of attention: a convolution, a scan, a gate, perhaps a norm.

    h ─► in ─┬ z ───────────────────────────► silu ─► * ─► norm ─► out
             ├ x B C ─► convolution ─► silu ─► scan ──┘
             └ dt ─► softplus ─────────────────┘
    """
    b, inner, heads, shared = h.builder, s.inner, s.heads, s.groups * s.state_size
    (width,) = h.sizes
    into, out = (
        b.matrix(linear(prefix + name, rows, columns, "mixer", Cut("rows"), bias=s.bias))
        for name, rows, columns in (
            ("in_proj", 2 * inner + 2 * shared + heads, width), ("out_proj", width, inner),
        )
    )  # fmt: skip
    gate, mixed, dt = dense(h, into).split(inner, inner + 2 * shared, heads)
    mixed = silu(convolved(mixed, prefix + "conv1d", s.conv_kernel, bias=s.conv_bias))
    x, b_in, c_out = mixed.split(inner, shared, shared)
    dt = (dt + vector(b, prefix + "dt_bias", heads)).table("softplus")
    dt = b.step(ops.Maximum(), dt, s.least) if s.least > 0 else dt
    dt = b.step(ops.Minimum(), dt, s.most) if s.most is not None else dt
    groups = (s.groups, s.state_size)
    y = ssm_scan(
        x.reshape(heads, s.head_dim), dt, vector(b, prefix + "A_log", heads).table("exp", -1.0),
        b_in.reshape(*groups), c_out.reshape(*groups), vector(b, prefix + "D", heads),
    )  # fmt: skip
    y = y.reshape(inner) * silu(gate)
    if s.norm_eps is None:
        return dense(y, out)
    rows = (s.norm_groups, inner // s.norm_groups)
    weight = weights(b, prefix + "norm", inner).reshape(*rows)
    return dense(norm(y.reshape(*rows), weight, s.norm_eps).reshape(inner), out)
