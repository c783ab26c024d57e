"""Policies: presets, changes, refusals."""

import pytest

from hnlpu.errors import InvalidInput
from hnlpu.model.policy import PRESETS, make_policy


def test_paper_preset_is_one_digit_and_eight_bits():
    paper = make_policy("paper")
    assert paper.activation_bits == 8
    assert {paper.format_of(r) for r in ("attention", "router", "unembedding")} == {"mxfp4"}


def test_none_leaves_a_field():
    assert make_policy("default", attention=None, activation_bits=None) == PRESETS["default"]


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("fast", {}),
        ("default", {"attention": "fp8"}),
        ("default", {"experts": "native"}),
        ("default", {"activation_bits": 1}),
        ("default", {"activation_bits": 17}),
        ("default", {"max_spread": -1}),
        ("default", {"max_spread": 21}),
    ],
)
def test_nonsense_is_refused(preset, changes):
    with pytest.raises(InvalidInput):
        make_policy(preset, **changes)


@pytest.mark.parametrize(
    "changes", [{"atention": "mxfp4"}, {"requantize": "no"}, {"max_spread": True}]
)
def test_misspelt_and_mistyped_fields_are_refused(changes):
    with pytest.raises(InvalidInput):
        make_policy("default", **changes)
