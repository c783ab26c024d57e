"""Energy of taps arrays: what toggles in neurons of Gaussian weights, times capacitances.

    weights, vectors ──► ports, a bit a cycle ──► netlist of a neuron ──► toggles ──► pJ by part

Capacitances are those of `paper_operator.toml`.  A netlist's results are held to the golden integers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import BLOCK, TWICE_E2M1
from hnlpu.quantities import DataTable, Quantity, Unit, read_data
from hnlpu.silicon.embed import Taps
from hnlpu.silicon.rtl import ArrayShape, FoldedShape, Synthesis
from hnlpu.silicon.technology import Technology
from netlists import Bits, Netlist, UInt64, integers, lanes, toggled

SAMPLED = 3
"""Neurons whose activity is counted."""
Int64 = npt.NDArray[np.int64]


class _Sram(DataTable):
    area: Annotated[Quantity, Unit("um^2/bit", 0.005, 4.9)]
    read: Annotated[Quantity, Unit("pJ/bit", 0.02, 19)]


class _Supply(DataTable):
    voltage: Annotated[Quantity, Unit("V", 0.1, 10)]


class _Capacitance(DataTable):
    adder_output: Annotated[Quantity, Unit("fF", 0.02, 19)]
    gate_output: Annotated[Quantity, Unit("fF", 0.02, 19)]
    clock: Annotated[Quantity, Unit("fF", 0.02, 19)]


class Assumed(DataTable):
    """What `paper_operator.toml` takes for granted."""

    sram: _Sram
    supply: _Supply
    capacitance: _Capacitance


def read_assumed() -> Assumed:
    """The file beside this one."""
    return read_data(Path(__file__).with_name("paper_operator.toml"), Assumed)


class Energy:
    """Toggles of a kind -> pJ: half C V^2 each."""

    def __init__(self, assumed: Assumed):
        volts = assumed.supply.voltage.value
        self._half_square = 0.5 * volts * volts * 1e-3
        c = assumed.capacitance
        self.adder = self.of_ff(c.adder_output.value)
        self.gate = self.of_ff(c.gate_output.value)
        self.clock = 2 * self.of_ff(c.clock.value)
        self.sram = assumed.sram.read.value

    def of_ff(self, femtofarads: float) -> float:
        """Energy in pJ of one toggle of a net."""
        return femtofarads * self._half_square


def serial(vectors: Int64, bits: int, lead: int) -> Int64:
    """Vectors [n, 64, inputs] -> bits [n * (lead + bits), 64, inputs], lowest first behind zeros."""
    planes = [vectors >> bit & 1 for bit in range(bits)]
    planes = [np.zeros_like(vectors)] * lead + planes
    return np.stack(planes, 1).reshape(-1, *vectors.shape[1:])


def accumulated(sums: Int64, steps: int, *, twice_first: bool) -> Int64:
    """Totals [vectors, 64] of the steps' sums; the last is subtracted."""
    per = sums.reshape(-1, steps, 64)
    weights = np.int64(1) << np.arange(steps)
    weights[-1] = -weights[-1]
    total = (per * weights[:, None]).sum(1)
    found: Int64 = (total + per[:, 0]) // 2 if twice_first else total
    return found


@dataclass(frozen=True)
class Neuron:
    """What toggles a cycle in one neuron.

    `adders` are outputs of counts and trees, `ports` the ports that are counted, `merge` gates that
    make one port of those of all phases, `columns` the bits that leave counts, `turns` gates that
    choose the phase's blocks, and `sums` the bits that enter the accumulator.
    """

    adders: float
    ports: float
    merge: float
    columns: float
    turns: float
    sums: float


