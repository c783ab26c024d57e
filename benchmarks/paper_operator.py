"""The operator benchmark of the HNLPU paper, four ways: 1 x 1024 int8 times 1024 x 128 FP4.

python benchmarks/paper_operator.py      # table of docs/rtl.md (two minutes)

Area is transistors at the density of n5, and SRAM by `paper_operator.toml`, against 64 KB of it alone, as
in Figure 12 of the paper (arXiv 2508.16151).  Energy is what toggles, counted on neurons of Gaussian
weights by `netlists.py` with every adder one unit of time, times capacitances of the same file.
Every netlist's results are held to the product of the matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from activity import SAMPLED, Energy, Int64, accumulated, read_assumed, serial, taps_energy
from hnlpu.arithmetic.mx import TWICE_E2M1, pack, quantize_mxfp4, unpack
from hnlpu.silicon.embed import ArrayKind, Regions, Taps, TileDigits, tracks_needed
from hnlpu.silicon.embed._regions_values import values_of_words
from hnlpu.silicon.rtl import Submodule, array_shape, count_parts, synthesize
from hnlpu.silicon.rtl._modules import part
from hnlpu.silicon.technology import load_technology
from netlists import Bits, Netlist, integers, lanes, toggled

INPUTS, OUTPUTS, BITS = 1024, 128, 8
MACS = 1024
GROUP = 8
N5 = load_technology("n5")


@dataclass(frozen=True)
class Way:
    """One way of doing it: transistors and bits of SRAM in all, cycles, and energy by part in pJ."""

    name: str
    transistors: float
    sram_bits: int
    cycles: int
    energy_pj: dict[str, float]


def main() -> None:
    assumed = read_assumed()
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((OUTPUTS, INPUTS), np.float32)
    codes = unpack(quantize_mxfp4(weights)[0]).reshape(OUTPUTS, INPUTS)
    codes[codes == 8] = 0
    twice = TWICE_E2M1.astype(np.int64)[codes]
    vectors = rng.integers(-128, 128, (5, 64, INPUTS))
    energy = Energy(assumed)
    ways = [
        textbook(twice, vectors, energy), merged(twice, vectors, energy),
        mac_array(twice, vectors, energy), regions(codes, twice, vectors, energy),
        taps(codes, vectors, energy),
    ]  # fmt: skip
    bits = 4 * INPUTS * OUTPUTS
    unit = bits * assumed.sram.area.value
    print(
        "| way | transistors a weight | SRAM | area, um2 | of 64 KB SRAM | cycles | energy, pJ | by part |"
    )
    print("|---|---|---|---|---|---|---|---|")
    print(f"| 64 KB SRAM alone | | {bits} bits | {unit:,.0f} | 1.00 | | | |")
    for way in ways:
        area = (
            way.transistors / N5.silicon.density.value * 1e6
            + way.sram_bits * assumed.sram.area.value
        )
        told = ", ".join(f"{name} {pj:,.1f}" for name, pj in way.energy_pj.items())
        print(f"| {way.name} | {way.transistors / INPUTS / OUTPUTS:.1f} | {way.sram_bits or ''} "
              f"| {area:,.0f} | {area / unit:.2f} | {way.cycles} | {sum(way.energy_pj.values()):,.1f} "
              f"| {told} |")  # fmt: skip


def _adders(full: float, half: float) -> float:
    return full * N5.silicon.full_adder.value + half * N5.silicon.half_adder.value


def _inputs(vectors: Int64) -> dict[str, npt.NDArray[np.uint64]]:
    """Signals x{input}.{bit} of vectors [steps, 64, inputs]."""
    return {
        f"x{n}.{bit}": words
        for n in range(vectors.shape[2])
        for bit, words in enumerate(lanes(vectors[:, :, n], BITS))
    }


def _embedded(name: str, nets: list[Netlist], sums: list[Bits], negative: list[bool],
              twice: Int64, vectors: Int64, energy: Energy) -> Way:  # fmt: skip
    """A way whose neurons are netlists over the bits of all inputs: one cycle."""
    given, toggles = _inputs(vectors), 0.0
    for neuron, (net, bits, minus) in enumerate(zip(nets[:SAMPLED], sums, negative, strict=False)):
        wanted = list(dict.fromkeys(bit for bit in bits if bit != "0"))
        found, once = net.run(given, wanted)
        zero = np.zeros(len(vectors), np.uint64)
        y = integers([found.get(bit, zero) for bit in bits], signed=True)
        assert ((-y if minus else y) == vectors @ twice[neuron]).all(), name
        toggles += once / SAMPLED
    transistors = sum(_adders(net.full, net.half) for net in nets)
    # inverse inputs are shared by all neurons
    transistors += 2 * INPUTS * BITS
    return Way(name, transistors, 0, 1, {"adders": OUTPUTS * toggles * energy.adder})


def textbook(twice: Int64, vectors: Int64, energy: Energy) -> Way:
    """A constant multiplier a weight and a tree of carry-ripple adders."""
    nets, sums, negative = [], [], []
    for row in twice:
        net = Netlist()
        terms = []
        for n, weight in enumerate(row.tolist()):
            if not weight:
                continue
            x = [f"x{n}.{bit}" for bit in range(BITS)]
            size = abs(weight)
            shift = (size & -size).bit_length() - 1
            if size >> shift == 3:
                x = net.ripple(x, ["0", *x], "0", BITS + 2)
            terms.append((["0"] * shift + x, weight < 0))
        while len(terms) > 1:
            paired = [_plus(net, *terms[n : n + 2]) for n in range(0, len(terms) - 1, 2)]
            terms = paired + terms[len(terms) // 2 * 2 :]
        nets.append(net)
        sums.append(terms[0][0])
        negative.append(terms[0][1])
    return _embedded("cell embedding, multipliers and a tree of adders", nets, sums, negative,
                     twice, vectors, energy)  # fmt: skip


def _plus(net: Netlist, a: tuple[Bits, bool], b: tuple[Bits, bool]) -> tuple[Bits, bool]:
    """The sum of two numbers with signs; where these differ, the second one is subtracted."""
    bits = max(len(a[0]), len(b[0])) + 1
    if a[1] == b[1]:
        return net.ripple(a[0], b[0], "0", bits), a[1]
    return net.ripple(a[0], [_not(bit) for bit in b[0]], "~0", bits), a[1]


def _not(signal: str) -> str:
    return signal[1:] if signal[0] == "~" else f"~{signal}"


def merged(twice: Int64, vectors: Int64, energy: Energy) -> Way:
    """All bits of all products in one tree: a shifted input, or two of them for 3 x."""
    nets, sums = [], []
    for row in twice:
        bits = int(np.abs(row).sum() * 128).bit_length() + 1
        columns: list[Bits] = [[] for _ in range(bits)]
        constant = 0
        for n, weight in enumerate(row.tolist()):
            size = abs(weight)
            for shift in (k for k in range(4) if size >> k & 1):
                for bit in range(BITS):
                    # the sign counts -2^7: its inverse and -2^7 instead; all the other way about for -x
                    plain = (bit < BITS - 1) == (weight > 0)
                    columns[shift + bit].append(("" if plain else "~") + f"x{n}.{bit}")
                constant += (-128 if weight > 0 else -127) << shift
        nets.append(Netlist())
        for bit in range(bits):
            if constant >> bit & 1:
                columns[bit].append("~0")
        sums.append(nets[-1].columns(columns, bits))
    return _embedded("cell embedding, one merged tree", nets, sums, [False] * len(nets),
                     twice, vectors, energy)  # fmt: skip


def mac_array(twice: Int64, vectors: Int64, energy: Energy) -> Way:
    """1024 MACs, eight an output, each with an accumulator; weights come from 64 KB of SRAM."""
    texts = {f"hnlpu_{n}_adder.sv": part(f"hnlpu_{n}_adder") for n in ("full", "half")}
    texts["mac.sv"] = (Path(__file__).parent / "mac.sv").read_text(encoding="utf-8")
    [mac] = count_parts(texts, [Submodule("mac", "mac", {}, MACS)], N5.silicon)
    rows = MACS // OUTPUTS
    last = OUTPUTS * (rows - 1) * _adders(21, 0)
    cycles = INPUTS // rows
    # what one MAC sees: input 8 t + r in cycle t
    adder = gate = 0.0
    for r in range(SAMPLED):
        x = vectors[0, :, r::rows].T.astype(np.int64)
        w = twice[r, r::rows][:, None]
        odd = np.where(np.isin(abs(w), (3, 6, 12)), 3 * x, x)
        product = x * w
        total = np.cumsum(product, 0)
        carries = total ^ product ^ np.concatenate([np.zeros((1, 64), np.int64), total[:-1]])
        adder += (toggled(3 * x, 10) * 2 + toggled(total, 22) + toggled(carries, 22)) / SAMPLED
        gate += (toggled(odd, 10) + 2 * toggled(abs(w) * x, 13) + toggled(product, 14)
                 + toggled(total, 22)) / SAMPLED  # fmt: skip
    return Way(
        "1024 MACs and SRAM", MACS * mac.transistors + last, 4 * INPUTS * OUTPUTS, cycles + 1,
        {"SRAM": 4 * INPUTS * OUTPUTS * energy.sram,
         "MACs": MACS * cycles * (adder * energy.adder + gate * energy.gate),
         "clocks": MACS * cycles * mac.flip_flops * energy.clock},
    )  # fmt: skip


def taps(codes: npt.NDArray[np.uint8], vectors: Int64, energy: Energy) -> Way:
    """The taps array of hnlpu.silicon.rtl."""
    shape = array_shape(ArrayKind("taps", 1, 1, 0), OUTPUTS, (INPUTS // 32,), BITS)
    found = synthesize(shape, N5.silicon)
    shifts = np.zeros((OUTPUTS, INPUTS // 32), np.int64)
    pitch = Taps(N5, shape.kind).pitch
    parts = taps_energy(found, N5, codes, shifts, vectors, energy, pitch)
    del parts["selection"]  # neither bank nor phases
    return Way("taps", found.transistors_per_weight * shape.weights, 0, shape.steps, parts)


def regions(codes: npt.NDArray[np.uint8], twice: Int64, vectors: Int64, energy: Energy) -> Way:
    """The regions array of hnlpu.silicon.rtl, its metal as routed."""
    kind = ArrayKind("regions", 1, 1, 0, GROUP)
    digits = TileDigits(
        pack(codes).reshape(OUTPUTS, -1, 16), np.zeros((OUTPUTS, INPUTS // 32), np.uint8)
    )
    kind = ArrayKind("regions", 1, 1, 0, GROUP, tracks_needed(N5, kind, digits))
    shape = array_shape(kind, OUTPUTS, (INPUTS // 32,), BITS)
    found = synthesize(shape, N5.silicon)
    scheme = Regions(N5, kind)
    routes, needs = scheme.fitting_routes(digits), scheme.needs(digits)
    values = values_of_words(0)
    bits = serial(vectors, BITS, 1)
    given = {f"x{n}": lanes(bits[:, :, n], 1)[0] for n in range(INPUTS)}
    adder = gate = 0.0
    for neuron in range(SAMPLED):
        net = Netlist()
        ports = [["0"] * GROUP for _ in range(routes.word.shape[1])]
        for n in np.flatnonzero(routes.port[neuron] >= 0).tolist():
            group, k = divmod(int(routes.port[neuron, n]), GROUP)
            ports[group][k] = f"x{n}"
        width = (3 * GROUP << 2).bit_length()
        columns: list[Bits] = [[] for _ in range((len(ports) << width).bit_length())]
        gates: Bits = []
        for group, word in zip(ports, routes.word[neuron].tolist(), strict=True):
            value = int(values[word])
            size = abs(value)
            shift = (size & -size).bit_length() - 1
            count = net.columns([[p for p in group if p != "0"]], GROUP.bit_length())
            if size >> shift == 3:
                count = net.ripple([*count, "0"], ["0", *count, "0"], "0", len(count) + 2)
            entry = (["0"] * shift + count + ["0"] * width)[:width]
            gates += [bit for bit in count if bit not in ("0", "~0")]
            for j, bit in enumerate(entry):
                columns[j].append(_not(bit) if value < 0 else bit)
        total = net.columns(columns, len(columns))
        sums, toggles = net.run(given, [*total, *dict.fromkeys(gates)])
        y = accumulated(integers([sums[b] if b != "0" else np.zeros(len(bits), np.uint64)
                                   for b in total], signed=False), shape.steps, twice_first=True)  # fmt: skip
        assert (y == vectors @ twice[neuron]).all()
        adder += toggles / SAMPLED
        # sign, and a multiplexer for each bit of the shift
        gate += 3 * sum(toggled(integers([sums[b]], signed=False), 1) for b in gates) / SAMPLED
    trunk = needs["load_ff"]["mean"]
    once = toggled(bits[:, :, 0], 1)
    return Way(
        f"regions, groups of {GROUP}", found.transistors_per_weight * shape.weights, 0, shape.steps,
        {"groups and tree": shape.steps * OUTPUTS * (adder * energy.adder + gate * energy.gate),
         "trunks and ports": shape.steps * INPUTS * once * energy.of_ff(trunk),
         "clocks": shape.steps * found.flip_flops * energy.clock},
    )  # fmt: skip


if __name__ == "__main__":
    main()
