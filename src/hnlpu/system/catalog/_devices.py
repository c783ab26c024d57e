"""devices.toml -> rates of single devices, computed from bytes and bandwidth, beside those that are published."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from hnlpu.quantities import Contradiction, DataTable, Quantity, Slug, Title, Unit, read_data
from hnlpu.system.catalog._survey import load_survey, surveyed

WITHIN = 0.3
"""Of the published rate: a computed one that is further off is a miss."""


class Device(DataTable):
    """A device with one memory, from which every token reads all weights that it meets."""

    name: Slug
    title: Title
    bandwidth: Annotated[Quantity, Unit("GB/s", 20, 19_000)]


class DeviceRate(DataTable):
    """A published rate of one sequence; `model` is one of the survey, `bits` those of a stored weight."""

    device: Slug
    model: Slug
    bits: Annotated[Quantity, Unit("bit/weight", 0.5, 64)]
    tokens: Annotated[Quantity, Unit("token/s", 1, 990)]


class Devices(DataTable):
    """Devices and what is published of them."""

    name: Slug
    device: Annotated[list[Device], Field(min_length=1)]
    rate: Annotated[list[DeviceRate], Field(min_length=1)]

    @model_validator(mode="after")
    def _known(self) -> Devices:
        devices = {one.name for one in self.device}
        models = {one.name for one in load_survey().model}
        for i, rate in enumerate(self.rate):
            if rate.device not in devices:
                raise Contradiction(("rate", i, "device"), f"{rate.device!r} is no device here")
            if rate.model not in models:
                raise Contradiction(("rate", i, "model"), f"{rate.model!r} is not in the survey")
        return self


@dataclass(frozen=True)
class RatedDevice:
    """A published rate beside the roofline's: `computed` tokens/s, were bandwidth all that counts."""

    device: Device
    rate: DeviceRate
    computed: float

    @property
    def error(self) -> float:
        """Computed over published, less 1."""
        return self.computed / self.rate.tokens.value - 1

    @property
    def missed(self) -> bool:
        """Whether it is further off than `WITHIN`."""
        return abs(self.error) > WITHIN


def load_devices() -> Devices:
    """Devices with their published rates."""
    with resources.as_file(resources.files("hnlpu.system.catalog") / "devices.toml") as path:
        return read_data(Path(path), Devices)


def rated_devices() -> list[RatedDevice]:
    """Every published rate beside what bytes and bandwidth say (Williams et al., Roofline, CACM 52(4), 2009)."""
    found = load_devices()
    devices = {one.name: one for one in found.device}
    return [
        RatedDevice(
            device := devices[rate.device], rate,
            device.bandwidth.value * 1e9 / (_weights_read(rate.model) * rate.bits.value / 8),
        )
        for rate in found.rate
    ]  # fmt: skip


@cache
def _weights_read(model: str) -> int:
    """Weights of all matrices that a token meets; of the embedding table it reads a row."""
    one = next(one for one in load_survey().model if one.name == model)
    return surveyed(one).operations // 2