def taps_neuron(shape: ArrayShape, twice: Int64, shifts: Int64, vectors: Int64) -> Neuron:
    """Simulate one member of a neuron of one digit a weight.

    `twice` [inputs] are half units, `shifts` [blocks] exponents, `vectors` [n, 64, inputs] activations.
    """
    fold, bits = (
        (shape.fold, shape.bits_a_product) if isinstance(shape, FoldedShape) else (1, shape.steps)
    )
    stream = serial(vectors * twice, bits, 0)
    at_once = -(-shape.inputs // fold)
    if isinstance(shape, FoldedShape):
        at_once = shape.places * shape.width
    ports = np.zeros((len(stream), 64, fold * at_once), np.int64)
    ports[:, :, : shape.inputs] = stream
    # a cycle has the ports of one phase
    ports = ports.reshape(len(stream), 64, fold, at_once).swapaxes(1, 2).reshape(-1, 64, at_once)
    words = np.stack([lanes(ports[:, :, n], 1)[0] for n in range(at_once)], 1)
    given = {f"p{n}": words[:, n] for n in range(at_once)}
    given["gnd"] = np.zeros(len(words), np.uint64)
    net, counts = Netlist(), list[str]()
    if shape.column_bits:
        total = _scaled(net, counts, shape, shifts, given)
    else:
        total = net.columns([[f"p{n}" for n in range(at_once)]], at_once.bit_length())
    found, toggles = net.activity(given, total)
    sums = integers([found[bit] for bit in total], signed=False)
    steps = sums.reshape(-1, fold, 64).sum(1)
    weights = twice << np.repeat(shifts, BLOCK)
    assert (accumulated(steps, bits, twice_first=False) == vectors @ weights).all()
    return Neuron(
        adders=sum(toggles[name] for name in net.adder_outputs),
        ports=_ones(words[1:] ^ words[:-1]) / (len(words) - 1),
        merge=_merged(words, fold),
        columns=sum(toggles[name] for name in counts),
        turns=sum(toggles[name] for name in net.gates),
        sums=toggled(sums, len(total)),
    )


def _scaled(
    net: Netlist, counts: Bits, shape: ArrayShape, shifts: Int64, given: dict[str, UInt64]
) -> Bits:
    """The sum of counts at their columns; metal chooses these, so that grounds have adders, too."""
    width, turns, places, bits = BLOCK, 1, shape.blocks, shape.sum_bits
    if isinstance(shape, FoldedShape):
        width, turns, places = shape.width, shape.turns, shape.places
        bits = shape.phase_sum_bits
        phases = np.arange(len(given["p0"])) % shape.fold // (BLOCK // width)
        for turn in range(turns):
            given[f"t{turn}"] = np.where(phases == turn, ~np.uint64(0), np.uint64(0))
    entries: list[Bits] = [[] for _ in range(shape.column_bits)]
    for place in range(places):
        ports = [f"p{n}" for n in range(place * width, (place + 1) * width)]
        count = net.columns([ports], width.bit_length())
        counts += count
        for j, column in enumerate(entries):
            offered = []
            for block in range(place, min(shape.blocks, turns * places), places):
                bit = j - int(shifts[block])
                offered.append(count[bit] if 0 <= bit < len(count) else "gnd")
            if turns > 1:
                offered = [net.both(signal, f"t{n}") for n, signal in enumerate(offered)]
            column.append(net.any(offered))
    return net.columns(entries, bits)


def _merged(words: UInt64, fold: int) -> float:
    """Toggles a cycle of trees of OR gates over the phases, words [cycles, ports] being what they give."""
    phase = np.arange(len(words)) % fold
    toggles, group = 0.0, 1
    while group < fold:
        group *= 2
        same = phase[1:] // group == phase[:-1] // group
        toggles += _ones(words[1:][same] ^ words[:-1][same])
        toggles += _ones(words[1:][~same]) + _ones(words[:-1][~same])
    return toggles / (len(words) - 1)


def _ones(words: UInt64) -> float:
    """Ones of words, a vector of the 64."""
    return float(np.bitwise_count(words).sum()) / 64


def taps_energy(
    found: Synthesis, technology: Technology, codes: npt.NDArray[np.uint8], shifts: Int64,
    vectors: Int64, energy: Energy, pitch_nm: float,
) -> dict[str, float]:  # fmt: skip
    """Energy in pJ of a product of one member with all neurons, by part.

    `codes` [neurons, inputs] and `shifts` [neurons, blocks] are those of the member; the others of its
    bank have as many ports on each trunk.  `pitch_nm` is the height of a row of metal.
    """
    shape = found.shape
    folded = isinstance(shape, FoldedShape)
    bits = shape.bits_a_product if isinstance(shape, FoldedShape) else shape.steps
    turns = shape.turns if isinstance(shape, FoldedShape) else 1
    bank, neurons, cycles = shape.kind.bank, shape.neurons, shape.steps
    twice = TWICE_E2M1.astype(np.int64)[codes]
    sampled = [taps_neuron(shape, twice[n], shifts[n], vectors) for n in range(SAMPLED)]

    def mean(part: str) -> float:
        return sum(float(getattr(one, part)) for one in sampled) / SAMPLED

    scheme = Taps(technology, shape.kind)
    trunk = shape.rows * pitch_nm * 1e-3 * technology.upper.capacitance.value
    stub = scheme.block_cells * scheme.cell / BLOCK * 1e-3 * technology.stub.capacitance.value
    port = stub + technology.electrical.port_capacitance.value
    trunks = ports = gates = 0.0
    for code in (*range(1, 8), *range(9, 16)):
        products = vectors[:, :, 0] * int(TWICE_E2M1[code])
        stream = serial(products[:, :, None], bits, 0)[:, :, 0]
        # a trunk that is zero out of turn rises and falls with every one
        tap = toggled(stream, 1)
        once = 2 * float(stream.mean()) if folded else tap
        trunks += shape.inputs * once * energy.of_ff(trunk)
        ports += bank * float((codes == code).sum()) * once * energy.of_ff(port)
        gates += shape.inputs * tap * energy.gate * folded
    # an AND of the active member and the ORs behind it
    select = 1 + math.ceil(math.log2(bank)) if bank > 1 else 0
    columns = mean("columns")
    chosen = mean("merge") + mean("turns") + select * (mean("ports") + columns)
    slow = sum(b.instances * b.flip_flops for b in found.blocks if b.name == "taps")
    slow += neurons * (bits - 1)  # the accumulator's bits that only shift
    return {
        "counts": cycles * neurons * mean("adders") * energy.adder,
        "trunks": bits * trunks,
        "ports": bits * ports + cycles * neurons * bank * turns * columns * energy.of_ff(port),
        "selection": bits * gates + cycles * neurons * chosen * energy.gate,
        "accumulators": cycles * neurons * 2 * mean("sums") * (energy.adder + energy.gate),
        "clocks": (cycles * (found.flip_flops - slow) + bits * slow) * energy.clock,
    }
