"""The layers of mask files as KLayout's layer properties (.lyp) and as a plain table (.map).

# layer   purpose       number  datatype
met2      drawing       69      20
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from hnlpu.silicon.masks._layers import NamedLayer

PROPERTIES, TABLE = "layers.lyp", "layers.map"
COLOURS = ("#808080", "#4a7fb5", "#c05a46", "#5b9a5b", "#8a62a8", "#c7953c")
"""Of the six layers from the silicon up."""
PATTERNS = {"fixed": "I5", "drawing": "I5", "programmable": "I0", "pin": "I3", "label": "I1"}
"""KLayout's built-in stipples: hatched, solid, dotted, hollow."""


def layer_properties(layers: Sequence[NamedLayer]) -> bytes:
    """The file that KLayout loads with `-l` or from its menu."""
    colour = dict(zip(dict.fromkeys(layer.name for layer in layers), COLOURS, strict=True))
    parts = ['<?xml version="1.0" encoding="utf-8"?>\n<layer-properties>\n']
    for layer in reversed(layers):  # what lies on top stands on top
        number = f"{layer.key[0]}/{layer.key[1]}"
        parts.append(
            " <properties>\n"
            f"  <frame-color>{colour[layer.name]}</frame-color>\n"
            f"  <fill-color>{colour[layer.name]}</fill-color>\n"
            "  <frame-brightness>0</frame-brightness>\n"
            "  <fill-brightness>0</fill-brightness>\n"
            f"  <dither-pattern>{PATTERNS[layer.purpose]}</dither-pattern>\n"
            "  <line-style/>\n"
            "  <valid>true</valid>\n"
            "  <visible>true</visible>\n"
            "  <transparent>true</transparent>\n"
            "  <width>1</width>\n"
            "  <marked>false</marked>\n"
            "  <xfill>false</xfill>\n"
            "  <animation>0</animation>\n"
            f"  <name>{escape(layer.full_name)} - {number}</name>\n"
            f"  <source>{number}@1</source>\n"
            " </properties>\n"
        )
    return "".join([*parts, " <name/>\n</layer-properties>\n"]).encode()


def layer_table(layers: Sequence[NamedLayer]) -> bytes:
    """Name, purpose, number and datatype in columns, as tools that stream layouts read them."""
    rows = [("# layer", "purpose", "number", "datatype")]
    for each in layers:
        number, datatype = each.key
        rows.append((each.name, each.purpose, str(number), str(datatype)))
    widths = [max(len(row[n]) for row in rows) + 2 for n in range(3)]
    lines = (
        "".join(text.ljust(width) for text, width in zip(row, widths, strict=False)) + row[3]
        for row in rows
    )
    return ("\n".join(lines) + "\n").encode("ascii")
