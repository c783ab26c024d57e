"""Where states lie, and how many fit."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hnlpu.errors import InvalidInput
from hnlpu.model.families import network_of
from hnlpu.model.network import Append, Builder, Given, Network, Replace, Ring
from hnlpu.run.engine import Engine, Limits
from hnlpu.run.engine._layout import PAGE, Paged, Room, StateLayout, Whole, layout_of, room_of
from hnlpu.run.engine._memory import StateMemory
from hnlpu.run.engine._slots import INITIAL

CONFIGS: dict[str, dict[str, Any]] = {
    "gpt-oss-20b": {
        "model_type": "gpt_oss", "vocab_size": 201088, "hidden_size": 2880,
        "intermediate_size": 2880, "num_hidden_layers": 24, "num_attention_heads": 64,
        "num_key_value_heads": 8, "head_dim": 64, "num_local_experts": 32,
        "num_experts_per_tok": 4, "sliding_window": 128,
    },
    "Mamba-2 130M": {
        "model_type": "mamba2", "vocab_size": 50288, "hidden_size": 768, "num_hidden_layers": 24,
        "num_heads": 24, "head_dim": 64, "state_size": 128, "n_groups": 1,
        "tie_word_embeddings": True,
    },
}  # fmt: skip


def test_keys_lie_across_and_values_along() -> None:
    layout = layout_of(network_of(CONFIGS["gpt-oss-20b"]))
    assert not layout.whole
    keys, values, *_ = layout.paged
    assert (keys.shape, keys.axis) == ((8, 64, PAGE), 2)
    assert (values.shape, values.axis) == ((8, PAGE, 64), 1)
    assert [state.window for state in layout.paged[:4]] == [128, 128, None, None]
    memory = StateMemory(layout, Room(3, 0))
    assert [stack.shape[:2] for stack in memory.stacks] == [(24, 3)] * 2  # as the C kernels take it
    for layer, (k, v) in enumerate(zip(layout.paged[::2], layout.paged[1::2], strict=True)):
        assert np.shares_memory(memory.pages[k.name], memory.stacks[0][layer])
        assert np.shares_memory(memory.pages[v.name], memory.stacks[1][layer])


def test_the_sizes_that_the_documentation_names() -> None:
    page = (Path(__file__).parents[3] / "docs" / "serving.md").read_text()
    oss, mamba = (layout_of(network_of(config)) for config in CONFIGS.values())
    assert oss.page_bytes == 2 * 4 * PAGE * 24 * 8 * 64
    assert mamba.slot_bytes == 4 * 24 * (4 * (24 * 64 + 2 * 128) + 24 * 64 * 128)
    assert f"A page of gpt-oss-20b has {oss.page_bytes:,} bytes" in page
    assert f"a slot of Mamba-2 130M {mamba.slot_bytes / 1e6:.1f} MB" in page


def all_kinds() -> Network:
    b = Builder("kinds")
    x = b.lookup(b.parameter("table", (5, 3, 2), _given(5, 3, 2)), b.token())
    for n, keeps in enumerate((Append(), Append(5), Ring(4), Replace())):
        state = b.state(f"s{n}", (3, 2), keeps, initial=0.5 * n)
        b.write(state, x)
        read = b.read(state)
        x = x + (read if n == 3 else read.max(0))
    return b.finish(x)


def _given(*shape: int) -> Any:
    return Given((1.0,) * prod(shape), shape)


@given(ends=st.lists(st.integers(1, 20), min_size=1, max_size=4), seed=st.integers(0, 9))
def test_what_is_scattered_is_gathered(ends: list[int], seed: int) -> None:
    """Against a list of entries, on pages in any order, with strangers beside."""
    layout = layout_of(all_kinds())
    random = np.random.default_rng(seed)
    memory = StateMemory(layout, Room(8, 3))
    for array in (*memory.pages.values(), *memory.whole.values()):
        array[1:] = random.normal(size=array[1:].shape)
    start = memory.gather(np.zeros(0, np.int64), INITIAL, 0)
    assert [len(start[f"s{n}"]) for n in range(4)] == [0, 0, 4, 1]
    assert (start["s2"] == 1.0).all()
    assert (start["s3"] == 1.5).all()
    table = random.permutation(8)
    written = np.zeros((0, 3, 2), np.float32)
    for slot, count in enumerate(ends, 1):
        position = len(written)
        new = random.normal(size=(count, 3, 2)).astype(np.float32)
        written = np.concatenate([written, new])
        kept = {"s0": written, "s1": written[-5:], "s2": new[:1].repeat(4, 0), "s3": new[-1:]}
        memory.scatter(table, slot % 3 + 1, position, len(written), kept)
        found = memory.gather(table, slot % 3 + 1, len(written))
        for name, entries in kept.items():
            assert found[name].tobytes() == entries.tobytes(), name


@given(
    page=st.integers(0, 50), slot=st.integers(0, 50), memory=st.integers(1, 5000),
    sequences=st.integers(1, 9), longest=st.integers(1, 200),
)  # fmt: skip
def test_what_fits_is_no_more_than_there_is(
    page: int, slot: int, memory: int, sequences: int, longest: int
) -> None:
    layout = StateLayout(
        (Paged("a", (page, PAGE), 1, None),) if page else (),
        (Whole("b", (1, slot), 0.0),) if slot else (),
    )
    room = room_of(layout, memory, sequences, longest)
    if room is None:  # then not even one sequence has a page and two slots
        assert memory < layout.page_bytes + 3 * layout.slot_bytes or not page
        assert memory < 2 * layout.slot_bytes or page
        return
    assert room.pages * layout.page_bytes + room.slots * layout.slot_bytes <= memory
    assert bool(room.pages) == bool(page)
    assert room.slots >= 2 or not slot


def test_too_little_memory_is_said_in_a_line(model: Any) -> None:
    with pytest.raises(
        InvalidInput, match=r"`cache_bytes` 9: a page of 16 tokens has \d+; give more"
    ):
        Engine(model, Limits(cache_bytes=9))
