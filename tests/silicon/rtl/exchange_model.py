"""A model of exchanges between chips: programs, queues and inboxes, in any order that time may choose.

A *state* is a row of small numbers.  An *action* is one instruction of one sequence on one chip, or the arrival
of the oldest message of one link.  Whatever order of actions is drawn, no message may fall on one that has not
been read, no queue may run over, and some action must be possible until all tokens are done.

    token     BEGIN, then exchanges, then logits unless more of the prompt follows, then FINISH
    exchange  ACQUIRE, SEND, RELEASE, MEET, PART       as `Code.free` of the assembler writes them
    logits    ACQUIRE, SEND to the first, RELEASE, others: LEAVE; MEET, ACQUIRE and RELEASE the sampler; PART
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hnlpu._njit import njit

State = npt.NDArray[np.int16]

IDLE, MOVED = 0, 1
OVERWRITTEN, OVERRUN, UNSENT, TWICE = 2, 3, 4, 5
WRONG = {
    OVERWRITTEN: "a part fell on one that was not read",
    OVERRUN: "a queue ran over",
    UNSENT: "a part was overwritten before it was sent",
    TWICE: "a resource was freed twice",
}
LOCKED = 9


@dataclass(frozen=True)
class Machine:
    """Sizes; `arrays` are groups that exchanges take in turn, the sampler comes behind them.

    Of each sequence's tokens the first `prompt` - 1 have no logits.  `places` inboxes of a sequence and link, and
    whether a group is held while others are waited for, are 2 and false in silicon; other numbers are to show
    what goes wrong.
    """

    chips: int = 2
    sequences: int = 2
    exchanges: int = 2
    arrays: int = 1
    tokens: int = 3
    prompt: int = 2
    places: int = 2
    holds: bool = False

    @property
    def numbers(self) -> State:
        """As the functions below take them."""
        return np.array(
            [
                self.chips, self.sequences, self.exchanges, self.arrays, self.tokens, self.prompt,
                self.places, self.holds, self.sequences * 4,
            ],
            np.int16,
        )  # fmt: skip

    @property
    def size(self) -> int:
        """Numbers of a state."""
        c, s, queue = self.chips, self.sequences, self.sequences * 4
        return c * s * 4 + c * (self.arrays + 1) + c * c * (queue + 1) + c * c * s * 4 + c * s * 4

    @property
    def actions(self) -> int:
        """Actions that there may be: of sequences, then of links."""
        return self.chips * self.sequences + self.chips * self.chips

    def begin(self) -> State:
        """Nothing has happened."""
        return np.zeros(self.size, np.int16)


@njit(cache=True, nogil=True)
def act(state: State, numbers: State, action: int) -> int:
    """Do an action, if it is possible."""
    chips, sequences = int(numbers[0]), int(numbers[1])
    if action < chips * sequences:
        return _run(state, numbers, action // sequences, action % sequences)
    link = action - chips * sequences
    return _arrive(state, numbers, link // chips, link % chips)


@njit(cache=True, nogil=True)
def _offsets(numbers: State) -> tuple[int, int, int, int]:
    """Where resources, queues, inboxes and tokens that were told begin."""
    chips, sequences, depth = int(numbers[0]), int(numbers[1]), int(numbers[8])
    resources = chips * sequences * 4
    queues = resources + chips * (int(numbers[3]) + 1)
    inboxes = queues + chips * chips * (depth + 1)
    told = inboxes + chips * chips * sequences * 4
    return resources, queues, inboxes, told


@njit(cache=True, nogil=True)
def _push(state: State, numbers: State, chip: int, peer: int, message: int) -> bool:
    """A message to the queue of a link; False where it runs over."""
    chips, depth = int(numbers[0]), int(numbers[8])
    queue = _offsets(numbers)[1] + (chip * chips + peer) * (depth + 1)
    count = int(state[queue])
    if count == depth:
        return False
    state[queue + 1 + count] = message
    state[queue] += 1
    return True


@njit(cache=True, nogil=True)
def _waits(state: State, numbers: State, chip: int, message: int) -> bool:
    """Whether a queue of a chip still has a message."""
    chips, depth = int(numbers[0]), int(numbers[8])
    for peer in range(chips):
        queue = _offsets(numbers)[1] + (chip * chips + peer) * (depth + 1)
        for n in range(int(state[queue])):
            if state[queue + 1 + n] == message:
                return True
    return False


@njit(cache=True, nogil=True)
def _arrive(state: State, numbers: State, chip: int, peer: int) -> int:
    """The oldest message from `chip` to `peer` comes; 2 * (2 * sequence + place) + 1 for a token's start."""
    chips, sequences, depth = int(numbers[0]), int(numbers[1]), int(numbers[8])
    _, queues, inboxes, told = _offsets(numbers)
    queue = queues + (chip * chips + peer) * (depth + 1)
    if state[queue] == 0:
        return IDLE
    message = int(state[queue + 1])
    for n in range(int(state[queue]) - 1):
        state[queue + 1 + n] = state[queue + 2 + n]
    state[queue + int(state[queue])] = 0
    state[queue] -= 1
    half = message >> 1
    place = inboxes + (peer * chips + chip) * sequences * 4 + half
    if message & 1:
        place = told + peer * sequences * 4 + half
    if state[place]:
        return OVERWRITTEN
    state[place] = 1
    return MOVED


