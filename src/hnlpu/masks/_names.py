"""Names of pins and cells -> names that GDSII, LEF, DEF, Tcl and Verilog all take as they are.

    label        identifier
    x3.+2        x3_p2         drives 2 half units of input 3
    x3.-12       x3_m12
    p4.17        p4_17         port of row 4 for input 17
    c4.0.5       c4_0_5        bit 5 of the count of block 0, row 4
    GND, PWR     GND, PWR

Pins translate both ways without loss: a label holds dots and signs and no underscore.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_LABEL = re.compile(r"GND|PWR|[a-z][0-9]+(\.[+-]?[0-9]+)*")
_IDENTIFIER = re.compile(r"GND|PWR|[a-z][0-9]+(_[pm]?[0-9]+)*")
_TO_IDENTIFIER = str.maketrans({".": "_", "+": "p", "-": "m"})
_TO_LABEL = re.compile(r"_([pm]?)")
_OTHER = re.compile(r"[^A-Za-z0-9_]")


def pin_identifier(label: str) -> str:
    """The pin with this label, as files of other tools name it; ValueError for no pin's label."""
    if not _LABEL.fullmatch(label):
        raise ValueError(f"{label!r} is not the label of a pin")
    return label.translate(_TO_IDENTIFIER)


def pin_label(identifier: str) -> str:
    """The inverse of `pin_identifier`."""
    if not _IDENTIFIER.fullmatch(identifier):
        raise ValueError(f"{identifier!r} is not the name of a pin")
    return _TO_LABEL.sub(lambda found: "." + {"p": "+", "m": "-", "": ""}[found[1]], identifier)


def identifier(text: str) -> str:
    """A cell's or design's name with every other character made an underscore.

    Two texts may become one: writers of files with many cells refuse the second.
    """
    plain = _OTHER.sub("_", text)
    return plain if plain[:1].isalpha() else f"n{plain}"


def identifiers(names: Iterable[str]) -> dict[str, str]:
    """Each name and its `identifier`; where two would be one, later ones get underscores behind."""
    found: dict[str, str] = {}
    for name in names:
        if name not in found:
            plain = identifier(name)
            while plain in found.values():
                plain += "_"
            found[name] = plain
    return found
