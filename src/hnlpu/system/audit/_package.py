"""Package: memory and links around the die, and what a wafer yields."""

from __future__ import annotations

from collections.abc import Iterator

from hnlpu.quantities import Quantity
from hnlpu.system.audit._case import Case, times
from hnlpu.system.audit._claim import Claim, equal, need
from hnlpu.system.catalog import Hbm, Purpose
from hnlpu.system.cost import die_yield, gross_dies

HOST_LINKS = 1  # tokens in, tokens out


def package_claims(case: Case) -> Iterator[Claim]:
    """Claims about pins, PHYs, edges, interposer, wafers."""
    if case.system.blocks_for("HBM PHY") and case.machine.hbm:
        yield from _edges(case, case.machine.hbm)
    yield from _wafer(case)


def _edges(case: Case, hbm: Hbm) -> Iterator[Claim]:
    die, limits = case.system.die, case.limits
    width = case.technology.die.reticle_width.value
    height = die.area.value / width
    links = case.machine.rows + case.machine.columns - 2 + HOST_LINKS
    around = 2 * (width + height)
    stacks, rest = times(hbm.stacks, limits.hbm.edge), times(links, limits.link.shoreline)
    low, value, high = (a + b for a, b in zip(stacks, rest, strict=True))
    yield need(
        "pins", "die edge for HBM and links", (low, value, high), around, "mm",
        f"{hbm.stacks} stacks of {limits.hbm.edge.value:g} mm, {links} x16 links of "
        f"{limits.link.shoreline.value:g} mm; edge of {width:g} x {height:.1f} mm",
        "eight stacks and seven links leave no edge spare" if around < high else "",
    )  # fmt: skip
    edge = limits.hbm.edge.value
    sides = 2 * (int(height // edge) + int(width // edge))
    yield need(
        "pins", "whole stacks along the four edges", float(hbm.stacks), float(sides), "stacks",
        f"{int(height // edge)} on a long edge, {int(width // edge)} on a short one",
    )  # fmt: skip
    areas: tuple[tuple[Purpose, str, int, Quantity], ...] = (
        ("HBM PHY", "HBM PHY area", hbm.stacks, limits.hbm.phy_area),
        ("links", "link area", links, limits.link.area),
    )
    for purpose, name, count, limit in areas:
        if not case.system.blocks_for(purpose):
            continue
        yield need(
            "pins", name, times(count, limit), case.system.area_for(purpose), "mm2",
            f"{count} of {limit.low:g} to {limit.high:g} mm2",
        )  # fmt: skip
    pitch = limits.package.micro_bump_pitch
    yield need(
        "pins", "micro-bumps of HBM signals", times(hbm.stacks, limits.hbm.signals),
        case.system.area_for("HBM PHY") / (pitch.value / 1e3) ** 2 / 2, "bumps",
        f"{hbm.stacks} stacks; bumps of {pitch.value:g} um over their PHYs, half of them for supplies",
    )  # fmt: skip
    together = die.area.value + hbm.stacks * edge**2
    yield need(
        "pins", "interposer", together, limits.package.interposer.value, "mm2",
        f"die and {hbm.stacks} stacks of {edge:g} x {edge:g} mm, no gaps",
    )  # fmt: skip


def _wafer(case: Case) -> Iterator[Claim]:
    wafer, area, p = case.prices.wafer, case.system.die.area.value, case.published
    diameter, defects = wafer.diameter.value, wafer.defect_density.value
    edge = case.limits.wafer_edge
    if p.gross_dies:
        at = [float(gross_dies(area, diameter, e)) for e in (edge.high, edge.value, edge.low)]
        yield equal(
            "yield", "gross dies with a wafer's edge", (min(at), at[1], max(at)), p.gross_dies.value,
            "dies", f"{edge.value:g} mm at the rim carry no dies",
            "the paper counts up to the rim",
        )  # fmt: skip
    models = {
        name: float(die_yield(name, area, defects, wafer.clustering.value))
        for name in ("poisson", "murphy", "negative_binomial")
    }
    if p.yield_share:
        words = ", ".join(f"{name.replace('_', ' ')} {share:.1%}" for name, share in models.items())
        yield equal(
            "yield", "yield as stated", models[wafer.yield_model], p.yield_share.value, "of the dies",
            words,
        )  # fmt: skip
        stated = p.yield_share.value
        yield equal(
            "yield", "yield whatever the model", (min(models.values()), models["murphy"],
            max(models.values())), stated, "of the dies", words, tolerance=0.01,
        )  # fmt: skip
    if p.good_dies:
        expected = float(gross_dies(area, diameter)) * models[wafer.yield_model]
        yield equal(
            "yield", "good dies of a wafer", expected, p.good_dies.value, "dies",
            "gross dies x yield, not rounded", tolerance=0.015,
        )  # fmt: skip
    if p.wafer_a_chip:
        # each chip of the machine has masks of its own, so a wafer carries one of them only
        wafers = case.chips * wafer.price.value
        yield need(
            "yield", "wafers of a single system", wafers, case.chips * p.wafer_a_chip.value, "$",
            f"{case.chips} chips differ in their masks, so one system starts {case.chips} wafers at least",
            "the price of a die holds from about 27 systems on; small beside the masks",
        )  # fmt: skip
