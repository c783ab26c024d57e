"""Liberty files -> the cells of a library: areas, pins, functions, delays.

    FILE.lib, FILE.lib.gz ──► groups ──► Library: Cell ──► Pin ──► Arc ──► Table

Liberty: name ( arguments ) { statements }, name : value ;  (Liberty Reference Manual, 2007.03).
Only what mapping and timing of static CMOS needs is kept.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hnlpu.errors import InvalidInput

_REMEDY = "give a Liberty file (.lib or .lib.gz)"
_SKIP = re.compile(r"(?:[\s;]+|/\*.*?\*/|//[^\n]*|\\\r?\n)*", re.DOTALL)
_NAME = re.compile(r'[^\s(){}:;,"]+')
_VALUE = re.compile(r':\s*("(?:[^"\\]|\\.)*"|[^;\n}]*)', re.DOTALL)
_ARGUMENTS = re.compile(r'\(((?:[^()"]|"(?:[^"\\]|\\.)*")*)\)', re.DOTALL)
_ARGUMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s,"]+)', re.DOTALL)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_BRACE = re.compile(r'[{}]|"(?:[^"\\]|\\.)*"|/\*.*?\*/', re.DOTALL)
_IGNORED = {"internal_power", "leakage_power", "pg_pin", "operating_conditions", "wire_load"}
_SPECIAL = ("dont_use", "is_isolation_cell", "is_level_shifter", "always_on", "pad_cell")
_PER_SECOND = {"fs": 1e-3, "ps": 1.0, "ns": 1e3, "us": 1e6}
_PER_FARAD = {"ff": 1.0, "pf": 1e3, "nf": 1e6}


@dataclass
class Group:
    """`kind (arguments) { ... }`: simple and complex attributes by name, and groups inside."""

    kind: str
    arguments: tuple[str, ...]
    attributes: dict[str, str] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    def of(self, kind: str) -> Iterator[Group]:
        """Groups of a kind."""
        return (group for group in self.groups if group.kind == kind)


@dataclass(frozen=True)
class Table:
    """`values` [slews][loads] in ps over `slews` in ps and `loads` in fF; an axis may be empty."""

    slews: tuple[float, ...]
    loads: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Arc:
    """Delays and output slews from the pins `related`, rising and falling."""

    related: tuple[str, ...]
    delays: tuple[Table, ...]
    slews: tuple[Table, ...]


@dataclass(frozen=True)
class Pin:
    """Capacitance in fF, function of an output (empty for an input), and its arcs."""

    name: str
    output: bool
    capacitance: float
    function: str
    arcs: tuple[Arc, ...]


@dataclass(frozen=True)
class Cell:
    """Area in um2 and pins; `sequential` where it holds a state.

    `plain` is a gate for any logic: no tri-state, no isolation or level shifter, none that the
    library says not to use.
    """

    name: str
    area: float
    pins: tuple[Pin, ...]
    sequential: bool
    plain: bool

    def outputs(self) -> tuple[Pin, ...]:
        """Pins that drive."""
        return tuple(pin for pin in self.pins if pin.output)

    def inputs(self) -> tuple[Pin, ...]:
        """Pins that are driven."""
        return tuple(pin for pin in self.pins if not pin.output)


def read_text(path: Path) -> str:
    """Text of a Liberty file, unpacked; raises InvalidInput where it cannot be read."""
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return data.decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InvalidInput(f"--liberty {path}: {reason}; {_REMEDY}") from error


def read_cells(path: Path, text: str) -> dict[str, Cell]:
    """Cells of a library by name; raises InvalidInput with the line of what is no Liberty."""
    root = _parse(path, text)
    if root.kind != "library":
        raise InvalidInput(f"--liberty {path}: it begins with {root.kind}, not library; {_REMEDY}")
    try:
        units = _Units(root)
        cells = [units.cell(group) for group in root.of("cell")]
    except (ValueError, KeyError, IndexError) as error:
        raise InvalidInput(f"--liberty {path}: {error}; {_REMEDY}") from error
    if not cells:
        raise InvalidInput(f"--liberty {path}: there is no cell in it; {_REMEDY}")
    return {cell.name: cell for cell in cells}


def _parse(path: Path, text: str) -> Group:
    """The outermost group."""
    at, open_groups = 0, [Group("", ())]

    def fail(what: str) -> InvalidInput:
        line = text.count("\n", 0, at) + 1
        return InvalidInput(f"--liberty {path}: line {line}: {what}; {_REMEDY}")

    while True:
        at = _end(_SKIP, text, at)
        if at == len(text):
            break
        if text[at] == "}":
            if len(open_groups) == 1:
                raise fail("} closes nothing")
            open_groups.pop()
            at += 1
            continue
        name = _NAME.match(text, at)
        if name is None:
            raise fail(f"{text[at]!r} where a name was expected")
        at = _end(_SKIP, text, name.end())
        value = _VALUE.match(text, at)
        if value:
            open_groups[-1].attributes[name[0]] = value[1].strip().strip('"')
            at = value.end()
            continue
        found = _ARGUMENTS.match(text, at)
        if found is None:
            raise fail(f"{name[0]} is followed by neither : nor arguments")
        at = _end(_SKIP, text, found.end())
        arguments = tuple(a if a is not None else b for a, b in _split(found[1]))
        if text[at : at + 1] == "{" and name[0] in _IGNORED:
            at = _past(text, at)
            if not at:
                raise fail(f"{name[0]} has no end")
        elif text[at : at + 1] == "{":
            group = Group(name[0], arguments)
            open_groups[-1].groups.append(group)
            open_groups.append(group)
            at += 1
        else:
            open_groups[-1].attributes[name[0]] = ",".join(arguments)
    if len(open_groups) > 1:
        raise fail(f"the end of the file within {open_groups[-1].kind}")
    if not open_groups[0].groups:
        raise fail("there is no group")
    return open_groups[0].groups[0]


def _past(text: str, at: int) -> int:
    """The place behind the group that opens at `at`; 0 where it does not end."""
    depth = 0
    for found in _BRACE.finditer(text, at):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if not depth:
            return found.end()
    return 0


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _split(arguments: str) -> Iterator[tuple[str | None, str]]:
    for found in _ARGUMENT.finditer(arguments):
        yield found[1], found[2]


class _Units:
    """A library's units and templates: groups become cells in um2, ps and fF."""

    def __init__(self, library: Group):
        self._time = _scale(library.attributes.get("time_unit", "1ns"), _PER_SECOND)
        load = library.attributes.get("capacitive_load_unit", "1,pf").replace(",", "")
        self._load = _scale(load, _PER_FARAD)
        self._templates = {
            group.arguments[0]: group.attributes for group in library.of("lu_table_template")
        }

    def cell(self, group: Group) -> Cell:
        name = group.arguments[0]
        if "area" not in group.attributes:
            raise ValueError(f"cell {name} has no area")
        pins = [self._pin(pin, name) for pin in group.of("pin")]
        for bundle in (*group.of("bundle"), *group.of("bus")):
            pins += [self._pin(pin, name) for pin in bundle.of("pin")]
        states = ("ff", "latch", "ff_bank", "latch_bank", "statetable")
        held = any(inside.kind in states for inside in group.groups)
        special = any(group.attributes.get(n) == "true" for n in _SPECIAL)
        special |= any("three_state" in pin.attributes for pin in group.of("pin"))
        area = _number(group.attributes["area"], name)
        return Cell(name, area, tuple(pins), held, not (held or special))

    def _pin(self, group: Group, cell: str) -> Pin:
        output = group.attributes.get("direction") == "output"
        load = _number(group.attributes.get("capacitance", "0"), cell) * self._load
        arcs = [self._arc(timing) for timing in group.of("timing")] if output else []
        function = group.attributes.get("function", "")
        return Pin(group.arguments[0], output, load, function, tuple(arcs))

    def _arc(self, group: Group) -> Arc:
        related = tuple(group.attributes.get("related_pin", "").split())
        delays = ("cell_rise", "cell_fall")
        slews = ("rise_transition", "fall_transition")
        return Arc(
            related,
            tuple(self._table(table) for kind in delays for table in group.of(kind)),
            tuple(self._table(table) for kind in slews for table in group.of(kind)),
        )

    def _table(self, group: Group) -> Table:
        template = self._templates.get(group.arguments[0], {}) if group.arguments else {}
        values = _numbers(group.attributes["values"])
        axes: dict[str, tuple[float, ...]] = {}
        order = []
        for n in "12":
            kind = template.get(f"variable_{n}")
            if kind is None:
                continue
            index = _numbers(group.attributes.get(f"index_{n}", template.get(f"index_{n}", "")))
            axis = "load" if kind == "total_output_net_capacitance" else "slew"
            scale = self._load if axis == "load" else self._time
            axes[axis] = tuple(scale * number for number in index)
            order.append(axis)
        slews, loads = axes.get("slew", ()), axes.get("load", ())
        rows, columns = max(1, len(slews)), max(1, len(loads))
        if len(values) != rows * columns:
            raise ValueError(f"a table of {len(values)} values over {rows} x {columns}")
        turned = order == ["load", "slew"]
        return Table(
            slews,
            loads,
            tuple(
                tuple(
                    self._time * values[c * rows + r if turned else r * columns + c]
                    for c in range(columns)
                )
                for r in range(rows)
            ),
        )


