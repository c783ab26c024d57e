"""A chip's program, run instruction by instruction in Python, as the core runs it for one sequence.

It reads the program and the stored words alone; what it makes of them is held to the emulator, for
many more shapes of networks than are compiled as chips.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from chip_functions import normal

import by_hand
from hnlpu.arithmetic import fixed_point as fp
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.rtl.chip import ChipShape, Instruction, Op, Operand, make_program
from hnlpu.silicon.rtl.chip._stored import SHIFT_BITS, VALUE_BITS, stored

Int64 = np.ndarray
KEY = (1 << fp.KEY_BITS - 1) - 1


def signed(word: int, bits: int) -> int:
    """A number of two's complement."""
    return word - (1 << bits) if word >> bits - 1 else word


def lanes(word: int, bits: int, count: int) -> Int64:
    """Numbers of a stored word, lane 0 lowest."""
    mask = (1 << bits) - 1
    return np.array([signed(word >> n * bits & mask, bits) for n in range(count)], np.int64)


def saturated(x: Int64) -> Int64:
    return np.clip(x, -(1 << 31), (1 << 31) - 1)


def rounded(x: Int64, shift: int) -> Int64:
    return (x + (1 << shift >> 1)) >> shift


class Chip:
    """One sequence on a chip; `step` takes a token and gives its logits."""

    def __init__(self, build: Build, shape: ChipShape, seed: int = 0):
        self.build, self.shape = build, shape
        self.program = make_program(shape)
        self.words = stored(build, shape, self.program)
        # registers hold anything before a program writes them
        random = np.random.default_rng(seed)
        size = (self.program.registers, shape.width)
        self.registers = random.integers(-(1 << 31), 1 << 31, size, np.int64)
        self.sums = np.zeros(shape.width, np.int64)
        self.peaks = [0, 0]
        self.activations = np.zeros((shape.activation_beats, shape.width), np.int64)
        self.integers: dict[tuple[str, int], Int64] = {}
        self.results: dict[str, Int64] = {}
        self.busy: set[int] = set()
        self.position = 0
        self.keys: dict[tuple[int, int], list[Int64]] = {}
        self.values: dict[tuple[int, int], list[Int64]] = {}
        self.scale, self.first = 0, 0
        half = (self.program.head_dim or 2) // 2
        self.cosines, self.sines = random.integers(-(1 << 24), 1 << 24, (2, half), np.int64)
        self.inverse: Int64 | int = 0
        self.down: Int64 | int = 0

    def step(self, token: int) -> Int64:
        """Logits behind a token."""
        self.token, self.logits = token, dict[int, Int64]()
        for one in self.program.instructions:
            getattr(self, "_" + one.op.name.lower())(one)
        assert not self.busy
        self.position += 1
        found = np.concatenate([self.logits[n] for n in range(len(self.logits))])
        return found[: self.shape.vocabulary]

    # lanes

    def _operand(self, one: Instruction) -> Int64 | int:
        match one.operand:
            case Operand.IMMEDIATE:
                return signed(one.immediate, 32)
            case Operand.REGISTER:
                return self.registers[one.b]
            case Operand.PARAMETER:
                return lanes(self.words["parameters"][one.index], VALUE_BITS, self.shape.width)
            case Operand.INVERSE:
                return self.mean if one.op == Op.SUBTRACT else self.inverse
            case Operand.SHARE:
                return self.shares[one.rank]
            case Operand.MOVED:
                return self._moved(one, np.zeros(self.shape.width, np.int64))
        turned = self.cosines if one.operand == Operand.COSINE else self.sines
        size = self.program.head_dim or 2
        lane = np.arange(self.shape.width)
        turned = turned[lane % (size // 2)]
        if one.operand == Operand.SINE:
            turned = np.where(lane % size < size // 2, -turned, turned)
        return turned

    def _moved(self, one: Instruction, others: Int64) -> Int64:
        """Lanes of b by a pattern, and those of `others` where it takes none."""
        pattern = np.array(self.program.moves[one.index])
        return np.where(pattern >= 0, self.registers[one.b][pattern], others)

    def _move(self, one: Instruction) -> None:
        kept = self.registers[one.a] * (0 if one.first else 1)
        self.registers[one.dst] = self._moved(one, kept)

    def _curve(self, one: Instruction) -> None:
        function = (by_hand.power, by_hand.softplus, normal)[one.rank]
        self.registers[one.dst] = [function(int(x)) for x in self.registers[one.a]]

    def _compare(self, one: Instruction) -> None:
        a, b = self.registers[one.a], self._operand(one)
        kinds = (np.maximum, np.minimum, np.less, np.less_equal, np.equal)
        self.registers[one.dst] = kinds[one.rank](a, b)

    def _multiply(self, one: Instruction) -> None:
        a = self.registers[one.a]
        if one.swap:
            size = self.program.head_dim or 2
            a = a.reshape(-1, 2, size // 2)[:, ::-1].ravel()
        product = a.astype(object) * self._operand(one)
        self.sums = (0 if one.first else self.sums) + product
        bits = self.program.lane_sum_bits - 1
        assert all(-(1 << bits) <= int(x) < 1 << bits for x in self.sums)
        if one.write:
            if one.root:
                down = np.broadcast_to(self.down, self.sums.shape)
                found = [int(rounded(s, int(d))) for s, d in zip(self.sums, down, strict=True)]
            else:
                found = [int(rounded(s, one.shift)) for s in self.sums]
            self.registers[one.dst] = [by_hand.value(x) for x in found]

    def _add(self, one: Instruction) -> None:
        self.registers[one.dst] = saturated(self.registers[one.a] + self._operand(one))

    def _subtract(self, one: Instruction) -> None:
        a, b = self.registers[one.a], self._operand(one)
        self.registers[one.dst] = saturated(b - a if one.both else a - b)

    def _clamp(self, one: Instruction) -> None:
        limit = signed(one.immediate, 32)
        found = np.minimum(self.registers[one.a], limit)
        self.registers[one.dst] = np.maximum(found, -limit) if one.both else found

    def _sigmoid(self, one: Instruction) -> None:
        self.registers[one.dst] = [fp.sigmoid(int(z)) for z in self.registers[one.a]]

    def _recall(self, one: Instruction) -> None:
        if self.position == 0:
            self.registers[one.dst] = signed(one.immediate, 32)
        else:
            self.registers[one.dst] = self.registers[one.a]

    def _embed(self, one: Instruction) -> None:
        each = len(self.words["embedding"]) // self.shape.vocabulary
        word = self.words["embedding"][self.token * each + one.index]
        self.registers[one.dst] = lanes(word, VALUE_BITS, self.shape.width)

    # roots

    def _squares(self, one: Instruction) -> None:
        size = self.program.head_dim if one.banked else self.shape.width
        squares = [int(x) ** 2 for x in self.registers[one.a]]
        parts = [sum(squares[n : n + size]) for n in range(0, len(squares), size)]
        start = [self.program.norms.epsilons[one.index]] * len(parts) if one.first else self.total
        self.total = [a + b for a, b in zip(start, parts, strict=True)]

    def _sum(self, one: Instruction) -> None:
        values = sum(int(x) for x in self.registers[one.a])
        self.sum_of_values = values + (0 if one.first else self.sum_of_values)

    def _quotients(self, one: Instruction) -> None:
        divisors = np.broadcast_to(self._operand(one), self.shape.width)
        pairs = zip(self.registers[one.a].tolist(), divisors.tolist(), strict=True)
        self.divided_lanes = [by_hand.quotient(a, b, one.shift) for a, b in pairs]

    def _quotient(self, one: Instruction) -> None:
        self.registers[one.dst] = self.divided_lanes

    def _root(self, one: Instruction) -> None:
        if one.both:
            self.mean = (2 * self.sum_of_values + one.immediate) // (2 * one.immediate)
            return
        roots, downs = [], []
        for total in self.total:
            t = total.bit_length() - 32 + (total.bit_length() & 1)
            roots.append(fp.inverse_root(total >> t if t >= 0 else total << -t))
            downs.append(15 + t // 2)
        each = self.shape.width // len(self.total)
        self.inverse, self.down = np.repeat(roots, each), np.repeat(downs, each)

    # arrays

    def _peak(self, one: Instruction) -> None:
        a = self.registers[one.a]
        low, high = (0, 0) if one.first else self.peaks
        self.peaks = [min(low, int(a.min())), max(high, int(a.max()))]

    def _settle(self, one: Instruction) -> None:
        bits = self.shape.activation_bits
        _, s = fp.quantize_values(np.array([self.peaks], np.int64), bits)
        self.scale = int(s[0])

    def _quantize(self, one: Instruction) -> None:
        x, s = self.registers[one.a], self.scale
        if s:
            x = (x + (1 << s - 1) - 1 + (x >> s & 1)) >> s
        self.activations[one.index] = x

    def _arrays(self, one: Instruction) -> None:
        member = self.chosen[one.rank] if one.banked else 0
        for name in self.program.groups[one.index]:
            key = (name, member)
            if key not in self.integers:
                self.integers[key] = self.build.matrix(self.build.shapes()[name], member).integers()
            weights = self.integers[key]
            x = np.zeros(weights.shape[1], np.int64)
            flat = self.activations.ravel()[: len(x)]
            x[: len(flat)] = flat
            self.results[name] = weights.astype(np.int64) @ x

    def _of_sums(self, one: Instruction) -> Int64:
        place = one.immediate & 0xFFFF
        if one.banked:
            place += self.chosen[one.rank] * (one.immediate >> 16)
        width, word = self.shape.width, self.words["rows"][place]
        shifts = lanes(word & (1 << width * SHIFT_BITS) - 1, SHIFT_BITS, width)
        bias = lanes(word >> width * SHIFT_BITS, VALUE_BITS, width)
        scale = np.array([self.scale], np.int32)
        return fp.from_sums(self._sums_of(one)[None], scale, shifts, bias)[0]

    def _sums_of(self, one: Instruction) -> Int64:
        read, sums = self.program.reads[one.index], np.zeros(self.shape.width, np.int64)
        sums[: read.count] = self.results[read.matrix][list(read.rows())]
        return sums

    def _read(self, one: Instruction) -> None:
        self.registers[one.dst] = self._of_sums(one)

    def _logits(self, one: Instruction) -> None:
        self.logits[one.dst] = self._of_sums(one)

    # resources

    def _acquire(self, one: Instruction) -> None:
        assert one.index not in self.busy
        self.busy.add(one.index)

    def _release(self, one: Instruction) -> None:
        self.busy.remove(one.index)

    def _issue(self, one: Instruction) -> None:
        assert one.index in self.busy
        units = (self._attend, self._sampled, self._root, self._divide, self._quotients)
        behind = one.index - len(self.program.groups)
        (self._arrays if behind < 0 else units[behind])(one)

    def _await(self, one: Instruction) -> None:
        assert one.index in self.busy

    def _sampled(self, one: Instruction) -> None:
        assert self.logits

    def _skip(self, one: Instruction) -> None:
        assert 0 < one.immediate < len(self.program.instructions)

    def _take(self, one: Instruction) -> None:
        assert self.logits

    _finish = _take

    # attention

    def _angle(self, one: Instruction) -> None:
        assert self.program.rope
        table = fp.sine_table(self.program.rope.factor)
        turns = np.array([one.immediate], np.int64)
        turned = fp.rotations(np.array([self.position]), turns, table)
        self.cosines[one.index], self.sines[one.index] = turned[:, 0, 0]

    def _stored(self, one: Instruction, where: dict[tuple[int, int], list[Int64]]) -> None:
        beats = where.setdefault((one.immediate >> 24, one.index), [])
        assert len(beats) == self.position
        beats.append(np.clip(self.registers[one.a], -KEY - 1, KEY))

    def _keys(self, one: Instruction) -> None:
        self._stored(one, self.keys)

    def _values(self, one: Instruction) -> None:
        self._stored(one, self.values)

    def _query(self, one: Instruction) -> None:
        self.queries = [] if one.index == 0 else self.queries
        self.queries.append(np.clip(self.registers[one.a], -KEY - 1, KEY))

    def _attend(self, one: Instruction) -> None:
        unit, layer, size = self.program.attention, one.immediate >> 24, self.program.head_dim
        assert unit
        sinks = np.full(unit.heads, fp.NO_SINK, np.int64)
        if unit.sinks:
            sinks = lanes(self.words["sinks"][layer], VALUE_BITS, unit.heads)
        past = []
        for where in (self.keys, self.values):
            beats = [where[key] for key in sorted(where) if key[0] == layer]
            rows = np.concatenate([np.array(beat) for beat in beats], axis=1)
            rows = rows[:, : unit.key_heads * size].reshape(-1, unit.key_heads, size)
            past.append(np.ascontiguousarray(rows.transpose(1, 0, 2).astype(np.int32)))
        queries = np.concatenate(self.queries)[: unit.heads * size].astype(np.int32)
        window = one.immediate & 0xFFFFFF
        mixed = fp.attend(
            queries.reshape(1, unit.heads, size), *past, self.position, window, sinks
        )[0]
        self.mixed = np.zeros(len(self.queries) * self.shape.width, np.int64)
        self.mixed[: len(mixed)] = mixed

    def _mixed(self, one: Instruction) -> None:
        width = self.shape.width
        self.registers[one.dst] = self.mixed[one.index * width : (one.index + 1) * width]

    # experts

    def _top(self, one: Instruction) -> None:
        assert self.program.experts
        logits = self.registers[one.a][: self.program.experts.experts].tolist()
        if one.first:
            self.chosen: list[int] = []
            self.parts: list[int] = []
        left = [n for n in range(len(logits)) if n not in self.chosen]
        self.chosen.append(max(left, key=lambda n: (logits[n], -n)))
        assert one.rank == min(len(self.chosen) - 1, self.program.experts.ranks)
        self.parts.append(fp.exponential(logits[self.chosen[0]] - logits[self.chosen[-1]]))

    def _divide(self, one: Instruction) -> None:
        total = sum(self.parts)
        self.divided = [fp.divided(part, total, fp.UNIT_FRACTION) for part in self.parts]

    def _shares(self, one: Instruction) -> None:
        self.shares = self.divided


def run(build: Build, shape: ChipShape, tokens: Sequence[int], seed: int = 0) -> Int64:
    """Logits [tokens, vocabulary] of a sequence."""
    chip = Chip(build, shape, seed)
    return np.array([chip.step(int(token)) for token in tokens])
