"""No default loses in silence: errors are told, limits hold, and every weight is covered."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import hnlpu
from helpers import bfloat16, make_config, random_tensors, write_checkpoint
from hnlpu.arithmetic.mx import dequantize
from hnlpu.errors import DamagedBuild, InvalidInput, LossTooHigh
from hnlpu.insight.verify import verify
from hnlpu.model.policy import make_policy
from hnlpu.silicon.hardwire import open_build, role_errors
from hnlpu.silicon.hardwire._errors_by_role import check_coverage
from hnlpu.silicon.place import array_area_mm2, make_target

DOWN = "model.layers.0.mlp.experts.down_proj"


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A checkpoint whose bfloat16 experts are MXFP4 values plus a small change, as a merge leaves."""
    folder = tmp_path_factory.mktemp("tuned")
    config = make_config()
    packed = random_tensors(config)
    random = np.random.default_rng(5)
    base, merged = {}, {}
    for name in [n for n in packed if n.endswith("_blocks")]:
        stem = name.removesuffix("_blocks")
        codes, scales = packed[name], packed[stem + "_scales"]
        values = dequantize(codes, scales).transpose(0, 2, 1)
        change = 0.01 * np.abs(values).mean() * random.standard_normal(values.shape)
        base[stem], merged[stem] = values, bfloat16(values + change)
    write_checkpoint(folder / "c", packed=False, tensors=merged)
    return folder / "c", base


def _values(build: Path, name: str) -> np.ndarray:
    opened = open_build(build)
    shape = opened.shapes()[name]
    return np.stack([opened.matrix(shape, i).values() for i in range(shape.count)])


def test_a_merged_change_of_experts_survives_the_default(tuned, tmp_path):
    """By default most of it is in the metal; one digit, when asked for, erases nearly all of it."""
    checkpoint, base = tuned
    stored = load_file(checkpoint / "model.safetensors")[DOWN].float().numpy()
    change = (stored - base[DOWN]).transpose(0, 2, 1)
    kept = {}
    for fmt in (None, "mxfp4"):
        build = hnlpu.build(checkpoint, tmp_path / str(fmt), make_policy(experts=fmt))
        moved = _values(build, DOWN) - base[DOWN].transpose(0, 2, 1)
        kept[fmt] = float((moved * change).sum() / (change * change).sum())
    assert kept[None] > 0.9
    assert kept["mxfp4"] < 0.3


def test_errors_of_roles_are_those_of_the_metal(tuned, tmp_path):
    """Held to torch's reading of the checkpoint and the metal's values, not to any tally."""
    checkpoint, _ = tuned
    build = hnlpu.build(checkpoint, tmp_path / "b", make_policy(experts="mxfp4", router="mxfp4"))
    opened, stored = open_build(build), load_file(checkpoint / "model.safetensors")
    found = {e.role: e for e in role_errors(opened.manifest.matrices)}
    assert set(found) == {"attention", "router", "experts", "unembedding"}
    for role, error in found.items():
        wanted, changed, worst = 0.0, 0.0, 0.0
        for name in (n for n, r in opened.manifest.matrices.items() if r.role == role):
            key = name if role == "experts" else name + ".weight"
            weights = stored[key].double()
            if role == "experts":
                weights = weights.transpose(1, 2)
            metal = torch.from_numpy(_values(build, name).astype(np.float64)).reshape(weights.shape)
            a, b = float((weights**2).sum()), float(((weights - metal) ** 2).sum())
            wanted, changed, worst = wanted + a, changed + b, max(worst, (b / a) ** 0.5)
        assert error.relative_error == pytest.approx((changed / wanted) ** 0.5, rel=1e-6)
        assert error.worst_error == pytest.approx(worst, rel=1e-6)
        assert error.taken == 0
    assert verify(build).passed


def test_codes_taken_as_they_are_do_not_water_an_error_down(tiny_build):
    records = open_build(tiny_build).manifest.matrices
    experts = next(e for e in role_errors(records) if e.role == "experts")
    assert (experts.relative_error, experts.exact) == (0.0, True)
    assert experts.taken == experts.weights
    rounded = {n: r for n, r in records.items() if r.role == "attention"}
    mixed = {n: r.model_copy(update={"role": "attention"}) for n, r in records.items()
             if r.role == "experts"}  # fmt: skip
    alone, together = role_errors(rounded)[0], role_errors(rounded | mixed)[0]
    assert together.relative_error == alone.relative_error
    assert together.taken == sum(r.weights for r in mixed.values())


def test_records_of_older_builds_have_no_error_of_a_role(tiny_build):
    records = open_build(tiny_build).manifest.matrices
    old = {n: r.model_copy(update={"rms": None}) for n, r in records.items()}
    assert "rms" not in old["lm_head"].model_dump()
    for error in role_errors(old):
        assert error.relative_error == (0.0 if error.role == "experts" else None)
        assert error.worst_error == max(
            r.relative_error for r in records.values() if r.role == error.role
        )


def _area(build: Path) -> float:
    manifest = open_build(build).manifest
    return sum(array_area_mm2(manifest.placement, manifest.technology))


