"""Liberty files -> the cells of a library: areas, pins, functions, delays.

    FILE.lib, FILE.lib.gz ──► groups ──► Library: Cell ──► Pin ──► Arc ──► LibertyTable

Only what mapping and timing of static CMOS needs is kept (Liberty Reference Manual, 2007.03).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from hnlpu.errors import InvalidInput
from hnlpu.silicon.rtl._liberty_groups import REMEDY, LibertyGroup, parse, read_text

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_SPECIAL = ("dont_use", "is_isolation_cell", "is_level_shifter", "always_on", "pad_cell")
_PER_SECOND = {"fs": 1e-3, "ps": 1.0, "ns": 1e3, "us": 1e6}
_PER_FARAD = {"af": 1e-3, "ff": 1.0, "pf": 1e3, "nf": 1e6}
_SLEWS = {"input_net_transition", "input_transition_time"}
_LOADS = {"total_output_net_capacitance"}


@dataclass(frozen=True)
class LibertyTable:
    """`values` [slews][loads] in ps over `slews` in ps and `loads` in fF; an axis may be empty."""

    slews: tuple[float, ...]
    loads: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Arc:
    """Delays and output slews from the pins `related`, rising and falling."""

    related: tuple[str, ...]
    delays: tuple[LibertyTable, ...]
    slews: tuple[LibertyTable, ...]


@dataclass(frozen=True)
class Pin:
    """Capacitance in fF, function of an output (empty for an input), and its arcs."""

    name: str
    output: bool
    capacitance: float
    function: str
    arcs: tuple[Arc, ...]


@dataclass(frozen=True)
class LibraryCell:
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


def read_cells(path: Path, text: str) -> dict[str, LibraryCell]:
    """Cells of a library by name; raises InvalidInput with the line of what is no Liberty."""
    root = parse(path, text)
    if root.kind != "library":
        raise InvalidInput(f"`liberty` {path}: it begins with {root.kind}, not library; {REMEDY}")
    at = root.at
    try:
        units = _Units(root)
        cells = []
        for group in root.of("cell"):
            at = group.at
            cells.append(units.cell(group))
    except ValueError as error:
        line = text.count("\n", 0, at) + 1
        raise InvalidInput(f"`liberty` {path}: line {line}: {error}; {REMEDY}") from error
    if not cells:
        raise InvalidInput(f"`liberty` {path}: there is no cell in it; {REMEDY}")
    return {cell.name: cell for cell in cells}


class _Units:
    """A library's units and templates: groups become cells in um2, ps and fF."""

    def __init__(self, library: LibertyGroup):
        given = library.attributes
        if "capacitive_load_unit" not in given:
            raise ValueError(
                "the library has no capacitive_load_unit, so its loads may be anything; write one, as "
                "in capacitive_load_unit (1, pf)"
            )
        # the manual's default of time_unit is 1ns; capacitive_load_unit has none
        self._time = _scale("time_unit", given.get("time_unit", "1ns"), _PER_SECOND)
        self._load = _scale("capacitive_load_unit", given["capacitive_load_unit"], _PER_FARAD)
        self._input_load = _number("default_input_pin_cap", given.get("default_input_pin_cap", "0"))
        self._templates = {
            group.name: group.attributes for group in library.of("lu_table_template")
        }

    def cell(self, group: LibertyGroup) -> LibraryCell:
        name = group.name
        try:
            return self._cell(group, name)
        except ValueError as error:
            raise ValueError(f"cell {name}: {error}") from None

    def _cell(self, group: LibertyGroup, name: str) -> LibraryCell:
        if "area" not in group.attributes:
            raise ValueError("there is no area")
        pins = list(self._pins(group))
        for bundle in (*group.of("bundle"), *group.of("bus")):
            pins += self._pins(bundle)
        states = ("ff", "latch", "ff_bank", "latch_bank", "statetable")
        held = any(inside.kind in states for inside in group.groups)
        special = any(group.attributes.get(n) == "true" for n in _SPECIAL)
        special |= any("three_state" in pin.attributes for pin in group.of("pin"))
        area = _number("area", group.attributes["area"])
        if area < 0:
            raise ValueError(f"area {area:g} is negative")
        return LibraryCell(name, area, tuple(pins), held, not (held or special))

    def _pins(self, group: LibertyGroup) -> Iterator[Pin]:
        """The pins of a cell or a bus; one group may stand for several."""
        for pin in group.of("pin"):
            for name in (pin.name, *pin.arguments[1:]):
                for one in name.split():
                    try:
                        yield self._pin(pin, one)
                    except ValueError as error:
                        raise ValueError(f"pin {one}: {error}") from None

    def _pin(self, group: LibertyGroup, name: str) -> Pin:
        output = group.attributes.get("direction") == "output"
        given = group.attributes.get("capacitance")
        if given is not None:
            load = _number("capacitance", given)
        else:
            load = 0.0 if output else self._input_load
        arcs = [self._arc(timing) for timing in group.of("timing")] if output else []
        return Pin(
            name, output, load * self._load, group.attributes.get("function", ""), tuple(arcs)
        )

    def _arc(self, group: LibertyGroup) -> Arc:
        related = tuple(group.attributes.get("related_pin", "").split())
        delays = ("cell_rise", "cell_fall")
        slews = ("rise_transition", "fall_transition")
        return Arc(
            related,
            tuple(self._table(table) for kind in delays for table in group.of(kind)),
            tuple(self._table(table) for kind in slews for table in group.of(kind)),
        )

    def _table(self, group: LibertyGroup) -> LibertyTable:
        try:
            return self._read_table(group)
        except ValueError as error:
            raise ValueError(f"{group.kind}: {error}") from None

    def _read_table(self, group: LibertyGroup) -> LibertyTable:
        name = group.name if group.arguments else "scalar"
        if name not in self._templates and name != "scalar":
            raise ValueError(f"its lu_table_template {name} is not in the library")
        template = self._templates.get(name, {})
        if "values" not in group.attributes:
            raise ValueError("there are no values")
        values = _numbers("values", group.attributes["values"])
        axes: dict[str, tuple[float, ...]] = {}
        for n in "123":
            kind = template.get(f"variable_{n}")
            if kind is None:
                continue
            axis = "load" if kind in _LOADS else "slew"
            if kind not in _LOADS | _SLEWS or axis in axes:
                raise ValueError(f"variable_{n} {kind}: tables over one slew and one load are read")
            given = group.attributes.get(f"index_{n}", template.get(f"index_{n}", ""))
            index = _numbers(f"index_{n}", given)
            if any(a >= b for a, b in pairwise(index)):
                raise ValueError(f"index_{n} does not increase")
            scale = self._load if axis == "load" else self._time
            axes[axis] = tuple(scale * number for number in index)
        slews, loads = axes.get("slew", ()), axes.get("load", ())
        rows, columns = max(1, len(slews)), max(1, len(loads))
        if len(values) != rows * columns:
            raise ValueError(f"a table of {len(values)} values over {rows} x {columns}")
        turned = list(axes) == ["load", "slew"]
        return LibertyTable(
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


def _scale(key: str, given: str, units: dict[str, float]) -> float:
    """`1ns`, `100ps`, `1,pf` -> how many ps or fF."""
    text = re.sub(r"[\s,]+", "", given)
    found = _NUMBER.match(text)
    unit = text[found.end() :].lower() if found else ""
    size = float(found[0]) if found else 0.0
    if unit not in units or not 0 < size < math.inf:
        raise ValueError(
            f"{key}: unit {given!r} is unknown; give a number and one of {', '.join(units)}"
        )
    return size * units[unit]


def _number(key: str, given: str) -> float:
    found = _NUMBER.fullmatch(given.strip())
    number = float(found[0]) if found else math.nan
    if not math.isfinite(number):
        raise ValueError(f"{key} {given!r} is no number")
    return number


def _numbers(key: str, given: str) -> list[float]:
    return [_number(key, part) for part in re.split(r"[\s,]+", given) if part]


def read_libraries(paths: Sequence[Path]) -> tuple[dict[str, LibraryCell], list[str]]:
    """Cells of all files together, and each file's text; raises InvalidInput for a file that is none.

    Raises InvalidInput, too, where no file has an inverter or a flip-flop.
    """
    texts = [read_text(path) for path in paths]
    cells: dict[str, LibraryCell] = {}
    for path, text in zip(paths, texts, strict=True):
        cells |= read_cells(path, text)
    named = ", ".join(map(str, paths))
    if not any(cell.sequential for cell in cells.values()):
        raise InvalidInput(f"`liberty` {named}: no flip-flop; repeat `liberty` for its other files")
    gates = [c for c in cells.values() if c.plain and any(p.function for p in c.outputs())]
    if not any(len(gate.inputs()) == 1 for gate in gates) or len(gates) < 2:
        raise InvalidInput(
            f"`liberty` {named}: too few gates; repeat `liberty` for its other files"
        )
    return cells, texts
