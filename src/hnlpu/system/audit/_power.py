"""Power: densities against cooling, the blocks' watts against what bits cost to move."""

from __future__ import annotations

from collections.abc import Iterator

from hnlpu.system.audit._case import Case, Ends, ends, times
from hnlpu.system.audit._claim import Claim, equal, need
from hnlpu.system.catalog import Block


def power_claims(case: Case) -> Iterator[Claim]:
    """Claims about watts and watts a mm2."""
    yield from _density(case)
    yield from _sums(case)
    yield from _movement(case)
    if case.published.supply:
        yield from _supply(case)


def _density(case: Case) -> Iterator[Claim]:
    power, area, p = case.system.power.chip.value, case.system.die.area.value, case.limits.package
    mean = power / area
    how = f"{power:g} W / {area:g} mm2"
    if stated := case.published.power_density:
        yield equal("power", "mean power density as stated", mean, stated.value, "W/mm2", how)
    yield need(
        "power", "mean power density against cold plates", mean, p.mean_power.value, "W/mm2", how,
    )  # fmt: skip
    hottest = max(
        _sizeable(case),
        key=lambda block: block.power.value / block.area.value,
    )
    yield need(
        "power", f"hottest block: {hottest.name}", hottest.power.value / hottest.area.value,
        p.peak_power.value, "W/mm2", f"{hottest.power.value:g} W / {hottest.area.value:g} mm2",
    )  # fmt: skip


def _sizeable(case: Case) -> list[Block]:
    """Blocks of more than a mm2, over which heat is a mean; all where none is."""
    blocks = [block for block in case.system.block if block.area.value > 0]
    return [block for block in blocks if block.area.value > 1] or blocks


def _sums(case: Case) -> Iterator[Claim]:
    power = case.system.power
    yield equal(
        "power", "blocks make up the chip", sum(b.power.value for b in case.system.block),
        power.chip.value, "W", "sum of the blocks' watts", tolerance=0.001,
    )  # fmt: skip
    chips = case.chips * power.chip.value
    stated = power.system.value
    if power.overhead and case.system.target is None:
        yield equal(
            "power", "chips make up the system", chips, stated, "W",
            f"{case.chips} x {power.chip.value:g} W",
            f"the rest is a factor of {stated / chips:.2f} that the paper does not explain; its table 3 "
            "multiplies by 1.4 once more",
        )  # fmt: skip
    else:
        yield need(
            "power", "chips within the system", chips, stated, "W",
            f"{case.chips} x {power.chip.value:g} W",
        )  # fmt: skip
    hbm = case.machine.hbm
    if case.rate is None or hbm is None:
        return
    # traffic of the claimed rate, at most what the memory gives
    share = min(1.0, case.rate * case.demand(case.context)["HBM"])
    stacks = hbm.bandwidth_gb_s * 1e9 * 8 * share * case.chips
    low, value, high = times(stacks * 1e-12, case.limits.hbm.energy)
    yield need(
        "power", "chips and HBM stacks in the system", (chips + low, chips + value, chips + high),
        stated, "W", f"stacks at {share:.0%} of their bandwidth, as the claimed rate needs at "
        f"{case.context:,} positions; no fans, no losses",
        "the stacks' own watts are in no row of the paper's table 1",
    )  # fmt: skip


def _movement(case: Case) -> Iterator[Claim]:
    limits, machine, system = case.limits, case.machine, case.system
    if system.blocks_for("links") and case.chips > 1 and machine.link:
        count = machine.rows + machine.columns - 2
        bits = count * 2 * machine.link.bandwidth.value * 1e9 * 8
        yield need(
            "power", "links at full rate", times(bits * 1e-12, limits.link.energy),
            system.power_for("links"), "W", f"{count} links, both directions, {_words(ends(limits.link.energy))} pJ/bit",
        )  # fmt: skip
    if system.blocks_for("attention buffer") and case.modern:
        bits = machine.buffer.bandwidth.value * 1e12 * 8
        yield need(
            "power", "attention buffer at full rate", times(bits * 1e-12, limits.sram.read),
            system.power_for("attention buffer"), "W",
            f"{machine.buffer.bandwidth.value:g} TB/s, {_words(ends(limits.sram.read))} pJ/bit",
        )  # fmt: skip
    wire, supply = case.published.wire_capacitance, case.published.supply
    if wire and supply and case.rate:
        cycles = machine.activation_bits
        toggles = case.rate * cycles * case.model.active_weights / case.chips
        joule = wire.value * 1e-15 * supply.value**2
        yield need(
            "power", "wires of active weights", times(toggles * joule, limits.activity),
            system.power_for("neuron arrays"), "W",
            f"active weights a chip x {cycles} bits x {wire.value:g} fF x {supply.value:g} V squared at the "
            "claimed rate",
            "adders, clocks and idle experts have the rest",
        )  # fmt: skip


def _supply(case: Case) -> Iterator[Claim]:
    assert case.published.supply
    p = case.limits.package
    volts, watts = case.published.supply.value, case.system.power.chip.value
    sites = case.system.die.area.value / (p.bump_pitch.value / 1e3) ** 2
    there = sites * p.power_bumps.value * p.bump_current.value
    yield need(
        "power", "supply current through bumps", watts / volts, there, "A",
        f"{watts:g} W / {volts:g} V; {sites:,.0f} bumps, {p.power_bumps.value:.0%} of them for the supply, "
        f"{p.bump_current.value:g} A each",
    )  # fmt: skip


def _words(values: Ends) -> str:
    low, value, high = values
    return f"{value:g} ({low:g} to {high:g})"
