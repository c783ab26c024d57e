"""models/NAME.toml -> `ModelShape`: what there is to hardwire of a published model.

A model is matrices in groups, each group stored in one weight format:

    attention   q, k, v, o (or the latent projections)     every layer
    router      one row an expert                          layers with experts
    experts     up, gate, down of each expert              layers with experts
    shared      experts that every token passes            layers with experts
    dense       up, gate, down                             layers without experts
    unembedding                                            once
    embedding   a table in memory, not hardwired           once
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hnlpu.quantities import Contradiction, DataTable, Quantity, Slug, SourceText, Title, Unit

Group = Literal["attention", "router", "experts", "shared", "dense", "unembedding", "embedding"]
Reach = Literal["sliding", "full"]
Count = Annotated[int, Field(ge=1, le=2**16)]
Width = Annotated[int, Field(ge=1, le=2**19)]


@dataclass(frozen=True)
class ShapedMatrix:
    """`count` equal matrices of `outputs` neurons by `inputs`; a token passes `active` of them."""

    name: str
    group: Group
    inputs: int
    outputs: int
    count: int = 1
    active: int = 1

    @property
    def weights(self) -> int:
        """Weights of all of them."""
        return self.count * self.inputs * self.outputs

    @property
    def active_weights(self) -> int:
        """Weights that one token meets."""
        return self.active * self.inputs * self.outputs


class Latent(DataTable):
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): ranks and head parts."""

    query_rank: Count
    kv_rank: Count
    rope_dim: Annotated[int, Field(ge=1, le=8192)]
    value_dim: Annotated[int, Field(ge=1, le=8192)]


def _all_positions() -> list[Reach]:
    return ["full"]


class Attention(DataTable):
    """Heads; `pattern` repeats over the layers and says which see only the last `window`."""

    heads: Annotated[int, Field(ge=1, le=4096)]
    kv_heads: Annotated[int, Field(ge=1, le=4096)]
    head_dim: Annotated[int, Field(ge=1, le=8192)]
    window: Count | None = None
    pattern: Annotated[list[Reach], Field(min_length=1)] = Field(default_factory=_all_positions)
    latent: Latent | None = None


class ExpertsShape(DataTable):
    """Routed and shared experts, from layer `first_layer` on."""

    count: Annotated[int, Field(ge=1, le=8192)]
    active: Annotated[int, Field(ge=1, le=64)]
    shared: Annotated[int, Field(ge=0, le=64)] = 0
    width: Width
    first_layer: Annotated[int, Field(ge=0, le=1024)] = 0


class Dense(DataTable):
    """The feed-forward network of layers without experts."""

    width: Width


class WeightFormat(DataTable):
    """How a group is stored: bits a weight, shared scales included."""

    format: Annotated[str, Field(pattern=r"^[a-z0-9]+$")]
    bits: Annotated[Quantity, Unit("bit/weight", 0.5, 64)]


