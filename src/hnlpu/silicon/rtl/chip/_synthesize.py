"""A written chip -> transistors of everything around its arrays, unit by unit, by Yosys.

    core ──► Yosys ──► cells of whole words: adders, multipliers, selections, flip-flops, memories
    every different cell, with its constants and repeated bits ──► gates ──► transistors
    units of the core ──► sums over their cells

As one netlist a core is millions of gates, cell by cell a few hundred different ones.  Gates are not
shared across cells, so the counts are upper bounds.  A stored table is mapped whole.  Memories are
counted in bits.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hnlpu.silicon.rtl._synthesize import BUFFER, gate_library, gate_transistors
from hnlpu.silicon.rtl._tools import run_yosys
from hnlpu.silicon.technology import Silicon

_CORE = "hnlpu_core"
_FLIP_FLOPS = {"$dff", "$dffe", "$sdff", "$sdffe", "$sdffce"}
_RESETS = {"$sdff", "$sdffe", "$sdffce"}

Modules = Mapping[str, Any]
"""What Yosys tells of modules, by name: `DEFINITION$PATH`, one an instance."""
Cell = tuple[str, tuple[tuple[str, str], ...], tuple[tuple[str, bool, tuple[str, ...]], ...]]
"""A cell without its place: type, parameters, and its ports, whether they are outputs, with their bits:
nets numbered as they come, constants as they are."""


@dataclass(frozen=True)
class ChipUnit:
    """All units of one kind in a chip's core; under the core's own name, what is beside its units.

    `multipliers`, `flip_flops`, `memory_bits` and `transistors`, of gates and flip-flops, are those of all
    `instances` together.
    """

    name: str
    instances: int
    multipliers: int
    flip_flops: int
    memory_bits: int
    transistors: float


def synthesize_chip(
    folder: str | Path, technology: Silicon, timeout_s: float = 3600
) -> list[ChipUnit]:
    """Count the core of the chip that `write_chip` put into `folder`, the largest units first.

    Raises ToolMissing without Yosys, ToolFailed where it does not end well.
    """
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        text, modules = _elaborate(Path(folder), place, timeout_s)
        inside = [
            told["type"] for told in modules[_CORE]["cells"].values() if told["type"] in modules
        ]
        units: dict[str, Counter[Cell]] = {_CORE: _cells(_CORE, modules, below=False)}
        for one in inside:
            units.setdefault(_definition(one), Counter()).update(_cells(one, modules))
        gates = gate_transistors(technology)
        (place / "gates.genlib").write_text(gate_library(technology) + BUFFER, encoding="utf-8")
        groups = _groups(units)
        parts = [_module(f"group_{n}", cells) for n, cells in enumerate(groups.values())]
        tables = {cell[0] for cells in groups.values() for cell in cells if cell[0][0] != "$"}
        parts += [_table(text, name) for name in sorted(tables)]
        (place / "parts.il").write_text("".join(parts), encoding="utf-8")
        mapped = _transistors(place, gates, timeout_s)
    kinds = Counter(map(_definition, inside))
    found = []
    for which, (name, cells) in enumerate(units.items()):
        bits, memory_bits, reset_bits, multipliers = _state(cells)
        transistors = bits * technology.flip_flop.value + reset_bits * gates["AND2"]
        for n, (used, together) in enumerate(groups.items()):
            stored = sum(mapped[cell[0]] for cell in together if cell[0] in tables)
            transistors += used[which] * (mapped[f"group_{n}"] + stored)
        found.append(
            ChipUnit(name, kinds.get(name, 1), multipliers, bits, memory_bits, transistors)
        )
    return sorted(found, key=lambda unit: unit.transistors, reverse=True)


def _cells(name: str, modules: Modules, *, below: bool = True) -> Counter[Cell]:
    """Cells of a module, with those of the modules in it if `below`; a table is one."""
    if "_table$" in name:
        return Counter([(_definition(name), (), ())])
    found = Counter[Cell]()
    for told in modules[name]["cells"].values():
        if told["type"] not in modules:
            found[_cell(told)] += 1
        elif below:
            found.update(_cells(told["type"], modules))
    return found


def _groups(units: Mapping[str, Counter[Cell]]) -> dict[tuple[int, ...], list[Cell]]:
    """Cells that are mapped, by how many of them every unit has: they are mapped together."""
    groups: dict[tuple[int, ...], list[Cell]] = {}
    for cell in sorted(set().union(*units.values())):
        if cell[0] not in {*_FLIP_FLOPS, "$mem_v2"}:
            used = tuple(cells[cell] for cells in units.values())
            groups.setdefault(used, []).append(cell)
    return groups


def _state(cells: Counter[Cell]) -> tuple[int, int, int, int]:
    """Bits of flip-flops, of memories, of flip-flops with a reset, and multipliers."""
    bits = memory_bits = reset_bits = multipliers = 0
    for (kind, parameters, _), count in cells.items():
        told = dict(parameters)
        if kind in _FLIP_FLOPS:
            bits += count * int(told["WIDTH"], 2)
            reset_bits += count * int(told["WIDTH"], 2) * (kind in _RESETS)
        elif kind == "$mem_v2":
            memory_bits += count * int(told["SIZE"], 2) * int(told["WIDTH"], 2)
        multipliers += count * (kind == "$mul")
    return bits, memory_bits, reset_bits, multipliers


def _elaborate(folder: Path, place: Path, timeout_s: float) -> tuple[str, Modules]:
    """The core in cells of whole words, as Yosys's own text and as its modules."""
    top = (folder / "top" / "chip.sv").read_text(encoding="utf-8")
    core = re.search(rf"\n  {_CORE} #\((.*?)\n  \) core", top, re.DOTALL)
    assert core is not None
    parameters = re.findall(r"\.(\w+)\((.*)\)", core[1])
    given = "".join(f" -G {name}={value.replace(' ', '')}" for name, value in parameters)
    listed = (folder / "chip.f").read_text(encoding="utf-8").split()
    files = [path for path in listed if path.startswith("silicon/")]
    for path in files:
        (place / Path(path).name).write_bytes((folder / path).read_bytes())
    names = " ".join(Path(path).name for path in files)
    script = f"""\
read_slang --threads 1 --keep-hierarchy -D SYNTHESIS --top {_CORE}{given} {names}
hierarchy -check -top {_CORE}
proc
opt
memory_map -rom-only
opt
memory_collect
write_rtlil core.il
write_json core.json
"""
    run_yosys(script, place, "core.json", _CORE, timeout_s)
    modules: Modules = json.loads((place / "core.json").read_text(encoding="utf-8"))["modules"]
    return (place / "core.il").read_text(encoding="utf-8"), modules


