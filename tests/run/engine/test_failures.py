"""What goes wrong with one request, in whatever way, ends that request alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import hnlpu
from helpers import write_checkpoint
from hnlpu.errors import EngineFault, InvalidInput, NotFinite
from hnlpu.run.emulate import open_language_model
from hnlpu.run.engine import Engine, Request, Sampling
from hybrid import build_hybrid


class Broken:
    """A constraint that fails in its own way at the third token."""

    def __init__(self, error, where):
        self._error = error
        self._where = where
        self._taken = 0

    def _fail(self, where):
        if where == self._where and self._taken >= 2:
            raise self._error

    def allowed(self):
        self._fail("allowed")
        return np.ones(96, np.bool_)

    def accept(self, token):
        self._fail("accept")
        self._taken += 1

    def finished(self):
        self._fail("finished")
        return False


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("failures")
    build = hnlpu.build(write_checkpoint(folder / "checkpoint", vocab=96), folder / "build")
    return Engine(hnlpu.open(build))


GOOD = Request((3, 1, 4), max_tokens=8, ignore_end=True)


def read(token):
    raise ValueError("a reader of ours")


@pytest.mark.parametrize("where", ["allowed", "accept", "finished"])
@pytest.mark.parametrize("error", [ValueError("x"), KeyError("y"), InvalidInput("z")])
def test_a_constraint_that_fails(engine, where, error):
    (alone,) = engine.run([GOOD])
    bad = replace(GOOD, constraint=Broken(error, where), sampling=Sampling(1.0, seed=3))
    first, failed, last = engine.run([GOOD, bad, GOOD])
    assert first == last == alone
    assert failed.reason == "error"
    assert isinstance(
        failed.error, InvalidInput if isinstance(error, InvalidInput) else EngineFault
    )


def test_a_reader_that_fails(engine):
    (alone,) = engine.run([GOOD])
    first, failed, last = engine.run([GOOD, replace(GOOD, reader=read), GOOD])
    assert first == last == alone
    assert isinstance(failed.error, EngineFault)


@pytest.mark.parametrize("error", [MemoryError(), NotFinite("x")])
def test_a_step_that_fails_holds_no_memory(tmp_path, monkeypatch, error):
    """Neither pages nor slots, those for snapshots included: a server goes on after it."""
    engine = Engine(open_language_model(build_hybrid(tmp_path / "build")))
    request = Request(tuple([3, 1, 4] * 20), max_tokens=3, ignore_end=True)
    (expected,) = engine.run([request])
    engine.memory.slots.forget()

    def fail(rows, memory, wanted):
        assert len(rows.snapshots)
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(engine._batched, "forward", fail)
        engine.submit(request)
        try:
            engine.step()
        except MemoryError:
            engine.abandon(EngineFault("as a runner does"))
    assert (engine.busy, engine.memory.pool.in_use, engine.memory.slots.in_use) == (False, 0, 0)
    assert engine.run([request]) == [expected]


def test_what_was_found_is_told_of_the_time_when_it_is_used(engine):
    """Who finds pages, but too few empty ones, waits; what it found may be gone by then."""
    request = Request(tuple([5, 6, 7] * 16), max_tokens=2, ignore_end=True)
    engine.run([request])
    ident = engine.submit(request)
    sequence, pool = engine._sequences[ident], engine.memory.pool
    assert sequence.reuse(engine.memory, 0) == 32
    sequence.drop(engine.memory)
    pool.release([page for _ in range(pool.available) if (page := pool.take()) is not None])
    updates = []
    while engine.busy:
        updates += engine.step()
    assert updates[0].reused == 0
    (again,) = [engine.submit(request)]
    while engine.busy:
        updates += engine.step()
    assert next(u for u in updates if u.request == again).reused == 32


def test_controls_of_an_answer(engine):
    """min_tokens, stop tokens and stop strings in the text."""
    (plain,) = engine.run([GOOD])
    third = plain.tokens[2]
    (cut,) = engine.run([replace(GOOD, stop_tokens=(third,))])
    assert (cut.tokens[-1], cut.stopped_by) == (third, third)
    (later,) = engine.run([replace(GOOD, stop_tokens=(third,), min_tokens=8)])
    assert len(later.tokens) == 8
    assert third not in later.tokens
