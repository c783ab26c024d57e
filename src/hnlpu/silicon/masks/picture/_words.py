"""What is said about a scheme to someone who has never seen a layout."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from hnlpu.silicon.embed import Scheme
from hnlpu.silicon.masks.picture._subject import Weight, digit_text

_TRUNK = re.compile(r"x(\d+)(?:\.([+-]\d+))?")


@dataclass(frozen=True)
class Words:
    """Sentences about a scheme.  `trunk`, `wire`, `upper_via`, `lower_via`, `port` name one weight's
    metal and may hold {input}, {neuron},
    {digit} and {value}, the digit times its block's scale in units of the row.
    """

    idea: str
    """What one must know before looking."""
    tile: str
    rows: str
    legend: dict[str, str]
    """Meaning of every colour."""
    trunk: str
    wire: str
    upper_via: str
    lower_via: str
    port: str
    zero: str
    ground: str
    """What stands at a trunk of ground."""
    before_trunks: str
    """What stands before the names of trunks on the layer `trunks`; may hold {input}."""
    trunks: Literal["lower", "upper"]


def words_of(scheme: Scheme) -> Words:
    """The sentences for a scheme in its technology."""
    return _OF_SCHEME[scheme.name](scheme)


def _taps(scheme: Scheme) -> Words:
    t = scheme.technology
    stripes = (
        " Upright stripes behind every 32 inputs hold the vias of their common scale."
        if scheme.kind.scale_range else ""
    )  # fmt: skip
    via = "Via: it joins the two. This is the weight, {digit}."
    return Words(
        "A neuron multiplies its inputs by weights that never change, and adds up. Nothing is "
        "multiplied here: every input comes ready-made times each of the 15 values that a weight "
        "can have, on upright wires (trunks). A neuron's own short wires (stubs) cross them, and a "
        "via, an upright joint of metal, picks one product. That via is the weight; no memory holds "
        "it. Transistors and wires are the same for any model of this shape: only the vias of "
        f"{' and '.join(scheme.programmable)} differ.",
        f"Every dot is a via that this model asks for, blue in {t.lower_cut.name} and green in "
        f"{t.upper_cut.name}. Another model has other dots, and nothing else changes.{stripes}",
        f"Upright are trunks: {t.lower.name} (blue) carries zero and the positive products of each "
        f"input, {t.upper.name} (green) the negative ones. Across, in {t.stub.name} (amber), lies "
        "one stub a neuron and input. Every red square is a via: one weight.",
        {
            "lower": f"{t.lower.name}: trunks of zero and positive products, pads",
            "upper": f"{t.upper.name}: trunks of negative products",
            "stub": f"{t.stub.name}: stubs, one a neuron and input",
            "fixed": f"{t.port_cut.name}, {t.lower_cut.name}: fixed vias down to the silicon",
            "weight": f"{' and '.join(scheme.programmable)}: vias that are the weights",
        },
        "Trunk: {input} times {digit}, made once and offered to all neurons.",
        "Stub of {neuron}: it crosses all trunks of the input.",
        via, via,
        "Port: from the stub down to the neuron's adders.",
        "Trunk of zero: it is ground.",
        ground="0", before_trunks="{input} times", trunks="lower",
    )  # fmt: skip


def _regions(scheme: Scheme) -> Words:
    t = scheme.technology
    return Words(
        "A neuron multiplies its inputs by weights that never change, and adds up. Here it sorts "
        "its inputs by weight: those with the same weight go to the same group of ports, are counted "
        "there, and the count is multiplied once. Inputs run over all neurons on upright wires "
        "(trunks), and one wire takes each to its port. That wire is the weight; no memory holds "
        "it. Transistors, trunks and ports are the same for any model of this shape: only "
        f"{', '.join(scheme.programmable[:-1])} and {scheme.programmable[-1]} differ.",
        f"Every line is a wire in {t.stub.name} that this model asks for: one a weight that is not "
        "zero. Another model has other wires, and nothing else changes.",
        f"Upright are trunks of inputs in {t.upper.name} (green) and ports of neurons in "
        f"{t.lower.name} (blue). Across, in {t.stub.name} (amber), run the wires of the weights; "
        "red vias join their ends to a trunk and a port. Short wires beside power and ground tell "
        "a group of ports which value it counts.",
        {
            "upper": f"{t.upper.name}: trunks, one an input",
            "stub": f"{t.stub.name}: wires, one a weight",
            "lower": f"{t.lower.name}: ports of neurons, power, ground",
            "fixed": f"{t.port_cut.name}: fixed vias down to the silicon",
            "weight": f"{t.lower_cut.name} and {t.upper_cut.name}: vias at the ends of wires",
        },
        "Trunk: {input}, offered to all neurons.",
        "Wire: it takes the input to a port of {neuron} that counts {value}. This is the weight.",
        "Via: from the trunk to the wire.",
        "Via: from the wire to the port.",
        "Port: one of a group whose adders count what has the weight {value}.",
        "Trunk: {input}. A weight of zero has no wire.",
        ground="ground", before_trunks="input", trunks="upper",
    )  # fmt: skip


_OF_SCHEME: dict[str, Callable[[Scheme], Words]] = {"taps": _taps, "regions": _regions}


def filled(sentence: str, input_: int, neuron: str, weight: Weight) -> str:
    """A sentence about this weight."""
    return sentence.format(
        input=f"input {input_}", neuron=neuron, digit=weight.digit, value=weight.in_row
    )


def input_of(label: str) -> int | None:
    """The input whose trunk has this label, else None."""
    found = _TRUNK.fullmatch(label)
    return int(found[1]) if found else None


def pin_name(label: str, scheme: Scheme, first_input: int) -> str:
    """A pin in a word or a number, as it stands beside a drawing."""
    if found := _TRUNK.fullmatch(label):
        return digit_text(int(found[2])) if found[2] else str(first_input + int(found[1]))
    if label == "GND":
        return words_of(scheme).ground
    return {"P": "power", "p": "port", "t": "tie", "c": "bit", "q": "sum"}[label[0]]
