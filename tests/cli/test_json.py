"""--json of every command: one document, as its schema says, with the kind of every figure; errors too."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from typer.main import get_command
from typer.testing import CliRunner

import hnlpu
from hnlpu.cli._app import app
from hnlpu.cli._schema import KINDS, figures, kinds_line, load_schema, schema_names
from signal_samples import made_signals

Cli = Callable[..., tuple[int, str, str]]
CHECKPOINT = Path(__file__).parents[2] / "checkpoints" / "gru-106k"
PAPER = "hnlpu-asplos26"
COMMANDS: dict[str, tuple[str, ...]] = {
    "build": ("build", "{checkpoint}", "-o", "{new}"),
    "verify": ("verify", "{build}", "--samples", "1"),
    "generate": ("generate", "{build}", "--tokens", "5,6", "--max-tokens", "2"),
    "score": ("score", "{build}", "--tokens", "5,6,7", "--top", "1"),
    "report": ("report", "{build}", "-o", "{new}.html"),
    "place": ("place", "{build}", "--tiles"),
    "design": ("design", "{build}"),
    "simulate": ("simulate", "{build}", "--tokens", "300"),
    "cost": ("cost", "{build}", "--trials", "20"),
    "cost-bought": ("cost", "hgx-h100", "--model", "gpt-oss-120b"),
    "audit": ("audit", "{build}"),
    "explore": ("explore", "{build}", "--trials", "3"),
    "sweep": ("sweep", PAPER, "--vary", "users=8,99"),
    "index": ("index", "gpt-oss-20b", "--technology", "n5", "--trials", "0"),
    "masks": ("masks", "{build}", "--tile", "*router*", "-o", "{new}"),
    "masks-picture": ("masks", "{build}", "--tile", "*router*", "--png", "-o", "{new}.png"),
    "rtl": ("rtl", "{build}", "--matrix", "*router", "--neurons", "1", "-o", "{new}"),
    "chip": ("chip", "{build}", "-o", "{new}"),
    "chip-predict": ("chip", "{trained}", "--predict"),
    "chart": ("chart", "{chart}"),
    "chart-file": ("chart", "{chart}", "-o", "{new}.csv"),
    "catalog-list": ("catalog", "list"),
    "catalog-show": ("catalog", "show", "devices"),
    "catalog-survey": ("catalog", "survey", "smollm2-360m"),
    "catalog-techniques": ("catalog", "techniques"),
    "catalog-devices": ("catalog", "devices"),
    "draw": ("draw", "{build}"),
    "sensitivity": ("sensitivity", str(CHECKPOINT), "--tokens", "5,6,7,8,9", "-o", "{new}"),
    "compress": ("compress", str(CHECKPOINT), "--text", "{text}", "--with", "round", "-o", "{new}"),
    "run": ("run", "{signals}", "--input", "{numbers}"),
}  # fmt: skip
ELSEWHERE = {
    "doctor": "tests/cli/test_commands.py",
    "score-signals": "tests/cli/test_run.py",
    "serve-self-test": "tests/serve",
    "serve": "tests/serve",
    "demo": "`make wheel`, in an environment of its own",
    "adapter-check": "tests/run/engine",
    "error": "below",
}
"""Documents that other tests make, for they take a server, a minute or a file of another package."""
TEXT_ONLY = {"chat", "schema"}
"""A conversation, and what prints schemas."""


@pytest.fixture(scope="module")
def places(tiny_build: Path, tiny_checkpoint: Path, tmp_path_factory: Any) -> dict[str, str]:
    """What the placeholders of command lines stand for."""
    folder = tmp_path_factory.mktemp("json")
    signals = made_signals("gru_svm")
    np.save(folder / "x.npy", signals.sample.signals(3))
    chart, text = folder / "c.svg", folder / "text.txt"
    text.write_text("def add(a, b):\n    return a + b\n" * 4)
    hnlpu.build(CHECKPOINT, folder / "trained")
    CliRunner().invoke(app, ["cost", PAPER, "--trials", "20", "--chart", str(chart)])
    return {
        "build": str(tiny_build), "checkpoint": str(tiny_checkpoint), "chart": str(chart), "text": str(text),
        "trained": str(folder / "trained"),
        "signals": str(signals.build), "numbers": str(folder / "x.npy"),
    }  # fmt: skip


def commands(group: Any = None, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every command by the name that its schema has."""
    group = group or get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{before}{name}-")
        else:
            yield before + name, command


