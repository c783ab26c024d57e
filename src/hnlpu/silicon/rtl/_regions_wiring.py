"""`TileDigits` -> SystemVerilog of a regions tile's metal: connections and ties, nothing else.

The router's choice of ports, hence every net that `hnlpu masks` draws, by the same names:

    x17     is trunk[17]         p4.12.3 is p[4][12][3]         t4.12.1 is t[4][12][1]

Names are made equally long, so that a row's text is a look-up of its inputs and of its groups' words.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.silicon.embed import NO_PORT, ArrayKind, Regions, TileDigits, TileShape
from hnlpu.silicon.technology import Technology

_CHUNK = 8
"""Groups of one statement."""

Int32 = npt.NDArray[np.int32]
Texts = npt.NDArray[np.bytes_]


def regions_wiring(
    name: str, digits: TileDigits, kind: ArrayKind, technology: Technology
) -> Iterator[bytes]:
    """Text of module `name` in pieces: every port on its input or ground, every tie on its supply.

    Raises DoesNotFit where a row needs more tracks than the kind has.
    """
    scheme = Regions(technology, kind)
    routes = scheme.fitting_routes(digits)
    frame = scheme.frame(TileShape(digits.rows, digits.blocks))
    inputs = digits.blocks * BLOCK
    yield _head(name, digits, kind, frame.groups, scheme.ties).encode()
    yield _trunks(routes.port, powered=bool(routes.word.any())).encode()
    names, words = _names(inputs), _words(scheme.ties)
    groups, step = frame.groups, kind.group
    of_port = np.empty(groups * step, np.int32)
    chunks = [(first, min(first + _CHUNK, groups)) for first in range(0, groups, _CHUNK)]
    # the highest comes first in a concatenation; a group ends its line with port 0
    order = np.concatenate([np.arange(end - 1, first - 1, -1) for first, end in chunks])
    port_order = (step * order[:, None] + np.arange(step - 1, -1, -1)).ravel()
    last = (port_order % step == 0).astype(np.int8)
    port_size, word_size = step * names.itemsize, words.itemsize
    for row, (port, word) in enumerate(zip(routes.port, routes.word, strict=True)):
        of_port[:] = inputs
        wired = np.flatnonzero(port != NO_PORT)
        of_port[port[wired]] = wired
        ports = names[of_port[port_order], last].tobytes()
        ties = words[word[order]].tobytes()
        for first, end in chunks:
            yield b"  assign p[%d][%d:%d] = {\n%s\n  };\n  assign t[%d][%d:%d] = {\n%s\n  };\n" % (
                row, end - 1, first, ports[first * port_size : end * port_size].rstrip(b", \n"),
                row, end - 1, first, ties[first * word_size : end * word_size].rstrip(b", \n"),
            )  # fmt: skip
    yield b"endmodule\n"


def _head(name: str, digits: TileDigits, kind: ArrayKind, groups: int, ties: int) -> str:
    inputs, rows = digits.blocks * BLOCK, digits.rows
    of_rows = f"[{rows - 1}:0][{groups - 1}:0]"
    return f"""\
// Metal of one tile: {rows} rows by {inputs} inputs.  Connections and ties only: this is the weights.
//
// Latency  none
// Numbers  as of the array that it lies on
module {name} #(
    parameter int LANES = 1
) (
    input  logic [{inputs - 1}:0][LANES-1:0] trunk,
    output logic {of_rows}[{kind.group - 1}:0][LANES-1:0] p,
    output logic {of_rows}[{ties - 1}:0][LANES-1:0] t
);
"""


def _trunks(port: Int32, *, powered: bool) -> str:
    """A name for every trunk with a wire; the others end unused."""
    inputs = port.shape[1]
    used = np.flatnonzero((port != NO_PORT).any(0)).tolist()
    power = "  localparam logic [LANES-1:0] PWR = '1;\n" if powered else ""
    named = "".join(
        f"  logic [LANES-1:0] x{column};\n  assign x{column} = trunk[{column}];\n"
        for column in used
    )
    return f"""\
  localparam logic [LANES-1:0] GND = '0;
{power}  logic [{inputs - 1}:0][LANES-1:0] unused_trunk;
  assign unused_trunk = trunk;  // where no via is, a trunk passes by
{named}"""


def _names(inputs: int) -> Texts:
    """Text of every input's trunk, and of ground behind them, within a line and at its end."""
    names = [*(f"x{n}," for n in range(inputs)), "GND,"]
    width = max(map(len, names))
    return np.array([[f"{n:<{width}}{end}" for end in " \n"] for n in names], f"S{width + 1}")


def _words(ties: int) -> Texts:
    """Text of every word, the highest tie first."""
    supplies = ("GND", "PWR")
    return np.array(
        [
            f"{', '.join(supplies[word >> tie & 1] for tie in reversed(range(ties)))},\n"
            for word in range(1 << ties)
        ],
        "S",
    )
