"""An engine on a thread of its own: requests from any thread, updates to a callback.

submit, cancel ─► inbox ─► engine thread: step, step, ... ─► deliver(updates)
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from hnlpu.errors import EngineFault, HnlpuError, NotServing, QueueFull
from hnlpu.run.engine._engine import Counters, Engine
from hnlpu.run.engine._request import Request, Update

Deliver = Callable[[list[Update]], None]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """A runner at one moment."""

    counters: Counters
    waiting: int
    running: int
    pages_in_use: int
    pages: int
    slots_in_use: int
    slots: int
    closing: bool


class Runner:
    """Runs `engine` until closed; `deliver` gets each step's updates, on the engine's thread.

    At most `queue` requests wait for their first step; with one more,
    `submit` raises QueueFull.  Every request that was taken in gets a last
    update, whatever happens.
    """

    def __init__(self, engine: Engine, deliver: Deliver, queue: int = 256):
        self.engine = engine
        self.queue = queue
        self._deliver = deliver
        self._ids = itertools.count()
        self._wake = threading.Condition()
        self._inbox: list[tuple[int, Request]] = []
        self._cancelled: list[int] = []
        self._deadline: float | None = None
        self._thread = threading.Thread(target=self._work, name="hnlpu engine", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it still runs the engine."""
        return self._thread.is_alive()

    def submit(self, request: Request) -> int:
        """Queue a request; its number.  Raises InvalidInput, QueueFull or NotServing."""
        self.engine.check(request)
        with self._wake:
            if self._deadline is not None:
                raise NotServing("the server is shutting down; try another or later")
            waiting = len(self._inbox) + self.engine.waiting
            if waiting >= self.queue:
                raise QueueFull(f"{waiting} requests are waiting already; try again later")
            ident = next(self._ids)
            self._inbox.append((ident, request))
            self._wake.notify()
        return ident

    def cancel(self, ident: int) -> None:
        """End a request before the next step."""
        with self._wake:
            self._cancelled.append(ident)
            self._wake.notify()

    def begin_close(self, seconds: float) -> None:
        """Take no more requests; those under way have `seconds` to end before they are ended."""
        with self._wake:
            deadline = time.monotonic() + seconds
            self._deadline = min(deadline, self._deadline or deadline)
            self._wake.notify()

    def close(self, seconds: float = 0.0) -> None:
        """`begin_close`, and wait for the end."""
        self.begin_close(seconds)
        self._thread.join()

    def snapshot(self) -> Snapshot:
        """How things stand."""
        engine = self.engine
        return Snapshot(
            replace(engine.counters),
            len(self._inbox) + engine.waiting,
            engine.running,
            engine.memory.pool.in_use,
            engine.memory.pool.pages,
            engine.memory.slots.in_use,
            engine.memory.slots.slots,
            self._deadline is not None,
        )

    def _work(self) -> None:
        while self._take_in():
            try:
                updates = self.engine.step()
            except Exception:  # a fault of ours must not leave clients waiting for ever
                _log.exception("a step failed")
                updates = self.engine.abandon(_fault())
            if self._deadline is not None and time.monotonic() >= self._deadline:
                updates += self.engine.abandon(
                    NotServing("the server shut down before this was finished")
                )
            if updates:
                self._deliver(updates)

    def _take_in(self) -> bool:
        """Wait for work and take it in; False when closed and done."""
        with self._wake:
            while not (self._inbox or self._cancelled or self.engine.busy):
                if self._deadline is not None:
                    return False
                self._wake.wait()
            inbox, self._inbox = self._inbox, []
            cancelled, self._cancelled = self._cancelled, []
        refused = []
        for ident, request in inbox:
            try:
                self.engine.submit(request, ident)
            except HnlpuError as error:  # its adapter has gone since it was checked
                refused.append(Update(ident, reason="error", error=error))
            except Exception:  # it was checked before: a fault of ours
                _log.exception("a request could not be taken in")
                refused.append(Update(ident, reason="error", error=_fault()))
        if refused:
            self._deliver(refused)
        for ident in cancelled:
            self.engine.cancel(ident)
        return True


def _fault() -> EngineFault:
    return EngineFault("internal error; the server's log has more")
