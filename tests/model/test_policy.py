"""Policies: presets, changes, refusals."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hnlpu.errors import InvalidData, InvalidInput
from hnlpu.model.policy import FORMATS, PRESETS, make_policy, read_policy, write_policy


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


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1)


@settings(max_examples=25)
@given(
    attention=st.sampled_from(FORMATS), dense=st.none() | st.sampled_from(FORMATS),
    bits=st.integers(2, 16), requantize=st.booleans(),
    matrices=st.dictionaries(NAMES, st.sampled_from(FORMATS), max_size=3),
    remarks=st.lists(st.text(st.characters(categories=["L", "N", "P"])), max_size=2),
)  # fmt: skip
def test_a_policy_file_says_the_policy(
    tmp_path_factory, attention, dense, bits, requantize, matrices, remarks
):
    policy = make_policy(
        attention=attention, dense=dense, activation_bits=bits, requantize=requantize,
        matrices=tuple(matrices.items()),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("policy") / "policy.toml"
    path.write_text(write_policy(policy, tuple(remarks)), "utf-8")
    assert make_policy("paper", **read_policy(path)) == make_policy(
        "paper", **(policy.model_dump() | {"matrices": policy.matrices})
    )


def test_a_policy_file_changes_what_it_names(tmp_path):
    (tmp_path / "p.toml").write_text('experts = "mxfp4"\n[matrices]\n"a.*" = "mxfp4x2"\n')
    assert read_policy(tmp_path / "p.toml") == {
        "experts": "mxfp4", "matrices": (("a.*", "mxfp4x2"),),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        (None, InvalidInput, "cannot be read"),
        ("experts", InvalidData, "no TOML"),
        ("expert = 'auto'", InvalidData, "expert: no such setting; there are attention, router"),
        ("experts = 'int5'", InvalidData, "int5"),
        ("activation_bits = '8'", InvalidData, "activation bits"),
        ("matrices = 'all'", InvalidData, "matrices"),
        ("[matrices]\n'a' = 'fp8'", InvalidData, "fp8"),
        ("[matrices]\n'a' = 'auto'\n'b.*' = 3", InvalidData, "b.*: "),
    ],
)
def test_a_bad_policy_file_is_refused_in_a_line(tmp_path, text, error, says):
    path = tmp_path / "p.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(error, match=says) as refused:
        read_policy(path)
    assert str(path) in str(refused.value)


def test_the_first_pattern_that_fits_counts_before_roles():
    policy = make_policy(attention="auto", matrices=(("a.0.*", "mxfp4"), ("a.*", "mxfp4x2")))
    assert policy.format_of("attention", "a.0.q") == "mxfp4"
    assert policy.format_of("attention", "a.1.q") == "mxfp4x2"
    assert policy.format_of("attention", "b.0.q") == "auto"
    assert policy.format_of("attention") == "auto"


@pytest.mark.parametrize(
    "changes", [{"experts": "int5"}, {"dense": "int5"}, {"matrices": (("lm_head", "int5"),)}]
)
def test_an_unknown_format_is_told_all_that_there_are(changes):
    with pytest.raises(InvalidInput) as told:
        make_policy(**changes)
    assert f"{next(iter(changes))} 'int5': choose from {', '.join(FORMATS)}" in str(told.value)
