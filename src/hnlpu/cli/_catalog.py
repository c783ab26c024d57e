"""`hnlpu catalog list` and `show`: the data files that come with hnlpu, to read and to copy."""

from __future__ import annotations

import sys
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Annotated

import typer
from rich.table import Table

from hnlpu.cli._app import Json, app
from hnlpu.cli._output import out, print_json
from hnlpu.errors import InvalidInput

catalog = typer.Typer(
    help="Data files that come with hnlpu: systems, models, processes.", rich_markup_mode=None
)
app.add_typer(catalog, name="catalog")

FOLDERS = {
    "system": "hnlpu.system.catalog/systems",
    "model": "hnlpu.system.catalog/models",
    "technology": "hnlpu.silicon.technology",
    "options of explore": "hnlpu.system.explore",
    "limits of audit": "hnlpu.system.audit",
    "parts of design": "hnlpu.system.design",
}
"""Kinds of files, and where they lie: a package, and a folder in it."""


@catalog.command("list")
def list_files(json: Json = False) -> None:
    """Names of all systems, models and processes, and what each is."""
    found = [
        {"kind": kind, "name": name, "title": _title(file)}
        for kind, name, file in _files()
    ]  # fmt: skip
    if json:
        print_json(found)
        return
    table = Table("kind", "name", "what")
    for entry in found:
        table.add_row(entry["kind"], entry["name"], entry["title"])
    out.print(table)
    out.print("hnlpu catalog show NAME prints a file: copy it, edit it, give its name instead")


@catalog.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Name, as `hnlpu catalog list` has it.")],
) -> None:
    """The text of a file: every number with its unit and its source."""
    for _, known, file in _files():
        if known == name:
            sys.stdout.write(file.read_text("utf-8"))
            return
    names = ", ".join(known for _, known, _ in _files())
    raise InvalidInput(f"{name!r} is not in the catalog; there are {names}")


def _files() -> list[tuple[str, str, Traversable]]:
    found: list[tuple[str, str, Traversable]] = []
    for kind, place in FOLDERS.items():
        package, _, folder = place.partition("/")
        where = resources.files(package)
        files = sorted((where / folder if folder else where).iterdir(), key=lambda f: f.name)
        found += [
            (kind, file.name.removesuffix(".toml"), file)
            for file in files
            if file.name.endswith(".toml")
        ]
    return found


def _title(file: Traversable) -> str:
    """The title that a file gives itself, or its first comment."""
    lines = file.read_text("utf-8").splitlines()
    for line in lines:
        if line.startswith("title = "):
            return line.partition("=")[2].strip().strip('"')
    comments = [line.lstrip("# ") for line in lines if line.startswith("# ")]
    return comments[0] if comments else ""
