"""A hardwired system with another number of the same chips, and as many of them as a model needs."""

from __future__ import annotations

import math
from dataclasses import replace

from hnlpu.errors import DoesNotFit, InvalidInput
from hnlpu.system.catalog._system import System

LONGEST_SIDE = 2
"""A grid is at most this many times as long as wide: exchanges cross rows and columns alike."""


def near_square(chips: int, most_columns: int = 256) -> tuple[int, int]:
    """Rows and columns of the smallest grid of at least `chips` chips that is near a square.

    Raises InvalidInput where `most_columns` (heads that columns share) leave none.
    """
    best: tuple[int, int] | None = None
    for columns in range(1, min(most_columns, 256, chips) + 1):
        rows = -(-chips // columns)
        if rows > 256 or max(rows, columns) > LONGEST_SIDE * min(rows, columns):
            continue
        if best is None or (rows * columns, abs(rows - columns)) < (
            best[0] * best[1], abs(best[0] - best[1]),
        ):  # fmt: skip
            best = rows, columns
    if best is None:
        raise InvalidInput(
            f"{chips} chips make no grid of at most {most_columns} columns and 256 rows; use denser or "
            "larger chips"
        )
    return best


def sized(
    system: System, model: str, bits: float, most_columns: int = 256,
    grid: tuple[int, int] | None = None,
) -> System:  # fmt: skip
    """The machine of `system` for a model of so many bits: the one answer that every command gives.

    Its own model has its own machine; another one as many of the same chips as hold it, in a grid near a
    square; a `grid` of at least so many chips stands for both.  Raises InvalidInput for a system that is not
    hardwired, DoesNotFit where the chips hold less than the model.
    """
    if system.machine is None or system.array is None:
        raise InvalidInput(
            f"system {system.name} is not hardwired: its file has no [machine] and [array], so no chips to "
            "put a model on; take hnlpu-asplos26 or a file like it"
        )
    needed = system.chips_for(bits)
    own = system.model == model
    if grid is None and not own:
        return resized(system, needed, most_columns)
    rows, columns = grid or (system.machine.rows, system.machine.columns)
    if needed > rows * columns:
        raise DoesNotFit(
            f"{model} needs {needed} chips of {system.name} ({bits / 1e9:,.3g} Gbit of weights, "
            f"{system.array_area_mm2:g} mm2 of arrays a chip), the grid has {rows * columns}; "
            f"give a larger one, as in `grid` {_grid_for(needed)}"
        )
    if own and (rows, columns) == (system.machine.rows, system.machine.columns):
        return system
    return regridded(system, rows, columns)


def _grid_for(chips: int) -> str:
    rows = max(1, 2 ** round(math.log2(math.sqrt(chips))))
    return f"{rows}x{-(-chips // rows)}"


def resized(system: System, chips: int, most_columns: int = 256) -> System:
    """The same chips, at least `chips` of them in a grid near a square, for any model.

    Power grows with the chips.  Nothing that was published about the system's own model remains.
    Raises InvalidInput for a system without a grid, or a number that makes none.
    """
    return regridded(system, *near_square(chips, most_columns))


def regridded(system: System, rows: int, columns: int) -> System:
    """The same chips in a grid of `rows` x `columns`; otherwise as `resized`.

    Raises InvalidInput for more than one chip where the system has no links to join them.
    """
    if system.machine is None:
        raise InvalidInput(
            f"system {system.name} has no [machine] in its file, so no grid of chips"
        )
    chips = rows * columns
    if chips > 1 and system.machine.link is None:
        raise InvalidInput(
            f"system {system.name} is one chip without links (no [machine.link] in its file), so {chips} of "
            "them cannot be joined; take a system with links, or 'hnlpu design' with more `chips`"
        )
    share = chips / system.chips
    watts = system.power.system
    power = replace(
        watts, value=watts.value * share, low=watts.low * share, high=watts.high * share
    )
    machine = system.machine.model_copy(update={"rows": rows, "columns": columns, "breakdown": []})
    return system.model_copy(
        update={
            "name": f"{system.name}, {chips} chip{'s' * (chips != 1)}",
            "chips": chips,
            "machine": machine,
            "model": None,
            "checkpoint": None,
            "target": None,
            "rate": [],
            "published_claims": None,
            "range": [
                entry.model_copy(update={"low": entry.low * share, "high": entry.high * share})
                if entry.key == "power.system"
                else entry
                for entry in system.range
            ],
            "power": system.power.model_copy(update={"system": power}),
        }
    )
