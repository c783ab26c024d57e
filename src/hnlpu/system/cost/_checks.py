"""The paper's machine carried over to other chips: predicted beside published, with the gap's reason.

What is carried over: area of a stored bit, scaled with the density of dense logic; time of a layer
without links between chips; power of the blocks that the other chip has; cost of design.
"""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.quantities import Quantity
from hnlpu.system.catalog import DIGIT_BITS, ModelShape, System
from hnlpu.system.cost._assumptions import assume, end
from hnlpu.system.cost._estimate import estimate
from hnlpu.system.machine import bit_serial_cycles, specification


@dataclass(frozen=True)
class CostCheck:
    """One published figure beside the range predicted for it."""

    system: str
    what: str
    unit: str
    low: float
    high: float
    published_low: float
    published_high: float
    why: str

    @property
    def holds(self) -> bool:
        """Whether the ranges meet."""
        return self.low <= self.published_high and self.published_low <= self.high

    @property
    def factor(self) -> float:
        """Published over predicted, middle over middle."""
        return (self.published_low + self.published_high) / (self.low + self.high)


def bit_area_um2(reference: System, other: System) -> tuple[float, float]:
    """Area of a stored bit in `other`'s process, low and high, by density of logic."""
    assert reference.array
    assert reference.die.density
    assert other.die.density
    here = reference.array.area_per_bit.value * reference.die.density.value
    return here / other.die.density.high, here / other.die.density.low


@dataclass(frozen=True)
class LayerTime:
    """Seconds of a layer within a chip, low and high, and the cycles of its projections in each."""

    low: float
    high: float
    serial_cycles: float
    published_cycles: float


def layer_time(reference: System, own: ModelShape) -> LayerTime:
    """Time of a layer without links, from the published time of a token of `own`.

    High: all that figure 14 does not call communication.  Low: of the projections only the cycles
    that bit-serial products take.
    """
    machine = reference.machine
    rate = reference.rate[0]
    assert machine
    assert rate.users
    point = machine.breakdown[0]
    clock = machine.clock.value * 1e9
    layer = rate.users / rate.tokens.value / own.layers
    rest = layer * (1 - point.communication.value - point.projection.value)
    published = layer * point.projection.value
    passes = published * clock / specification(reference).pass_cycles
    serial = passes * bit_serial_cycles(machine.activation_bits, own.hidden)
    return LayerTime(rest + serial / clock, rest + published, serial, published * clock)


def check_taalas(
    reference: System, taalas: System, model: ModelShape, own: ModelShape
) -> list[CostCheck]:
    """HC1's array, rate of one user, power and development from the paper's machine.

    `model` is what HC1 runs, `own` what the reference runs.
    """
    assert taalas.weight_bits
    assert taalas.development
    bits = taalas.weight_bits
    small, large = bit_area_um2(reference, taalas)
    weights = model.hardwired_weights
    array = (weights * bits.low * small / 1e6, weights * bits.high * large / 1e6)
    share = reference.array_area_mm2 / reference.die.area.value
    time = layer_time(reference, own)
    rate = taalas.rate[0].tokens
    watts = reference.power_for("neuron arrays", "vector unit", "attention buffer")
    costs = [estimate(assume(reference, end(e)), 1).nre_musd for e in ("low", "high")]
    die = taalas.die.area.value
    return [
        CostCheck(
            taalas.name, "area of its weights", "mm2", *array, share * die, die,
            f"published is the whole die and the paper's share of it ({share:.0%}); "
            "three and six bits, density of N6 between N7's and 1.26 times that",
        ),
        CostCheck(
            taalas.name, "tokens/s of one user", "1/s", 1 / (time.high * model.layers),
            1 / (time.low * model.layers), rate.low, rate.high,
            f"low keeps the paper's {time.published_cycles:,.0f} cycles of projection a layer, high the "
            f"{time.serial_cycles:,.0f} that bit-serial products take; one chip has no links to wait for",
        ),
        CostCheck(
            taalas.name, "power", "W", watts, watts * reference.power.overhead.value
            if reference.power.overhead else watts, taalas.power.chip.low, taalas.power.chip.high,
            "array, vector unit and buffer of the paper's die; no HBM, no links; high with the "
            "paper's factor of 1.4",
        ),
        CostCheck(
            taalas.name, "development", "M$", float(costs[0]), float(costs[1]),
            taalas.development.low, taalas.development.high,
            "the paper's prices are for 5 nm with HBM and CXL; a set of 6 nm masks and no such IP "
            "cost less, and two mask layers, not ten, change with the model",
        ),
    ]  # fmt: skip


