"""What each codebook takes in metal, and loses:  python benchmarks/codebooks.py TEXT

    formats ─► arrays of both schemes: transistors, um2, tracks, masks, steps of a product
            ─► energy of a product, what weights of a normal distribution lose
            ─► perplexity of the bundled models with matrices in that format

Prints the tables of docs/policy.md, or JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import hnlpu
from activity import Energy, read_assumed, taps_neuron
from hnlpu.arithmetic.mx import BLOCK, quantize_digits
from hnlpu.arithmetic.onto import quantize_onto, unjoin
from hnlpu.model.policy import (
    array_codebook_of,
    codebook_of,
    digits_of_format,
    spread_of_format,
)
from hnlpu.silicon.embed import (
    ArrayKind,
    Taps,
    array_kind,
    canonical,
    masks_needed,
    open_scheme,
    tracks_needed,
)
from hnlpu.silicon.hardwire import Digit, HardwiredMatrix, open_build, role_errors, row_facts
from hnlpu.silicon.rtl import array_shape
from hnlpu.silicon.technology import load_technology

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
FORMATS = ("ternary2", "ternary", "int3", "mxfp4", "int4", "nf4", "fitted", "mxfp4x2", "int8")
ROLES = ("attention", "router", "experts", "unembedding", "dense")
MODELS = (
    ("stdlib-8m", ("unembedding",)), ("stdlib-8m", ("attention", "router")),
    ("llama-90k", ROLES), ("qwen3-90k", ROLES),
)  # fmt: skip
"""Models, and the roles that are in the format; all others are in their finest."""
BITS, SIZE, SPREAD, SEED = 12, 1024, 20, 0
TECHNOLOGIES = ("n5", "sky130", "asap7")


def normal_weights(rows: int, columns: int) -> np.ndarray[Any, Any]:
    random = np.random.default_rng(SEED)
    return random.standard_normal((rows, columns)).astype(np.float32)


def digits_of(fmt: str, weights: np.ndarray[Any, Any]) -> tuple[list[Any], Any]:
    """(codes of the codebook, exponents) of each digit, and what they leave over."""
    count = digits_of_format(fmt)
    if fmt.startswith("mxfp4"):
        return quantize_digits(weights, count, SPREAD)
    return quantize_onto(weights, codebook_of(fmt), spread_of_format(fmt, SPREAD), count)


def as_matrix(fmt: str, found: list[Any]) -> HardwiredMatrix:
    book = codebook_of(fmt)
    stored = tuple(Digit(part, e) for codes, e in found for part in unjoin(codes, book))
    return HardwiredMatrix(stored, row_facts(stored).row_exponents, None)


def metal(fmt: str, technology: str, scheme: str, bank: int) -> dict[str, Any]:
    """Of arrays of 1024 inputs and neurons whose weights are normally distributed."""
    process, book = load_technology(technology), array_codebook_of(fmt)
    found, _ = digits_of(fmt, normal_weights(64, SIZE))
    matrix = as_matrix(fmt, found)
    spread = int(row_facts(matrix.digits).spreads.max())
    kind = array_kind(scheme, digits_of_format(fmt), bank, spread, codebook=book.name)
    own = open_scheme(process, kind)
    if scheme == "regions":
        tracks = 0
        for digit in matrix.digits:
            tile = canonical(digit.codes, digit.exponents, matrix.row_exponents)
            tracks = max(tracks, tracks_needed(process, kind, tile))
        kind = ArrayKind(scheme, kind.digits, bank, kind.scale_range, kind.group, tracks)
        own = open_scheme(process, kind)
    needs = masks_needed([(own, None)])
    taps = {"trunks": len(book.codes) - 1, "cell_nm": own.cell, "row_nm": own.pitch,
            "metal_row_nm": own.metal_pitch} if isinstance(own, Taps) else {}  # fmt: skip
    return {
        "format": fmt, "technology": technology, "scheme": scheme, "bank": bank, "kind": kind.name,
        "transistors": own.transistors(SIZE, SIZE, BITS) * kind.digits,
        "um2": own.area_um2() * kind.digits, "tracks": kind.tracks, "masks": needs.programmable,
        "steps": array_shape(kind, SIZE, (SIZE // BLOCK // kind.inputs_per_port,), BITS).steps, **taps,
    }  # fmt: skip


def shared_ports(technology: str) -> list[dict[str, Any]]:
    """Dense arrays of 1024 inputs and neurons without scales: one and two ternary inputs a port, and int3.

    Two inputs of int3 a port are counted, not built: 48 signed sums a pair on as many trunks.
    """
    process, found = load_technology(technology), []
    for name in ("ternary", "ternary2", "int3"):
        taps = Taps(process, ArrayKind("taps", 1, 1, 0, codebook=name))
        of_a_port = taps.kind.inputs_per_port
        trunks = (len(taps.kind.values.codes) - 1) / of_a_port
        # of metal, ports fill a row of the least height: what is left is silicon's
        found.append({
            "technology": technology, "codebook": name, "trunks": trunks, "ports": 1 / of_a_port,
            "transistors": taps.transistors(SIZE, SIZE, BITS), "um2": taps.area_um2(),
            "metal_um2": taps.cell * taps.metal_pitch * 1e-6 / of_a_port,
        })  # fmt: skip
    int3, ternary, pairs = found[2], found[0], found[1]
    half = pairs["transistors"] / ternary["transistors"]
    density = process.silicon.density.value * 1e-6  # a um2
    track = max(taps.lower_pitch, taps.upper_pitch)
    wide = (24 + 2 + 2 * (taps.port_gap - 1)) * track * taps.metal_pitch * 1e-6 / 2
    found.append({
        "technology": technology, "codebook": "int3, two a port (counted)", "trunks": 48 / 2, "ports": 0.5,
        "transistors": int3["transistors"] * half,
        "um2": max(int3["transistors"] * half / density, wide), "metal_um2": wide,
    })  # fmt: skip
    return found


def energy_fj(fmt: str) -> float:
    """Of counts, ports and accumulator of a taps neuron, a weight and product of 12 bits, at 5 nm."""
    inputs, energy, book = 256, Energy(read_assumed()), codebook_of(fmt)
    found, _ = digits_of(fmt, normal_weights(1, inputs))
    base = int(as_matrix(fmt, found).row_exponents[0])
    random = np.random.default_rng(SEED + 1)
    vectors = np.clip(np.rint(random.standard_normal((2, 64, inputs)) * 500), -2048, 2047)
    process, total = load_technology("n5"), 0.0
    table = np.array(book.table)
    if array_codebook_of(fmt).inputs > 1:
        return _of_pairs(found[0][0], vectors.astype(np.int64), energy)
    for codes, exponents in found:
        digit = canonical(codes, exponents, np.array([base], np.uint8), book.name)
        kind = array_kind("taps", 1, 1, int(digit.shifts.max()), codebook=book.name)
        shape, taps = array_shape(kind, 1, (inputs // BLOCK,), BITS), Taps(process, kind)
        packed = digit.codes[0]
        units = table[np.stack([packed & 15, packed >> 4], -1).reshape(-1)].astype(np.int64)
        one = taps_neuron(shape, units, digit.shifts[0].astype(np.int64), vectors.astype(np.int64))
        stub = taps.cell * 1e-3 * process.stub.capacitance.value
        port = energy.of_ff(stub + process.electrical.port_capacitance.value)
        total += shape.steps * (
            one.adders * energy.adder
            + one.ports * port
            + 2 * one.sums * (energy.adder + energy.gate)
        )
    return 1000 * total / inputs


def _of_pairs(codes: np.ndarray[Any, Any], vectors: np.ndarray[Any, Any], energy: Energy) -> float:
    """The same of an array whose ports have two inputs: a port's sum is an input of weight 1 or 0."""
    packed, book = codes[0], array_codebook_of("ternary2")
    process, taps = load_technology("n5"), Taps(load_technology("n5"), ArrayKind(
        "taps", 1, 1, 0, codebook=book.name))  # fmt: skip
    units = codebook_of("ternary").table
    weights = np.array(units)[np.stack([packed & 15, packed >> 4], -1).reshape(-1)]
    sums = (vectors * weights).reshape(*vectors.shape[:2], -1, 2).sum(-1)
    shape = array_shape(taps.kind, 1, (sums.shape[-1] // BLOCK,), BITS)
    # the neuron's model multiplies: sums come as inputs of weight 1, of one input a port
    alike = array_shape(ArrayKind("taps", 1, 1, 0, codebook="int3"), 1, (shape.blocks,), BITS)
    assert alike.steps == shape.steps
    one = taps_neuron(
        alike, np.ones(sums.shape[-1], np.int64), np.zeros(shape.blocks, np.int64), sums
    )
    stub = taps.cell * 1e-3 * process.stub.capacitance.value
    port = energy.of_ff(stub + process.electrical.port_capacitance.value)
    total = (
        one.adders * energy.adder + one.ports * port + 2 * one.sums * (energy.adder + energy.gate)
    )
    return 1000 * shape.steps * total / weights.size


def normal_error(fmt: str) -> float:
    """Relative error of weights of a normal distribution."""
    weights = normal_weights(256, SIZE)
    _, rest = digits_of(fmt, weights)
    return float(np.sqrt((rest.astype(float) ** 2).sum() / (weights.astype(float) ** 2).sum()))


def quality(model: str, roles: tuple[str, ...], fmt: str, text: str) -> dict[str, Any]:
    """Perplexity of a model with the matrices of some roles in one format, beside float."""
    with tempfile.TemporaryDirectory() as folder:
        policy = hnlpu.make_policy(**dict.fromkeys(roles, fmt))
        build = hnlpu.build(CHECKPOINTS / model, Path(folder) / "b", policy, workers=1)
        records = open_build(build).manifest.matrices
        same = {n: r.model_copy(update={"role": "attention"}) for n, r in records.items()
                if r.role in roles or roles == ROLES}  # fmt: skip
        return {
            "model": model, "roles": roles, "format": fmt,
            "relative_error": role_errors(same)[0].relative_error,
            "perplexity": hnlpu.open(build).score(text).perplexity,
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Codebooks in metal.")
    parser.add_argument("text", type=Path, nargs="?", help="text to score; without it, metal alone")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    cases = [("taps", bank, t) for t in TECHNOLOGIES for bank in (1, 8)] + [("regions", 1, "n5")]
    areas = [metal(f, t, scheme, bank) for scheme, bank, t in cases for f in FORMATS]
    losses = [
        {"format": f, "relative_error": normal_error(f), "energy_fj": energy_fj(f)} for f in FORMATS
    ]
    scored: list[dict[str, Any]] = []
    base: dict[str, float] = {}
    if args.text:
        text = args.text.read_text("utf-8")
        base = {
            m: hnlpu.open(CHECKPOINTS / m).score(text).perplexity for m in {m for m, _ in MODELS}
        }
        scored = [quality(m, roles, f, text) for m, roles in MODELS for f in FORMATS]
    ports = [row for t in ("n5", "sky130") for row in shared_ports(t)]
    if args.json:
        print(
            json.dumps(
                {
                    "metal": areas,
                    "ports": ports,
                    "weights": losses,
                    "float": base,
                    "quality": scored,
                }
            )
        )
        return
    show(areas, losses, scored, base)
    show_ports(ports)


def show(areas: list[Any], losses: list[Any], scored: list[Any], base: dict[str, float]) -> None:
    """As tables."""
    print("| process | scheme | bank | format | array kind | trunks | cell, nm | row, nm (metal alone) | "
          "tracks | transistors | um2 | masks | steps |\n|" + "---|" * 13)  # fmt: skip
    for a in areas:
        cell = f"{a['trunks']} | {a['cell_nm']} | {a['row_nm']} ({a['metal_row_nm']}) | –" if (
            "trunks" in a) else f"– | – | – | {a['tracks']}"  # fmt: skip
        print(f"| {a['technology']} | {a['scheme']} | {a['bank']} | `{a['format']}` | `{a['kind']}` | {cell} | "
              f"{a['transistors']:.1f} | {a['um2']:.4g} | {a['masks']} | {a['steps']} |")  # fmt: skip
    print("\n| format | relative error, normal weights | fJ a weight and product |\n|---|---|---|")
    for q in losses:
        print(f"| `{q['format']}` | {100 * q['relative_error']:.3g} % | {q['energy_fj']:.2f} |")
    print(
        "\n| model | in the format | format | relative error | perplexity | over float |\n|"
        + "---|" * 6
    )
    for q in scored:
        change = 100 * (q["perplexity"] / base[q["model"]] - 1)
        roles = "all" if q["roles"] == ROLES else " and ".join(q["roles"])
        print(f"| {q['model']} | {roles} | `{q['format']}` | {100 * q['relative_error']:.3g} % | "
              f"{q['perplexity']:.4f} | {change:+.3f} % |")  # fmt: skip


def show_ports(ports: list[Any]) -> None:
    """As a table."""
    print("\n| process | codebook | trunks an input | ports an input | transistors | um2 | um2 of metal alone |"
          "\n|" + "---|" * 7)  # fmt: skip
    for p in ports:
        print(f"| {p['technology']} | {p['codebook']} | {p['trunks']:g} | {p['ports']:g} | "
              f"{p['transistors']:.1f} | {p['um2']:.4g} | {p['metal_um2']:.4g} |")  # fmt: skip


if __name__ == "__main__":
    main()
