"""Jobs -> their results in order, on this process, on processes of this machine, or on a Ray cluster.

A job is a picklable function of its own input alone, so where it runs, and how often, makes no
difference to what comes out.  Few jobs are ahead of the one whose result is due: memory does not
grow with their number.
"""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import socket
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, TypeVar

from hnlpu.errors import InvalidInput, OutputFailed, ToolMissing

Input = TypeVar("Input")
Result = TypeVar("Result")
AHEAD = 2
"""Jobs under way or waiting for each worker."""
SECONDS_TO_ANSWER = 10
"""For a Ray cluster's port."""
TRIES = 3
"""Times that a job may take its worker down before it is given up."""


class Workers(ABC):
    """Where jobs run; use as a context."""

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    @abstractmethod
    def map(self, job: Callable[[Input], Result], inputs: Iterable[Input]) -> Iterator[Result]:
        """Results in the order of their inputs."""

    def close(self) -> None:  # noqa: B027  workers that hold nothing have nothing to give back
        """Give back what the workers hold."""


def open_workers(
    workers: int | None = None, ray: str | None = None, jobs: int | None = None
) -> Workers:
    """`workers` processes (default: one a core), or those of the Ray cluster at `ray`.

    No more processes than there are `jobs`, where their number is known: each takes seconds to start.

    "local" as an address starts Ray on this machine with that many workers.  Raises InvalidInput,
    ToolMissing without Ray.
    """
    count = (os.cpu_count() or 1) if workers is None else workers
    if count < 1:
        raise InvalidInput(f"workers {count}: must be at least 1")
    if ray is not None:
        return _Ray(ray, count)
    count = count if jobs is None else min(count, jobs)
    return _Here() if count <= 1 else _Processes(count)


class _Here(Workers):
    """In this process."""

    def map(self, job: Callable[[Input], Result], inputs: Iterable[Input]) -> Iterator[Result]:
        return map(job, inputs)


class _Processes(Workers):
    """Processes of this machine; one that dies is replaced and its jobs run again."""

    def __init__(self, count: int):
        self._count = count
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        # started anew, not forked: threads of this process may hold locks
        return ProcessPoolExecutor(self._count, multiprocessing.get_context("spawn"))

    def map(self, job: Callable[[Input], Result], inputs: Iterable[Input]) -> Iterator[Result]:
        waiting: deque[tuple[Input, Future[Result]]] = deque()
        tries = 0
        coming = iter(inputs)
        while True:
            while len(waiting) < AHEAD * self._count:
                item = next(coming, _NOTHING)
                if item is _NOTHING:
                    break
                waiting.append((item, self._submit(job, item)))
            if not waiting:
                return
            try:
                result = waiting[0][1].result()
            except BrokenProcessPool:
                tries += 1
                if tries == TRIES:
                    raise OutputFailed(
                        f"a worker process died {TRIES} times at the same job (out of memory?); "
                        "try fewer with `workers`"
                    ) from None
                self._pool.shutdown(wait=False, cancel_futures=True)
                self._pool = self._start()
                waiting = deque((item, self._submit(job, item)) for item, _ in waiting)
                continue
            tries = 0
            waiting.popleft()
            yield result

    def _submit(self, job: Callable[[Input], Result], item: Input) -> Future[Result]:
        """As the pool's, but a pool that is broken already says so when the result is due."""
        try:
            return self._pool.submit(job, item)
        except BrokenProcessPool as error:
            broken: Future[Result] = Future()
            broken.set_exception(error)
            return broken

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


_NOTHING: Any = object()


class _Ray(Workers):
    """A Ray cluster, whose workers see the folders of jobs under the same paths."""

    def __init__(self, address: str, count: int):
        try:
            ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise ToolMissing(f"Ray is missing ({error}): pip install 'hnlpu[cluster]'") from None
        self._ray = ray
        self._started = not ray.is_initialized()
        if self._started:
            local = address == "local"
            _require_reachable(address)
            try:
                ray.init(
                    address=address, num_cpus=count if local else None,
                    log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False,
                )  # fmt: skip
            except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
                raise _no_cluster(address, error) from None
        self._count = max(1, int(ray.cluster_resources().get("CPU", 1)))

    def map(self, job: Callable[[Input], Result], inputs: Iterable[Input]) -> Iterator[Result]:
        remote = self._ray.remote(num_cpus=1, max_retries=TRIES)(_call)
        shared = self._ray.put(job)
        waiting: deque[Any] = deque()
        for item in inputs:
            waiting.append(remote.remote(shared, item))
            if len(waiting) >= AHEAD * self._count:
                yield self._result(waiting.popleft())
        while waiting:
            yield self._result(waiting.popleft())

    def _result(self, reference: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:  # the job's own, whose text Ray makes a traceback
            raise (error.cause or error) from None
        except errors.RayError as error:
            raise OutputFailed(
                f"Ray gave a job up after {TRIES} tries ({type(error).__name__}): workers die or "
                "the cluster is gone"
            ) from None

    def close(self) -> None:
        if self._started:
            self._ray.shutdown()


def _no_cluster(address: str, error: Exception) -> InvalidInput:
    return InvalidInput(
        f"Ray at {address!r}: cannot be reached, no cluster answers ({error}); start one, or give "
        "'local'"
    )


def _require_reachable(address: str) -> None:
    """Refuse what no cluster answers at, which Ray would try for minutes; raises InvalidInput."""
    if address in ("local", "auto"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise InvalidInput(f"Ray at {address!r}: give HOST:PORT, ray://HOST:PORT, auto or local")
    try:
        socket.create_connection((host, int(port)), SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise _no_cluster(address, error) from None


def _call(job: Callable[[Any], Any], item: Any) -> Any:
    return job(item)
