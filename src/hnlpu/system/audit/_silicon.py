"""Area, transistors and wires: what the weights take and what the arrays have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.silicon.embed import ArrayKind, Regions, Taps, TileDigits, TileShape, tracks_needed
from hnlpu.silicon.technology import Metal
from hnlpu.system.audit._case import Case, Ends, ends
from hnlpu.system.audit._claim import Claim, equal, need

NEURONS = 1024  # of an array that shares its tap generators
TILE = TileShape(64, 32)
GROUP = 4
VALUES = (0.088, 0.171, 0.157, 0.137, 0.160, 0.135, 0.100, 0.052)
"""Shares of |2w| = 0, 1, 2, 3, 4, 6, 8, 12 in MXFP4 of Gaussian weights."""


def silicon_claims(case: Case) -> Iterator[Claim]:
    """Claims about die, arrays, transistors and wires."""
    yield from _die(case)
    if case.system.array and case.system.array.scheme:
        yield _stored(case)
        if case.system.array.scheme == "taps":
            yield _tracks(case)[0]
        return
    yield from _transistors(case)
    if case.modern:
        yield from _operator(case)
    yield from _area(case)
    yield from _wires(case)


def _die(case: Case) -> Iterator[Claim]:
    die, t = case.system.die, case.technology
    field = die.reticle.value if die.reticle else t.die_outline_mm2
    yield need(
        "die", "die within the reticle", die.area.value, field, "mm2",
        "area of the die; full field of the scanner",
    )  # fmt: skip
    yield equal(
        "die", "blocks make up the die", sum(b.area.value for b in case.system.block),
        die.area.value, "mm2", "sum of the blocks' areas", tolerance=0.001,
    )  # fmt: skip


def _transistors(case: Case) -> Iterator[Claim]:
    weights = case.weights_a_chip
    there = case.technology.silicon.density.value * case.system.array_area_mm2 / weights
    limit = case.limits.cell_embedding
    for name, taken, how, remark in (
        (
            "cell embedding", ends(limit),
            f"{limit.value:g} to {limit.high:g} transistors a weight: one multiplier each",
            "why weights must not be cells",
        ),
        (
            "regions, every weight at full rate", _regions_transistors(case),
            f"ports of a group of its value, counted by the parts of a neuron ({case.model.hidden} "
            f"inputs, exponents of a row within 0 to {_scale_ranges(case)[2]})",
            "one popcount input a weight does not fit; the paper does not say how ports are shared",
        ),
        (
            "taps, every weight at full rate", _taps_transistors(case, bank=1),
            "one full adder a weight and the taps' share, counted by the parts of a neuron",
            "one popcount input a weight does not fit in any scheme",
        ),
        (
            "taps, the experts of a chip share their popcounts",
            _taps_transistors(case, bank=_bank(case)) if _bank(case) > 1 else None,
            f"banks of {_bank(case)}: experts of one bank run one after the other",
            "the published density is reached by sharing, at the price of collisions",
        ),
    ):  # fmt: skip
        if taken is None:
            continue
        yield need(
            "transistors", name, taken, there, "a weight",
            f"{how}; there: density x area of the arrays / weights",
            remark if taken[1] > there or "share" in name else "",
        )  # fmt: skip
    if claimed := case.published.cell_embedding_area:
        density = case.technology.silicon.density.value
        count = case.model.hardwired_weights
        low, value, high = (x * count / density for x in (limit.low, limit.value, limit.high))
        yield equal(
            "transistors", "area by cell embedding", (low, value, high), claimed.value, "mm2",
            f"weights x {limit.value:g} to {limit.high:g} transistors / density",
            f"the paper's area is {claimed.value * density / count:.0f} transistors a weight: kinder "
            "to cell embedding than synthesis is", tolerance=0.05,
        )  # fmt: skip


def _operator(case: Case) -> Iterator[Claim]:
    """The operator benchmark of the HNLPU paper: 1024 inputs, 128 neurons, weights of four bits."""
    sram, density = case.limits.sram, case.technology.silicon.density.value
    middle = 4 * sram.cell.value / sram.efficiency.value
    least, most = (
        4 * sram.cell.value / sram.efficiency.high,
        4 * sram.cell.value / sram.efficiency.low,
    )
    um2 = 1e6 / density
    limit = case.limits.cell_embedding
    sram_words = f"SRAM of {sram.cell.value:g} um2 cells, {sram.efficiency.value:.0%} of its area"
    if stated := case.published.operator_cell:
        yield equal(
            "transistors", "operator: cell embedding over SRAM",
            (limit.low * um2 / most, limit.value * um2 / middle, limit.high * um2 / least),
            stated.value, "times", f"{limit.value:g} transistors a weight; {sram_words}", tolerance=0.1,
        )  # fmt: skip
    if stated := case.published.operator_metal:
        taps = [
            Taps(case.technology, ArrayKind("taps", 1, 1, r)).transistors(1024, 128)
            for r in (0, *_scale_ranges(case)[1:])
        ]
        yield need(
            "transistors", "operator: metal embedding over SRAM",
            (taps[0] * um2 / most, taps[1] * um2 / middle, taps[2] * um2 / least), stated.value, "times",
            f"taps at full rate, {taps[1]:.1f} transistors a weight of 1024 x 128; {sram_words}",
            f"the stated area is {stated.value * middle / um2:.0f} transistors a weight: less than a "
            "full adder for each",
        )  # fmt: skip


def _bank(case: Case) -> int:
    return max(1, -(-case.model.expert_count // case.chips))


def _split(case: Case) -> tuple[float, float]:
    """Weights a chip of routed experts, and digits of all others."""
    by_group = case.model.weights()
    routed = by_group.get("experts", 0) / case.chips
    return routed, (case.weights_a_chip - routed) * case.digits


def _scale_ranges(case: Case) -> tuple[int, int, int]:
    r = case.limits.exponent_range
    return int(r.low), int(r.value), int(r.high)


def _taps_transistors(case: Case, bank: int) -> Ends:
    def count(scale_range: int) -> float:
        routed, others = _split(case)
        inputs = case.model.hidden
        banked, single = (
            Taps(case.technology, ArrayKind("taps", 1, b, scale_range)).transistors(inputs, NEURONS)
            for b in (bank, 1)
        )
        return (routed * banked + others * single) / case.weights_a_chip

    low, value, high = (count(r) for r in _scale_ranges(case))
    return low, value, high


def _regions_transistors(case: Case) -> Ends | None:
    """None where the process's rules are not enough for the scheme."""
    if "regions" not in case.technology.schemes:
        return None

    def count(scale_range: int) -> float:
        kind = ArrayKind("regions", 1, 1, scale_range, 8, 0)
        scheme = Regions(case.technology, kind)
        return scheme.transistors(case.model.hidden, NEURONS) * case.digits

    _, value, high = _scale_ranges(case)
    return count(0), count(value), count(high)