@njit(cache=True, nogil=True)
def _run(state: State, numbers: State, chip: int, one: int) -> int:
    """One instruction of a sequence."""
    chips, sequences, exchanges, arrays = (
        int(numbers[0]), int(numbers[1]), int(numbers[2]), int(numbers[3]),
    )  # fmt: skip
    places, holds = int(numbers[6]), int(numbers[7])
    resources, _, inboxes, starts = _offsets(numbers)
    mine = (chip * sequences + one) * 4
    at, token, odd, odd_token = (
        int(state[mine]), int(state[mine + 1]), int(state[mine + 2]), int(state[mine + 3]),
    )  # fmt: skip
    if token == numbers[4]:
        return IDLE
    if at == 0:  # BEGIN
        if chip:
            if not state[starts + chip * sequences * 4 + 2 * one + odd_token]:
                return IDLE
        else:
            for peer in range(1, chips):
                if not _push(state, numbers, 0, peer, 2 * (2 * one + odd_token) + 1):
                    return OVERRUN
        state[mine] = 1
        return MOVED
    which, step = (at - 1) // 7, (at - 1) % 7
    logits = which == exchanges
    if which > exchanges or (logits and token < numbers[5] - 1):  # FINISH
        if chip:
            state[starts + chip * sequences * 4 + 2 * one + odd_token] = 0
        state[mine] = 0
        state[mine + 1] += 1
        state[mine + 3] = 1 - odd_token
        return MOVED
    group = resources + chip * (arrays + 1) + which % arrays
    sampler = resources + chip * (arrays + 1) + arrays
    frees = 3 if holds else 2
    if step == 0 or (step == 4 and logits and not chip):  # ACQUIRE
        taken = group if step == 0 else sampler
        if state[taken]:
            return IDLE
        state[taken] = 1
    elif step == 1:  # SEND
        message = 2 * (2 * one + odd)
        if _waits(state, numbers, chip, message):
            return UNSENT
        for peer in range(chips):
            told = peer != chip and (not logits or peer == 0)
            if told and not _push(state, numbers, chip, peer, message):
                return OVERRUN
    elif step == frees or (step == 5 and logits and not chip):  # RELEASE
        freed = group if step == frees else sampler
        if not state[freed]:
            return TWICE
        state[freed] = 0
    elif step == 5 - frees and not (logits and chip):  # MEET, unless the chip has left
        for peer in range(chips):
            place = inboxes + (chip * chips + peer) * sequences * 4 + 2 * one + odd
            if peer != chip and not state[place]:
                return IDLE
    elif step == 6:  # PART
        for peer in range(chips):
            state[inboxes + (chip * chips + peer) * sequences * 4 + 2 * one + odd] = 0
        state[mine + 2] = (odd + 1) % places
    state[mine] += 1
    return MOVED


@njit(cache=True, nogil=True)
def _draw(random: npt.NDArray[np.uint64], count: int) -> int:
    """A number below `count`, by xorshift64 (G. Marsaglia, 2003)."""
    x = random[0]
    x ^= x << np.uint64(13)
    x ^= x >> np.uint64(7)
    x ^= x << np.uint64(17)
    random[0] = x
    return int((x >> np.uint64(32)) % np.uint64(count))


@njit(cache=True, nogil=True)
def schedules(start: State, numbers: State, count: int, seed: int) -> tuple[int, int, int]:
    """Run random schedules to their end: what went wrong first (0: nothing), in which, and actions in all.

    In each schedule chips and links have speeds of their own, drawn anew: some are up to 8 times slower.
    """
    random = np.array([seed * 2654435761 + 88172645463325252], np.uint64)
    chips, sequences, tokens = int(numbers[0]), int(numbers[1]), int(numbers[4])
    actions = chips * sequences + chips * chips
    done = 0
    speeds = np.zeros(actions, np.int64)
    for schedule in range(count):
        state = start.copy()
        for n in range(actions):
            speeds[n] = 1 << _draw(random, 4)
        idle = 0
        while True:
            action = _draw(random, actions)
            if _draw(random, 8) >= speeds[action]:
                continue
            found = act(state, numbers, action)
            if found > MOVED:
                return found, schedule, done
            if found == MOVED:
                done += 1
                idle = 0
                continue
            idle += 1
            if idle < 4 * actions:
                continue
            idle = 0
            moved = False
            for n in range(actions):
                trial = state.copy()
                if act(trial, numbers, n) != IDLE:
                    moved = True
                    break
            if not moved:
                for n in range(chips * sequences):
                    if state[n * 4 + 1] != tokens:
                        return LOCKED, schedule, done
                break
    return 0, count, done


def explore(machine: Machine, most: int = 10_000_000) -> tuple[int, int, int]:
    """Every state that can be reached: what is wrong (0: nothing), states, and final ones among them."""
    numbers, actions = machine.numbers, machine.actions
    start = machine.begin()
    seen, to_do, final = {start.tobytes()}, [start.tobytes()], 0
    while to_do:
        known = np.frombuffer(to_do.pop(), np.int16)
        moved = False
        for action in range(actions):
            state = known.copy()
            found = act(state, numbers, action)
            if found > MOVED:
                return found, len(seen), final
            if found == MOVED:
                moved = True
                key = state.tobytes()
                if key not in seen:
                    seen.add(key)
                    to_do.append(key)
        if not moved:
            tokens = known[: machine.chips * machine.sequences * 4].reshape(-1, 4)[:, 1]
            if (tokens != machine.tokens).any():
                return LOCKED, len(seen), final
            final += 1
        assert len(seen) <= most
    return 0, len(seen), final
