"""A mapped netlist and its cells' tables -> the longest delay, by static timing without wires.

    start (input or flip-flop): 0 ps, no slew ──► arcs ──► latest at outputs and flip-flops

Of rising and falling edges the later and the slower one count, so a delay is an upper bound of
the library's own.  Loads are the capacitances of pins.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hnlpu.silicon.rtl._liberty import LibertyTable, LibraryCell


@dataclass(frozen=True)
class Instance:
    """A cell of a netlist and the nets of its pins; constants are negative nets."""

    cell: LibraryCell
    nets: Mapping[str, int]


def longest_delay_ps(instances: Sequence[Instance]) -> float:
    """The latest arrival anywhere between starts and ends.

    Raises ValueError for a loop.
    """
    loads: dict[int, float] = {}
    driver: dict[int, tuple[Instance, str]] = {}
    for one in instances:
        for pin in one.cell.pins:
            net = one.nets.get(pin.name, -1)
            if pin.output:
                if not one.cell.sequential:
                    driver[net] = one, pin.name
            elif net >= 0:
                loads[net] = loads.get(net, 0.0) + pin.capacitance
    arrivals: dict[int, tuple[float, float]] = {}
    for end in driver:
        _arrive(end, driver, loads, arrivals)
    return max((arrival for arrival, _ in arrivals.values()), default=0.0)


def _arrive(
    end: int,
    driver: Mapping[int, tuple[Instance, str]],
    loads: Mapping[int, float],
    arrivals: dict[int, tuple[float, float]],
) -> None:
    """Fill in arrival and slew of `end` and all nets before it, without recursion."""
    waiting, entered = [end], set()
    while waiting:
        net = waiting[-1]
        if net in arrivals:
            waiting.pop()
            continue
        one, output = driver[net]
        arcs = next(pin for pin in one.cell.pins if pin.name == output).arcs
        before = {one.nets[name] for arc in arcs for name in arc.related if name in one.nets}
        missing = [n for n in before if n in driver and n not in arrivals]
        if missing:
            if net in entered:
                raise ValueError(f"net {net} is in a combinational loop")
            entered.add(net)
            waiting += missing
            continue
        latest = slowest = 0.0
        for arc in arcs:
            for name in arc.related:
                if one.nets.get(name, -1) < 0:
                    continue
                arrival, slew = arrivals.get(one.nets[name], (0.0, 0.0))
                load = loads.get(net, 0.0)
                latest = max([latest, *(arrival + _look_up(t, slew, load) for t in arc.delays)])
                slowest = max([slowest, *(_look_up(t, slew, load) for t in arc.slews)])
        arrivals[net] = latest, slowest
        waiting.pop()


def _look_up(table: LibertyTable, slew: float, load: float) -> float:
    """Bilinear interpolation, and extrapolation beyond the axes, as is usual."""
    row, down = _place(table.slews, slew)
    column, right = _place(table.loads, load)
    values = table.values
    below, beside = min(row + 1, len(values) - 1), min(column + 1, len(values[0]) - 1)
    upper = values[row][column] * (1 - right) + values[row][beside] * right
    lower = values[below][column] * (1 - right) + values[below][beside] * right
    return upper * (1 - down) + lower * down


def _place(axis: Sequence[float], at: float) -> tuple[int, float]:
    """The interval that holds `at`, and how far into it."""
    if len(axis) < 2:
        return 0, 0.0
    n = min(max(bisect_right(axis, at) - 1, 0), len(axis) - 2)
    return n, (at - axis[n]) / (axis[n + 1] - axis[n])
