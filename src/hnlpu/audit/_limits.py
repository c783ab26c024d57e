"""limits.toml -> `Limits`: what processes, packages and links stand."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

from hnlpu.quantities import DataTable, Quantity, Unit, read_data

Share = Annotated[Quantity, Unit("dimensionless", above=0, most=1)]
PerBit = Annotated[Quantity, Unit("pJ/bit", above=0)]
Area = Annotated[Quantity, Unit("mm^2", above=0)]
Edge = Annotated[Quantity, Unit("mm", above=0)]


class Sram(DataTable):
    """Bit cell, what two ports and macros add, energy of a read."""

    cell: Annotated[Quantity, Unit("um^2/bit", above=0)]
    port_factor: Annotated[Quantity, Unit("dimensionless", least=1)]
    efficiency: Share
    read: PerBit


class HbmLimits(DataTable):
    """A stack: edge beside the die, PHY on it, energy of a bit in both, signals between them."""

    edge: Edge
    phy_area: Area
    energy: PerBit
    signals: Annotated[Quantity, Unit("dimensionless", above=0)]


class LinkLimits(DataTable):
    """A x16 link: share of payload, latency, energy, area and die edge."""

    payload: Share
    latency: Annotated[Quantity, Unit("ns", above=0)]
    energy: PerBit
    area: Area
    shoreline: Edge


class PackageLimits(DataTable):
    """Heat, interposer, bumps."""

    mean_power: Annotated[Quantity, Unit("W/mm^2", above=0)]
    peak_power: Annotated[Quantity, Unit("W/mm^2", above=0)]
    interposer: Area
    micro_bump_pitch: Annotated[Quantity, Unit("um", above=0)]
    bump_pitch: Annotated[Quantity, Unit("um", above=0)]
    bump_current: Annotated[Quantity, Unit("A", above=0)]
    power_bumps: Share


class Limits(DataTable):
    """All limits."""

    wafer_edge: Annotated[Quantity, Unit("mm", least=0)]
    cell_embedding: Annotated[Quantity, Unit("transistor/weight", above=0)]
    exponent_range: Annotated[Quantity, Unit("dimensionless", least=0, most=20)]
    activity: Share
    sram: Sram
    hbm: HbmLimits
    link: LinkLimits
    package: PackageLimits


def load_limits() -> Limits:
    """The limits that come with hnlpu."""
    with resources.as_file(resources.files("hnlpu.audit") / "limits.toml") as path:
        return read_data(Path(path), Limits)
