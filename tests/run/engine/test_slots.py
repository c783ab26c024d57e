"""Slots: nobody's slot is given away, and a snapshot that is found is what was filed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hnlpu.run.engine._layout import PAGE
from hnlpu.run.engine._slots import INITIAL, SlotPool, prefix_of


class Slots(RuleBasedStateMachine):
    """Sequences go from slot to slot, and file some; a dictionary knows what lies in each."""

    def __init__(self):
        super().__init__()
        self.slots = SlotPool(6)
        self.held = []
        self.content = {}

    @rule(prefix=st.binary(max_size=1), file=st.booleans())
    def step(self, prefix, file):
        slot = self.slots.take()
        if slot is None:
            assert len(set(self.held)) == 6
            return
        assert slot not in self.held
        assert slot != INITIAL
        self.content[slot] = prefix
        if file:
            self.slots.file(slot, prefix)
            assert self.slots.has(prefix)
        self.held.append(slot)

    @rule(prefix=st.binary(max_size=1))
    def take_over(self, prefix):
        if self.slots.has(prefix):
            slot = self.slots.hold(prefix)
            assert self.content[slot] == prefix
            self.held.append(slot)

    @rule(choice=st.integers(0, 100))
    def end(self, choice):
        if self.held:
            self.slots.release(self.held.pop(choice % len(self.held)))

    @rule()
    def forget(self):
        self.slots.forget()

    @invariant()
    def counts(self):
        assert self.slots.in_use == len(set(self.held))
        assert self.slots.available == 6 - len(set(self.held))


TestSlots = Slots.TestCase


def test_the_longest_unused_snapshot_goes_first():
    slots = SlotPool(3)
    taken = [slots.take() for _ in range(3)]
    for slot, prefix in zip(taken, (b"a", b"b", b"c"), strict=True):
        slots.file(slot, prefix)
        slots.release(slot)
    slots.release(slots.hold(b"a"))  # used again
    assert slots.take() == taken[1]
    assert [slots.has(p) for p in (b"a", b"b", b"c")] == [True, False, True]


@given(tokens=st.lists(st.integers(0, 2), min_size=2 * PAGE, max_size=2 * PAGE))
def test_a_prefix_is_all_of_its_tokens(tokens):
    pages = np.array(tokens, np.int64).reshape(2, PAGE)

    def two(first, second, root=b"0"):
        return prefix_of(prefix_of(root, first), second)

    changed = pages.copy()
    changed[0, 0] += 1
    assert two(*pages) == two(*pages.copy())
    assert len({two(*pages), two(*changed), two(*pages, root=b"-1"), two(*changed[::-1])}) == 4
