"""A subject -> markup, style and script: its metal to zoom into on a page, and still drawings.

The page loads nothing: the layout travels as deflated JSON in the markup.  Where scripts do not
run, and on paper, the still drawings stand for it.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from html import escape
from importlib import resources

from hnlpu.silicon.masks.picture._floorplan import colour, shares
from hnlpu.silicon.masks.picture._focus import focus_on
from hnlpu.silicon.masks.picture._panels import panels_of
from hnlpu.silicon.masks.picture._parts import TitledDrawing
from hnlpu.silicon.masks.picture._scene import style_sheet, svg
from hnlpu.silicon.masks.picture._subject import PictureSubject
from hnlpu.silicon.masks.picture._viewer_data import viewer_data
from hnlpu.silicon.masks.picture._words import words_of

LEVELS = ("die", "arrays", "tile", "rows", "weight")


@dataclass(frozen=True)
class Fragment:
    """What a page needs: markup, and a style sheet and a script that are the same for any subject."""

    markup: str
    style: str
    script: str


def viewer(subject: PictureSubject) -> str:
    """The viewer of a subject with its still drawings, style and script: HTML for a page's body."""
    found = fragment(subject)
    return f"<style>{found.style}</style>\n{found.markup}<script>{found.script}</script>\n"


def fragment(subject: PictureSubject) -> Fragment:
    """The parts of the viewer, for a page that says by a policy which script may run."""
    focus = focus_on(subject)
    panels = panels_of(subject, focus)
    levels = dict(zip(LEVELS[0 if subject.place else 2 :], panels, strict=False))
    data = json.dumps(
        viewer_data(subject, focus, levels), ensure_ascii=False, separators=(",", ":")
    )
    packed = base64.b64encode(zlib.compress(data.encode(), 9)).decode()
    buttons = "".join(f'<button type="button">{name}</button>' for name in levels)
    words = words_of(subject.scheme)
    meanings = list(words.legend.items())
    if subject.place:
        roles = [share.role for share in shares(subject.place.die)]
        meanings += [
            (colour(role), f"arrays: {role}" if role else "other blocks") for role in roles
        ]
    keys = "".join(
        f'<li><i style="background:var(--m-{name})"></i>{escape(meaning)}</li>'
        for name, meaning in meanings
    )
    *stills, plan, solid = (_figure(panel, n) for n, panel in enumerate(panels, 1))
    markup = f"""<div class="metal-view metal-viewer">
<p>{escape(words.idea)}</p>
<div class="mv-stage" hidden>
<div class="mv-bar"><div class="mv-levels" role="group" aria-label="Zoom to">{buttons}</div>
<div class="mv-zoom"><button type="button" class="mv-other" aria-pressed="false">other weights</button><button type="button" aria-label="Zoom out">−</button><button type="button" aria-label="Zoom in">+</button></div></div>
<canvas tabindex="0" role="img" aria-label="Layout of {escape(subject.matrix)}, from the die to one weight">
</canvas>
<p class="mv-caption" aria-live="polite"></p>
<p class="mv-hint">Click a red frame to go closer, drag to move, scroll after a click to zoom; point at a weight to read it. Keys: Enter and Backspace, arrows, + and −.</p>
</div>
<ul class="mv-legend">{keys}</ul>
<div class="mv-stills">{plan}{solid}</div>
<details open><summary>The way there, as still drawings</summary><div class="mv-stills">{"".join(stills)}</div></details>
<script type="application/octet-stream">{packed}</script>
</div>
"""
    return Fragment(markup, f"{style_sheet()}\n{_file('viewer.css')}", _file("viewer.js"))


def _figure(panel: TitledDrawing, number: int) -> str:
    return (
        f"<figure><h4>{number}. {escape(panel.title)}</h4>"
        f"{svg(panel.scene, panel.title, panel.caption)}"
        f"<figcaption>{escape(panel.caption)}</figcaption></figure>"
    )


def _file(name: str) -> str:
    return (resources.files("hnlpu.silicon.masks.picture") / name).read_text("utf-8")
