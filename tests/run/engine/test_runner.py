"""The engine on its thread: every request gets its own tokens and a last word."""

import contextlib
import threading
from collections import defaultdict

import pytest

from hnlpu.errors import InvalidInput, NotServing, QueueFull
from hnlpu.run.engine import Engine, Limits, Request, Runner, Sampling, collect


class Post:
    """Collects updates by request and can be waited for."""

    def __init__(self):
        self.told = defaultdict(list)
        self.arrived = threading.Condition()

    def deliver(self, updates):
        with self.arrived:
            for update in updates:
                self.told[update.request].append(update)
            self.arrived.notify_all()

    def result(self, ident):
        with self.arrived:
            done = self.arrived.wait_for(
                lambda: self.told[ident] and self.told[ident][-1].reason, timeout=30
            )
            assert done
            return collect(self.told[ident])


@pytest.fixture
def post():
    return Post()


@pytest.fixture
def runner(model, post):
    runner = Runner(Engine(model), post.deliver, queue=300)
    yield runner
    runner.close()


def test_requests_from_many_threads_get_their_own_tokens(model, runner, post):
    requests = [
        Request((5, 6, i), max_tokens=10, sampling=Sampling(temperature=1.0, seed=i))
        for i in range(40)
    ]
    idents = {}

    def send(part):
        for i in part:
            idents[i] = runner.submit(requests[i])

    threads = [threading.Thread(target=send, args=(range(k, 40, 4),)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = Engine(model).run(requests)
    for i, result in enumerate(expected):
        assert post.result(idents[i]) == result
    assert runner.snapshot().pages_in_use == 0


def test_cancel(runner, post):
    ident = runner.submit(Request((5,), max_tokens=4000, ignore_end=True))
    runner.cancel(ident)
    assert post.result(ident).reason == "cancelled"


def test_closing_finishes_what_it_can_and_reports_the_rest(model, post):
    runner = Runner(Engine(model, Limits(sequences=1)), post.deliver)
    short = runner.submit(Request((5,), max_tokens=3, ignore_end=True))
    long = runner.submit(Request((5,), max_tokens=4000, ignore_end=True))
    waiting = runner.submit(Request((5,), max_tokens=3, ignore_end=True))
    post.result(short)
    runner.close(0.2)
    assert post.result(short).reason == "length"
    for ident in (long, waiting):
        result = post.result(ident)
        assert result.reason == "error"
        assert "shut down" in str(result.error)
    assert len(post.result(long).tokens) > 0
    with pytest.raises(NotServing):
        runner.submit(Request((5,)))


def test_closing_in_time_finishes_everything(model, post):
    runner = Runner(Engine(model), post.deliver)
    idents = [runner.submit(Request((5, i), max_tokens=20, ignore_end=True)) for i in range(10)]
    runner.close(60)
    assert [post.result(i).reason for i in idents] == ["length"] * 10


def test_the_queue_is_bounded(model, post):
    runner = Runner(Engine(model, Limits(sequences=1)), post.deliver, queue=3)
    try:
        taken = 0
        with contextlib.suppress(QueueFull):
            for _ in range(20):
                runner.submit(Request((5,), max_tokens=4000, ignore_end=True))
                taken += 1
        assert 3 <= taken <= 4  # one of them may run already
        with pytest.raises(QueueFull, match="3 requests are waiting"):
            runner.submit(Request((5,)))
    finally:
        runner.close()


def test_bad_requests_are_refused_where_they_are_made(runner):
    with pytest.raises(InvalidInput):
        runner.submit(Request(()))


def test_a_fault_of_the_engine_is_reported_and_survived(model, post, monkeypatch, caplog):
    engine = Engine(model)
    runner = Runner(engine, post.deliver)
    step = engine.step

    def fail():
        monkeypatch.setattr(engine, "step", step)
        raise RuntimeError("for the test")

    monkeypatch.setattr(engine, "step", fail)
    result = post.result(runner.submit(Request((5,), max_tokens=3)))
    assert (result.reason, "internal error" in str(result.error)) == ("error", True)
    assert "for the test" in caplog.text
    assert (
        post.result(runner.submit(Request((5,), max_tokens=3, ignore_end=True))).reason == "length"
    )
    runner.close()
