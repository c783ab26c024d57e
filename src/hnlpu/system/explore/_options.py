"""options.toml -> `Options`: packages, links between their chips, memories, and the ranges of a search."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hnlpu._paths import absolute
from hnlpu.quantities import (
    Contradiction,
    DataTable,
    Quantity,
    Slug,
    SourceText,
    Title,
    Unit,
    read_data,
)
from hnlpu.system.machine import Collective, Sampling

Axis = Literal["column", "row"]
Arrays = Literal["stated", "taps", "regions"]
"""Neuron arrays as dense and as slow as the system's file states, or as our layouts are."""

Length = Annotated[Quantity, Unit("mm", 0.05, 49)]


class Edge(DataTable):
    """Die edge that a link of the system takes, and a stack."""

    link: Length
    stack: Length


class Cooling(DataTable):
    """Power that a die may take for its area, on average."""

    density: Annotated[Quantity, Unit("W/mm^2", 0.02, 19)]


class DieToDie(DataTable):
    """One module of a link between neighbouring dies; a link may have up to `most_modules`."""

    name: Title
    bandwidth: Annotated[Quantity, Unit("GB/s", 10, 9_900)]
    latency: Annotated[Quantity, Unit("ns", 1, 990)]
    area: Annotated[Quantity, Unit("mm^2", 0.02, 19)]
    power: Annotated[Quantity, Unit("W", 0.05, 49)]
    edge: Length
    most_modules: Annotated[int, Field(ge=1, le=64)]


class Package(DataTable):
    """What holds chips; `axes` of the grid lie inside one, with links between neighbours."""

    name: Slug
    title: Title
    axes: list[Axis]
    most_chips: Annotated[int, Field(ge=1, le=999)]
    most_stacks: Annotated[int, Field(ge=0, le=64)]
    price: Annotated[Quantity, Unit("USD/chip", 50, 49_000, zero=True)]
    source: SourceText

    def chips(self, rows: int, columns: int) -> int:
        """Chips of a grid that share one package."""
        return (rows if "column" in self.axes else 1) * (columns if "row" in self.axes else 1)


class MemoryStack(DataTable):
    """One stack."""

    name: Title
    bandwidth: Annotated[Quantity, Unit("GB/s", 20, 19_000)]
    capacity: Annotated[Quantity, Unit("GB", 1, 990)]


class Arraying(DataTable):
    """Arrays of our own layouts; `scale_range` is the span of block exponents that their rows hold."""

    scale_range: Annotated[Quantity, Unit("dimensionless", 1, 20, whole=True)]


Counts = Annotated[list[Annotated[int, Field(ge=1, le=256)]], Field(min_length=1, max_length=64)]
Megabytes = Annotated[int, Field(ge=1, le=4096)]


class Choices(DataTable):
    """What a search may choose for the numbers of a design.

    Vector units and buffers of a machine that was designed for its model come in `shares` of its own.
    """

    rows: Counts
    columns: Counts
    modules: Counts
    vector_units: Counts
    buffer_mb: Annotated[list[Megabytes], Field(min_length=1, max_length=64)]
    experts_per_bank: Counts
    fold: Counts
    stages: Counts
    shares: Annotated[
        list[Annotated[float, Field(ge=0.1, le=64)]], Field(min_length=1, max_length=64)
    ]
    source: SourceText


class Start(DataTable):
    """A design to begin with: the published one with these fields changed."""

    name: Title
    rows: Annotated[int, Field(ge=1, le=256)] | None = None
    collective: Collective | None = None
    sampling: Sampling | None = None
    vector_units: Annotated[int, Field(ge=1, le=64)] | None = None
    buffer_mb: Megabytes | None = None
    memory: Title | None = None
    arrays: Arrays | None = None
    experts_per_bank: Annotated[int, Field(ge=1, le=64)] | None = None
    fold: Annotated[int, Field(ge=1, le=64)] | None = None

    def changes(self) -> dict[str, Any]:
        """The fields that it changes, and to what."""
        return self.model_dump(exclude={"name"}, exclude_none=True)


class Options(DataTable):
    """All of it."""

    array: Arraying
    choices: Choices
    start: list[Start] = Field(default_factory=list)
    edge: Edge
    cooling: Cooling
    die_to_die: DieToDie
    package: Annotated[list[Package], Field(min_length=1)]
    memory: Annotated[list[MemoryStack], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Options:
        """Starts name memories that there are."""
        names = [memory.name for memory in self.memory]
        for i, start in enumerate(self.start):
            if start.memory is not None and start.memory not in names:
                raise Contradiction(
                    ("start", i, "memory"),
                    f"{start.memory!r} is none of the memories {', '.join(names)}",
                )
        return self

    def find_package(self, name: str) -> Package:
        """The package of a name that designs use."""
        return next(package for package in self.package if package.name == name)

    def find_memory(self, name: str) -> MemoryStack | None:
        """The memory of a name that designs use; None for none."""
        return next((memory for memory in self.memory if memory.name == name), None)


def load_options(path: str | Path | None = None) -> Options:
    """The options that come with hnlpu, or those of a file; raises InvalidData."""
    if path is not None:
        return read_data(absolute(path), Options)
    with resources.as_file(resources.files("hnlpu.system.explore") / "options.toml") as own:
        return read_data(own, Options)
