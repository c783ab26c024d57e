"""`ArrayShape` -> transistors, flip-flops and logic depth of its silicon, block by block, by Yosys.

Full adders stay whole and count as the technology says; half adders and the gates between are mapped
to static CMOS.  An enable is a clock gate that all flip-flops of an array share.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hnlpu.errors import ToolFailed
from hnlpu.silicon.rtl._scheme import Submodule, parts_of, silicon
from hnlpu.silicon.rtl._shape import ArrayShape
from hnlpu.silicon.rtl._tools import run_yosys
from hnlpu.silicon.technology import Silicon

_GATES = {
    "NOT": (2, "!A"),
    "NAND2": (4, "!(A*B)"),
    "NAND3": (6, "!(A*B*C)"),
    "NAND4": (8, "!(A*B*C*D)"),
    "NOR2": (4, "!(A+B)"),
    "NOR3": (6, "!(A+B+C)"),
    "AND2": (6, "A*B"),
    "OR2": (6, "A+B"),
    "AOI21": (6, "!((A*B)+C)"),
    "OAI21": (6, "!((A+B)*C)"),
    "AOI22": (8, "!((A*B)+(C*D))"),
    "OAI22": (8, "!((A+B)*(C+D))"),
}
"""Static CMOS: transistors, two an input and two for an inverter behind, and function."""

_MAPPINGS = ("-genlib buffers.genlib", "-genlib gates.genlib -script +strash;dch;map,-a")
"""Options of ABC, with its own script, which needs a buffer, and one for area: the smaller counts."""
BUFFER = "GATE BUF 4 Y=A; PIN * UNKNOWN 1 999 1 0 1 0\n"


def _gates(technology: Silicon) -> dict[str, tuple[float, str]]:
    """All gates that a block may be mapped to."""
    exclusive_or, multiplexer = technology.exclusive_or.value, technology.multiplexer.value
    return {
        **_GATES,
        "XOR2": (exclusive_or, "(A*!B)+(!A*B)"),
        "XNOR2": (exclusive_or, "(A*B)+(!A*!B)"),
        "MUX2": (multiplexer, "(A*!C)+(B*C)"),
    }


def gate_transistors(technology: Silicon) -> dict[str, float]:
    """Transistors of every gate of `gate_library`, of a buffer and of constants."""
    gates = {name: count for name, (count, _) in _gates(technology).items()}
    return {"BUF": 4, "ZERO": 0, "ONE": 0, **gates}


def gate_library(technology: Silicon) -> str:
    """The gates as a genlib, areas in transistors, every delay one."""
    cells = "".join(
        f"GATE {name} {transistors:g} Y={function}; PIN * UNKNOWN 1 999 1 0 1 0\n"
        for name, (transistors, function) in _gates(technology).items()
    )
    return f"GATE ZERO 0 Y=CONST0;\nGATE ONE 0 Y=CONST1;\n{cells}"


@dataclass(frozen=True)
class SynthesizedBlock:
    """One block of an array: its instances, and what one of them is made of.

    `gates` are cells between adders and flip-flops by kind; `depth` is the longest path in
    two-input gates and multiplexers, adders taken apart.  No product passes through a block that is
    `beside`.
    """

    name: str
    instances: int
    full_adders: int
    flip_flops: int
    gates: dict[str, int]
    transistors: float
    depth: int
    beside: bool = False


@dataclass(frozen=True)
class Synthesis:
    """Blocks of an array, with the transistors of a weight in all."""

    shape: ArrayShape
    blocks: tuple[SynthesizedBlock, ...]

    def per_weight(self, block: SynthesizedBlock) -> float:
        """Transistors a weight in all instances of a block."""
        return block.instances * block.transistors / self.shape.weights

    @property
    def transistors_per_weight(self) -> float:
        """Of the whole array."""
        return sum(map(self.per_weight, self.blocks))

    @property
    def flip_flops(self) -> int:
        """Of the whole array."""
        return sum(block.instances * block.flip_flops for block in self.blocks)

    @property
    def depth(self) -> int:
        """Gates from an input's register to the accumulator's: the depths of the blocks between."""
        return sum(block.depth for block in self.blocks if not block.beside)


def synthesize(shape: ArrayShape, technology: Silicon, timeout_s: float = 1200) -> Synthesis:
    """Map every block of `shape` and count it with the parts of `technology`.

    Raises ToolMissing without Yosys, ToolFailed where it does not end well.
    """
    blocks = count_parts(silicon(shape), parts_of(shape), technology, timeout_s)
    return Synthesis(shape, tuple(blocks))


def count_parts(
    texts: dict[str, str], parts: Sequence[Submodule], technology: Silicon, timeout_s: float = 1200
) -> list[SynthesizedBlock]:
    """Map modules out of the files `texts` (in order) and count them.

    Raises ToolMissing without Yosys, ToolFailed where it does not end well.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="utf-8")
        gates = gate_library(technology)
        for name, text in ("gates.genlib", gates), ("buffers.genlib", gates + BUFFER):
            (folder / name).write_text(text, encoding="utf-8")
        script, last = _script(list(texts), parts), f"{len(parts) - 1}.ltp"
        run_yosys(script, folder, last, parts[0].module, timeout_s)
        found = []
        for n, one in enumerate(parts):
            path = re.search(r"length=(\d+)", (folder / f"{n}.ltp").read_text(encoding="utf-8"))
            if path is None:
                raise ToolFailed(f"Yosys found no path in {one.module}")
            ways = []
            for way in range(len(_MAPPINGS)):
                counted = json.loads((folder / f"{n}.{way}.json").read_text(encoding="utf-8"))
                cells = counted["design"].get("num_cells_by_type", {})
                ways.append(_block(one, cells, int(path[1]), technology))
            found.append(min(ways, key=lambda block: block.transistors))
    return found


def _script(files: list[str], parts: Sequence[Submodule]) -> str:
    """Yosys commands: every part mapped each way for the count, and all in gates for the depth."""
    lines = [f"read_verilog -sv -D SYNTHESIS {' '.join(files)}", "design -save all"]
    flip_flops = "dfflegalize -cell $_DFF_P_ x -cell $_DFFE_PP_ x"
    for n, one in enumerate(parts):
        set_ = "".join(f" -chparam {name} {value}" for name, value in one.parameters.items())
        made = [
            f"hierarchy -top {one.module}{set_}",
            f"proc; flatten -noscopeinfo; opt; techmap; opt; {flip_flops}; opt",
        ]
        lines += ["design -load all", "blackbox hnlpu_full_adder", *made, "design -save part"]
        for way, abc in enumerate(_MAPPINGS):
            lines += [
                "design -load part",
                f"abc {abc}; opt_clean; tee -q -o {n}.{way}.json stat -json",
            ]
        lines += ["design -load all", *made, f"abc -g gates; tee -q -o {n}.ltp ltp -noff"]
    return "\n".join(lines) + "\n"


def _block(
    one: Submodule, cells: dict[str, Any], depth: int, technology: Silicon
) -> SynthesizedBlock:
    """A block from Yosys's cells by type."""
    full = flip_flops = 0
    gates: dict[str, int] = {}
    for cell, count in cells.items():
        if "full_adder" in cell:
            full += count
        elif "DFF" in cell:
            flip_flops += count
        else:
            gates[cell] = count
    transistors_of = gate_transistors(technology)
    transistors = (
        full * technology.full_adder.value
        + flip_flops * technology.flip_flop.value
        + sum(count * transistors_of[gate] for gate, count in gates.items())
    )
    return SynthesizedBlock(
        one.name, one.instances, full, flip_flops, gates, transistors, depth, one.beside
    )
