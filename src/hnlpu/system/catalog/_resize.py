"""A hardwired system with another number of the same chips."""

from __future__ import annotations

from dataclasses import replace

from hnlpu.errors import InvalidInput
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


def resized(system: System, chips: int, most_columns: int = 256) -> System:
    """The same chips, at least `chips` of them in a grid near a square, for any model.

    Power grows with the chips.  Nothing that was published about the system's own model remains.
    Raises InvalidInput for a system without a grid, or a number that makes none.
    """
    if system.machine is None:
        raise InvalidInput(
            f"system {system.name} has no [machine] in its file, so no grid of chips"
        )
    rows, columns = near_square(chips, most_columns)
    chips = rows * columns
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
