"""A network as a diagram: what is metal, what is memory, where state lives, what is on the wires.

Network ─► _repeats (kinds of blocks) ─► _boxes (boxes, values) ─► _place (layers, wires) ─► _svg

It knows networks alone: no family, and of a build only the notes on its matrices.
"""

from __future__ import annotations

from collections.abc import Mapping

from hnlpu.insight.diagram._boxes import panel_of
from hnlpu.insight.diagram._embedded import metadata
from hnlpu.insight.diagram._marks import Mark
from hnlpu.insight.diagram._model import Panel
from hnlpu.insight.diagram._sheet import sheet
from hnlpu.insight.diagram._subject import DiagramSubject, build_subject, open_subject
from hnlpu.insight.diagram._svg import svg
from hnlpu.model.network import Network


def draw(
    network: Network, title: str, notes: Mapping[str, str] | None = None, *, embed: bool = True
) -> str:
    """The SVG of a network; `notes` are what a build knows of its matrices, by name.

    With `embed` the file holds the network, so that `open_subject` reads it again.  Raises
    MalformedNetwork.
    """
    panel, marks, width, height = drawing(network, title, notes)
    says = f"Diagram of a network in {len(panel.boxes)} parts, top to bottom"
    return svg(marks, width, height, title, says, metadata(network) if embed else "")


def drawing(
    network: Network, title: str, notes: Mapping[str, str] | None = None
) -> tuple[Panel, list[Mark], float, float]:
    """What is drawn, its marks, and the width and height of the sheet."""
    panel = panel_of(network, notes or {})
    marks, width, height = sheet(network, panel, title)
    return panel, marks, width, height


__all__ = ["DiagramSubject", "build_subject", "draw", "drawing", "open_subject"]
