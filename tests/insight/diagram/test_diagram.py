"""Drawings of networks: complete, legible, well-formed, and true to how blocks repeat."""

from __future__ import annotations

import importlib.util
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stacked import KINDS, faults, stacked, texts

from hnlpu.errors import MalformedNetwork
from hnlpu.insight.diagram import draw, drawing
from hnlpu.insight.diagram._layers import layered
from hnlpu.insight.diagram._marks import LineMark, Mark, RectMark, TextMark
from hnlpu.insight.diagram._model import Panel, all_rows
from hnlpu.insight.diagram._repeats import Pattern, RepeatedUnit, pattern, stacks
from hnlpu.insight.diagram._spread import spread
from hnlpu.model.families import network_of
from hnlpu.model.network import Network, check, dump, load
from network_samples import every_operation, networks

ROOT = Path(__file__).parents[3]


def models() -> dict[str, dict[str, Any]]:
    spec = importlib.util.spec_from_file_location("tables", ROOT / "scripts/network_tables.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        spec.loader.exec_module(module)
    mixed = {
        "model_type": "qwen3_moe", "vocab_size": 151936, "hidden_size": 2048,
        "intermediate_size": 6144, "moe_intermediate_size": 768, "num_hidden_layers": 12,
        "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128, "num_experts": 128,
        "num_experts_per_tok": 8, "mlp_only_layers": [0, 5], "tie_word_embeddings": True,
    }  # fmt: skip
    uneven = {
        "model_type": "gru", "vocab_size": 64, "hidden_size": 96, "num_hidden_layers": 3,
        "embedding_size": 32,
    }  # fmt: skip
    return {**module.MODELS, "mixed": mixed, "uneven": uneven}


MODELS = models()
SEQUENCES = st.lists(st.integers(0, KINDS - 1), min_size=1, max_size=9)


def declared(network: Network) -> list[str]:
    things = (*network.matrices, *network.parameters, *network.states)
    return [thing.name for thing in things]


def expect_all_once(network: Network) -> None:
    panel, *_ = drawing(network, "x")
    shown = Counter(name for row in all_rows(panel) for name in row.names)
    assert shown == Counter(declared(network))


@pytest.mark.parametrize("name", MODELS)
def test_models_are_drawn_whole_and_legibly(name: str) -> None:
    network = network_of(MODELS[name])
    expect_all_once(network)
    _, marks, width, height = drawing(network, name)
    assert faults(marks, width, height) == []
    written = " ".join(text.text for text in texts(marks))
    weights = sum(m.count * m.rows * m.columns for m in network.matrices)
    assert f"{weights:,} weights in metal" in written
    for matrix in network.matrices:
        assert f"{matrix.rows} × {matrix.columns}" in written, matrix.name


@settings(max_examples=25, deadline=None)
@given(SEQUENCES)
def test_stacks_of_any_kinds(sequence: list[int]) -> None:
    network = stacked(sequence)
    expect_all_once(network)
    _, marks, width, height = drawing(network, "x")
    assert faults(marks, width, height) == []
    (stack,) = stacks(network, check(network), {})
    first = list(dict.fromkeys(sequence))
    assert stack.sequence == tuple(first.index(kind) for kind in sequence)
    assert [b for k in stack.kinds for b in k.blocks] == sorted(
        range(len(sequence)), key=lambda n: (first.index(sequence[n]), n)
    )


@settings(max_examples=15, deadline=None)
@given(networks(), st.booleans())
def test_every_operation_is_drawn(network: Network, with_spans: bool) -> None:
    network = network if with_spans else replace(network, spans=())
    expect_all_once(network)
    _, marks, width, height = drawing(network, "x")
    assert faults(marks, width, height) == []


def test_the_checks_of_drawings_can_fail() -> None:
    wire = LineMark(((0, 5), (90, 5)), "wire")
    a, b = TextMark(10, 9, "one", "row"), TextMark(12, 10, "two", "row")
    box = RectMark(20, 0, 30, 30, "box")
    bad: list[Mark] = [wire, a, b, box, replace(box, x=40), RectMark(25, 5, 60, 60, "frame")]
    found = " ".join(faults(bad, 15, 50))
    for part in ("upon", "is cut", "leaves", "boxes cross", "a line through", "crosses the frame"):
        assert part in found


def expand(parts: Pattern) -> tuple[int, ...]:
    found: list[int] = []
    for part in parts:
        found += expand(part.unit) * part.times if isinstance(part, RepeatedUnit) else (part,)
    return tuple(found)


@given(st.lists(st.integers(0, 3), max_size=40))
def test_a_pattern_says_the_sequence(sequence: list[int]) -> None:
    assert expand(pattern(sequence)) == tuple(sequence)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.integers(2, 30))
