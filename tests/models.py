"""Architectures and placements for the tests of placement."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from helpers import make_config
from hnlpu.model.checkpoint import Architecture, matrix_shapes
from hnlpu.silicon.place import Embedding, Placement, Target, make_target, place

GPT_OSS_120B: dict[str, Any] = {
    "hidden": 2880, "intermediate": 2880, "layers": 36, "heads": 64, "kv_heads": 8, "head_dim": 64,
    "experts": 128, "active": 4, "vocab": 201088,
}  # fmt: skip


def architecture_of(**sizes: Any) -> Architecture:
    """An architecture by `helpers.make_config`'s names of sizes."""
    config = make_config(new_config=True, **sizes)
    known = {key: config[key] for key in Architecture.model_fields if key in config}
    known["num_local_experts"] = config["num_local_experts"]
    rope = dict(config["rope_parameters"])
    return Architecture.model_validate({**known, "eos_token_ids": (2,), "rope": rope})


def embeddings_of(
    architecture: Architecture, digits: int = 1, spread: int = 2, tracks: int = 0
) -> dict[str, Embedding]:
    """The same embedding for every matrix."""
    one = Embedding(digits, spread, tracks)
    return {shape.name: one for shape in matrix_shapes(architecture)}


def placed(architecture: Architecture, chips: int | None, **of: Any) -> tuple[Placement, Target]:
    """A model placed on `chips` of the n5 process, with what the target has beside."""
    target = make_target(chips=chips, **of)
    return place(matrix_shapes(architecture), embeddings_of(architecture), target), target


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    """Small ones of odd proportions: few or many heads, experts, chips that do not divide."""
    kv_heads = draw(st.sampled_from([1, 2, 3, 4, 6, 8]))
    head_dim = draw(st.sampled_from([4, 16, 20, 32, 64]))
    group = draw(st.integers(1, 4).filter(lambda n: n * kv_heads * head_dim % 32 == 0) | st.just(8))
    experts = draw(st.integers(1, 9))
    return architecture_of(
        hidden=32 * draw(st.integers(1, 7)), intermediate=32 * draw(st.integers(1, 4)),
        layers=draw(st.integers(1, 2)), heads=kv_heads * group, kv_heads=kv_heads,
        head_dim=head_dim, experts=experts, active=draw(st.integers(1, experts)),
        vocab=draw(st.integers(1, 200)),
    )  # fmt: skip
