"""`TileDigits` -> SystemVerilog of a tile's metal: connections and ties, nothing else.

Every net is one that `hnlpu masks` draws, by the same names:

    x17.+3  is trunk[2][17], named x17_p3     p4.17  is p[4][17]
    c4.0.5  is c[4][0][5]                     q4.0.3 is q[4][0][3]

Ports of a block are one concatenation, its first input last; all names are made equally long, so that
a row's text is a look-up of its codes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.codebooks import Codebook, open_codebook
from hnlpu.arithmetic.mx import BLOCK, unpack
from hnlpu.errors import InvalidInput
from hnlpu.silicon.embed import ArrayKind, TileDigits
from hnlpu.silicon.rtl._shape import COUNT_BITS


def trunk_number(code: int, codebook: Codebook) -> int:
    """Place of a non-zero code's trunk among those of an input: codes ascending.

    Raises InvalidInput for a code that the codebook has not.
    """
    codes = codebook.codes[1:]
    if code not in codes:
        raise InvalidInput(
            f"a digit has code {code}, for which arrays of {codebook.name} have no trunk; build it "
            "again with a format that has this value"
        )
    return codes.index(code)


def wiring(name: str, digits: TileDigits, kind: ArrayKind) -> Iterator[bytes]:
    """Text of module `name` in pieces: every port on its trunk, every column on its count bit."""
    held, scale_range = open_codebook(digits.codebook), kind.scale_range
    alike = held.of_e2m1 and kind.values.of_e2m1 and held.inputs == kind.inputs_per_port
    if held != kind.values and not alike:
        raise InvalidInput(
            f"a digit of {held.name}, for which arrays of {kind.codebook} have no trunk; build it again "
            "with a format that has this value"
        )
    inputs = digits.blocks * BLOCK
    codes = unpack(digits.codes)
    yield _head(name, digits, kind).encode()
    yield _trunks(codes, kind.values).encode()
    names, columns = _names(inputs, kind.values), np.arange(inputs).reshape(-1, BLOCK)[:, ::-1]
    scales = [_columns(shift, scale_range) for shift in range(scale_range + 1)]
    for row in range(digits.rows):
        ports = names[columns, codes[row].reshape(-1, BLOCK)[:, ::-1]]
        for block, of_block in enumerate(ports):
            yield b"  assign p[%d][%d:%d] = {\n%s\n  };\n" % (
                row, BLOCK * block + BLOCK - 1, BLOCK * block, of_block.tobytes().rstrip(b", \n"),
            )  # fmt: skip
        if scale_range:
            yield "".join(
                f"  assign q[{row}][{block}] = {scales[shift].format(f'c[{row}][{block}]')};\n"
                for block, shift in enumerate(digits.shifts[row].tolist())
            ).encode()
    yield b"endmodule\n"


def _head(name: str, digits: TileDigits, kind: ArrayKind) -> str:
    scale_range = kind.scale_range
    inputs, rows = digits.blocks * BLOCK, digits.rows
    scales = ""
    if scale_range:
        of_rows = f"[{rows - 1}:0][{digits.blocks - 1}:0]"
        scales = (
            f"    input  logic {of_rows}[{COUNT_BITS - 1}:0][LANES-1:0] c,\n"
            f"    output logic {of_rows}[{COUNT_BITS + scale_range - 1}:0][LANES-1:0] q,\n"
        )
    return f"""\
// Metal of one tile: {rows} rows by {inputs} inputs.  Connections and ties only: this is the weights.
//
// Latency  none
// Numbers  as of the array that it lies on
module {name} #(
    parameter int LANES = 1
) (
    input  logic [{last_trunk(kind.values)}:0][{inputs - 1}:0][LANES-1:0] trunk,
{scales}    output logic [{rows - 1}:0][{inputs - 1}:0][LANES-1:0] p
);
"""


def last_trunk(codebook: Codebook) -> int:
    """Number of the last trunk of an input."""
    return len(codebook.codes) - 2


def _trunks(codes: npt.NDArray[np.uint8], codebook: Codebook) -> str:
    """A name for every trunk that a port hangs on; the others end unused."""
    inputs = codes.shape[1]
    used = np.zeros((inputs, 16), bool)
    used[np.arange(inputs), codes] = True
    named = "".join(
        f"  logic [LANES-1:0] {_name(column, codebook.table[code])};\n"
        f"  assign {_name(column, codebook.table[code])} = "
        f"trunk[{trunk_number(code, codebook)}][{column}];\n"
        for column, code in np.argwhere(used).tolist()
        if codebook.table[code]
    )
    ground = "  localparam logic [LANES-1:0] GND = '0;\n"
    return f"""\
{ground}  logic [{last_trunk(codebook)}:0][{inputs - 1}:0][LANES-1:0] unused_trunk;
  assign unused_trunk = trunk;  // where no via is, a trunk passes by
{named}"""


def _name(column: int, value: int) -> str:
    return f"x{column}_{'m' if value < 0 else 'p'}{abs(value)}"


def _names(inputs: int, codebook: Codebook) -> npt.NDArray[np.bytes_]:
    """Text of every trunk [inputs, codes] with its comma, all of one length, eight a line."""
    names = [[_name(n, v) if v else "GND" for v in codebook.table] for n in range(inputs)]
    width = max(len(name) for row in names for name in row) + 1
    texts = [
        [f"{name + ',':<{width}}{' ' if n % 8 else chr(10)}" for name in row]
        for n, row in enumerate(names)
    ]
    return np.array(texts, f"S{width + 1}")


def _columns(shift: int, scale_range: int) -> str:
    """What the columns of a block take, the highest first, with {} for its count."""
    parts = ["GND"] * (scale_range - shift) + ["{}"] + ["GND"] * shift
    return "{{" + ", ".join(parts) + "}}"
