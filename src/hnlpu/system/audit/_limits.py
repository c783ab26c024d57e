"""limits.toml -> `PhysicalLimits`: what processes, packages and links stand."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

from hnlpu.quantities import DataTable, Quantity, Unit, read_data

Share = Annotated[Quantity, Unit("dimensionless", 0.01, 1)]
PerBit = Annotated[Quantity, Unit("pJ/bit", 0.02, 19)]
Area = Annotated[Quantity, Unit("mm^2", 0.5, 490)]
Edge = Annotated[Quantity, Unit("mm", 0.1, 99)]


class Sram(DataTable):
    """Bit cell, what two ports and macros add, energy of a read."""

    cell: Annotated[Quantity, Unit("um^2/bit", 0.005, 4.9)]
    port_factor: Annotated[Quantity, Unit("dimensionless", 1, 20)]
    efficiency: Share
    read: PerBit


class HbmLimits(DataTable):
    """A stack: edge beside the die, PHY on it, energy of a bit in both, signals between them."""

    edge: Edge
    phy_area: Area
    energy: PerBit
    signals: Annotated[Quantity, Unit("dimensionless", 50, 49_000)]


class LinkLimits(DataTable):
    """A x16 link: share of payload, latency, energy, area and die edge."""

    payload: Share
    latency: Annotated[Quantity, Unit("ns", 1, 990)]
    energy: PerBit
    area: Area
    shoreline: Edge


class PackageLimits(DataTable):
    """Heat, interposer, bumps."""

    mean_power: Annotated[Quantity, Unit("W/mm^2", 0.02, 19)]
    peak_power: Annotated[Quantity, Unit("W/mm^2", 0.02, 19)]
    interposer: Annotated[Quantity, Unit("mm^2", 100, 99_000)]
    micro_bump_pitch: Annotated[Quantity, Unit("um", 1, 990)]
    bump_pitch: Annotated[Quantity, Unit("um", 1, 990)]
    bump_current: Annotated[Quantity, Unit("A", 0.002, 1.9)]
    power_bumps: Share


class PhysicalLimits(DataTable):
    """All limits."""

    wafer_edge: Annotated[Quantity, Unit("mm", 0.1, 20, zero=True)]
    cell_embedding: Annotated[Quantity, Unit("transistor/weight", 5, 4_900)]
    exponent_range: Annotated[Quantity, Unit("dimensionless", 0.1, 20, zero=True)]
    activity: Share
    sram: Sram
    hbm: HbmLimits
    link: LinkLimits
    package: PackageLimits


def load_limits() -> PhysicalLimits:
    """The limits that come with hnlpu."""
    with resources.as_file(resources.files("hnlpu.system.audit") / "limits.toml") as path:
        return read_data(Path(path), PhysicalLimits)
