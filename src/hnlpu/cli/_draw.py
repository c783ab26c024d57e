"""`hnlpu draw`: a network as a diagram, or as text."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from hnlpu._paths import absolute
from hnlpu.cli._app import app
from hnlpu.cli._output import out
from hnlpu.errors import OutputExists, OutputFailed

OTHER_KINDS = (".pdf", ".png", ".csv")
"""Endings that are no SVG; of the last, a diagram has no numbers for."""


@app.command()
def draw(
    subject: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT|DIR|FILE",
            help="Checkpoint folder, build directory, config.json, or what this command made.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="File to make: .svg, .pdf or .png (default: SUBJECT.svg in this folder).",
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="The network's text form instead: printed, or to -o.")
    ] = False,
) -> None:
    """Draw the network of a model: what is metal, what is memory, where state lives."""
    from hnlpu._charts import chart_bytes, check_chart
    from hnlpu.insight.diagram import draw as do_draw
    from hnlpu.insight.diagram import open_subject
    from hnlpu.model.network import dump

    place = None if json and output is None else _new_file(output or _default(subject))
    if place is not None and not json and place.suffix.lower() in OTHER_KINDS:
        check_chart(place)
    found = open_subject(subject)
    text = dump(found.network) if json else do_draw(found.network, found.title, found.notes)
    if place is None:
        sys.stdout.write(text)
        return
    as_it_is = json or place.suffix.lower() not in OTHER_KINDS
    _write(place, text.encode() if as_it_is else chart_bytes(place, text))
    kind = "the text form" if json else "a diagram"
    out.print(f"{place}: {kind} of {len(found.network.steps):,} steps, {len(text) / 1e3:.0f} kB")


def _default(subject: Path) -> Path:
    """A name in this folder, after the model's."""
    place = absolute(subject)
    inside = place.name == "config.json"
    return Path(
        f"{place.parent.name if inside else place.stem if place.is_file() else place.name}.svg"
    )


def _new_file(path: Path) -> Path:
    """The place of a file that is not there yet; raises OutputExists or OutputFailed."""
    place = absolute(path)
    if place.exists() or path.is_symlink():
        raise OutputExists(f"{place}: is there already; choose another name with -o or remove it")
    if not place.parent.is_dir():
        raise OutputFailed(
            f"{place}: {place.parent} is no folder; make it, or choose another place"
        )
    if not os.access(place.parent, os.W_OK):
        raise OutputFailed(f"{place}: cannot be written (Permission denied); choose another place")
    return place


def _write(place: Path, data: bytes) -> None:
    """Write a file whole or not at all, never over another; raises OutputExists, OutputFailed."""
    aside = place.with_name(f".{place.name}.{os.getpid()}.part")
    ours: list[Path] = []
    try:
        with place.open("xb"):  # the name is ours from here on
            ours = [place, aside]
        aside.write_bytes(data)
        aside.replace(place)
        ours = []
    except FileExistsError:
        raise OutputExists(f"{place}: is there already; choose another name with -o") from None
    except OSError as error:
        raise OutputFailed(f"{place}: cannot be written ({error.strerror})") from None
    finally:
        for path in ours:
            with suppress(OSError):
                path.unlink()
