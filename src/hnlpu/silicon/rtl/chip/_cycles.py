"""Prompts and answers -> the cycles that a chip takes for them, without a simulator of circuits.

    program ──► instruction a cycle, of the sequence that runs ──► units, each done after its time
    requests ──► loading, offering, who is active ─────────────┘

Nothing is computed but time: sequencer and requests are stepped as `hnlpu_sequencer.sv` and `hnlpu_requests.sv`
are, a unit is a number of cycles.  Only drawing takes a time that its result decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hnlpu.errors import InvalidInput
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.rtl._design import find_units
from hnlpu.silicon.rtl.chip._instructions import Instruction, Op
from hnlpu.silicon.rtl.chip._lower import make_program
from hnlpu.silicon.rtl.chip._program import UNITS, Program
from hnlpu.silicon.rtl.chip._shape import ChipShape

ROOT, MEAN, SHARES, QUOTIENT = 26, 33, 26, 58
"""From start to done: bits of a result, one a cycle, and the cycle in which they begin."""
ATTENTION = 31
"""Of a beat of queries: the sinks' cycle, the start of the dividers, 28 bits, and the cycle that keeps them."""
STIRS = 16
"""Cycles in which a request's seed is stirred before it starts."""
RESET = 2
IN_PROGRESS = 1 << 62
FREE, LOAD, STIR, WORK, OFFER = range(5)


@dataclass(frozen=True)
class Work:
    """A request: tokens of its prompt, tokens that it is answered with, and whether they are drawn.

    `drawn` are the ids that come out, where they are known; else a draw takes half of the vocabulary.
    `experts` are those of each position, layer by layer, by rank; several chips take others evenly where none are known.
    """

    prompt: int
    answer: int
    draws: bool = False
    drawn: tuple[int, ...] = ()
    experts: tuple[tuple[tuple[int, ...], ...], ...] = ()


def predict_cycles(shape: ChipShape, steps: Mapping[str, int], requests: Sequence[Work]) -> int:
    """Cycles from reset until the last token of all requests, prompts offered and tokens taken at once.

    `steps` are those of each matrix's array (`ArrayUnit.shape.steps`).  Raises InvalidInput for no requests, for
    prompts or answers without tokens, for more positions than the chip has, for several chips, which
    `predict_machine_cycles` counts, and for chips of signals, whose requests end otherwise.
    """
    if shape.chips > 1:
        raise InvalidInput(f"cycles of {shape.chips} chips: their links count; name the wires")
    expect_countable(shape, requests)
    return OneChip(shape, make_program(shape), steps, requests).run()


def expect_countable(shape: ChipShape, requests: Sequence[Work]) -> None:
    """Raise InvalidInput for what no cycles are counted of."""
    if shape.task is not None:
        raise InvalidInput(
            "cycles of signals: they are counted of chips that take tokens; simulate this one"
        )
    if not requests:
        raise InvalidInput("no requests: give at least one prompt")
    for one in requests:
        if one.prompt < 1 or one.answer < 1:
            raise InvalidInput("a request has at least one token of prompt and one of answer")
        if one.prompt + one.answer - 1 > shape.context:
            raise InvalidInput(
                f"{one.prompt} tokens of prompt and {one.answer} of answer pass the chip's {shape.context} "
                "positions; give fewer, or a larger `context`"
            )


def array_steps(build: Build) -> dict[str, int]:
    """Steps of the array of each matrix of a build."""
    return {unit.array.matrix: unit.shape.steps for unit in find_units(build)}


def token_cycles(
    build: Build, shape: ChipShape, users: int, positions: int, tokens: int = 8
) -> float:
    """Cycles between two tokens of a user, of `users` with `positions` cached positions each, likeliest tokens.

    Each has a prompt of so many tokens; `tokens` more are made of each, and what the prompts took is left out.
    Raises InvalidInput for numbers that the chip does not take.
    """
    expect_users(shape, users, positions, tokens)
    steps = array_steps(build)
    long, short = (
        predict_cycles(shape, steps, [Work(positions, answer)] * users)
        for answer in (tokens + 1, 1)
    )
    return (long - short) / tokens


def expect_users(shape: ChipShape, users: int, positions: int, tokens: int) -> None:
    """Raise InvalidInput for a load that no chip of the shape has."""
    if not 1 <= users <= shape.sequences or positions < 1 or tokens < 1:
        raise InvalidInput(
            f"{users} users with {positions} positions and {tokens} tokens: give 1 to {shape.sequences} users, "
            "as many as there are sequences in flight, and at least 1 of the others"
        )


class InFlight:
    """What the chip keeps of one sequence in flight."""

    def __init__(self) -> None:
        self.state = FREE
        self.place = 0
        self.waiting = False
        self.for_done = False
        self.awaited = 0
        self.position = 0
        self.request = Work(1, 1)
        self.made = 0

    @property
    def prompt(self) -> bool:
        """Whether more of the prompt is to come."""
        return self.position + 1 < self.request.prompt