def _stored(case: Case) -> Claim:
    assert case.system.array
    bit = case.system.array.area_per_bit.value
    return need(
        "area", "stored bits in the arrays", case.bits * bit / 1e6 / case.chips,
        case.system.array_area_mm2, "mm2 a chip",
        f"{case.bits / 1e9:,.4g} Gbit at {bit:g} um2 a bit, the density of the system's file",
        "by construction: that density is drawn from this model"
        if case.model.name == case.system.model else "",
    )  # fmt: skip


def _area(case: Case) -> Iterator[Claim]:
    yield _stored(case)

    def taps(scale_range: int, metal_only: bool) -> float:
        routed, others = _split(case)
        total = 0.0
        for weights, bank in ((routed, _bank(case)), (others, 1)):
            scheme = Taps(case.technology, ArrayKind("taps", 1, bank, scale_range))
            area = scheme.area_um2()
            if metal_only:
                area *= scheme.metal_pitch / scheme.pitch
            total += weights * area / 1e6
        return total

    for name, metal_only, how in (
        ("metal of the taps scheme", True, "cells and rows as the wires' rules allow"),
        (
            "taps scheme with banks, metal and silicon",
            False,
            "rows as high as metal or silicon asks",
        ),
    ):
        low, value, high = (taps(r, metal_only) for r in _scale_ranges(case))
        yield need(
            "area", name, (low, value, high), case.system.array_area_mm2, "mm2 a chip", how,
            "block scales, which the paper leaves out, decide: without them it fits"
            if taps(0, metal_only) <= case.system.array_area_mm2 < value
            else "",
        )  # fmt: skip
    if "regions" not in case.technology.schemes:
        return
    low, value, high = (_regions_area(case, r) for r in (0, *_scale_ranges(case)[:2]))
    yield need(
        "area", "wiring of the regions scheme", (low, value, high), case.system.array_area_mm2,
        "mm2 a chip", f"a tile of {TILE.rows} neurons and 1024 inputs, Gaussian weights, routed without "
        f"overflow in groups of {GROUP} ports; silicon below not counted",
        "each weight a wire of its own needs several times the tracks that are there",
    )  # fmt: skip


