"""`hnlpu schema`: what the documents of --json look like, and of what kind each figure in them is."""

from __future__ import annotations

import json as json_text
import sys
from collections import Counter
from importlib import resources
from typing import Annotated, Any

import typer

from hnlpu.errors import InvalidInput

KINDS = {
    "measured": "a clock, a file or a simulator of hardware said so, here and now",
    "simulated": "our event simulation of the machine",
    "computed": "a formula or the model itself, from data files with sources",
    "published": "of others, with its source",
    "estimate": "a value that no source has, with bounds",
    "given": "what you asked for, or a name of the model's or the machine's file says",
}
"""Kinds of figures."""


def schema_names() -> list[str]:
    """Documents that have a schema."""
    files = (resources.files("hnlpu.cli") / "schemas").iterdir()
    return sorted(file.name.removesuffix(".json") for file in files if file.name.endswith(".json"))


def load_schema(name: str) -> dict[str, Any]:
    """The JSON schema (2020-12) of a document; raises InvalidInput."""
    if name not in schema_names():
        raise InvalidInput(f"{name!r} has no schema; there are {', '.join(schema_names())}")
    text = (resources.files("hnlpu.cli") / "schemas" / f"{name}.json").read_text("utf-8")
    found: dict[str, Any] = json_text.loads(text)
    return found


def schema(
    name: Annotated[
        str | None, typer.Argument(metavar="[COMMAND]", help="As in: hnlpu schema cost.")
    ] = None,
    kinds: Annotated[
        bool, typer.Option("--kinds", help="List figures with their units and kinds instead.")
    ] = False,
) -> None:
    """The JSON schema of what a command prints with --json; without COMMAND, which there are."""
    if name is None:
        lines = schema_names()
        lines += [f"{kind}: {what}" for kind, what in KINDS.items()] if kinds else []
    elif kinds:
        lines = [f"{where}: {kind}" for where, kind in figures(load_schema(name))]
    else:
        lines = [json_text.dumps(load_schema(name), indent=1)]
    sys.stdout.write("\n".join(lines) + "\n")


def kinds_line(name: str) -> str:
    """One line for people: of what kinds the figures of a command are, and where each is listed."""
    found = Counter(said.split(",")[0] for _, said in figures(load_schema(name)))
    kinds = ", ".join(kind for kind, _ in found.most_common() if kind != "given")
    return f"figures are {kinds}: hnlpu schema {name} --kinds says which"


def figures(found: dict[str, Any], where: str = "") -> list[tuple[str, str]]:
    """(path, kind and unit) of every number of a schema; * stands for any key, [] for entries of a list."""
    rows = []
    if "x-kind" in found:
        unit = f", {found['description']}" if "description" in found else ""
        rows.append((where or "the document", f"{found['x-kind']}{unit}"))
    for key, inner in found.get("properties", {}).items():
        rows += figures(inner, f"{where}.{key}" if where else key)
    if isinstance(found.get("additionalProperties"), dict):
        rows += figures(found["additionalProperties"], f"{where}.*" if where else "*")
    if "items" in found:
        rows += figures(found["items"], f"{where}[]")
    return rows
