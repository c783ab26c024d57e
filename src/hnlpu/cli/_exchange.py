"""--exchange and --grid: the machine that `--numerics machine` emulates."""

from __future__ import annotations

from typing import Any

from hnlpu.errors import InvalidInput


def machine_of(numerics: str, exchange: str | None, grid: str | None) -> Any:
    """What makes a build's exchange and grid; None for other numerics.

    Raises InvalidInput for options that these do not have, and for those that make no sense.
    """
    if numerics != "machine":
        for name, given in (("--exchange", exchange), ("--grid", grid)):
            if given is not None:
                raise InvalidInput(f"{name} {given}: is for --numerics machine")
        return None
    from hnlpu.arithmetic.exchange import Exchange, parse_formats
    from hnlpu.silicon.exchange import slices_on
    from hnlpu.system.machine import parse_grid

    crossing = (
        Exchange.of_formats() if exchange is None else Exchange.of_formats(parse_formats(exchange))
    )
    chips = None if grid is None else parse_grid(grid)

    def made(build: Any) -> Any:
        on = None if chips is None else slices_on(build.matrices(), *chips)
        return crossing, on

    return made
