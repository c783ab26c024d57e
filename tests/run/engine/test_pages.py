"""Pages: nobody's page is given away, and what is found is what was filed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hnlpu.run.engine._layout import PAGE
from hnlpu.run.engine._pages import PagePool


class Pool(RuleBasedStateMachine):
    """Sequences over a tiny alphabet of pages come and go; a dictionary knows what pages hold."""

    def __init__(self):
        super().__init__()
        self.pool = PagePool(8)
        self.held = []
        self.content = {}

    @rule(pieces=st.lists(st.integers(0, 1), max_size=5))
    def begin(self, pieces):
        tokens = np.repeat(np.array([*pieces, 9], np.int64), PAGE)
        pages, serial = self.pool.find(0, tokens)
        for i, page in enumerate(pages):
            assert self.content[page] == tuple(pieces[: i + 1])
        for i in range(len(pages), len(pieces)):
            page = self.pool.take()
            if page is None:
                break
            assert all(page not in other for other in self.held)
            assert page not in pages
            self.content[page] = tuple(pieces[: i + 1])
            serial = self.pool.file(page, serial, tokens[i * PAGE : (i + 1) * PAGE])
            pages.append(page)
        self.held.append(pages)

    @rule(choice=st.integers(0, 100))
    def end(self, choice):
        if self.held:
            self.pool.release(self.held.pop(choice % len(self.held)))

    @rule()
    def forget(self):
        self.pool.forget()

    @invariant()
    def counts(self):
        assert self.pool.in_use == len({page for pages in self.held for page in pages})


TestPool = Pool.TestCase


@given(length=st.integers(1, 6 * PAGE))
def test_something_is_left_to_compute(length):
    pool = PagePool(8)
    tokens, serial = np.arange(6 * PAGE), 0
    for start in range(0, 6 * PAGE, PAGE):
        serial = pool.file(pool.take(), serial, tokens[start : start + PAGE])
    pages, _ = pool.find(0, tokens[:length])
    assert length - PAGE <= PAGE * len(pages) < length


def test_the_longest_unused_goes_first_and_ends_before_beginnings():
    pool = PagePool(3)
    tokens = np.arange(4 * PAGE)
    pages, serial = [], 0
    for start in range(0, 3 * PAGE, PAGE):
        pages.append(pool.take())
        serial = pool.file(pages[-1], serial, tokens[start : start + PAGE])
    pool.release(pages)
    assert [pool.take(), pool.take()] == [pages[2], pages[1]]
    assert pool.find(0, tokens)[0] == [pages[0]]
    assert pool.take() is None
