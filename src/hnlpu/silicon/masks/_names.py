"""Names of pins and cells -> names that GDSII, LEF, DEF, Tcl and Verilog all take as they are.

    label        identifier
    x3.+2        x3_p2         drives 2 half units of input 3
    x3.-12       x3_m12
    p4.17        p4_17         port of row 4 for input 17
    c4.0.5       c4_0_5        bit 5 of the count of block 0, row 4
    GND, PWR     GND, PWR

Pins translate both ways without loss: a label holds dots and signs and no underscore.

GDSII has names of at most 32 characters.  A cell whose identifier is longer, or another cell's too,
gets its number in the file's table of cells and as much of the identifier's end as there is room for:

    model.layers.0.mlp.experts.gate_up_proj.e0.n32.b0     c12_gate_up_proj_e0_n32_b0

"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

MOST_GDS_CHARACTERS = 32
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


def gds_names(numbers: Mapping[str, int], taken: re.Pattern[str]) -> dict[str, str]:
    """A name for GDSII for every cell of a file, by the cell's name; no two are alike in any case.

    `numbers` are those of all cells that the file may hold, so that a cell's name does not depend on
    which of them it does hold; what `taken` matches is the file format's own.
    """
    plain = {name: identifier(name) for name in numbers}
    count = Counter(text.casefold() for text in plain.values())
    found: dict[str, str] = {}
    for name, text in plain.items():
        fits = len(text) <= MOST_GDS_CHARACTERS and count[text.casefold()] == 1
        if not fits or taken.fullmatch(text) or _NUMBERED.match(text):
            text = _numbered(numbers[name], text)
        found[name] = text
    return found


_NUMBERED = re.compile(r"c[0-9]+(_|$)", re.IGNORECASE)


def _numbered(number: int, text: str) -> str:
    """c, the number, and the end of the text from the start of a word on."""
    head = f"c{number}"
    room = MOST_GDS_CHARACTERS - len(head) - 1
    tail = text if len(text) <= room else text[-room:].partition("_")[2]
    return f"{head}_{tail}" if tail else head


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
