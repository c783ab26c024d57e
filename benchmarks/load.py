"""Many clients at once: is every stream right, does memory stay flat, how long do they wait?

    python benchmarks/load.py BUILD --streams 200 --seconds 600

Starts `hnlpu serve` on loopback and keeps `--streams` streaming completions
open for `--seconds`.  Each is one of a few dozen requests whose answers were
computed offline before, one at a time, by `LanguageModel.generate`; a stream
that differs in its text, its number of tokens or its end counts as wrong.
Exit code 1 if one was, or if memory grew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hnlpu.run.emulate import open_language_model

PROMPTS = (
    "import os\n\n\nclass Queue:\n", "def add(a, b):\n", "# The list of\n", "for i in range(10):\n",
    "class Parser(object):\n    def __init__(self", "try:\n    import", "    return self._",
    '"""A module that',
)  # fmt: skip
GROWTH_ALLOWED = 0.05  # of resident memory, from the half of the run to its end


@dataclass(frozen=True)
class Expected:
    """A request and what it must be answered with."""

    body: dict[str, Any]
    text: str
    tokens: int
    reason: str


@dataclass
class Seen:
    """What the clients saw."""

    first: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    tokens: int = 0
    wrong: list[str] = field(default_factory=list)


def expectations(build: Path, count: int, seed: int) -> list[Expected]:
    """`count` requests with their offline answers."""
    model = open_language_model(build)
    choose = random.Random(seed)
    found = []
    for i in range(count):
        prompt, length = PROMPTS[i % len(PROMPTS)], choose.randint(10, 100)
        temperature = choose.choice((0.0, 0.7, 1.0))
        new = list(model.generate(prompt, max_tokens=length, temperature=temperature, seed=i))
        body = {
            "model": build.name, "prompt": prompt, "max_tokens": length, "seed": i, "stream": True,
            "temperature": temperature, "stream_options": {"include_usage": True},
        }  # fmt: skip
        ended = len(new) < length
        found.append(
            Expected(
                body, "".join(t.text for t in new), len(new) + ended, "stop" if ended else "length"
            )
        )
    return found


async def one(port: int, expected: Expected, seen: Seen) -> None:
    """Stream one request and compare."""
    body = json.dumps(expected.body).encode()
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    text, tokens, reason, last = "", 0, None, began
    try:
        writer.write(head.encode() + body)
        async for line in reader:
            if not line.startswith(b"data: {"):
                continue
            now = time.monotonic()
            event = json.loads(line[6:])
            if "error" in event:
                reason = event["error"]["code"]
            elif event["choices"]:
                (seen.gaps if tokens or text else seen.first).append(now - last)
                last = now
                text += event["choices"][0]["text"]
                reason = event["choices"][0]["finish_reason"]
                tokens += 1
            else:
                tokens = event["usage"]["completion_tokens"]
    finally:
        writer.close()
    seen.whole.append(time.monotonic() - began)
    seen.tokens += tokens
    if (text, tokens, reason) != (expected.text, expected.tokens, expected.reason):
        seen.wrong.append(
            f"seed {expected.body['seed']}: {tokens} tokens, ended by {reason}, {text[:60]!r}"
        )


async def load(
    port: int, pid: int, requests: list[Expected], streams: int, seconds: float
) -> tuple[Seen, list[float]]:
    """Keep `streams` streams open for `seconds`; what was seen, and memory in MB by the second."""
    seen, memory = Seen(), []
    end = time.monotonic() + seconds

    async def client(number: int) -> None:
        choose = random.Random(number)
        while time.monotonic() < end:
            await one(port, choose.choice(requests), seen)

    async def watch() -> None:
        while True:
            memory.append(resident_mb(pid))
            await asyncio.sleep(1)

    watcher = asyncio.create_task(watch())
    await asyncio.gather(*(client(i) for i in range(streams)))
    watcher.cancel()
    return seen, memory


def resident_mb(pid: int) -> float:
    """Memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def percentiles(values: list[float]) -> dict[str, float]:
    """Median and 99th percentile in milliseconds."""
    cuts = statistics.quantiles(values, n=100) if len(values) > 1 else values * 99
    return {"p50_ms": round(1000 * cuts[49], 1), "p99_ms": round(1000 * cuts[98], 1)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--requests", type=int, default=48, help="different requests")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    build = options.build.resolve()
    requests = expectations(build, options.requests, options.seed)
    server = subprocess.Popen(
        [sys.executable, "-m", "hnlpu", "serve", str(build), "--port", "0", "--json"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        text = ""
        while "}" not in text and server.poll() is None:
            text += server.stdout.readline()
        port = int(json.loads(text)["address"].rsplit(":", 1)[1])
        asyncio.run(load(port, server.pid, requests, 4, 0.5))  # compile and warm up
        began = time.monotonic()
        seen, memory = asyncio.run(
            load(port, server.pid, requests, options.streams, options.seconds)
        )
        seconds = time.monotonic() - began
    finally:
        server.terminate()
        server.wait(60)
    half = memory[len(memory) // 2 :]
    growth = half[-1] / half[0] - 1
    facts = {
        "streams": options.streams,
        "seconds": round(seconds, 1),
        "requests": len(seen.whole),
        "tokens": seen.tokens,
        "wrong": len(seen.wrong),
        "tokens_per_second": round(seen.tokens / seconds, 1),
        "first_token": percentiles(seen.first),
        "between_tokens": percentiles(seen.gaps),
        "whole_answer": percentiles(seen.whole),
        "memory_mb": {"half": round(half[0], 1), "end": round(half[-1], 1)},
        "exit_code": server.returncode,
    }
    if options.json:
        print(json.dumps(facts, indent=1))
    else:
        for name, value in facts.items():
            print(f"{name:<18} {value}")
    for line in seen.wrong[:10]:
        print(line, file=sys.stderr)
    sound = seen.whole and not seen.wrong and server.returncode == 0
    # a run of seconds still fills the cache of keys and values: no judgement on its memory
    flat = growth <= GROWTH_ALLOWED or seconds < 120
    return 0 if sound and flat else 1


if __name__ == "__main__":
    sys.exit(main())
