"""`hnlpu draw`: from all that names a network to a file, and back; what is refused, in one line."""

from __future__ import annotations

import json
import os
import stat
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hnlpu.model.families import network_of
from hnlpu.model.network import dump, load

Cli = Callable[..., tuple[int, str, str]]
CONFIG = {"model_type": "gru", "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 3}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "net.json").write_text(dump(network_of(CONFIG)))
    return tmp_path


def texts(path: Path) -> list[str]:
    return [
        element.text or "" for element in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")
    ]


def test_a_build_shows_its_digits(cli: Cli, here: Path, tiny_build: Path) -> None:
    code, printed, errors = cli("draw", tiny_build, "-o", "x.svg")
    assert (code, errors) == (0, "")
    assert "x.svg" in printed
    written = " ".join(texts(here / "x.svg"))
    assert "digit" in written
    assert "2 blocks" in written


def test_a_checkpoint_and_its_config_are_the_same(
    cli: Cli, here: Path, tiny_checkpoint: Path
) -> None:
    for subject, name in ((tiny_checkpoint, "a"), (tiny_checkpoint / "config.json", "b")):
        assert cli("draw", subject, "-o", f"{name}.svg")[0] == 0
    assert (here / "a.svg").read_bytes() == (here / "b.svg").read_bytes()
    assert "digit" not in " ".join(texts(here / "a.svg"))


def test_the_text_form_and_back(cli: Cli, here: Path) -> None:
    code, printed, errors = cli("draw", "config.json", "--json")
    assert (code, errors) == (0, "")
    assert load(printed) == network_of(CONFIG)
    assert sorted(p.name for p in here.iterdir()) == ["config.json", "net.json"]
    (here / "again.json").write_text(printed)
    assert cli("draw", "config.json", "-o", "one.svg")[0] == 0
    assert cli("draw", "again.json", "-o", "two.svg")[0] == 0
    one, two = texts(here / "one.svg"), texts(here / "two.svg")
    assert one[1:] == two[1:]
    assert two[0] == "again"
    assert cli("draw", "again.json", "--json", "-o", "third.json")[0] == 0
    assert (here / "third.json").read_text() == printed


def test_names_that_nobody_gave(cli: Cli, here: Path) -> None:
    assert cli("draw", "net.json")[0] == 0
    assert cli("draw", "config.json")[0] == 0
    assert {"net.svg", f"{here.name}.svg"} <= {p.name for p in here.iterdir()}
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((here / "net.svg").stat().st_mode) == 0o666 & ~mask


def changed(**values: Any) -> str:
    return json.dumps(CONFIG | values)


def network(change: Callable[[Any], object]) -> str:
    values = json.loads(dump(network_of(CONFIG)))
    change(values)
    return json.dumps(values)


BAD = {
    "nothing": ("", "not valid JSON"),
    "half": ('{"model_type": "gru",', "not valid JSON"),
    "deep": ("[" * 100_000, "not valid JSON"),
    "list": ("[1]", "not a JSON object"),
    "unknown": (changed(model_type="xlstm"), "model_type is 'xlstm'; supported: "),
    "no type": ("{}", "model_type is None; supported"),
    "odd key": (changed(magic=3), "magic = 3 is no key"),
    "odd size": (changed(hidden_size=-1), "hidden_size"),
    "format": (network(lambda v: v.update(format=99)), "not a network of format 1"),
    "no format": (network(lambda v: v.pop("format")), "not a network of format 1"),
    "odd field": (network(lambda v: v.update(colour=1)), "colour is no field of Network"),
    "odd operation": (network(lambda v: v["steps"][0]["op"].update({"is": "Fold"})), "'Fold' is none of"),
    "undefined": (network(lambda v: v["steps"][3]["args"].__setitem__(0, "ghost")), "step 3 ("),
    "unused": (network(lambda v: v["matrices"].append(v["matrices"][0] | {"name": "w"})), "matrix w"),
    "twice": (network(lambda v: v["steps"].append(v["steps"][-1])), "is defined already"),
    "no steps": (network(lambda v: v.update(steps=[])), "network"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("options", [(), ("--json",), ("-o", "out.svg")])
def test_bad_files(cli: Cli, here: Path, name: str, options: tuple[str, ...]) -> None:
    text, message = BAD[name]
    (here / "bad.json").write_text(text)
    before = sorted(here.iterdir())
    code, printed, errors = cli("draw", "bad.json", *options)
    assert code == 2
    assert_said_again(printed, errors, options)
    assert errors.count("\n") == 1
    assert str(here / "bad.json") in errors
    assert message in errors
    assert sorted(here.iterdir()) == before


def refused(cli: Cli, *arguments: object) -> str:
    code, printed, errors = cli("draw", *arguments)
    assert (code, errors.count("\n")) == (2, 1), errors
    assert_said_again(printed, errors, arguments)
    return errors


def assert_said_again(printed: str, errors: str, arguments: Sequence[object]) -> None:
    """With --json standard output has the line as a document, else nothing."""
    if "--json" not in arguments:
        assert printed == ""
        return
    found = json.loads(printed)["error"]
    assert (found["exit_code"], f"hnlpu: {found['message']}\n") == (2, errors)


def test_places_that_are_none(cli: Cli, here: Path) -> None:
    (here / "empty").mkdir()
    (here / "there.svg").write_text("mine")
    (here / "link.svg").symlink_to(here / "gone")
    assert "no such file or folder" in refused(cli, "nowhere")
    assert "neither config.json nor manifest.json" in refused(cli, "empty", "-o", "x.svg")
    assert "is there already" in refused(cli, "net.json", "-o", "there.svg")
    assert "is there already" in refused(cli, "net.json", "-o", "empty")
    assert "is there already" in refused(cli, "net.json", "-o", "link.svg")
    assert "is there already" in refused(cli, "net.json", "--json", "-o", "there.svg")
    assert "is no folder" in refused(cli, "net.json", "-o", "no/x.svg")
    assert "cannot be written" in refused(cli, "net.json", "-o", "/proc/x.svg")
    (here / "manifest.json").write_text("{}")
    assert "manifest.json" in refused(cli, here, "-o", "x.svg")
    assert (here / "there.svg").read_text() == "mine"
    assert not (here / "gone").exists()
    assert not list(here.glob(".*.part"))


def test_a_disk_that_is_full_leaves_nothing(
    cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    before = sorted(here.iterdir())
    assert "No space left" in refused(cli, "net.json", "-o", "x.svg")
    assert sorted(here.iterdir()) == before
