"""`hnlpu serve --self-test`: is an answer the same whoever is answered beside it?

    needles alone, one by one ─► answers
    needles among changing company, scarce memory, adapters that come and go ─► the same answers?
    control: a model whose numbers depend on its batch, as in floating point ─► must be seen

All over real sockets, through the server as it is served.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from safetensors.numpy import save_file

from hnlpu.errors import EngineFault, InvalidInput
from hnlpu.run.engine import PAGE, Disturbed, Limits, linear_modules
from hnlpu.serve._app import create_app
from hnlpu.serve._ask import ask
from hnlpu.serve._connection import Connection
from hnlpu.serve._context import Context
from hnlpu.serve._needles import Maker, Needle
from hnlpu.serve._service import Service
from hnlpu.serve._settings import ServerSettings
from hnlpu.silicon.hardwire import Build

OF_EACH = 3  # needles of every kind
PAGES = 2  # of states for each of up to MEMORY_FOR streams, where an answer needs about five
MEMORY_FOR = 24
LONGEST = 1024  # tokens of a prompt and its answer
CONTROL = 0.1  # of the time
LEAST_SECONDS = 3.0
MOST_MINUTES, MOST_STREAMS = 24 * 60.0, 1000
STEADY, COMING = "self-test-steady", "self-test-coming"


@dataclass
class Seen:
    """What one phase saw."""

    compared: Counter[str] = field(default_factory=Counter)
    differing: Counter[str] = field(default_factory=Counter)
    answers: int = 0
    left: int = 0
    swaps: int = 0


def self_test(build: Build, minutes: float, streams: int, seed: int = 0) -> dict[str, Any]:
    """Ask needles in changing company for `minutes` over `streams` connections; what came out.

    `passed` is whether no answer differed, the control's did, and memory was as scarce as meant.
    A needle that is refused alone is told in `not_covered`.  Raises InvalidInput, and EngineFault where
    adapters do not come and go.
    """
    if not 0 < minutes <= MOST_MINUTES:
        raise InvalidInput(f"`minutes`: must be above 0 and at most {MOST_MINUTES:g}")
    if not 2 <= streams <= MOST_STREAMS:
        raise InvalidInput(f"`streams`: must be from 2 to {MOST_STREAMS}")
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_run(build, 60 * minutes, streams, seed, Path(folder)))


async def _run(
    build: Build, seconds: float, streams: int, seed: int, folder: Path
) -> dict[str, Any]:
    settings = ServerSettings(
        model_name="self-test", adapters=_made_adapters(build, folder), adapter_folder=None,
        queue=4 * streams + 64, max_connections=4 * streams + 64, shutdown_seconds=0,
    )  # fmt: skip
    if settings.adapters:
        settings = replace(settings, adapter_folder=folder)
    alone = Service(build, replace(settings, limits=Limits(LONGEST, sequences=4)))
    maker = Maker(Context(alone), list(settings.adapters), seed)
    needles = maker.needles(OF_EACH)
    known: dict[bytes, Any] = {}
    async with _served(alone) as port:
        for needle in needles:
            status, answer = await ask(port, needle.path, needle.encoded)
            if status == 200:
                known[needle.encoded] = status, answer
            else:  # the same refusal twice would prove nothing
                maker.not_covered[needle.kind] = (
                    f"refused with {status}: {json.dumps(answer)[:200]}"
                )
            alone.engine.memory.pool.forget()
            alone.engine.memory.slots.forget()
    needles = [needle for needle in needles if needle.encoded in known]
    if not needles:
        raise InvalidInput(f"{build.directory}: refuses every needle: {maker.not_covered}")
    layout = alone.engine.memory.layout
    pages = max(PAGES * min(streams, MEMORY_FOR), -(-alone.engine.context // PAGE))
    size = pages * (layout.page_bytes + layout.slot_bytes) + 4 * layout.slot_bytes
    limits = Limits(LONGEST, sequences=streams, rows=max(streams, 64), cache_bytes=size)
    test = Service(build, replace(settings, limits=limits))
    told = await _phase(test, maker, needles, known, streams, seconds * (1 - CONTROL), seed)
    control = Service(build, replace(settings, limits=limits))
    control.engine.wrap(Disturbed)
    spoilt = await _phase(control, maker, needles, known, streams, seconds * CONTROL, seed)
    return _report(maker, streams, seconds, test, told, spoilt)


def _report(
    maker: Maker, streams: int, seconds: float, test: Service, told: Seen, spoilt: Seen
) -> dict[str, Any]:
    counters = test.engine.counters
    scarce = not test.engine.memory.has_pages or counters.preemptions > 0
    differing, seen = sum(told.differing.values()), sum(spoilt.differing.values())
    return {
        "passed": bool(scarce and not differing and seen),
        "streams": streams,
        "minutes": round(seconds / 60, 3),
        "answers": told.answers,
        "compared": sum(told.compared.values()),
        "differing": differing,
        "kinds": dict(told.compared),
        "differing_kinds": dict(told.differing),
        "not_covered": maker.not_covered,
        "clients_left": told.left,
        "adapters_swapped": told.swaps,
        "steps": counters.steps,
        "tokens": counters.new_tokens,
        "preemptions": counters.preemptions,
        "reused_tokens": counters.reused_tokens,
        "accepted_tokens": counters.accepted_tokens,
        "control_compared": sum(spoilt.compared.values()),
        "control_differing": seen,
    }


async def _phase(
    service: Service,
    maker: Maker,
    needles: list[Needle],
    known: dict[bytes, Any],
    streams: int,
    seconds: float,
    seed: int,
) -> Seen:
    """Needles and company on `streams` connections for `seconds`, and until every kind was asked."""
    seen, kinds = Seen(), len({needle.kind for needle in needles})
    end = time.monotonic() + max(seconds, LEAST_SECONDS)
    order = random.Random(seed)
    waiting: list[Needle] = []

    async def client(number: int, port: int) -> None:
        dice = random.Random(seed + number)
        while time.monotonic() < end or len(seen.compared) < kinds:
            if dice.random() < 0.4:  # company, which often leaves before its answer has come
                patience = dice.choice((None, 0.02, 0.3))
                other = maker.company()
                answer = await ask(port, other.path, other.encoded, patience)
                seen.left += answer is None
                seen.answers += answer is not None
                continue
            if not waiting:
                waiting.extend(order.sample(needles, len(needles)))
            needle = waiting.pop()
            answer = await ask(port, needle.path, needle.encoded)
            seen.answers += 1
            seen.compared[needle.kind] += 1
            if answer != known[needle.encoded]:
                seen.differing[needle.kind] += 1

    async with _served(service) as port:
        tasks = [client(number, port) for number in range(streams)]
        if service.settings.adapter_folder is not None:
            tasks.append(_swap(port, seen, end))
        await asyncio.gather(*tasks)
    return seen


async def _swap(port: int, seen: Seen, end: float) -> None:
    """Load and unload an adapter again and again."""
    names = ("first", "second")
    while time.monotonic() < end:
        body = f'{{"lora_name": "{COMING}", "lora_path": "{names[seen.swaps % 2]}"}}'
        loaded, _ = await ask(port, "/v1/load_lora_adapter", body.encode())
        prompt = f'{{"model": "{COMING}", "prompt": [1, 2, 3], "max_tokens": 20}}'
        under_way = asyncio.ensure_future(ask(port, "/v1/completions", prompt.encode()))
        await asyncio.sleep(0.05)
        body = f'{{"lora_name": "{COMING}"}}'
        unloaded, _ = await ask(port, "/v1/unload_lora_adapter", body.encode())
        await under_way
        if (loaded, unloaded) != (200, 200):
            raise EngineFault(f"an adapter could not be loaded and unloaded: {loaded}, {unloaded}")
        seen.swaps += 1


@contextlib.asynccontextmanager
async def _served(service: Service) -> AsyncIterator[int]:
    """A server on a free port of this machine, on the loop that runs now."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    config = uvicorn.Config(
        create_app(service), access_log=False, log_level="warning", http=Connection, ws="none",
        timeout_graceful_shutdown=5,
    )  # fmt: skip
    server = _Quiet(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            if task.done():
                await task
            await asyncio.sleep(0.01)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task


class _Quiet(uvicorn.Server):
    """uvicorn, which leaves signals to whoever runs the test."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing."""
        yield


def _made_adapters(build: Build, folder: Path) -> dict[str, Path]:
    """Two adapters of random numbers, of which one is loaded; none where nothing may be adapted."""
    modules = linear_modules(build.network)
    if not modules:
        return {}
    for seed, name in enumerate(("first", "second")):
        dice = np.random.default_rng(seed)
        tensors = {}
        for module, (rows, columns) in modules.items():
            for key, shape in (("A", (2, columns)), ("B", (rows, 2))):
                values = 0.3 * dice.standard_normal(shape) / shape[1] ** 0.5
                tensors[f"base_model.model.{module}.lora_{key}.weight"] = values.astype(np.float32)
        (folder / name).mkdir()
        save_file(tensors, folder / name / "adapter_model.safetensors")
        settings = '{"peft_type": "LORA", "r": 2, "lora_alpha": 4}'
        (folder / name / "adapter_config.json").write_text(settings)
    return {STEADY: folder / "first"}