def gaussian_tile(scale_range: int, seed: int = 0) -> TileDigits:
    """Digits of Gaussian weights with block exponents that differ by up to `scale_range`."""
    rng = np.random.default_rng(seed)
    size = (TILE.rows, TILE.blocks, BLOCK)
    shares = np.array(VALUES)
    magnitudes = rng.choice(8, p=shares / shares.sum(), size=size)
    codes = np.where(magnitudes > 0, magnitudes + 8 * rng.integers(0, 2, size), 0).astype(np.uint8)
    shifts = rng.integers(0, scale_range + 1, size[:2]).astype(np.uint8)
    return TileDigits((codes[..., 0::2] | (codes[..., 1::2] << 4)).astype(np.uint8), shifts)


def _regions_scheme(case: Case, scale_range: int) -> tuple[Regions, TileDigits]:
    digits = gaussian_tile(scale_range)
    kind = ArrayKind("regions", 1, 1, scale_range, GROUP, 0)
    tracks = tracks_needed(case.technology, kind, digits)
    return Regions(case.technology, replace(kind, tracks=tracks)), digits


def _regions_area(case: Case, scale_range: int) -> float:
    scheme, _ = _regions_scheme(case, scale_range)
    width = scheme.frame(TILE).width
    per_weight = width * scheme.wiring_height / (TILE.blocks * BLOCK) / 1e6
    return per_weight * case.weights_a_chip * case.digits / 1e6


def _wires(case: Case) -> Iterator[Claim]:
    t = case.technology
    per_weight = case.system.array_area_mm2 * 1e6 / case.weights_a_chip
    four = sum(per_weight / pitch * n for pitch, n in ((_pitch(t.lower), 2), (_pitch(t.upper), 2)))
    share = case.published.routing_density.value if case.published.routing_density else 1.0
    if wire := case.published.wire_capacitance:
        c = t.stub.capacitance
        length = (wire.value / c.high, wire.value / c.value, wire.value / c.low)
        yield need(
            "wires", "a wire of its own for each weight", length, four * share, "um a weight",
            f"mean wire of {wire.value:g} fF at {c.value:g} fF/um; there: area of a weight over the pitches "
            f"of four layers, {share:.0%} in use",
            f"the reported mean wire fits only if {length[1] / four / share:.0f} weights share one",
        )  # fmt: skip
    if "regions" in t.schemes:
        yield _wire_across(case, per_weight, share)
    claim, use = _tracks(case)
    words = claim.how
    yield claim
    if case.published.routing_density:
        mean = sum(layer["use"] for layer in use.values()) / 4
        yield need(
            "wires", "tracks of the taps scheme, mean of four layers", mean, share, "of the tracks",
            f"{words}; the fourth layer stays free",
            "denser than reported for the paper's scheme, but regular: nothing is routed",
        )  # fmt: skip


def _tracks(case: Case) -> tuple[Claim, Mapping[str, Mapping[str, float]]]:
    """Use of the fullest layer in arrays of taps, and that of every layer."""
    taps = Taps(case.technology, ArrayKind("taps", 1, _bank(case), _scale_ranges(case)[1]))
    use = taps.track_use()
    worst = max(layer["use"] for layer in use.values())
    words = ", ".join(f"{name} {layer['use']:.0%}" for name, layer in use.items())
    claim = need(
        "wires", "tracks of the taps scheme, fullest layer", worst, 1.0, "of the tracks", words,
    )  # fmt: skip
    return claim, use


def _wire_across(case: Case, um2_a_weight: float, share: float) -> Claim:
    t = case.technology
    scheme, digits = _regions_scheme(case, _scale_ranges(case)[0])
    found = scheme.needs(digits)["wire_um_per_weight"]["mean"]
    plain, _ = _regions_scheme(case, 0)
    least = plain.needs(gaussian_tile(0))["wire_um_per_weight"]["mean"]
    return need(
        "wires", "wire across, regions scheme", (least, found, found),
        um2_a_weight / _pitch(t.stub) * share, "um a weight",
        f"mean of the routed tile on {t.stub.name}; there: {share:.0%} of its tracks",
    )  # fmt: skip


def _pitch(metal: Metal) -> float:
    """Width and space in um."""
    return (metal.width.value + metal.space.value) / 1e3
