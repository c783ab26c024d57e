"""Networks of ONNX files: exported from torch and equal to it, or refused by an operator's name."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import hnlpu
from hnlpu.errors import (
    CheckpointNotFound,
    DamagedCheckpoint,
    InvalidConfig,
    UnsupportedArchitecture,
)
from hnlpu.model.checkpoint import read_model
from hnlpu.model.checkpoint.onnx._operators import OPERATORS
from hnlpu.run.emulate import open_signal_model
from onnx_samples import NETWORKS, exported

STUDIES = Path(__file__).parents[3] / "studies"


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_torchs(name: str, tmp_path: Path) -> None:
    of = exported(name, tmp_path)
    model = open_signal_model(of.file)
    x = of.signals(4)
    assert model.inputs == {"x": x.shape[1:]}
    found, states = model.run({"x": x}, model.start())
    expected = of.outputs(x)
    assert expected.std() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)
    first, kept = model.run({"x": x[:1]}, model.start())
    second, end = model.run({"x": x[1:]}, kept)
    assert np.concatenate([first, second]).tobytes() == found.tobytes()
    assert len(states.entries) == len(of.inputs) - 1
    assert all(end.entries[k].tobytes() == v.tobytes() for k, v in states.entries.items())


@pytest.mark.parametrize("name", ["gru", "cnn", "encoder"])
def test_what_is_built_is_sound_and_near(name: str, tmp_path: Path) -> None:
    of = exported(name, tmp_path, task="classify")
    build = hnlpu.build(of.file, tmp_path / "b", workers=1)
    assert hnlpu.verify(build, workers=1).passed
    x = of.signals(3)
    expected = of.outputs(x)
    for numerics in ("float", "chip"):
        model = open_signal_model(build, numerics=numerics)
        found, _ = model.run({"x": x}, model.start())
        assert model.task == "classify"
        np.testing.assert_allclose(found, expected, atol=0.05)
    of.file.unlink()  # the build needs neither the file nor the package
    open_signal_model(build)


def test_commands_take_a_file(tmp_path: Path, cli) -> None:
    of = exported("gru", tmp_path)
    np.save(tmp_path / "x.npy", of.signals(5))
    code, printed, line = cli("run", of.file, "--input", tmp_path / "x.npy", "--task", "classify")
    assert code == 0, line
    assert int(printed.split()[0]) == of.outputs(of.signals(5))[-1].argmax()
    code, _, line = cli("build", of.file, "-o", tmp_path / "b", "--activation-bits", "8")
    assert code == 0, line
    for words in (["draw", of.file, "-o", tmp_path / "d.svg"], ["place", tmp_path / "b"],
                  ["simulate", tmp_path / "b"], ["chip", tmp_path / "b", "-o", tmp_path / "c"]):  # fmt: skip
        code, _, line = cli(*words)
        assert code == 0, (words, line)


def _one_node(
    folder: Path, operator: str, *constants: np.ndarray, sizes=(1, 4), opset: int = 17,
    **attributes: object,
) -> Path:  # fmt: skip
    names = [f"c{n}" for n in range(len(constants))]
    node = helper.make_node(operator, ["x", *names], ["y"], name="that", **attributes)
    stored = [numpy_helper.from_array(x, name) for x, name in zip(constants, names, strict=True)]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, sizes) for n in ("x", "y")]
    graph = helper.make_graph([node], "one", ends[:1], ends[1:], stored)
    path = folder / "one.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]), str(path))
    return path


def test_a_folder_with_a_file_names_the_file(tmp_path: Path) -> None:
    _one_node(tmp_path, "Relu")
    with pytest.raises(
        CheckpointNotFound, match=r"no config\.json; one\.onnx alone is read as a network"
    ):
        read_model(tmp_path)
    (tmp_path / "config.json").write_text((STUDIES / "gru_svm/model/config.json").read_text())
    with pytest.raises(DamagedCheckpoint, match=r"one\.onnx alone is read as a network of signals"):
        read_model(tmp_path)


@pytest.mark.parametrize("operator", ["Erf", "Sin", "Round", "HardSwish"])
def test_an_operator_that_is_not_read_is_named(operator: str, tmp_path: Path) -> None:
    with pytest.raises(
        UnsupportedArchitecture, match=rf"operator {operator} \(node that\) is not one"
    ):
        read_model(_one_node(tmp_path, operator))
    assert operator not in OPERATORS


ONES = np.ones(4, np.float32)


@pytest.mark.parametrize(
    ("operator", "constants", "how", "why"),
    [
        ("BatchNormalization", [ONES] * 4, {"training_mode": 1}, "takes statistics other"),
        ("Dropout", [ONES[0], np.bool_(True)], {}, "drops numbers at random"),
        ("ReduceSum", [], {"noop_with_empty_axes": 1}, "goes over no axis"),
        ("Slice", [np.array([0]), np.array([0])], {}, "takes no entries"),
        ("Gemm", [np.eye(4, dtype=np.float32), ONES[:, None]], {"sizes": (4, 4)}, "has a bias"),
        ("Softmax", [], {"sizes": (1, 3, 4), "opset": 11}, "goes over several axes at once in opset 11"),
    ],
)  # fmt: skip
def test_what_changes_an_operator_is_refused(
    operator: str, constants: list[np.ndarray], how: dict[str, object], why: str, tmp_path: Path
) -> None:
    given = [np.asarray(x) for x in constants]
    path = _one_node(tmp_path, operator, *given, **how)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedArchitecture, match=rf"operator {operator} \(node that\) {why}"):
        read_model(path)


def test_no_axes_are_all_axes(tmp_path: Path) -> None:
    path = _one_node(tmp_path, "ReduceSum", np.array([], np.int64), sizes=(1, 3, 4))
    model = open_signal_model(path)
    x = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    assert model.run({"x": x}, model.start())[0].tolist() == [[66]]


def test_what_makes_no_sense_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedArchitecture, match="input x has axes of no known length"):
        read_model(_one_node(tmp_path, "Relu", sizes=(1, "n")))
    with pytest.raises(UnsupportedArchitecture, match=r"LeakyRelu .* a slope of -2"):
        read_model(_one_node(tmp_path, "LeakyRelu", alpha=-2.0))
    (tmp_path / "no.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(DamagedCheckpoint, match=r"no\.onnx: is no sound ONNX file"):
        read_model(tmp_path / "no.onnx")
    of = exported("gru", tmp_path, states="h=nothing")
    with pytest.raises(
        InvalidConfig, match=r"hnlpu\.states has 'h=nothing'; inputs are x, h, outputs y"
    ):
        read_model(of.file)
    of = exported("gru", tmp_path, task="guess")
    with pytest.raises(
        InvalidConfig, match=r"hnlpu\.task is 'guess'; give classify, regress, stream"
    ):
        read_model(of.file)


def test_states_that_nobody_names_are_refused(tmp_path: Path) -> None:
    """A GRU whose state is not paired would forget: it has two outputs, and says so."""
    of = exported("gru", tmp_path, states="")
    with pytest.raises(
        Exception, match=r"gives real \[3\], real \[12\]; a task is known for one row"
    ):
        open_signal_model(of.file)


def test_the_page_names_all_operators() -> None:
    page = (Path(__file__).parents[3] / "docs" / "signals.md").read_text("utf-8")
    part = page.split("Read are")[1].split("and any other operator")[0]
    assert sorted(re.findall(r"`(\w+)`", part)) == sorted(OPERATORS)
