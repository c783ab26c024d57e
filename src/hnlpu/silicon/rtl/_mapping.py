"""`ArrayShape` and Liberty files -> cells, area and delay of its silicon, block by block, by Yosys.

Adders take the library's own adder cells where it has them; everything else is mapped by ABC.  An
enable is a clock gate that all flip-flops of an array share, and is not counted.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hnlpu.errors import ToolFailed
from hnlpu.silicon.rtl._boolean import AdderCell, find_adder, genlib
from hnlpu.silicon.rtl._delay import Instance, longest_delay_ps
from hnlpu.silicon.rtl._liberty import LibraryCell, read_libraries
from hnlpu.silicon.rtl._scheme import Submodule, parts_of, silicon
from hnlpu.silicon.rtl._shape import ArrayShape
from hnlpu.silicon.rtl._tools import call_yosys

_ENABLE = """\
module \\$_DFFE_PP_ (input D, C, E, output Q);
  \\$_DFF_P_ gated (.D(D), .C(C), .Q(Q));
endmodule
"""
_ABC = "+strash;dc2;strash;map,-a"
"""Smallest area; the gates are the smallest of their functions, none is sized for its load."""


@dataclass(frozen=True)
class MappedBlock:
    """One block of an array in cells of a library; area and delay are those of one instance."""

    name: str
    instances: int
    cells: dict[str, int]
    area_um2: float
    delay_ps: float
    beside: bool


@dataclass(frozen=True)
class Mapped:
    """Blocks of an array in cells of a library."""

    shape: ArrayShape
    blocks: tuple[MappedBlock, ...]

    def per_weight_um2(self, block: MappedBlock) -> float:
        """Area a weight of all instances of a block."""
        return block.instances * block.area_um2 / self.shape.weights

    @property
    def area_per_weight_um2(self) -> float:
        """Of the whole array."""
        return sum(map(self.per_weight_um2, self.blocks))

    @property
    def delay_ps(self) -> float:
        """From an input's register to the accumulator's: an upper bound, the sum of the blocks between."""
        return sum(block.delay_ps for block in self.blocks if not block.beside)


class GateLibrary:
    """Liberty files, read once: cells by name and what Yosys takes."""

    def __init__(self, paths: Sequence[Path]):
        """Raises InvalidInput for a file that is no Liberty, or files without the least of gates."""
        self.cells, self.texts = read_libraries(paths)
        self.adders = {n: find_adder(self.cells.values(), n) for n in (2, 3)}


def map_cells(shape: ArrayShape, library: GateLibrary, timeout_s: float = 1200) -> Mapped:
    """Map every block of `shape`.

    Raises ToolMissing without Yosys, ToolFailed where it does not end well.
    """
    texts, parts = silicon(shape), parts_of(shape)
    for inputs, name in ((3, "full"), (2, "half")):
        adder = library.adders[inputs]
        if adder:
            texts[f"hnlpu_{name}_adder.sv"] = _adder(f"hnlpu_{name}_adder", adder)
    netlists = map_modules(texts, parts, library, timeout_s)
    return Mapped(
        shape,
        tuple(
            _block(part, netlist, library.cells)
            for part, netlist in zip(parts, netlists, strict=True)
        ),
    )


def map_modules(
    texts: dict[str, str], parts: Sequence[Submodule], library: GateLibrary, timeout_s: float
) -> list[dict[str, Any]]:
    """Netlists of `parts` out of the files `texts`, as Yosys writes them in JSON."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for n, text in enumerate(library.texts):
            (folder / f"cells{n}.lib").write_text(text, encoding="utf-8")
        gates = genlib(library.cells.values())
        for file, text in {**texts, "enable.v": _ENABLE, "gates.genlib": gates}.items():
            (folder / file).write_text(text, encoding="utf-8")
        script = _script(list(texts), parts, len(library.texts))
        (folder / "map.ys").write_text(script, encoding="utf-8")
        ran = call_yosys(["-q", "map.ys"], folder, timeout_s, f"{len(parts) - 1}.json")
        if ran is None:
            raise ToolFailed(f"Yosys took more than {timeout_s:.0f} s")
        # Yosys in WebAssembly may end early with exit code 0
        if ran.returncode or not (folder / f"{len(parts) - 1}.json").exists():
            said = (ran.stderr.strip().splitlines() or ["it ended early"])[-1]
            raise ToolFailed(f"Yosys: {said}")
        found = []
        for n in range(len(parts)):
            design = json.loads((folder / f"{n}.json").read_text(encoding="utf-8"))
            [module] = [
                m for m in design["modules"].values() if int(m["attributes"].get("top", "0"), 2)
            ]
            found.append(module)
    return found


def _script(files: Sequence[str], parts: Sequence[Submodule], libraries: int) -> str:
    flags = " ".join(f"-liberty cells{n}.lib" for n in range(libraries))
    lines = [f"read_verilog -sv -D SYNTHESIS {' '.join(files)}", "design -save all"]
    for n, part in enumerate(parts):
        set_ = "".join(f" -chparam {name} {value}" for name, value in part.parameters.items())
        lines += [
            "design -load all",
            f"hierarchy -top {part.module}{set_}",
            "proc; flatten -noscopeinfo; opt; techmap; opt",
            "dfflegalize -cell $_DFF_P_ x -cell $_DFFE_PP_ x; opt",
            f"techmap -map enable.v; dfflibmap {flags}; opt",
            f"abc -genlib gates.genlib -script {_ABC}; opt_clean",
            f"write_json {n}.json",
        ]
    return "\n".join(lines) + "\n"


def _adder(module: str, adder: AdderCell) -> str:
    """The adder `module` as a cell of the library, which Yosys takes as it is."""
    pins = [*adder.inputs, adder.sum, adder.carry]
    inputs = ", ".join(f"input {pin}" for pin in adder.inputs)
    joined = ", ".join(
        f".{pin}({net})"
        for pin, net in zip(pins, [*"abc"[: len(adder.inputs)], "s", "k"], strict=True)
    )
    named = ", ".join("abc"[: len(adder.inputs)])
    invert = {True: "~", False: ""}
    return f"""\
(* blackbox *)
module {adder.cell.name} ({inputs}, output {adder.sum}, output {adder.carry});
endmodule
module {module} #(
    parameter LANES = 1
) (
    input {named},
    output sum, carry
);
  wire s, k;
  {adder.cell.name} cell_ ({joined});
  assign sum = {invert[adder.sum_inverted]}s;
  assign carry = {invert[adder.carry_inverted]}k;
endmodule
"""


def _block(part: Submodule, module: dict[str, Any], cells: dict[str, LibraryCell]) -> MappedBlock:
    instances = []
    for found in module["cells"].values():
        cell = cells.get(found["type"])
        if cell is None:
            raise ToolFailed(f"block {part.name}: the library has no cell for {found['type']}")
        nets = {pin: _net(bits) for pin, bits in found["connections"].items()}
        instances.append(Instance(cell, nets))
    counted = Counter(one.cell.name for one in instances)
    area = sum(one.cell.area for one in instances)
    delay = longest_delay_ps(instances)
    return MappedBlock(
        part.name, part.instances, dict(sorted(counted.items())), area, delay, part.beside
    )


def _net(bits: list[Any]) -> int:
    """Number of a pin's net; -1 for a constant or nothing."""
    return bits[0] if bits and isinstance(bits[0], int) else -1