def check_roma(
    reference: System, roma: System, model: ModelShape, own: ModelShape
) -> list[CostCheck]:
    """ROMA's ROM, rate and energy a token from the paper's machine."""
    assert roma.rom
    assert roma.weight_bits
    small, large = bit_area_um2(reference, roma)
    bits = roma.rom.value * 8e9
    time = layer_time(reference, own)
    rate, energy = roma.rate[0].tokens, roma.energy[0].energy
    array_joule = reference.power_for("neuron arrays") * reference.chips
    per_weight = array_joule / reference.rate[0].tokens.value / own.active_weights
    ratio = roma.weight_bits.low / DIGIT_BITS
    share = reference.array_area_mm2 / reference.die.area.value
    die = roma.die.area.value
    return [
        CostCheck(
            roma.name, "area of its ROM", "mm2", bits * small / 1e6, bits * large / 1e6,
            share * die, die,
            f"published is the whole die and the paper's share of it ({share:.0%})",
        ),
        CostCheck(
            roma.name, "tokens/s of one user", "1/s", 1 / (time.high * model.layers),
            1 / (time.low * model.layers), rate.low, rate.high,
            "as for HC1; ROMA reads ROM words into wide arithmetic, not bit by bit",
        ),
        CostCheck(
            roma.name, "energy a token, arrays", "mJ", 1e3 * per_weight * ratio * model.active_weights,
            1e3 * per_weight * model.active_weights, 1e3 * energy.low, 1e3 * energy.high,
            "low scales the paper's energy a weight with its bits; the paper's array clocks all its "
            "neurons bit-serially at 1 GHz while most experts idle, so its energy a weight is high",
        ),
    ]  # fmt: skip


@dataclass(frozen=True)
class EnergyRow:
    """Energy a token of one system on one model, and how it is known."""

    system: str
    joule: float
    low: float
    high: float
    how: str


def energy_rows(model: ModelShape, reference: System, others: list[System]) -> list[EnergyRow]:
    """Energies a token, the least first: published power over rate, or a floor from reading weights."""
    rows = []
    for system in [reference, *others]:
        watts = system.power.system.value
        for rate in system.rate:
            if rate.model == model.name and not (system is reference and rate.users is None):
                joule = watts / rate.tokens.value
                rows.append(
                    EnergyRow(system.name, joule, joule, joule, f"{rate.name}, {rate.counts}")
                )
        if system.floor:
            rows.append(_floor(system, model))
    return sorted(rows, key=lambda row: row.joule)


def _floor(system: System, model: ModelShape) -> EnergyRow:
    assert system.floor
    bits = sum(m.active_weights * model.formats[m.group].bits.value for m in model.matrices())
    count = model.active_weights

    def joule(read: float, operation: float) -> float:
        return (bits * read + count * operation) * 1e-12

    read, operation = (_picojoule(q) for q in (system.floor.read, system.floor.operation))
    return EnergyRow(
        system.name, joule(read[1], operation[1]), joule(read[0], operation[0]),
        joule(read[2], operation[2]), "floor: each active weight read once for one user, and multiplied",
    )  # fmt: skip


def _picojoule(quantity: Quantity) -> tuple[float, float, float]:
    return quantity.low, quantity.value, quantity.high