def unknown(value: Any, schema: dict[str, Any], where: str = "") -> list[str]:
    """Keys of a document that its schema does not describe."""
    if isinstance(value, list):
        return [k for one in value for k in unknown(one, schema.get("items", {}), f"{where}[]")]
    if not isinstance(value, dict) or "properties" not in schema:
        inner = schema.get("additionalProperties")
        if isinstance(value, dict) and isinstance(inner, dict):
            return [k for key, v in value.items() for k in unknown(v, inner, f"{where}.{key}")]
        return []
    found = []
    for key, inner in value.items():
        if key not in schema["properties"]:
            found.append(f"{where}.{key}")
        else:
            found += unknown(inner, schema["properties"][key], f"{where}.{key}")
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_document_is_as_its_schema_says(
    name: str, places: dict[str, str], tmp_path: Path, cli: Cli
) -> None:
    words = [word.format(new=tmp_path / "new", **places) for word in COMMANDS[name]]
    code, printed, errors = cli(*words, "--json")
    assert code in (0, 1), errors
    schema = load_schema(name)
    Draft202012Validator.check_schema(schema)
    document = json.loads(printed)
    Draft202012Validator(schema).validate(document)
    assert unknown(document, schema) == []


def test_every_command_has_a_schema_and_a_test() -> None:
    known = set(schema_names())
    assert known == set(COMMANDS) | set(ELSEWHERE)
    for name, command in commands():
        options = {option for each in command.params for option in each.opts}
        assert (name in known) == ("--json" in options), name
        assert name in known or name in TEXT_ONLY, name


def test_every_figure_has_a_kind() -> None:
    for name in schema_names():
        schema = load_schema(name)
        for inner in walk(schema):
            types = inner.get("type", [])
            if {"integer", "number"} & set([types] if isinstance(types, str) else types):
                assert inner["x-kind"] in KINDS, (name, inner)
    seen = {kind.split(",")[0] for name in schema_names() for _, kind in figures(load_schema(name))}
    assert {"measured", "simulated", "computed", "published", "given"} <= seen
    kinds = dict(figures(load_schema("simulate")))
    assert kinds["tokens_per_second"].startswith("simulated")
    assert kinds["bound_tokens_per_second"].startswith("computed")


SHOWN = {
    "cost": ("cost", PAPER, "--trials", "20"), "simulate": ("simulate", PAPER, "--tokens", "300"),
    "audit": ("audit", PAPER), "design": ("design", str(CHECKPOINT)),
    "sweep": ("sweep", PAPER, "--vary", "users=8"), "cost-bought": ("cost", "h100", "--model", "gpt-oss-120b"),
    "index": ("index", "gpt-oss-20b", "--technology", "n5", "--trials", "0"),
    "explore": ("explore", str(CHECKPOINT), "--trials", "1"),
}  # fmt: skip


@pytest.mark.parametrize("name", SHOWN)
def test_people_are_told_the_kinds(name: str, cli: Cli) -> None:
    _, printed, _ = cli(*SHOWN[name])
    assert kinds_line(name) in printed.replace("\n", " ")
    assert "computed" in kinds_line(name)


def walk(value: Any) -> Iterator[dict[str, Any]]:
    """All schemas within a schema."""
    if isinstance(value, dict):
        if "type" in value and isinstance(value["type"], (str, list)):
            yield value
        for inner in value.values():
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


WRONG = {
    "build": ("nowhere", "-o", "x"), "verify": ("nowhere",), "generate": ("nowhere", "--tokens", "1"),
    "score": ("nowhere", "--tokens", "1,2"), "report": ("nowhere",), "place": ("nowhere",),
    "design": ("gpt-9",), "simulate": ("gpt-9",), "cost": ("gpt-9",), "audit": ("gpt-9",),
    "explore": ("gpt-9",), "sweep": ("gpt-9", "--vary", "users=1"), "index": ("gpt-9",),
    "masks": ("nowhere",), "rtl": ("nowhere",), "chip": ("nowhere",), "chart": ("nowhere.html",),
    "draw": ("nowhere",), "sensitivity": ("nowhere", "--tokens", "1,2"), "run": ("nowhere", "--input", "x"),
    "serve": ("nowhere",), "demo": ("-o", "{here}"), "doctor": ("--no-such-option",),
}  # fmt: skip


@pytest.mark.parametrize("command", WRONG)
def test_an_error_is_a_document_too(
    command: str, tmp_path: Path, cli: Cli, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    words = [word.format(here=tmp_path) for word in WRONG[command]]
    code, printed, errors = cli(command, *words, "--json")
    assert code == 2
    document = json.loads(printed)
    Draft202012Validator(load_schema("error")).validate(document)
    assert errors == f"hnlpu: {document['error']['message']}\n"
    code, printed, again = cli(command, *words)
    assert (code, printed, again) == (2, "", errors)


def test_schemas_are_printed(cli: Cli) -> None:
    code, printed, _ = cli("schema", "cost")
    assert code == 0
    assert json.loads(printed) == load_schema("cost")
    _, printed, _ = cli("schema", "cost", "--kinds")
    assert "usd_per_mtoken.value: computed" in printed or "usd_per_mtoken: computed" in printed
    _, printed, _ = cli("schema")
    assert printed.split() == schema_names()
    code, _, errors = cli("schema", "nothing")
    assert code == 2
    assert "'nothing' has no schema; there are" in errors