@pytest.mark.parametrize("scheme", ["taps", "regions"])
def test_a_limit_refuses_what_passes_it_and_says_what_two_digits_cost(tmp_path, scheme):
    """The price in the message is that of the build that has them."""
    sizes = {"hidden": 32, "intermediate": 32, "layers": 1, "heads": 2, "experts": 1, "active": 1}
    checkpoint = write_checkpoint(tmp_path / "c", **sizes)
    target, policy = make_target(scheme=scheme, chips=1), make_policy("paper")
    one = hnlpu.build(checkpoint, tmp_path / "one", policy, target)
    records = open_build(one).manifest.matrices
    worst = max(records, key=lambda n: records[n].relative_error)
    limit = records[worst].relative_error
    hnlpu.build(checkpoint, tmp_path / "one", policy, target, max_error=limit)
    beyond = [n for n, r in records.items() if r.relative_error > 0.05]
    assert {records[n].role for n in beyond} == {"attention", "router", "unembedding"}
    before = set(tmp_path.iterdir())
    with pytest.raises(LossTooHigh) as refused:
        hnlpu.build(checkpoint, tmp_path / "no", policy, target, max_error=0.05)
    assert set(tmp_path.iterdir()) == before
    said = str(refused.value)
    assert f"{len(beyond)} matrices lose more than `max_error` 0.05" in said
    assert f"{worst} {100 * limit:.3g} % as mxfp4" in said
    finer = make_policy("paper", **dict.fromkeys(("attention", "router", "unembedding"), "mxfp4x2"))
    two = hnlpu.build(checkpoint, tmp_path / "two", finer, target)
    left = max(open_build(two).manifest.matrices[n].relative_error for n in beyond)
    assert f"leave at most {100 * left:.3g} %" in said
    more, base = map(
        float, re.search(r"take (?:at least )?(\S+) mm2 more than (\S+) ", said).groups()
    )
    assert base == pytest.approx(_area(one), rel=1e-3)
    if scheme == "taps":
        assert more == pytest.approx(_area(two) - _area(one), rel=1e-3)
    else:
        assert "at least" in said
        assert 0 < more <= (_area(two) - _area(one)) * 1.001


def test_what_has_two_digits_already_can_only_be_allowed(tuned, tmp_path):
    with pytest.raises(LossTooHigh, match="two digits, which are the most there are"):
        hnlpu.build(tuned[0], tmp_path / "b", max_error=1e-6)
    assert not list(tmp_path.iterdir())


def test_rounded_codes_are_told_apart(tmp_path):
    """Codes whose exponents spread too far, which `requantize` rounds."""
    checkpoint = write_checkpoint(tmp_path / "c")
    policy = make_policy(requantize=True, max_spread=1)
    with pytest.raises(LossTooHigh, match="codes that `requantize` rounds"):
        hnlpu.build(checkpoint, tmp_path / "b", policy, max_error=0.02)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("limit", [-0.1, 1.0, float("nan"), float("inf")])
def test_a_limit_that_means_nothing_is_refused(tiny_checkpoint, tmp_path, limit):
    with pytest.raises(InvalidInput, match="max error"):
        hnlpu.build(tiny_checkpoint, tmp_path / "b", max_error=limit)


def test_a_judge_sees_the_build_before_it_stands(tiny_checkpoint, tiny_build, tmp_path):
    seen = []

    def judge(build):
        assert not (tmp_path / "b").exists()
        seen.append(build.matrix(build.matrices()[0]).values())
        return

    made = hnlpu.build(tiny_checkpoint, tmp_path / "b", judge=judge)
    assert np.array_equal(seen[0], _values(made, open_build(made).matrices()[0].name)[0])
    assert (made / "manifest.json").read_bytes() == (tiny_build / "manifest.json").read_bytes()


def test_a_judge_refuses_and_nothing_stays(tiny_checkpoint, tmp_path):
    with pytest.raises(LossTooHigh, match=r"^too bad; furthest.* two digits, which"):
        hnlpu.build(tiny_checkpoint, tmp_path / "b", judge=lambda _: "too bad")
    assert not list(tmp_path.iterdir())


def test_single_matrices_have_formats_of_their_own(tuned, tmp_path):
    matrices = (("model.layers.0.mlp.*", "mxfp4"), ("*.mlp.experts.*", "mxfp4x2"))
    policy = make_policy(experts="mxfp4", matrices=matrices)
    build = hnlpu.build(tuned[0], tmp_path / "b", policy)
    manifest = open_build(build).manifest
    assert manifest.policy == policy
    assert manifest.matrices[DOWN].format == "mxfp4"
    assert manifest.matrices["model.layers.0.mlp.router"].format == "mxfp4"
    assert manifest.matrices[DOWN.replace(".0.", ".1.")].format == "mxfp4x2"
    assert manifest.matrices["model.layers.1.mlp.router"].format == "mxfp4x2"  # auto
    assert verify(build).passed


@pytest.mark.parametrize(
    ("pattern", "says"),
    [("model.layer.*", "no such matrix"), (DOWN, "as MXFP4"), ("*experts*", "as MXFP4")],
)
def test_formats_for_nothing_are_refused(tiny_checkpoint, tmp_path, pattern, says):
    policy = make_policy(matrices=((pattern, "mxfp4x2"),))
    with pytest.raises(InvalidInput, match=says):
        hnlpu.build(tiny_checkpoint, tmp_path / "b", policy)
    assert not list(tmp_path.iterdir())


def test_coverage_is_counted_in_digits(tiny_build):
    opened = open_build(tiny_build)
    records, shapes = opened.manifest.matrices, opened.matrices()
    assert check_coverage(shapes, records) == sum(s.weights for s in shapes)
    digit = records["lm_head"].digits[1]
    fewer = digit.model_copy(update={"codes": (digit.codes[0] - 1, *digit.codes[1:])})
    record = records["lm_head"].model_copy(update={"digits": (records["lm_head"].digits[0], fewer)})
    for broken in (
        {n: r for n, r in records.items() if n != "lm_head"}, {**records, "lm_head": record},
    ):  # fmt: skip
        with pytest.raises(DamagedBuild, match=r"lm_head: [\d,]+ of 6,208 weights became digits"):
            check_coverage(shapes, broken)
