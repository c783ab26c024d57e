"""Between the event loop and the engine's thread: jobs out, updates back to who waits for them.

endpoint ─► Job ─► Runner (engine thread)
▲                  │ one call into the loop per step
└── queue per job ◄┘
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType

from hnlpu._version import __version__
from hnlpu.errors import HnlpuError, InvalidInput
from hnlpu.run.emulate import hardwired, open_language_model
from hnlpu.run.engine import (
    Adapter,
    Engine,
    Request,
    Result,
    Runner,
    Snapshot,
    Update,
    collect,
    read_adapter,
)
from hnlpu.serve._journal import RECORD, Record
from hnlpu.serve._metrics import Metrics
from hnlpu.serve._settings import ServerSettings
from hnlpu.silicon.hardwire import Build


class Service:
    """A build being served; started and used on one event loop.

    Raises InvalidInput and DamagedAdapter for settings that do not fit the build, and
    UnsupportedArchitecture for those that its family does not have.
    """

    def __init__(self, build: Build, settings: ServerSettings):
        self.build = build
        self.model = model = hardwired(build, numerics=settings.numerics, machine=settings.machine)
        self.settings = settings
        self.name = settings.model_name or build.directory.name
        self.fingerprint = f"hnlpu-{__version__}-{build.manifest.source.digest[:12]}"
        self.created = int(time.time())
        adapters = _adapters(build, settings, self.name)
        draft = None if settings.draft is None else open_language_model(settings.draft)
        self.engine = Engine(model, settings.limits, adapters, settings.device, draft)
        self.runner: Runner | None = None
        self.metrics = Metrics(self.snapshot)
        self.jobs: dict[int, Job] = {}

    def snapshot(self) -> Snapshot | None:
        """The runner's state, None before it runs."""
        return self.runner.snapshot() if self.runner else None

    def start(self) -> None:
        """Start the engine; updates come back to the loop that runs now."""
        loop = asyncio.get_running_loop()

        def deliver(updates: list[Update]) -> None:
            loop.call_soon_threadsafe(self._dispatch, updates)

        self.runner = Runner(self.engine, deliver, self.settings.queue)

    def begin_close(self) -> None:
        """Take no more requests and end those under way in good time."""
        if self.runner:
            self.runner.begin_close(self.settings.shutdown_seconds)

    async def close(self) -> None:
        """Wait until the engine has stopped."""
        if self.runner:
            await asyncio.to_thread(self.runner.close, self.settings.shutdown_seconds)

    def load_adapter(self, name: str, folder: Path) -> None:
        """Let requests name an adapter.  Raises DamagedAdapter and UnsupportedArchitecture."""
        adapter = read_adapter(folder, self.build.network)
        self.engine.adapters.add(name, adapter)

    def job(self, requests: Sequence[Request]) -> Job:
        """Requests that are answered together."""
        return Job(self, requests)

    def _dispatch(self, updates: list[Update]) -> None:
        for update in updates:
            job = self.jobs.get(update.request)
            if job is not None:
                job.put(update)


def _adapters(build: Build, settings: ServerSettings, name: str) -> dict[str, Adapter]:
    if name in settings.adapters:
        raise InvalidInput(f"`adapter` {name}: is the model's own id; give the adapter another")
    return {ident: read_adapter(path, build.network) for ident, path in settings.adapters.items()}


class Job:
    """Some requests of one client; closing it cancels what has not ended."""

    def __init__(self, service: Service, requests: Sequence[Request]):
        self._service = service
        self._requests = requests
        self._index: dict[int, int] = {}
        self._open: set[int] = set()
        self._told: list[list[Update]] = [[] for _ in requests]
        self._queue: asyncio.Queue[Update] = asyncio.Queue()
        self._began = time.monotonic()
        self.new_tokens = 0
        self.reused_tokens = 0
        self._drafted = self._accepted = 0
        self._record = RECORD.get()
        if self._record is not None:
            self._record.sequences += len(requests)
            self._record.prompt_tokens += sum(len(request.prompt) for request in requests)

    @property
    def tried(self) -> dict[str, int] | None:
        """Tokens that were looked up, by OpenAI's names; None where none were to be."""
        if not any(request.speculation for request in self._requests):
            return None
        return {
            "accepted_prediction_tokens": self._accepted,
            "rejected_prediction_tokens": self._drafted - self._accepted,
        }

    def submit(self) -> None:
        """Submit all.  Raises InvalidInput, QueueFull or NotServing, and then none is under way."""
        assert self._service.runner is not None
        try:
            for i, request in enumerate(self._requests):
                ident = self._service.runner.submit(request)
                self._index[ident] = i
                self._open.add(ident)
                self._service.jobs[ident] = self
        except HnlpuError:
            self.close()
            raise

    def close(self) -> None:
        """Cancel what is still under way."""
        assert self._service.runner is not None
        for ident in self._open:
            self._service.runner.cancel(ident)
            self._service.jobs.pop(ident, None)
        self._open.clear()

    def __enter__(self) -> Job:
        self.submit()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def put(self, update: Update) -> None:
        """Take in an update, on the loop."""
        index = self._index[update.request]
        if update.token is not None and not self._told[index]:
            self._service.metrics.first_token(time.monotonic() - self._began)
        self._service.metrics.count(update)
        if self._record is not None:
            self._note(self._record, update)
        self._told[index].append(update)
        if update.reason is not None:
            self._open.discard(update.request)
            del self._service.jobs[update.request]
        self._queue.put_nowait(update)

    def _note(self, record: Record, update: Update) -> None:
        """What the log of requests tells of an update."""
        if update.token is not None and record.first_token_seconds is None:
            record.first_token_seconds = round(time.monotonic() - self._began, 6)
        record.new_tokens += update.token is not None
        record.cached_tokens += update.reused
        if update.reason is not None:
            record.ended.append(update.reason)

    async def updates(self) -> AsyncIterator[tuple[int, Update]]:
        """Each update as it comes, with the place of its request among the job's."""
        left = len(self._requests)
        while left:
            update = await self._queue.get()
            left -= update.reason is not None
            self.new_tokens += update.token is not None
            self.reused_tokens += update.reused
            self._drafted += update.drafted
            self._accepted += update.accepted
            yield self._index[update.request], update

    async def results(self) -> list[Result]:
        """All updates of all requests, when they have come."""
        async for _ in self.updates():
            pass
        return self.collected()

    def collected(self) -> list[Result]:
        """All updates of all requests, which have ended."""
        return [collect(updates) for updates in self._told]
