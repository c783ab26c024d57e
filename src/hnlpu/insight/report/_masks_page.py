"""A build's metal -> a section of the page: one tile to zoom into, and the floorplan of every die."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from hnlpu._whole import new_file
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.masks.picture import (
    DrawnDie,
    Fragment,
    distinct_dies,
    draw_png,
    floorplan_svg,
    fragment,
    subject_of,
)
from hnlpu.silicon.place import Tile, chip_tiles, placement_facts

MOST_DIES = 16
_NO_PICTURE = (
    "<p>Every port of the first chip has two inputs, and pictures show ports with one.</p>"
)
STYLE = (
    ".floorplans { grid-template-columns: repeat(auto-fill, minmax(min(100%, 380px), 1fr)); }\n"
    ".floorplans svg { display: block; width: 100%; max-width: 480px; height: auto; margin: 0 auto; }"
)


@dataclass(frozen=True)
class MasksSection:
    """HTML of the section, and the style sheet and the script that the page must carry for it."""

    markup: Markup
    style: Markup
    script: Markup

    @property
    def script_digest(self) -> str:
        """SHA-256 in base64, by which a content security policy names the script."""
        return base64.b64encode(hashlib.sha256(self.script.encode()).digest()).decode()


def masks_section(build: Build, tile: Tile | None = None) -> MasksSection:
    """The section about a build's metal; it shows `tile`, or the first of the first chip that has a picture."""
    shown = tile or _first_tile(build)
    viewer = fragment(subject_of(build, shown)) if shown else Fragment(_NO_PICTURE, "", "")
    dies = distinct_dies(build)
    chips = build.manifest.placement.chips
    markup = Markup(
        '<section id="metal">\n<h2>In metal</h2>\n<p>{placed}</p>\n{viewer}\n'
        "<h3>Floorplan{plural}</h3>\n<p>{floorplans}</p>\n"
        '<div class="pair floorplans">{figures}</div>\n</section>\n'
    ).format(
        placed=_placed(build) + _undrawn(build), plural="s" * (len(dies) > 1),
        viewer=Markup(viewer.markup),  # noqa: S704  escapes what it is given
        floorplans=_said(dies, chips), figures=_figures(dies[:MOST_DIES]),
    )  # fmt: skip
    style = Markup(f"{viewer.style}\n{STYLE}")  # noqa: S704  our own
    return MasksSection(markup, style, Markup(viewer.script))  # noqa: S704  our own


def write_picture(build: Build, tile: Tile, path: Path) -> None:
    """Write the picture of a tile as PNG, whole or not at all; raises OutputFailed."""
    with new_file(path) as write:
        write(draw_png(subject_of(build, tile)))


def _first_tile(build: Build) -> Tile | None:
    """The first tile of the first chip whose ports have an input each; None if there is none."""
    manifest = build.manifest
    tiles = chip_tiles(manifest.placement, manifest.technology.array, 0)
    return next((tile for tile in tiles if tile.kind.inputs_per_port == 1), None)


def _undrawn(build: Build) -> str:
    """What the pictures are not, of a process in which no masks are drawn."""
    technology = build.manifest.technology
    if technology.undrawn is None:
        return ""
    return f" No masks are drawn in technology {technology.name}: {technology.undrawn}."


def _placed(build: Build) -> str:
    """Chips, arrays and whether they fit."""
    manifest = build.manifest
    embeddings = {name: record.embedding for name, record in manifest.matrices.items()}
    facts = placement_facts(build.matrices(), embeddings, manifest.placement, manifest.technology)
    rows, columns = facts.grid
    chips = "one chip" if facts.chips == 1 else f"{facts.chips} chips ({rows} by {columns})"
    return (
        f"Embedded with the {facts.scheme} scheme in {manifest.technology.title}, on {chips}: "
        f"{facts.array_area_mm2:,.3g} mm² of arrays on the fullest. By its geometry the model "
        f"{facts.verdict()}."
    )


def _said(dies: list[DrawnDie], chips: int) -> str:
    if len(dies) > MOST_DIES:
        return f"To scale. {len(dies)} floorplans differ; the first {MOST_DIES} are shown."
    if chips == 1:
        return "To scale: arrays in the colours of what they compute, other blocks in grey."
    alike = "all are alike" if len(dies) == 1 else f"{len(dies)} floorplans differ"
    return (
        f"To scale: arrays in the colours of what they compute, other blocks in grey. Of the {chips} "
        f"chips {alike}."
    )


def _figures(dies: list[DrawnDie]) -> Markup:
    drawings = [Markup(floorplan_svg(die)) for die in dies]  # noqa: S704  escapes what it is given
    return Markup("").join(Markup("<figure>{}</figure>\n").format(svg) for svg in drawings)