def test_what_alternates_is_found_at_its_shortest(unit: list[int], times: int) -> None:
    (found,) = pattern(unit * times)
    assert isinstance(found, RepeatedUnit)
    length = len(expand(found.unit))
    whole = unit * times
    periods = [
        p
        for p in range(1, len(whole))
        if len(whole) % p == 0 and whole[:p] * (len(whole) // p) == whole
    ]
    assert length == periods[0]
    assert found.times == len(whole) // length


@pytest.mark.parametrize(
    ("sequence", "text"),
    [([0, 1] * 12, "(A B) × 12"), ([2] * 5, ""), ([0, 2, 2, 2, 0, 2, 2, 2, 5], "(A B × 3) × 2 C")],
)
def test_the_pattern_is_written_on_the_frame(sequence: list[int], text: str) -> None:
    _, marks, _, _ = drawing(stacked(sequence), "x")
    written = [mark.text for mark in texts(marks)]
    assert f"{len(sequence)} blocks" in written
    assert not text or text in written


def test_blocks_that_differ_in_figures_share_a_panel() -> None:
    panel, *_ = drawing(stacked([0, 1, 0, 1]), "x")
    (frame,) = [box for box in panel.boxes if box.panels]
    assert len(frame.panels) == 1
    lines = [line for row in all_rows(panel) for line in row.lines if "keys" in line]
    assert [line.split(":")[0] for line in lines] == ["A", "B"]
    assert "last 7" in lines[1]
    assert "last" not in lines[0]
    several, *_ = drawing(stacked([0, 2, 0, 2]), "x")
    (frame,) = [box for box in several.boxes if box.panels]
    assert len(frame.panels) == 2


def test_other_digits_make_another_kind() -> None:
    network = stacked([2, 2, 2])
    notes = {m.name: "1 digit" for m in network.matrices} | {"layers.1.up": "2 digits"}
    _, marks, _, _ = drawing(network, "x", notes)
    written = [mark.text for mark in texts(marks)]
    assert "A B A" in written
    assert written[written.index("A: up") + 1] == "64 × 32, 1 digit"
    assert written[written.index("B: up") + 1] == "64 × 32, 2 digits"


def test_the_stream_is_a_straight_line() -> None:
    panel, marks, _, _ = drawing(network_of(MODELS["gpt-oss-20b"]), "x")
    (frame,) = [box for box in panel.boxes if box.panels]
    (inner,) = frame.panels
    layers = layered(inner)
    sums = [n for n, box in enumerate(inner.boxes) if box.shape == "add"]
    assert len(sums) == 2
    assert set(sums) <= layers.stream
    for layer in layers.layers:
        held = [n in layers.stream for n in layer]
        assert held == sorted(held, reverse=True)
    places = Counter(
        x for m in marks if isinstance(m, LineMark) and m.style == "stream" for x, _ in m.points
    )
    assert places.most_common(1)[0][1] > 20


@given(
    st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(0, 50)), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_places_keep_their_distance_and_are_the_nearest(places: Any, random: Any) -> None:
    wanted, gaps = zip(*places, strict=True)
    found = spread(wanted, gaps)
    assert all(b - a >= gap - 1e-6 for a, b, gap in zip(found, found[1:], gaps[1:], strict=False))
    cost = sum((a - b) ** 2 for a, b in zip(found, wanted, strict=True))
    for _ in range(20):  # no other places that keep the distances are nearer
        other = [place + random.uniform(-5, 5) for place in found]
        if all(b - a >= gap for a, b, gap in zip(other, other[1:], gaps[1:], strict=False)):
            assert sum((a - b) ** 2 for a, b in zip(other, wanted, strict=True)) >= cost - 1e-6


def test_the_file_is_plain_svg() -> None:
    trap = "<script>alert('x')</script> & \x07 ]]>"
    text = draw(every_operation(), trap)
    root = ET.fromstring(text)
    tags = {element.tag.removeprefix("{http://www.w3.org/2000/svg}") for element in root.iter()}
    assert tags == {"svg", "title", "desc", "rect", "path", "circle", "text", "metadata"}
    for element in root.iter():
        assert not [k for k in element.attrib if k.startswith("on") or "href" in k or k == "style"]
    ground = root[3]  # behind title, desc and metadata
    assert ground.attrib["fill"] == "#ffffff"
    assert ground.attrib["width"] == root.attrib["width"]


def test_the_text_form_draws_the_same() -> None:
    network = network_of(MODELS["mixed"])
    assert draw(load(dump(network)), "x") == draw(network, "x")


def test_a_long_chain_without_blocks() -> None:
    network = stacked([4] * 300)
    plain = replace(
        network, spans=(), steps=tuple(replace(s, block=None) for s in network.steps),
        matrices=tuple(replace(m, block=None) for m in network.matrices),
        parameters=tuple(replace(p, block=None) for p in network.parameters),
    )  # fmt: skip
    expect_all_once(plain)


def test_a_malformed_network_is_refused() -> None:
    network = stacked([2])
    with pytest.raises(MalformedNetwork, match="step 0"):
        draw(replace(network, inputs=()), "x")


def test_a_shared_matrix_is_drawn_once() -> None:
    network = stacked([4, 2])
    (gate,) = [m for m in network.matrices if m.name.endswith("gate")]
    shared = replace(network, matrices=tuple(replace(m, block=None) for m in network.matrices))
    expect_all_once(shared)
    assert gate.block == 1


def frames(panel: Panel) -> int:
    return sum(1 + sum(map(frames, box.panels)) for box in panel.boxes if box.panels)


def test_composites_with_matrices_in_parts_are_opened() -> None:
    panel, *_ = drawing(stacked([3, 3]), "x")
    assert frames(panel) == 2  # the blocks, and the mixture in them
    panel, *_ = drawing(stacked([5, 5]), "x")
    assert frames(panel) == 1  # what keeps a state is one box
