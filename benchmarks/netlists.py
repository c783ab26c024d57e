"""Adder netlists: how many adders, what they compute, and how often their outputs toggle.

Every adder takes one unit of time, so that a ripple of carries shows as what it is: outputs that toggle
more than once a step.  64 vectors run side by side, one a bit of a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hnlpu.silicon.rtl._adders import add_columns

UInt64 = npt.NDArray[np.uint64]
Bits = list[str]
"""Signals of a number, lowest first; `0` is zero, `~a` the inverse of a."""


class Netlist:
    """Full and half adders; adder n drives `s{n}` and `c{n}`."""

    def __init__(self) -> None:
        self.adders: list[tuple[str, ...]] = []
        self.gates: list[str] = []
        """Outputs that are AND or OR gates: a carry of which one input is constant."""

    @property
    def full(self) -> int:
        """Adders of three inputs; of a netlist without gates."""
        assert not self.gates
        return sum(len(inputs) == 3 for inputs in self.adders)

    @property
    def half(self) -> int:
        """Adders of two inputs."""
        return len(self.adders) - self.full

    @property
    def adder_outputs(self) -> Bits:
        """Sums and carries of everything but gates."""
        gates = {int(gate[1:]) for gate in self.gates}
        numbers = [n for n in range(len(self.adders)) if n not in gates]
        return [f"{output}{n}" for n in numbers for output in "sc"]

    def both(self, a: str, b: str) -> str:
        """An AND gate."""
        return self._gate(a, b)

    def any(self, signals: Bits) -> str:
        """A tree of OR gates; one signal is itself."""
        while len(signals) > 1:
            paired = [
                self._gate(a, b, "~0") for a, b in zip(signals[::2], signals[1::2], strict=False)
            ]
            signals = paired + signals[len(signals) // 2 * 2 :]
        return signals[0]

    def _gate(self, *inputs: str) -> str:
        self.adders.append(inputs)
        self.gates.append(f"c{len(self.adders) - 1}")
        return self.gates[-1]

    def add(self, *signals: str) -> tuple[str, str]:
        """Sum and carry of up to three signals."""
        left = [signal for signal in signals if signal != "0"]
        if len(left) < 2:
            return (left or ["0"])[0], "0"
        self.adders.append(tuple(left))
        number = len(self.adders) - 1
        return f"s{number}", f"c{number}"

    def ripple(self, a: Bits, b: Bits, carry: str, bits: int) -> Bits:
        """Sum of a, b and a carry, two's complement, over `bits` bits."""
        out = []
        for n in range(bits):
            total, carry = self.add(a[min(n, len(a) - 1)], b[min(n, len(b) - 1)], carry)
            out.append(total)
        return out

    def columns(self, columns: Sequence[Bits], bits: int) -> Bits:
        """The sum of columns as hnlpu's own trees make it."""
        tree = add_columns([[f"@{s}" for s in column if s != "0"] for column in columns], bits)
        base = len(self.adders)

        def here(signal: str) -> str:
            if signal == "'0":
                return "0"
            return signal[1:] if signal[0] == "@" else f"{signal[0]}{base + int(signal[1:])}"

        self.adders += [tuple(map(here, inputs)) for inputs in tree.inputs]
        return [here(signal) for signal in tree.sum]

    def run(
        self, given: Mapping[str, UInt64], wanted: Sequence[str]
    ) -> tuple[dict[str, UInt64], float]:
        """Signals `wanted` uint64 [steps] at the end of each step, and toggles a step and vector.

        `given` are the inputs, uint64 [steps], a bit a vector.  The first step settles and does not
        count.
        """
        found, toggles = self.activity(given, wanted)
        return found, sum(toggles.values())

    def activity(
        self, given: Mapping[str, UInt64], wanted: Sequence[str]
    ) -> tuple[dict[str, UInt64], dict[str, float]]:
        """The same with the toggles of each output."""
        names = ["0", *given]
        place = {name: n for n, name in enumerate(names)}
        base = len(names)
        for n in range(len(self.adders)):
            place[f"s{n}"], place[f"c{n}"] = base + 2 * n, base + 2 * n + 1
        at = np.zeros((3, len(self.adders)), np.int64)
        invert = np.zeros((3, len(self.adders)), np.uint64)
        for n, inputs in enumerate(self.adders):
            for k, signal in enumerate(inputs):
                at[k, n] = place[signal.lstrip("~")]
                invert[k, n] = ~np.uint64(0) if signal[0] == "~" else np.uint64(0)
        steps = len(next(iter(given.values())))
        values = np.zeros(base + 2 * len(self.adders), np.uint64)
        found = {name: np.zeros(steps, np.uint64) for name in wanted}
        toggles = np.zeros(2 * len(self.adders), np.int64)
        for step in range(steps):
            values[1:base] = [given[name][step] for name in names[1:]]
            while True:
                a, b, c = values[at] ^ invert
                new = np.stack([a ^ b ^ c, (a & b) | (c & (a ^ b))], 1).reshape(-1)
                changed = new ^ values[base:]
                if not changed.any():
                    break
                if step:
                    toggles += np.bitwise_count(changed)
                values[base:] = new
            for name in wanted:
                value = values[place[name.lstrip("~")]]
                found[name][step] = ~value if name[0] == "~" else value
        each = toggles / 64 / max(1, steps - 1)
        outputs = [f"{output}{n}" for n in range(len(self.adders)) for output in "sc"]
        return found, dict(zip(outputs, each.tolist(), strict=True))


def lanes(values: npt.NDArray[np.int64], bits: int) -> UInt64:
    """Integers [steps, 64] -> words uint64 [bits, steps], two's complement."""
    planes = (values[None] >> np.arange(bits)[:, None, None]) & 1
    weights = np.uint64(1) << np.arange(64, dtype=np.uint64)
    words: UInt64 = (planes.astype(np.uint64) * weights).sum(-1, dtype=np.uint64)
    return words


def integers(words: Sequence[UInt64], *, signed: bool) -> npt.NDArray[np.int64]:
    """Words [steps] of the bits of a number, lowest first -> integers [steps, 64]."""
    planes = (np.stack(words)[:, :, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    weights = np.int64(1) << np.arange(len(words), dtype=np.int64)
    if signed:
        weights[-1] = -weights[-1]
    found: npt.NDArray[np.int64] = (planes.astype(np.int64) * weights[:, None, None]).sum(0)
    return found


def toggled(values: npt.NDArray[np.int64], bits: int) -> float:
    """Bits of a register that change between values [steps, 64], a step and vector."""
    words = lanes(values, bits)
    return float(np.bitwise_count(words[:, 1:] ^ words[:, :-1]).sum()) / 64 / (values.shape[0] - 1)