def _scale(text: str, units: dict[str, float]) -> float:
    """`1ns`, `100ps`, `1pf` -> how many ps or fF."""
    found = _NUMBER.match(text)
    unit = text[found.end() :].strip().lower() if found else ""
    if found is None or unit not in units:
        raise ValueError(f"unit {text!r} is unknown")
    return float(found[0]) * units[unit]


def _number(text: str, cell: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"cell {cell}: {text!r} is no number") from None


def _numbers(text: str) -> list[float]:
    return [float(number) for number in _NUMBER.findall(text)]


def read_libraries(paths: Sequence[Path]) -> tuple[dict[str, Cell], list[str]]:
    """Cells of all files together, and each file's text; raises InvalidInput for a file that is none.

    Raises InvalidInput, too, where no file has an inverter or a flip-flop.
    """
    texts = [read_text(path) for path in paths]
    cells: dict[str, Cell] = {}
    for path, text in zip(paths, texts, strict=True):
        cells |= read_cells(path, text)
    named = ", ".join(map(str, paths))
    if not any(cell.sequential for cell in cells.values()):
        raise InvalidInput(f"--liberty {named}: no flip-flop; repeat --liberty for its other files")
    gates = [c for c in cells.values() if c.plain and any(p.function for p in c.outputs())]
    if not any(len(gate.inputs()) == 1 for gate in gates) or len(gates) < 2:
        raise InvalidInput(
            f"--liberty {named}: too few gates; repeat --liberty for its other files"
        )
    return cells, texts