def _transistors(place: Path, gates: Mapping[str, float], timeout_s: float) -> dict[str, float]:
    """Transistors of every module of `parts.il`, mapped to gates."""
    script = """\
read_rtlil parts.il
alumacc
techmap
opt
abc -genlib gates.genlib -script +strash;dc2;map,-a
opt_clean
tee -q -o parts.json stat -json
"""
    run_yosys(script, place, "parts.json", _CORE, timeout_s)
    told = json.loads((place / "parts.json").read_text(encoding="utf-8"))["modules"]
    return {
        name.removeprefix("\\"): sum(
            count * gates[cell] for cell, count in of.get("num_cells_by_type", {}).items()
        )
        for name, of in told.items()
    }


def _definition(module: str) -> str:
    return module.split("$")[0]


def _cell(told: Mapping[str, Any]) -> Cell:
    """What is alike in cells that are mapped alike."""
    nets: dict[int, str] = {}
    ports = []
    for port, bits in sorted(told["connections"].items()):
        output = told["port_directions"][port] == "output"
        # what an output leads to makes no difference
        numbered = [
            bit if isinstance(bit, str) else nets.setdefault(bit, f"i{len(nets)}")
            for bit in ([] if output else bits)
        ]
        ports.append((port, output, tuple(numbered) if not output else ("o",) * len(bits)))
    return told["type"], tuple(sorted(told["parameters"].items())), tuple(ports)


def _module(name: str, cells: Sequence[Cell]) -> str:
    """A module of cells that share no nets, tables left out, in Yosys's own text."""
    ports: list[str] = []
    body: list[str] = []
    for n, (kind, parameters, pins) in enumerate(cells):
        if kind[0] != "$":
            continue
        body.append(f"  cell {kind} \\c{n}")
        body += [f"    parameter \\{key} {len(value)}'{value}" for key, value in parameters]
        nets = {bit for _, output, bits in pins if not output for bit in bits if bit[0] == "i"}
        ports += [f"input {{}} \\c{n}_{net}" for net in sorted(nets)]
        for pin, output, bits in pins:
            if output:
                ports.append(f"width {len(bits)} output {{}} \\c{n}_{pin}")
                body.append(f"    connect \\{pin} \\c{n}_{pin}")
                continue
            words = [f"\\c{n}_{bit}" if bit[0] == "i" else f"1'{bit}" for bit in reversed(bits)]
            body.append(f"    connect \\{pin} {{ {' '.join(words)} }}")
        body.append("  end")
    wires = [f"  wire {port.format(n)}" for n, port in enumerate(ports, 1)]
    return "\n".join([f"module \\{name}", *wires, *body, "end\n"])


def _table(text: str, name: str) -> str:
    """One of the tables of a name out of Yosys's own text."""
    start = text.index(f"module \\{name}$")
    end = text.index("\nend\n", start) + len("\nend\n")
    return f"module \\{name}\n" + text[text.index("\n", start) + 1 : end]
