"""`hnlpu run` and `hnlpu score` on networks of signals: files in, files out, one line for what is wrong."""

from __future__ import annotations

import csv
import json
import warnings
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error

from family_builds import made
from helpers import snapshot
from hnlpu.errors import InvalidInput
from hnlpu.model.families import OF_SIGNALS
from hnlpu.run.emulate import open_signal_model
from signal_samples import MAKERS, made_signals

FAMILIES = list(MAKERS)
OF = made_signals("gru_svm")
WIDTH = OF.sample.config["input_size"]


@pytest.fixture
def signals(tmp_path: Path) -> Path:
    """Seven sequences of nine positions."""
    path = tmp_path / "x.npy"
    np.save(path, np.stack([OF.sample.signals(9, seed) for seed in range(7)]))
    return path


def test_answers_are_the_models(signals: Path, tmp_path: Path, cli) -> None:
    x = np.load(signals)
    expected = np.stack([OF.sample.outputs(one) for one in x])
    out = {task: tmp_path / f"{task}.npy" for task in ("classify", "regress", "stream")}
    for task, path in out.items():
        code, _, line = cli("run", OF.checkpoint, "--input", signals, "-o", path, "--task", task)
        assert code == 0, line
    assert np.load(out["classify"]).tolist() == expected[:, -1].argmax(-1).tolist()
    np.testing.assert_allclose(np.load(out["regress"]), expected[:, -1], atol=1e-4)
    np.testing.assert_allclose(np.load(out["stream"]), expected, atol=1e-4)


@pytest.mark.parametrize("numerics", ["float", "chip"])
def test_a_sequence_in_two_calls_is_the_sequence(numerics: str, tmp_path: Path, cli) -> None:
    x = OF.sample.signals(9)
    for name, part in (("all", x), ("first", x[:4]), ("second", x[4:])):
        lines = [
            ",".join(f"c{n}" for n in range(WIDTH)),
            *(",".join(map(repr, r)) for r in part.tolist()),
        ]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    ask = ("--numerics", numerics, "--task", "stream")
    for name, *more in (
        ("all",), ("first", "--state-out", tmp_path / "kept.npz"),
        ("second", "--state-in", tmp_path / "kept.npz"),
    ):  # fmt: skip
        given, output = tmp_path / f"{name}.csv", tmp_path / f"{name}.out.csv"
        code, _, line = cli("run", OF.build, "--input", given, "-o", output, *ask, *more)
        assert code == 0, line
    whole, first, second = (
        (tmp_path / f"{n}.out.csv").read_text() for n in ("all", "first", "second")
    )
    assert first + second == whole
    other = "chip" if numerics == "float" else "float"
    code, _, line = cli(
        "run", OF.build, "--input", tmp_path / "second.csv", "--state-in", tmp_path / "kept.npz",
        "--numerics", other,
    )  # fmt: skip
    assert code == 2
    assert "kept.npz: holds the states of another model or of other numerics" in line


def test_json_and_a_plot(signals: Path, tmp_path: Path, cli) -> None:
    plot = tmp_path / "out.svg"
    code, printed, line = cli("run", OF.build, "--input", signals, "--plot", plot, "--json")
    assert code == 0, line
    told = json.loads(printed)
    model = open_signal_model(OF.build)
    outputs, _ = model.run({"signals": np.load(signals)[0]}, model.start())
    assert told["answers"][0] == int(outputs[-1].argmax())
    assert (told["task"], told["sequences"], told["positions"]) == ("classify", 7, 63)
    root = ElementTree.fromstring(plot.read_text())
    lines = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [9] * model.width
    heights = [float(p.split(",")[1]) for line in lines for p in line.attrib["points"].split()]
    order = np.argsort(np.array(heights), kind="stable")
    assert np.all(np.diff(outputs.T.ravel()[order]) <= 0.01 * np.ptp(outputs))  # upwards is more