class OneChip:
    """The registers of sequencer and requests, cycle by cycle."""

    def __init__(
        self,
        shape: ChipShape,
        program: Program,
        steps: Mapping[str, int],
        requests: Sequence[Work],
    ):
        self.shape, self.program, self.requests = shape, program, list(requests)
        groups = len(program.groups)
        self.arrays = [max(steps[name] for name in group) + 1 for group in program.groups]
        self.units = {name: groups + n for n, name in enumerate(UNITS)}
        resources = groups + len(UNITS)
        self.done_at = [0] * resources
        self.busy = [False] * resources
        self.sequences = [InFlight() for _ in range(shape.sequences)]
        self.running = False
        self.current = 0
        self.loaded: int | None = None
        self.offered_tokens = 0  # of the request that is being loaded
        self.next_request = 0
        self.stir_left = 0
        self.out_last: bool | None = None  # of the token that waits to be taken
        self.ended = 0

    def run(self) -> int:
        """Step until every request has ended."""
        now = RESET
        while self.ended < len(self.requests):
            self.step(now)
            now += 1
        return now

    def step(self, now: int) -> None:
        """One cycle: everything looks at the registers as they are, then they change together."""
        if self.out_last:
            self.ended += 1
        ready = None if self.running else self._next(now)
        active = self.sequences[self.current]
        one = self.program.instructions[active.place] if self.running else None
        offering = next((s for s in self.sequences if s.state == OFFER), None)
        self._load()
        self.out_last = None if offering is None else self._offer(offering)
        if one is None:
            if ready is not None:
                self.current, self.running = ready, True
                self.sequences[ready].waiting = False
            return
        self._execute(active, one, now)

    def _next(self, now: int) -> int | None:
        """The next sequence that can go on, the one behind the running one first."""
        count = len(self.sequences)
        for n in range(1, count + 1):
            found = (self.current + n) % count
            if self._is_active(found) and not self._waits(found, now):
                return found
        return None

    def _is_active(self, n: int) -> bool:
        """Whether a sequence has a token to work on."""
        return self.sequences[n].state == WORK

    def _waits(self, n: int, now: int) -> bool:
        """Whether what a sequence waits for is not there yet."""
        one = self.sequences[n]
        if not one.waiting:
            return False
        return now < self.done_at[one.awaited] if one.for_done else self.busy[one.awaited]

    def _is_blocked(self, one: Instruction, now: int) -> bool:
        """Whether the running sequence must wait before an instruction."""
        if one.op == Op.ACQUIRE:
            return self.busy[one.index]
        return one.op == Op.AWAIT and now < self.done_at[one.index]

    def _execute(self, active: InFlight, one: Instruction, now: int) -> None:
        index = one.index
        if self._is_blocked(one, now):
            self.running, active.waiting = False, True
            active.for_done, active.awaited = one.op == Op.AWAIT, index
            return
        active.place += 1
        match one.op:
            case Op.ACQUIRE:
                self.busy[index] = True
            case Op.RELEASE:
                self.busy[index] = False
            case Op.ISSUE:
                self.done_at[index] = now + self._time(active, one)
            case Op.SKIP if active.prompt:
                active.place = one.immediate
            case Op.FINISH:
                active.place, self.running = 0, False
                self._finish(active)
            case _:
                pass

    def _finish(self, active: InFlight) -> None:
        """A token is done: the next of the prompt, or one to offer."""
        if active.prompt:
            active.position += 1
        else:
            active.state = OFFER

    def _time(self, active: InFlight, one: Instruction) -> int:
        """Cycles from the start of a unit to the one in which it is done."""
        if one.index < len(self.arrays):
            return self.arrays[one.index]
        if one.index == self.units["attention"]:
            return 1 + self._query_beats * (2 * self._seen(active, one) + ATTENTION)
        if one.index == self.units["root"]:
            return MEAN if one.both else ROOT
        if one.index == self.units["router"]:
            return SHARES
        if one.index == self.units["quotients"]:
            return QUOTIENT
        return self._sampling(active)

    @property
    def _query_beats(self) -> int:
        sizes = self.program.attention
        assert sizes
        return sizes.beats(self.shape.width)

    def _seen(self, active: InFlight, one: Instruction) -> int:
        """Positions that attention of a layer sees; a window of 0 is none."""
        window = one.immediate & 0xFFFFFF
        return active.position + 1 if window == 0 else min(active.position + 1, window)

    def _sampling(self, active: InFlight) -> int:
        work = active.request
        if not work.draws:
            return 1
        known = work.drawn[active.made] if active.made < len(work.drawn) else None
        walked = self.shape.vocabulary // 2 if known is None else known
        return self.shape.vocabulary + walked + 2

    def _load(self) -> None:
        """A token of a prompt a cycle, then the stirring of its seed."""
        if self.stir_left:
            self.stir_left -= 1
            if not self.stir_left and self.loaded is not None:
                self.sequences[self.loaded].state = WORK
                self.loaded = None
            return
        if self.next_request == len(self.requests):
            return
        if self.loaded is None:
            free = (n for n, s in enumerate(self.sequences) if s.state == FREE)
            self.loaded = next(free, None)
            if self.loaded is None:
                return
            taken = self.sequences[self.loaded]
            taken.state, taken.position, taken.made = LOAD, 0, 0
            taken.request = self.requests[self.next_request]
            self.offered_tokens = 0
        self.offered_tokens += 1
        if self.offered_tokens == self.requests[self.next_request].prompt:
            self.sequences[self.loaded].state = STIR
            self.next_request += 1
            self.stir_left = STIRS

    def _offer(self, one: InFlight) -> bool:
        """A token passes to the output; whether it is the request's last."""
        one.made += 1
        ended = one.made == one.request.answer
        one.state = FREE if ended else WORK
        if not ended:
            one.position += 1
        return ended
