"""One self-contained HTML page about a build: what it is, how it differs, how it speaks.

Build ──► _facts (counts)  ──┐
     └──► _measure (runs)  ──┴──► _page (jinja2, with _charts and _drawings as inline SVG)
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hnlpu._paths import absolute
from hnlpu._whole import new_file
from hnlpu.errors import InvalidInput, OutputExists, OutputFailed
from hnlpu.insight.diagram import build_subject, draw
from hnlpu.insight.report._facts import examine
from hnlpu.insight.report._masks_page import masks_section, write_picture
from hnlpu.insight.report._measure import Stopwatch, measure_quality, measure_speech
from hnlpu.insight.report._page import render
from hnlpu.insight.report._signal_chart import signal_chart
from hnlpu.insight.report._system_page import made_of, system_section
from hnlpu.silicon.hardwire import open_build

if TYPE_CHECKING:
    from hnlpu.insight.compress import Ledger
    from hnlpu.insight.sensitivity import Sensitivity
    from hnlpu.system.cost import Costing
    from hnlpu.system.explore import Search
    from hnlpu.system.index import Entry
    from hnlpu.system.machine import Load, MachineTarget, Simulation


MARK = b'<meta name="generator" content="hnlpu">'
MARKED_WITHIN = 4096  # bytes


def report(
    directory: str | Path,
    output: str | Path | None = None,
    *,
    checkpoint: str | Path | None = None,
    text: str | None = None,
    prompt: str | None = None,
) -> Path:
    """Write an HTML page about the build at `directory` and return its path.

    The page opens offline, from one file (default: DIR.report.html beside the
    build).  With `text` it compares the perplexity of the hardwired model with
    that of the float one, read from `checkpoint` or where the build's log says
    it is; `prompt` (default "def ") is continued by the hardwired model.

    Raises NotABuild or DamagedBuild; InvalidInput for an output inside the
    build; OutputFailed where it cannot be written; for a `checkpoint` that was
    given, the errors of reading one.
    """
    clock = Stopwatch()
    build = open_build(directory)
    path = _output_path(build.directory, output)
    with new_file(path) as write:
        with clock.step("reading the build"):
            facts = examine(build)
        folder = None if checkpoint is None else absolute(checkpoint)
        quality = measure_quality(build, facts.log, folder, text, clock)
        speech = measure_speech(build, prompt, clock)
        with clock.step("drawing the metal"):
            metal = masks_section(build)
        with clock.step("drawing the network"):
            subject = build_subject(build)
            network = draw(subject.network, subject.title, subject.notes)
        with clock.step("simulating, pricing and auditing its machine"):
            system = system_section(build)
        page = render(facts, quality, speech, metal, network, made_of(build), system, clock.steps)
        write(_encoded(page))
    return path


def machine_report(
    target: MachineTarget, load: Load, sliding: bool, result: Simulation, output: str | Path
) -> Path:
    """Write an HTML page about a simulated machine; raises OutputFailed.

    It simulates the machine over context lengths too, and prices it where it is a whole system.
    """
    from hnlpu.insight.report._machine_page import (
        render_machine,  # the page of a build needs no simulator
    )

    path = check_page(output)
    with new_file(path) as write:
        write(_encoded(render_machine(target, load, sliding, result)))
    return path


def explore_report(found: Search, output: str | Path) -> Path:
    """Write an HTML page about a search for a machine; raises OutputFailed."""
    from hnlpu.insight.report._explore_page import render_search

    path = check_page(output)
    with new_file(path) as write:
        write(_encoded(render_search(found)))
    return path


def sensitivity_report(found: Sensitivity, output: str | Path) -> Path:
    """Write an HTML page about a measured sensitivity; raises OutputExists, OutputFailed."""
    from hnlpu.insight.report._sensitivity_page import render_sensitivity

    path = check_page(output)
    with new_file(path) as write:
        write(_encoded(render_sensitivity(found)))
    return path


def compress_report(found: Ledger, output: str | Path) -> Path:
    """Write an HTML page about a compression; raises OutputExists, OutputFailed."""
    from hnlpu.insight.report._compress_page import render_compress

    path = check_page(output)
    with new_file(path) as write:
        write(_encoded(render_compress(found)))
    return path


def cost_report(found: Costing, facts: dict[str, Any], output: str | Path) -> Path:
    """Write an HTML page about what a model's chips cost; raises OutputExists, OutputFailed."""
    from hnlpu.insight.report._cost_page import render_cost

    path = check_page(output)
    with new_file(path) as write:
        write(_encoded(render_cost(found, facts)))
    return path


def index_report(entries: Sequence[Entry], trials: int, output: str | Path) -> Path:
    """Write the HTML page of the hardwiring index; raises OutputExists, OutputFailed."""
    from hnlpu.insight.report._index_page import render_index

    path = check_page(output)
    with new_file(path) as write:
        write(_encoded(render_index(entries, trials)))
    return path


def check_page(output: str | Path) -> Path:
    """The place of a page: nothing is there, or a page that hnlpu wrote, which it replaces.

    Raises OutputExists for any other file, OutputFailed for a folder.
    """
    path = absolute(output)
    if path.is_dir():
        raise OutputFailed(f"{path}: is a folder; give the name of the HTML file to write")
    if path.exists():
        with contextlib.suppress(OSError), path.open("rb") as file:
            if MARK in file.read(MARKED_WITHIN):
                return path
        raise OutputExists(
            f"{path}: is there already and no page of hnlpu's; remove it or name another"
        )
    return path


def _output_path(build: Path, output: str | Path | None) -> Path:
    if output is None:
        return check_page(build.with_name(build.name + ".report.html"))
    path = absolute(output)
    if path.is_relative_to(build):
        raise InvalidInput(
            f"{path}: lies inside the build, which holds only its own files; choose another place"
        )
    return check_page(path)


def _encoded(page: str) -> bytes:
    # a file name that is not UTF-8 must not cost the page
    return page.encode("utf-8", "replace")


__all__ = [
    "check_page",
    "compress_report",
    "cost_report",
    "explore_report",
    "index_report",
    "machine_report",
    "report",
    "sensitivity_report",
    "signal_chart",
    "write_picture",
]
