"""Experts: layers that have them, and the banks that hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from pydantic import Field, model_validator

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.model.families._config import SIZE_LIMIT
from hnlpu.model.families._decoder import StandardConfig
from hnlpu.model.families._parts import GATES, Activation, linear
from hnlpu.model.families._per_layer import SPARSE, Axis
from hnlpu.model.network import Builder, Cut, Matrix, Slice, Source, Stack, Tensor, Value
from hnlpu.model.network.composites import glu, moe

PROJECTIONS = ("gate_proj", "up_proj", "down_proj")
"""What most families call the matrices of an expert."""


def check_chosen(chosen: int, count: int, names: tuple[str, str]) -> None:
    """Raises ValueError where more experts are chosen than there are."""
    if chosen > count:
        raise ValueError(f"{names[0]} {chosen} exceeds {names[1]} {count}")


class SparseLayersConfig(StandardConfig):
    """Qwen's rule: which layers have experts, and which are dense."""

    varying: ClassVar[Mapping[Axis, str]] = SPARSE

    moe_intermediate_size: int = Field(ge=1, le=SIZE_LIMIT)
    num_experts: int = Field(ge=1, le=8192)
    num_experts_per_tok: int = Field(ge=1, le=8192)
    norm_topk_prob: bool = False
    decoder_sparse_step: int = Field(1, ge=1)
    mlp_only_layers: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _experts_are_there(self) -> Self:
        names = ("num_experts_per_tok", "num_experts")
        check_chosen(self.num_experts_per_tok, self.num_experts, names)
        return self

    @property
    def expert_sizes(self) -> tuple[int, int, int]:
        """Experts, numbers in, and neurons of each."""
        return self.num_experts, self.hidden_size, self.moe_intermediate_size

    def is_sparse(self, layer: int) -> bool:
        """Whether a layer has experts."""
        return layer not in self.mlp_only_layers and (layer + 1) % self.decoder_sparse_step == 0


def bank(name: str, source: Source, count: int, rows: int, columns: int) -> Matrix:
    """A matrix [rows, columns] of each of `count` experts."""
    return Matrix(
        name, rows, columns, "experts", Cut("members"), source, members=count,
        padding=-columns % BLOCK,
    )  # fmt: skip


def stacked(prefix: str, names: Sequence[str], count: int, width: int, inner: int) -> list[Matrix]:
    """Banks of gate, up and down whose experts lie as a tensor each, by these names."""
    shapes = ((inner, width), (inner, width), (width, inner))
    made = []
    for name, (rows, columns) in zip(names, shapes, strict=True):
        tensors = (
            Tensor(f"{prefix}experts.{n}.{name}.weight", (rows, columns)) for n in range(count)
        )
        source = Stack(tuple(tensors))
        made.append(bank(f"{prefix}experts.{name}", source, count, rows, columns))
    return made


def packed(prefix: str, names: tuple[str, str], count: int, width: int, inner: int) -> list[Matrix]:
    """Banks of gate, up and down from one tensor of gates before ups, and one of downs."""
    both = Tensor(f"{prefix}{names[0]}.weight", (count, 2 * inner, width))
    down = Tensor(f"{prefix}{names[1]}.weight", (count, width, inner))
    return [
        bank(f"{prefix}experts.gate_proj", Slice(both, 1, 0, inner), count, inner, width),
        bank(f"{prefix}experts.up_proj", Slice(both, 1, inner, 2 * inner), count, inner, width),
        bank(f"{prefix}experts.down_proj", down, count, width, inner),
    ]


@dataclass(frozen=True)
class Routing:
    """How experts are chosen and weighed: `route` says what the switches mean."""

    chosen: int
    share_first: bool = False
    normalise: bool = True


def gated_experts(
    b: Builder, banks: Sequence[Matrix], act: Activation = "silu"
) -> Callable[[Value, Value], Value]:
    """The gated experts of banks of gate, up and down: of x [n] and the chosen, outputs [k, n]."""
    gate, up, down = (b.matrix(matrix) for matrix in banks)

    def experts(x: Value, chosen: Value) -> Value:
        return glu(x, gate, up, down, by=GATES[act], chosen=chosen)

    return experts


def mixture(
    h: Value, router: str, banks: Sequence[Matrix], by: Routing, act: Activation = "silu"
) -> Value:
    """The mixture of gated experts for h [n]; `router` names the router's tensor."""
    b, (width,) = h.builder, h.sizes
    chooser = b.matrix(linear(router, banks[0].count, width, "router", Cut("copy")))
    experts = gated_experts(b, banks, act)
    return moe(h, chooser, by.chosen, experts, share_first=by.share_first, normalise=by.normalise)