class ModelShape(DataTable):
    """The architecture of a language model and the weight format of each group."""

    name: Slug
    title: Title
    source: SourceText
    layers: Annotated[int, Field(ge=1, le=1024)]
    hidden: Annotated[int, Field(ge=1, le=2**20)]
    vocabulary: Annotated[int, Field(ge=1, le=2**24)]
    positions: Annotated[int, Field(ge=1, le=4 * 10**7)]
    tied_embedding: bool = False
    attention: Attention
    experts: ExpertsShape | None = None
    dense: Dense | None = None
    formats: dict[Group, WeightFormat]

    @model_validator(mode="after")
    def _consistent(self) -> ModelShape:
        _check_attention(self.attention)
        if self.experts:
            _check_experts(self.experts, self.layers)
        if self.dense is None and (self.experts is None or self.experts.first_layer):
            raise Contradiction(("layers",), "some layers have neither experts nor a dense width")
        if self.dense and self.experts and not self.experts.first_layer:
            raise Contradiction(("dense", "width"), "every layer has experts; no layer is dense")
        used = {matrix.group for matrix in self.matrices()} | {"embedding"}
        if missing := sorted(used - self.formats.keys()):
            raise Contradiction(("formats",), f"lacks the format of {missing[0]}")
        if extra := sorted(self.formats.keys() - used):
            raise Contradiction(("formats", extra[0]), "the model has no such matrices")
        return self

    # -- layers ------------------------------------------------------------------------------

    @property
    def dense_layers(self) -> int:
        """Layers without experts; they come first."""
        return self.experts.first_layer if self.experts else self.layers

    @property
    def expert_count(self) -> int:
        """Routed experts of a layer, 0 where there are none."""
        return self.experts.count if self.experts else 0

    @property
    def most_columns(self) -> int:
        """Columns of chips that its heads can be shared out to."""
        return self.attention.heads

    @property
    def has_windows(self) -> bool:
        """Whether layers see only a window."""
        return any(self.window(layer) for layer in range(self.layers))

    def window(self, layer: int) -> int | None:
        """Positions that `layer` attends to at most; None for all."""
        pattern = self.attention.pattern
        return self.attention.window if pattern[layer % len(pattern)] == "sliding" else None

    def layer_matrices(self, layer: int) -> Iterator[ShapedMatrix]:
        """Matrices of one layer in the order in which a token meets them."""
        yield from _attention_matrices(self.hidden, self.attention)
        if layer < self.dense_layers:
            assert self.dense
            width = self.dense.width
            yield ShapedMatrix("up_gate", "dense", self.hidden, 2 * width)
            yield ShapedMatrix("down", "dense", width, self.hidden)
            return
        e = self.experts
        assert e
        yield ShapedMatrix("router", "router", self.hidden, e.count)
        yield ShapedMatrix("up_gate", "experts", self.hidden, 2 * e.width, e.count, e.active)
        yield ShapedMatrix("down", "experts", e.width, self.hidden, e.count, e.active)
        if e.shared:
            yield ShapedMatrix("up_gate", "shared", self.hidden, 2 * e.width, e.shared, e.shared)
            yield ShapedMatrix("down", "shared", e.width, self.hidden, e.shared, e.shared)

    def matrices(self) -> Iterator[ShapedMatrix]:
        """Every hardwired matrix of the model."""
        for layer in range(self.layers):
            yield from self.layer_matrices(layer)
        yield ShapedMatrix("unembedding", "unembedding", self.hidden, self.vocabulary)

    # -- sizes -------------------------------------------------------------------------------

    def weights(self) -> dict[Group, int]:
        """Weights of each hardwired group (the embedding table is memory, not metal)."""
        return _sum_by_group((m.group, m.weights) for m in self.matrices())

    @property
    def hardwired_weights(self) -> int:
        """Weights that become metal."""
        return sum(self.weights().values())

    @property
    def embedding_weights(self) -> int:
        """Weights of the embedding table, which stays in memory."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """All weights of matrices, as the model's name counts them (biases and norms left out)."""
        return self.hardwired_weights + (0 if self.tied_embedding else self.embedding_weights)

    @property
    def active_weights(self) -> int:
        """Hardwired weights that one token meets."""
        return sum(m.active_weights for m in self.matrices())

    def stored(self) -> list[tuple[int, float]]:
        """Weights of each hardwired group, and bits of one in the group's format."""
        return [(n, self.formats[group].bits.value) for group, n in self.weights().items()]

    def hardwired_bits(self) -> float:
        """Bits of all hardwired groups in their own format."""
        return sum(n * bits for n, bits in self.stored())

    def kv_values(self, layer: int) -> int:
        """Values that one layer caches for one position, keys and values together."""
        a = self.attention
        if a.latent:
            return a.latent.kv_rank + a.latent.rope_dim
        return 2 * a.kv_heads * a.head_dim

    def kv_values_per_position(self) -> int:
        """Values that all layers cache for one position inside every window."""
        return sum(self.kv_values(layer) for layer in range(self.layers))

    def kv_values_of_sequence(self, context: int) -> int:
        """Values cached for a sequence of `context` positions; windows drop what they left."""
        total = 0
        for layer in range(self.layers):
            window = self.window(layer)
            kept = context if window is None else min(context, window)
            total += kept * self.kv_values(layer)
        return total


def _sum_by_group(counts: Iterator[tuple[Group, int]]) -> dict[Group, int]:
    total: dict[Group, int] = {}
    for group, count in counts:
        total[group] = total.get(group, 0) + count
    return total


def _attention_matrices(hidden: int, a: Attention) -> Iterator[ShapedMatrix]:
    width = a.heads * a.head_dim
    if a.latent is None:
        yield ShapedMatrix("q", "attention", hidden, width)
        yield ShapedMatrix("k", "attention", hidden, a.kv_heads * a.head_dim)
        yield ShapedMatrix("v", "attention", hidden, a.kv_heads * a.head_dim)
        yield ShapedMatrix("o", "attention", width, hidden)
        return
    m = a.latent
    plain = a.head_dim - m.rope_dim
    yield ShapedMatrix("q_down", "attention", hidden, m.query_rank)
    yield ShapedMatrix("q_up", "attention", m.query_rank, width)
    yield ShapedMatrix("kv_down", "attention", hidden, m.kv_rank + m.rope_dim)
    yield ShapedMatrix("kv_up", "attention", m.kv_rank, a.heads * (plain + m.value_dim))
    yield ShapedMatrix("o", "attention", a.heads * m.value_dim, hidden)


def _check_attention(a: Attention) -> None:
    if a.heads % a.kv_heads:
        raise Contradiction(
            ("attention", "kv_heads"), f"{a.kv_heads} does not divide the {a.heads} heads"
        )
    if "sliding" in a.pattern and a.window is None:
        raise Contradiction(("attention", "pattern"), "has sliding layers but no window is given")
    if a.window is not None and "sliding" not in a.pattern:
        raise Contradiction(("attention", "window"), "no layer of the pattern is sliding")
    if a.latent and a.latent.rope_dim >= a.head_dim:
        raise Contradiction(
            ("attention", "latent", "rope_dim"),
            f"{a.latent.rope_dim} leaves nothing of the head dimension {a.head_dim}",
        )


def _check_experts(e: ExpertsShape, layers: int) -> None:
    if e.active > e.count:
        raise Contradiction(
            ("experts", "active"), f"{e.active} of {e.count} experts cannot be active"
        )
    if e.first_layer >= layers:
        raise Contradiction(
            ("experts", "first_layer"), f"{e.first_layer} is beyond the {layers} layers"
        )
