"""A span is its composite: other steps under its name, or other options, are refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hnlpu.errors import MalformedNetwork
from hnlpu.model.families import network_of
from hnlpu.model.network import Builder, Given, Input, Tensor, check, dump, load, ops
from hnlpu.model.network.composites import (
    attend,
    check_composites,
    low_rank,
    norm,
    rope,
    route,
    silu,
    turns,
)
from hnlpu.model.network.composites._held import WRITTEN

CHECKPOINTS = Path(__file__).parents[3] / "checkpoints"


def network():
    """A network with most of the composites that are done at once."""
    return network_of(json.loads((CHECKPOINTS / "stdlib-140k" / "config.json").read_text()))


def refused(broken) -> str:
    check(broken)  # it keeps every other rule
    with pytest.raises(MalformedNetwork) as caught:
        check_composites(broken)
    assert caught.value.rule == "composite"
    return str(caught.value)


def test_what_families_write_is_held_and_survives_its_text_form():
    whole = network()
    assert {"attend", "norm", "rope", "route", "clamped_swiglu"} <= {
        span.composite for span in whole.spans
    }
    check_composites(load(dump(whole)))


@pytest.mark.parametrize(
    "composite", ["attend", "norm", "rope", "route", "clamped_swiglu", "softmax", "turns"]
)
def test_another_option_is_refused(composite):
    whole = network()
    number, span = next(
        (n, s) for n, s in enumerate(whole.spans) if s.composite == composite and s.options
    )
    name, value = span.options[0]
    other = (not value) if isinstance(value, bool) else value + 1
    options = ((name, other), *span.options[1:])
    spans = (*whole.spans[:number], replace(span, options=options), *whole.spans[number + 1 :])
    assert span.name in refused(replace(whole, spans=spans))


def test_other_steps_under_a_name_are_refused():
    b = Builder("ours")
    x = b.input(Input("x", "data", (4, 8), "real"))
    with b.span("silu"):
        y = x * x.table("tanh")
    assert "silu" in refused(b.finish(y))


def test_interleaved_rope_is_no_rope():
    b = Builder("ours")
    x = b.input(Input("x", "data", (2, 8), "real"))
    cos, sin = turns(b.position(), b.parameter("f", (4,), Given((1.0, 0.5, 0.25, 0.1), (4,))))
    with b.span("rope", pairs=4):
        even, odd = (half.reshape(2, 4) for half in x.reshape(2, 4, 2).split(1, 1))
        y = b.step(ops.Concat(), even * cos - odd * sin, odd * cos + even * sin)
    assert "rope" in refused(b.finish(y))


def test_an_inner_value_that_others_take_is_refused():
    b = Builder("ours")
    x = b.input(Input("x", "data", (8,), "real"))
    y = silu(x)
    inner = b.draft()[0][0].outs[0]
    found = b.finish(y)
    assert inner != y.name
    check_composites(found)
    assert "silu" in refused(replace(found, outputs=(*found.outputs, inner)))


def test_one_value_for_several_arguments_is_not_taken_for_another():
    b = Builder("ours")
    x = b.input(Input("x", "data", (2, 8), "real"))
    refused(b.finish(attend(x, x, x, scale=1.0)))


A, B = Tensor("a", (4, 8, 3)), Tensor("b", (4, 3, 5))


def test_each_is_written_again():
    """Every composite that is held here is one that some network of ours has, or is tried here."""
    b = Builder("ours")
    x = b.input(Input("x", "data", (8,), "real"))
    w = b.parameter("w", (8,), Given((1.0,) * 8, (8,)))
    shares, chosen = route(norm(x, w, 1e-5), 2, share_first=True, normalise=False)
    heads = b.input(Input("h", "data", (2, 8), "real"))
    turned = rope(heads, turns(b.position(), b.parameter("f", (2,), Given((1.0, 0.5), (2,)))))
    y = b.input(Input("y", "data", (2, 5), "real"))
    down, up = b.parameter("a", (4, 8, 3), A), b.parameter("b", (4, 3, 5), B)
    added = low_rank(x, y, down, up, 2.0, chosen=chosen)
    check_composites(b.finish(shares, chosen, turned, added))
    assert set(WRITTEN) == {
        "attend", "causal_conv", "clamped_swiglu", "layer_norm", "low_rank", "norm", "rope", "route",
        "silu", "softmax", "ssm_scan", "turns", "unit_norm",
    }  # fmt: skip
