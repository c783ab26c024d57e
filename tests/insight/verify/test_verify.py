"""`verify` finds what is wrong with a build, and names it."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

import hnlpu
from helpers import SINGLE, make_config, random_tensors, snapshot, write_checkpoint, write_tensors
from hnlpu.errors import HnlpuError, InvalidInput, NotABuild
from hnlpu.silicon.hardwire import _manifest as manifests
from hnlpu.silicon.hardwire import file_sha256, open_build

FLIPS = 12  # of every file


@pytest.fixture
def build(tmp_path: Path, spoken_build: Path) -> Path:
    """A copy of a build, with its log, to be damaged."""
    shutil.copy(spoken_build.with_name("build.log.json"), tmp_path / "b.log.json")
    return shutil.copytree(spoken_build, tmp_path / "b")


@pytest.fixture
def source(spoken_build: Path) -> Path:
    """The checkpoint of `build`."""
    return spoken_build.with_name("checkpoint")


def reseal(build: Path, edit) -> None:
    """Alter the manifest as somebody would who knows how it is sealed."""
    values = json.loads((build / "manifest.json").read_text())
    values.pop("manifest_sha256")
    for name, record in values["files"].items():
        record["sha256"] = file_sha256(build / name)
        record["bytes"] = (build / name).stat().st_size
    edit(values)
    sealed = manifests.encode_manifest(manifests.Manifest.model_validate(values))
    (build / "manifest.json").write_bytes(sealed)


def problems(build: Path, checkpoint: Path | None = None) -> str:
    result = hnlpu.verify(build, checkpoint)
    assert not result.passed
    return "\n".join(result.problems)


def test_a_sound_build_passes_every_check(build, cli):
    code, printed, _ = cli("verify", build, "--json")
    facts = json.loads(printed)
    assert code == 0
    assert facts["passed"]
    checks = {check["name"]: check for check in facts["checks"]}
    assert list(checks) == ["files", "source", "weights", "kept tensors", "arithmetic"]
    manifest = open_build(build).manifest
    assert checks["files"]["covered"] == len(manifest.files)
    assert checks["weights"]["covered"] == sum(m.weights for m in manifest.matrices.values())
    assert checks["arithmetic"]["covered"] == 6 * sum(
        min(4, m.rows) for m in manifest.matrices.values()
    )
    assert all(check["problems"] == [] for check in checks.values())


def test_every_flipped_bit_is_reported_with_the_files_name(build, cli):
    rng = random.Random(0)
    files = sorted(path for path in build.rglob("*") if path.is_file())
    assert {"manifest.json", "tokenizer.json", "layer-000.safetensors"} <= {f.name for f in files}
    for path in files:
        whole = path.read_bytes()
        ends = (0, 8 * len(whole) - 1)
        for bit in (*ends, *(rng.randrange(8 * len(whole)) for _ in range(FLIPS))):
            raw = bytearray(whole)
            raw[bit // 8] ^= 1 << bit % 8
            path.write_bytes(raw)
            result = hnlpu.verify(build, samples=1)
            assert not result.passed, f"bit {bit} of {path.name}"
            assert str(path) in result.problems[0]
        code, printed, errors = cli("verify", build)
        assert code == 1
        assert str(path) in printed
        assert errors == ""
        path.write_bytes(whole)
    assert hnlpu.verify(build).passed


@pytest.mark.parametrize("how", ["cut", "longer", "empty", "missing", "folder", "dangling link"])
def test_damaged_files_are_named(build, how):
    files = sorted(path for path in build.rglob("*") if path.is_file())
    for path in files:
        whole = path.read_bytes()
        path.unlink()
        if how == "cut":
            path.write_bytes(whole[:-1])
        elif how == "longer":
            path.write_bytes(whole + b"\n")
        elif how == "empty":
            path.touch()
        elif how == "folder":
            path.mkdir()
        elif how == "dangling link":
            path.symlink_to("nowhere")
        if path.name == "manifest.json" and how in ("missing", "dangling link"):
            with pytest.raises(NotABuild, match=r"manifest\.json"):
                hnlpu.verify(build)
        else:
            assert str(path) in problems(build)
        path.rmdir() if how == "folder" else path.unlink(missing_ok=True)
        path.write_bytes(whole)


@pytest.mark.parametrize("name", ["extra.txt", "weights/layer-002.safetensors", "weights/.lock"])
def test_files_that_are_not_part_of_the_build_are_named(build, name):
    (build / name).write_text("extra")
    assert f"{build / name}: is not part of the build" in problems(build)


def test_a_link_to_a_folder_is_not_part_of_the_build(build, tmp_path):
    (build / "more").symlink_to(tmp_path)
    assert f"{build / 'more'}: is not part of the build" in problems(build)


MANIFESTS = ["", "[]", "null", "5", '"x"', "{}", "{", "\xff", '{"schema_version": 2}', "[" * 10**5]


@pytest.mark.parametrize("text", MANIFESTS)
def test_a_manifest_that_is_none_is_named(build, text):
    (build / "manifest.json").write_bytes(text.encode("latin-1"))
    assert str(build / "manifest.json") in problems(build)


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "1e999", "null", "-1", '"0"', "[]", "1" * 5000]
)
def test_a_manifest_with_senseless_numbers_is_named(build, value):
    path = build / "manifest.json"
    text = path.read_text()
    assert '"largest_error": 0.0' in text
    path.write_text(text.replace('"largest_error": 0.0', f'"largest_error": {value}', 1))
    assert str(path) in problems(build)


def test_a_manifest_of_a_later_hnlpu_says_update(build):
    path = build / "manifest.json"
    path.write_text(path.read_text().replace('"schema_version": 2', '"schema_version": 4'))
    assert "update hnlpu" in problems(build)


def altered(build: Path, tensor: str, position: int, byte: int) -> Path:
    """Overwrite one byte of a tensor of a build and seal the build again; its file."""
    stored = open_build(build).tensors[tensor]
    raw = bytearray(stored.file.read_bytes())
    assert raw[stored.offset + position] != byte
    raw[stored.offset + position] = byte
    stored.file.write_bytes(raw)
    reseal(build, lambda values: None)
    return stored.file


UP = "model.layers.1.mlp.experts.gate_up_proj"
Q = "model.layers.1.self_attn.q_proj"


def test_a_forged_expert_weight_is_found_by_comparing(build, source):
    code = open_build(build).tensors[f"{UP}.digit0.codes"].map()[0, 0, 0, 0]
    file = altered(build, f"{UP}.digit0.codes", 0, (int(code) ^ 8) | 1)
    found = problems(build, source)
    assert str(file) in found
    assert UP in found
    assert "expert 0" in found


def test_a_forged_attention_weight_is_found_by_comparing(build, source):
    code = int(open_build(build).tensors[f"{Q}.digit0.codes"].map()[0, 0, 0])
    altered(build, f"{Q}.digit0.codes", 0, code ^ 0x08)
    assert Q in problems(build, source)


def test_a_forged_row_exponent_is_found_without_a_checkpoint(build):
    build.with_name("b.log.json").unlink()
    row = int(open_build(build).tensors[f"{UP}.row_exponents"].map()[0, 0])
    altered(build, f"{UP}.row_exponents", 0, row - 1)
    assert "row exponent is not the smallest" in problems(build)


def test_forged_kept_tensors_are_found_by_comparing(build, source):
    for name in ("model.norm.weight", f"{UP}.bias", "model.layers.0.self_attn.sinks"):
        byte = int(open_build(build).tensors[name].map().reshape(-1).view(np.uint8)[0])
        altered(build, name, 0, byte ^ 1)
        assert f"{name} differs from the checkpoint" in problems(build, source)


@pytest.mark.parametrize("key", ["accumulator_bits", "spread"])
def test_a_bound_that_is_stated_too_small_is_found_without_a_checkpoint(build, key):
    def shrink(values):
        values["matrices"][UP][key] -= 1

    reseal(build, shrink)
    assert UP in problems(build)


@pytest.mark.parametrize("key", ["relative_error", "largest_error"])
def test_a_forged_error_is_found(build, source, key):
    reseal(build, lambda v: v["matrices"][Q].update({key: 0.5}))
    assert f"the recorded {key} is not what was counted" in problems(build, source)


@pytest.mark.parametrize("key", ["zeros", "spread", "accumulator_bits", "codes", "zero_blocks"])
def test_forged_counts_are_found_without_a_checkpoint(build, tmp_path, key):
    def forge(values):
        record = values["matrices"][UP]
        if key == "codes":
            record["digits"][0]["codes"][3] += 1
        elif key == "zero_blocks":
            record["digits"][0]["zero_blocks"] += 1
        else:
            record[key] += 1

    reseal(build, forge)
    field = "digits" if key in ("codes", "zero_blocks") else key
    assert f"{UP}: the recorded {field} is not what was counted" in problems(build)


def test_a_matrix_of_zeros_with_large_exponents_is_found(build, source):
    """Zero is the nearest that a digit at a huge exponent can say; the exponent is wrong."""
    opened = open_build(build)
    name = "lm_head"
    record = opened.manifest.matrices[name]
    path = build / record.file
    raw = bytearray(path.read_bytes())
    for digit in range(len(record.digits)):
        for part, byte in (("codes", 0), ("exponents", 250)):
            tensor = opened.tensors[f"{name}.digit{digit}.{part}"]
            size = int(np.prod(tensor.shape))
            raw[tensor.offset : tensor.offset + size] = bytes([byte]) * size
    rows = opened.tensors[f"{name}.row_exponents"]
    raw[rows.offset : rows.offset + rows.shape[0]] = bytes([127]) * rows.shape[0]
    path.write_bytes(raw)
    reseal(build, lambda v: v["matrices"][name].update(relative_error=1.0))
    assert "exponent that does not fit" in problems(build, source)


def test_a_wrong_checkpoint_is_told_apart(build, tmp_path, cli):
    other = write_checkpoint(tmp_path / "other", seed=1)
    code, printed, errors = cli("verify", build, "--checkpoint", other)
    assert (code, errors) == (1, "")
    assert f"{other / SINGLE}: is not the file that was built" in printed
    assert "differs from the checkpoint" in printed


SHAPES = [
    {"layers": 1}, {"layers": 3}, {"hidden": 32}, {"hidden": 96}, {"vocab": 50}, {"experts": 2},
    {"vocab": 500}, {"intermediate": 32}, {"attention_bias": False}, {"tie_word_embeddings": True},
    {"packed": False}, {"packed": False, "layers": 3, "hidden": 160},
]  # fmt: skip


@pytest.mark.parametrize("changes", SHAPES)
def test_a_checkpoint_of_another_shape_is_an_answer_not_a_crash(build, tmp_path, cli, changes):
    other = write_checkpoint(tmp_path / "other", **changes)
    code, printed, errors = cli("verify", build, "--checkpoint", other)
    assert (code, errors) == (1, "")
    assert f"{other}/" in printed


def test_a_checkpoint_that_cannot_be_read_is_bad_input(build, tmp_path, cli):
    other = write_checkpoint(tmp_path / "other")
    (other / SINGLE).write_bytes(b"nothing")
    for checkpoint in (other, tmp_path / "nowhere", build):
        code, printed, line = cli("verify", build, "--checkpoint", checkpoint)
        assert (code, printed, line.count("\n")) == (2, "", 1)
        assert str(checkpoint) in line


def test_nan_in_the_checkpoint_compared_with_is_a_problem(build, tmp_path, cli):
    other = write_checkpoint(tmp_path / "other")
    tensors = random_tensors(make_config())
    tensors["lm_head.weight"][0] = 0x7FC0
    tensors[UP + "_scales"][0] = 255
    write_tensors(other, tensors)
    code, printed, errors = cli("verify", build, "--checkpoint", other)
    assert (code, errors) == (1, "")
    assert "lm_head.weight holds NaN" in printed
    assert "scale 255" in printed


@pytest.mark.parametrize("why", ["no log", "moved", "other build's log", "senseless log"])
def test_without_its_checkpoint_a_build_is_checked_as_far_as_possible(tmp_path, why):
    checkpoint = write_checkpoint(tmp_path / "c")
    build = hnlpu.build(checkpoint, tmp_path / "b")
    log = tmp_path / "b.log.json"
    if why == "no log":
        log.unlink()
    elif why == "moved":
        checkpoint.rename(tmp_path / "moved")
    elif why == "other build's log":
        hnlpu.build(checkpoint, tmp_path / "b2", hnlpu.make_policy("paper"))
        (tmp_path / "b2.log.json").rename(log)
    else:
        log.write_text("[]")
    result = hnlpu.verify(build)
    assert result.passed
    assert result.checkpoint is None
    (weights,) = (check for check in result.checks if check.name == "weights")
    assert weights.skipped is not None
    assert "`checkpoint`" in weights.skipped
    given = tmp_path / ("moved" if why == "moved" else "c")
    assert hnlpu.verify(build, given).checkpoint == given


def test_a_build_that_was_moved_still_verifies_against_a_given_checkpoint(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "c", packed=False)
    build = hnlpu.build(checkpoint, tmp_path / "b").rename(tmp_path / "elsewhere")
    result = hnlpu.verify(build, checkpoint)
    assert result.passed
    assert [check.skipped for check in result.checks] == [None] * 5


def test_what_is_no_build_is_bad_input(tmp_path, tiny_checkpoint, cli):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "file", tiny_checkpoint):
        code, printed, line = cli("verify", path)
        assert (code, printed, line.count("\n")) == (2, "", 1)
        assert str(path) in line


def test_verify_writes_nothing(build, tmp_path):
    before = snapshot(tmp_path)
    hnlpu.verify(build)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"workers": -1}, {"samples": 0}, {"seed": -1}])
def test_settings_that_make_no_sense(tiny_build, wrong):
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        hnlpu.verify(tiny_build, **wrong)


def test_a_damaged_build_does_not_open(build):
    path = build / "weights/layer-000.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(HnlpuError, match=str(path)):
        open_build(build)
