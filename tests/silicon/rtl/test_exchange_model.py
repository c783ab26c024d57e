"""Exchanges between chips lock up in no order of events, and the model would say so if they did.

The long form: `python benchmarks/exchange_schedules.py`.
"""

from __future__ import annotations

import pytest
from exchange_model import LOCKED, OVERRUN, OVERWRITTEN, WRONG, Machine, explore, schedules

MACHINES = (
    Machine(),
    Machine(chips=3, sequences=3, arrays=2),
    Machine(chips=4, sequences=3, exchanges=3, prompt=1),
)


@pytest.mark.parametrize("machine", MACHINES)
def test_random_schedules_end(machine: Machine) -> None:
    found, done, actions = schedules(machine.begin(), machine.numbers, 1000, 1)
    assert (found, done) == (0, 1000), WRONG.get(found, "nothing can go on")
    # every schedule did the same actions, in an order of its own
    assert actions % 1000 == 0


def test_every_order_of_a_small_machine_ends_in_one_state() -> None:
    found, states, final = explore(Machine(sequences=1, tokens=4))
    assert (found, final) == (0, 1)
    assert states > 1000
    found, states, final = explore(Machine(exchanges=1, tokens=1, prompt=1))
    assert (found, final) == (0, 1)
    assert states > 5000


def test_what_is_held_while_others_are_waited_for_locks_up() -> None:
    machine = Machine(holds=True)
    assert schedules(machine.begin(), machine.numbers, 1000, 1)[0] == LOCKED
    assert explore(Machine(exchanges=1, tokens=1, prompt=1, holds=True))[0] == LOCKED


def test_one_inbox_is_too_few() -> None:
    machine = Machine(places=1)
    assert schedules(machine.begin(), machine.numbers, 1000, 1)[0] in (OVERWRITTEN, OVERRUN)
    assert explore(Machine(sequences=1, places=1))[0] == OVERWRITTEN


def test_without_an_exchange_a_prompt_runs_away() -> None:
    # which is why such a build is refused
    machine = Machine(exchanges=0, tokens=6, prompt=6)
    assert schedules(machine.begin(), machine.numbers, 1000, 1)[0] in (OVERWRITTEN, OVERRUN)
