"""`hnlpu catalog list` and `show`: the data files that come with hnlpu, to read and to copy."""

from __future__ import annotations

import sys
import tomllib
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Annotated

import typer
from rich.table import Table

from hnlpu.cli._app import app
from hnlpu.cli._options import Json
from hnlpu.cli._output import out, print_json, waiting
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
    "survey": "hnlpu.system.catalog",
    "prices of tokens": "hnlpu.system.index",
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
    json: Json = False,
) -> None:
    """The text of a file: every number with its unit and its source."""
    for kind, known, file in _files():
        if known == name:
            if json:
                values = tomllib.loads(file.read_text("utf-8"))
                print_json({"kind": kind, "name": known, "values": values})
                return
            sys.stdout.write(file.read_text("utf-8"))
            return
    names = ", ".join(known for _, known, _ in _files())
    raise InvalidInput(f"{name!r} is not in the catalog; there are {names}")


@catalog.command("survey")
def survey(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Models (default: all).")
    ] = None,
    json: Json = False,
) -> None:
    """Parameters, operations and bytes of published models, from their configs, beside what is published."""
    from hnlpu.system.catalog import load_survey, surveyed

    models = {one.name: one for one in load_survey().model}
    for name in names or ():
        if name not in models:
            raise InvalidInput(f"{name!r} is not in the survey; there are {', '.join(models)}")
    with waiting("counting"):
        rows = [surveyed(models[name]) for name in names or models]
    if json:
        print_json(
            [
                {
                    "model": r.name, "layers": r.layers, "kind": "computed", "parameters": r.parameters,
                    "active_parameters": r.active, "operations_per_token": r.operations,
                    "weight_bytes": r.weight_bytes,
                    "published_parameters": r.published.parameters.value, "error": r.error,
                    "published_active": r.published.active.value if r.published.active else None,
                    "active_error": r.active_error, "source": r.published.parameters.source,
                }
                for r in rows
            ]
        )  # fmt: skip
        return
    table = Table(
        "model", "parameters, G", "published", "off", "a token meets", "GFLOP a token", "GB"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for r in rows:
        table.add_row(
            r.name, f"{r.parameters / 1e9:,.4g}", f"{r.published.parameters.value / 1e9:,.4g}",
            f"{100 * r.error:+.2f} %", f"{r.active / 1e9:,.4g}", f"{r.operations / 1e9:,.4g}",
            f"{r.weight_bytes / 1e9:,.4g}",
        )  # fmt: skip
    out.print(table)
    out.print("operations without attention's over the positions; bytes in bfloat16, or as stored")


@catalog.command("devices")
def devices(json: Json = False) -> None:
    """Published rates of single devices beside what bytes and bandwidth say; misses are listed."""
    from hnlpu.system.catalog import rated_devices

    with waiting("counting"):
        rows = rated_devices()
    if json:
        print_json(
            [
                {
                    "device": r.device.name, "model": r.rate.model, "bits": r.rate.bits.value,
                    "bandwidth_gb_per_second": r.device.bandwidth.value,
                    "published_tokens_per_second": r.rate.tokens.value,
                    "computed_tokens_per_second": r.computed, "error": r.error, "missed": r.missed,
                    "source": r.rate.tokens.source,
                }
                for r in rows
            ]
        )  # fmt: skip
        return
    table = Table("device", "model", "bits", "published", "computed", "off", "")
    for column in table.columns[2:6]:
        column.justify = "right"
    for r in sorted(rows, key=lambda r: abs(r.error)):
        table.add_row(
            r.device.title, r.rate.model, f"{r.rate.bits.value:g}", f"{r.rate.tokens.value:,.4g}",
            f"{r.computed:,.4g}", f"{100 * r.error:+.0f} %", "missed" if r.missed else "",
        )  # fmt: skip
    out.print(table)
    held = sum(not r.missed for r in rows)
    out.print(
        f"tokens/s of one sequence; {held} of {len(rows)} within 30 %.  Computed: every weight that a token meets "
        "is read once, at the whole bandwidth; what decodes few bits or waits for launches is slower"
    )


@catalog.command("techniques")
def techniques(json: Json = False) -> None:
    """Techniques as a tree: each is a command of hnlpu, or a gap that says why."""
    from hnlpu.system.catalog import load_techniques

    tree = load_techniques()
    if json:
        print_json([branch.model_dump() for branch in tree.branch])
        return
    for branch in tree.branch:
        out.print(branch.name)
        for leaf in branch.leaves:
            said = f"hnlpu {leaf.command}" if leaf.command else f"gap: {leaf.gap}"
            out.print(f"    {leaf.name}: {said}")


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