def test_a_plot_is_of_the_kind_that_its_ending_names(signals: Path, tmp_path: Path, cli) -> None:
    plot = tmp_path / "out.csv"
    code, _, line = cli("run", OF.build, "--input", signals, "--plot", plot)
    assert code == 0, line
    rows = list(csv.reader(plot.read_text().splitlines()))
    model = open_signal_model(OF.build)
    outputs, _ = model.run({"signals": np.load(signals)[0]}, model.start())
    assert rows[0] == ["position", *(f"output {n}" for n in range(model.width))]
    assert [[float(x) for x in row[1:]] for row in rows[1:]] == outputs.tolist()


def test_scores_are_those_of_scikit_learn(signals: Path, tmp_path: Path, cli) -> None:
    x, random = np.load(signals), np.random.default_rng(3)
    last = np.stack([OF.sample.outputs(one)[-1] for one in x])
    classes, count = last.argmax(-1), OF.sample.config["output_size"]
    labels = np.where(random.random(7) < 0.4, random.integers(0, count, 7), classes)
    np.save(tmp_path / "c.npy", labels)
    np.save(tmp_path / "v.npy", last + random.normal(size=last.shape))

    def score(*words: object) -> dict[str, float]:
        code, printed, line = cli("score", OF.checkpoint, "--input", signals, *words, "--json")
        assert code == 0, line
        found: dict[str, float] = json.loads(printed)
        return found

    told = score("--labels", tmp_path / "c.npy")
    assert told["accuracy"] == pytest.approx(accuracy_score(labels, classes)) != 1
    assert told["f1"] == pytest.approx(f1_score(labels, classes, average="macro"))
    told = score("--labels", tmp_path / "v.npy", "--task", "regress")
    assert told["mae"] == pytest.approx(
        mean_absolute_error(np.load(tmp_path / "v.npy"), last), abs=1e-4
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_commands_of_signals_work(family: str, tmp_path: Path, cli) -> None:
    of = made_signals(family)
    np.save(tmp_path / "x.npy", of.sample.signals(5))
    np.save(tmp_path / "y.npy", of.sample.outputs(of.sample.signals(5))[-1])
    build, given = str(of.build), ["--input", str(tmp_path / "x.npy")]
    matrix = next(reversed(json.loads(cli("draw", build, "--json")[1])["matrices"]))["name"]
    runs = {
        "build": ["build", str(of.checkpoint), "-o", str(tmp_path / "b")],
        "verify": ["verify", build, "--masks", "--workers", "1"],
        "place": ["place", build],
        "masks": [
            "masks",
            build,
            "-o",
            str(tmp_path / "m"),
            "--tile",
            f"{matrix}*",
            "--workers",
            "1",
        ],
        "rtl": ["rtl", build, "-o", str(tmp_path / "r"), "--matrix", matrix],
        "run": ["run", build, *given, "--numerics", "chip"],
        "score": ["score", build, *given, "--labels", str(tmp_path / "y.npy"), "--task", "regress"],
        "draw": ["draw", build],
        "simulate": ["simulate", build, "--context", "40", "--tokens", "500"],
        "cost": ["cost", build, "--trials", "50"],
        "audit": ["audit", build],
    }
    assert tuple(sorted(runs)) == tuple(sorted(OF_SIGNALS))
    for name, words in runs.items():
        code, printed, line = cli(*words, "--json")
        assert code == 0, (name, line)
        json.loads(printed)


def test_commands_of_text_refuse_in_a_line(tmp_path: Path, cli) -> None:
    before = snapshot(OF.build.parent)
    for words in (
        ["generate", OF.build, "--tokens", "1"], ["score", OF.build, "--tokens", "1,2"],
        ["serve", OF.build, "--port", "0"], ["chat", OF.build], ["report", OF.build, "-o", tmp_path / "r"],
        ["sensitivity", OF.checkpoint, "--tokens", "1,2", "-o", tmp_path / "s"],
    ):  # fmt: skip
        code, printed, line = cli(*words)
        assert (code, printed, line.count("\n")) == (2, "", 1), words
        assert "a network of signals takes no tokens; give it numbers with 'hnlpu run'" in line
        assert "--input and --labels" in line
    assert not list(tmp_path.iterdir())
    assert snapshot(OF.build.parent) == before


def test_a_model_of_text_takes_no_signals(signals: Path, cli) -> None:
    code, _, line = cli("run", made("gru").one, "--input", signals)
    assert code == 2
    assert "is a model of text, which takes tokens; use 'hnlpu generate' or 'hnlpu score'" in line


def _bad(folder: Path) -> dict[str, tuple[list[object], str]]:
    def save(name: str, array: np.ndarray) -> Path:
        np.save(folder / name, array)
        return folder / name

    good = save("good.npy", OF.sample.signals(3))
    many = save("many.npy", OF.sample.signals(4).reshape(2, 2, WIDTH))
    (folder / "torn.csv").write_text("1,2\n1\n")
    (folder / "words.csv").write_text("a,b\nc,d\n")
    (folder / "hole.csv").write_text(",".join(["1", *["0.5"] * (WIDTH - 2), "x"]) + "\n1,2\n")
    (folder / "cell.csv").write_text("a" * 200_000 + "\n")
    (folder / "none.npy").write_bytes(b"nothing")
    np.savez_compressed(folder / "z.npz", signals=OF.sample.signals(3))
    data = bytearray((folder / "z.npz").read_bytes())
    data[80:110] = b"U" * 30
    (folder / "z.npz").write_bytes(data)
    nan = OF.sample.signals(3)
    nan[1, 0] = np.nan
    return {
        "width": ([save("w.npy", np.zeros((3, WIDTH + 1)))], f"input signals is [positions, {WIDTH}] or"),
        "nan": ([save("n.npy", nan)], "n.npy: holds NaN or infinity"),
        "empty": ([save("e.npy", np.zeros((0, WIDTH)))], "e.npy: holds no positions"),
        "text": ([save("t.npy", np.array([["a"]]))], "t.npy: holds no numbers"),
        "torn": ([folder / "torn.csv"], "torn.csv: line 2 has 1 numbers, others have 2"),
        "words": ([folder / "words.csv"], "words.csv: line 2 holds what is no number"),
        "half names": ([folder / "hole.csv"], "hole.csv: line 1 holds what is no number"),
        "cell": ([folder / "cell.csv"], "cell.csv: is no table of numbers"),
        "archive": ([folder / "z.npz"], "z.npz: is damaged"),
        "beyond": ([save("b.npy", np.full((3, WIDTH), 1e39))], "holds 1e+39, which float32 has not"),
        "edge": (
            [save("r.npy", np.full((3, WIDTH), 32767.9999)), "--numerics", "chip"],
            "chip numerics have numbers below 32768",
        ),
        "plot": ([good, "--plot", folder / "y.jpg"], "y.jpg: .jpg is no kind of chart"),
        "kept": ([good, "--state-out", folder / "y.npy"], "y.npy: give a file that ends in .npz"),
        "none": ([folder / "none.npy"], "none.npy: is no file of numpy's"),
        "missing": ([folder / "gone.npy"], "gone.npy: cannot be read (No such file"),
        "kind": ([folder / "x.wav"], "x.wav: give a file that ends in .npy or .csv"),
        "large": (
            [save("l.npy", np.full((3, WIDTH), 4e4)), "--numerics", "chip"],
            "holds 40000; chip numerics have numbers below 32768",
        ),
        "machine": (
            [good, "--numerics", "machine"],
            "--numerics machine: give float or chip, which signals have",
        ),
        "task": ([good, "--task", "guess"], "--task guess: give classify, regress, stream"),
        "states": ([many, "--state-out", folder / "s.npz"], "states are those of one sequence"),
        "axes": ([many, "--task", "stream", "-o", folder / "y.csv"], "have three axes; give an .npy file"),
        "taken": ([good, "-o", good], "good.npy: is there already; remove it or choose another name"),
        "no states": ([good, "--state-in", good], "good.npy: holds no states of a network"),
    }  # fmt: skip


@pytest.mark.parametrize("what", [
    "width", "nan", "empty", "text", "torn", "words", "half names", "cell", "archive", "beyond",
    "edge", "plot", "kept", "none", "missing", "kind", "large", "machine", "task",
    "states", "axes", "taken", "no states",
])  # fmt: skip
def test_bad_input_is_one_line(what: str, tmp_path: Path, cli) -> None:
    words, expected = _bad(tmp_path)[what]
    before = snapshot(tmp_path)
    code, printed, line = cli("run", OF.build, "--input", *words)
    assert (code, printed, line.count("\n")) == (2, "", 1), line
    assert expected in line
    assert snapshot(tmp_path) == before


def test_a_table_of_a_spreadsheet_keeps_its_first_line(tmp_path: Path, cli) -> None:
    x = OF.sample.signals(4)
    lines = "".join(",".join(map(repr, row)) + "\n" for row in x.tolist())
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbf" + lines.encode())
    np.save(tmp_path / "x.npy", x)
    told = [
        json.loads(
            cli("run", OF.build, "--input", tmp_path / name, "--task", "stream", "--json")[1]
        )
        for name in ("x.csv", "x.npy")
    ]
    assert told[0]["answers"] == told[1]["answers"]


def test_labels_are_a_sequence_a_row(signals: Path, tmp_path: Path, cli) -> None:
    answers = np.stack([OF.sample.outputs(one) for one in np.load(signals)])
    np.save(tmp_path / "flat.npy", answers.reshape(7, -1))
    np.save(tmp_path / "turned.npy", answers[:, -1].T)
    ask = ("score", OF.build, "--input", signals, "--json", "--labels")
    code, printed, line = cli(*ask, tmp_path / "flat.npy", "--task", "stream")
    assert (code, json.loads(printed)["mae"] < 0.1) == (0, True), line
    code, _, line = cli(*ask, tmp_path / "turned.npy", "--task", "regress")
    assert code == 2
    assert f"labels [{answers.shape[2]}, 7]: there are answers [7, {answers.shape[2]}]" in line


def test_labels_that_do_not_fit(signals: Path, tmp_path: Path, cli) -> None:
    np.save(tmp_path / "few.npy", np.zeros(3))
    np.save(tmp_path / "high.npy", np.full(7, 99))
    np.save(tmp_path / "huge.npy", np.full(7, 1e300))
    for name, expected in (
        ("few", "labels [3]: there are answers [7]"),
        ("high", "label 99: classes are"),
        ("huge", "label 1e+300: classes are"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy's would be a second line
            code, _, line = cli(
                "score", OF.build, "--input", signals, "--labels", tmp_path / f"{name}.npy"
            )
        assert (code, line.count("\n")) == (2, 1)
        assert expected in line
    for words in (
        ["--input", signals],
        ["--labels", signals],
        ["--input", signals, "--labels", tmp_path / "few.npy", "--numerics", "machine"],
        ["--tokens", "1,2", "--task", "stream"],
    ):
        assert cli("score", OF.build, *words)[0] == 2


@pytest.mark.parametrize("option", [("--exchange", "exact"), ("--grid", "1x1")])
def test_signals_have_no_links(option: tuple[str, str], signals: Path, cli) -> None:
    labels = ("--labels", signals)  # what the options are refused before
    code, _, line = cli("score", OF.build, "--input", signals, *labels, *option)
    assert (code, line.count("\n")) == (2, 1)
    assert f"{option[0]}" in line


def test_machine_numerics_are_refused_in_python() -> None:
    with pytest.raises(InvalidInput, match="'machine': a network of signals has float and chip"):
        open_signal_model(OF.build, numerics="machine")
