"""Time to the first token and between tokens at load, beside llama.cpp's server, on the same weights, in turns.

    random checkpoint ─► build ─┬─► hnlpu serve ───────────────────┐
                                └─► GGUF ─► llama.cpp's server ────┴─► the same clients, in turns

    python -m benchmarks serving --work FOLDER                 # gpt-oss's shape; --model llama, --model qwen3-moe
    python -m benchmarks serving --work FOLDER --streams 1 4 16 --repeat 3 --threads 1

So many clients each ask for one completion after the other: random prompts of token ids, that nothing may be
found in memory, and an answer of a fixed length, streamed.  A turn is one load of one server, while the other
waits; medians of the turns are told, by the clock, and the server's processor time per token, which other jobs
disturb less.  llama.cpp is the wheel `xllamacpp` (AVX2) with its continuous batching.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from decode_models import SHAPES, WIDTHS, make_models
from decode_workers import HERE, XLLAMACPP, rival_python
from gguf_writer import vocabulary, write_gguf
from hnlpu.run.kernels import instruction_sets
from hnlpu.silicon.hardwire import machine, open_build

LEAST = 4  # requests of a turn
FIRST_TOKEN = 16  # ids below it are left to special tokens


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """Processor time that it has taken."""
        after = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(after[11]) + int(after[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Turn:
    """What the clients of one turn saw, in seconds."""

    first: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0


@contextlib.contextmanager
def started(command: list[str], *, as_json: bool) -> Iterator[Server]:
    """A server until the context is left; its first output says its port."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        text = process.stdout.readline()
        while as_json and "}" not in text and process.poll() is None:
            text += process.stdout.readline()
        if not text:
            sys.exit(f"{' '.join(command)} ended early")
        port = int(json.loads(text)["address"].rsplit(":", 1)[1]) if as_json else int(text)
        yield Server(port, process.pid)
    finally:
        process.terminate()
        process.communicate(timeout=60)


async def one(port: int, prompt: list[int], count: int, turn: Turn) -> None:
    """Stream one completion of `count` tokens."""
    body = json.dumps({
        "prompt": prompt, "max_tokens": count, "temperature": 0, "stream": True, "ignore_eos": True,
    }).encode()  # fmt: skip
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    last = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    seen = 0
    try:
        writer.write(head.encode() + body)
        async for line in reader:
            if not line.startswith(b"data: {"):
                continue
            if b'"error"' in line:
                sys.exit(f"port {port}: {line.decode()[:200]}")
            if seen < count:  # llama.cpp tells the end in a chunk of its own
                now = time.monotonic()
                (turn.gaps if seen else turn.first).append(now - last)
                last = now
                seen += 1
    finally:
        writer.close()
    if seen != count:
        sys.exit(f"port {port}: {seen} tokens in place of {count}")
    turn.tokens += seen


async def load(server: Server, prompts: list[list[int]], count: int, streams: int) -> Turn:
    """All prompts over `streams` clients."""
    turn, waiting = Turn(), list(prompts)

    async def client() -> None:
        while waiting:
            await one(server.port, waiting.pop(), count, turn)

    began, cpu = time.monotonic(), server.cpu_seconds()
    await asyncio.gather(*(client() for _ in range(streams)))
    turn.seconds = time.monotonic() - began
    turn.cpu_seconds = server.cpu_seconds() - cpu
    return turn


def figures(turns: list[Turn], prompt: int) -> dict[str, float]:
    """Medians over the turns."""

    def median(values: list[float]) -> float:
        return statistics.median(values)

    return {
        "first_token_p50_ms": median([1000 * median(t.first) for t in turns]),
        "first_token_worst_ms": median([1000 * max(t.first) for t in turns]),
        "between_tokens_p50_ms": median([1000 * median(t.gaps) for t in turns]),
        "between_tokens_p99_ms": median([1000 * float(np.quantile(t.gaps, 0.99)) for t in turns]),
        "tokens_per_second": median([t.tokens / t.seconds for t in turns]),
        "cpu_ms_per_token": median([1000 * t.cpu_seconds / t.tokens for t in turns]),
        "prompt_tokens_per_new_token": median([len(t.first) * prompt / t.tokens for t in turns]),
    }


def commands(options: argparse.Namespace) -> dict[str, list[str]]:
    """The servers, on the same weights: made where they are missing."""
    work, config = options.work, SHAPES[options.model].config
    work.mkdir(parents=True, exist_ok=True)
    builds = make_models(work, options.model)
    path = work / f"{options.model}-served.gguf"
    if not path.exists():
        more = vocabulary(config["vocab_size"])
        write_gguf(open_build(builds[WIDTHS[0]]), config, path, more)
    found = {
        f"hnlpu, {bits} bits": [
            sys.executable, "-m", "hnlpu", "serve", str(build), "--port", "0", "--json",
        ]
        for bits, build in builds.items()
    }  # fmt: skip
    python, why = rival_python(work, XLLAMACPP)
    if python is None:
        sys.exit(why)
    positions = options.prompt + options.tokens + 8
    numbers = map(str, (options.threads, max(options.streams), positions))
    found[XLLAMACPP] = [python, str(HERE / "serving_llama.py"), str(path), *numbers]
    return found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every load of every server, in turns."""
    os.environ["OMP_NUM_THREADS"] = str(options.threads)  # that of our kernels, too
    random = np.random.default_rng(0)
    last = SHAPES[options.model].config["vocab_size"] - 1
    turns: dict[tuple[str, int], list[Turn]] = {}

    def prompts(count: int) -> list[list[int]]:
        found: list[list[int]] = random.integers(
            FIRST_TOKEN, last, (count, options.prompt)
        ).tolist()
        return found

    with contextlib.ExitStack() as stack:
        servers = {
            name: stack.enter_context(started(command, as_json=name != XLLAMACPP))
            for name, command in commands(options).items()
        }
        for server in servers.values():  # maps and warms
            asyncio.run(load(server, prompts(2), 4, 2))
        for _ in range(options.repeat):
            for streams in options.streams:
                asked = prompts(max(LEAST, options.rounds * streams))
                for name, server in servers.items():
                    turn = asyncio.run(load(server, asked, options.tokens, streams))
                    turns.setdefault((name, streams), []).append(turn)
    found = [
        {"server": name, "streams": streams, **figures(of, options.prompt)}
        for (name, streams), of in turns.items()
    ]
    return {
        "model": options.model,
        "machine": f"{machine()}, {os.cpu_count()} cores",
        "kernels": next(iter(instruction_sets()), "Numba"),
        "threads": options.threads, "prompt": options.prompt, "tokens": options.tokens,
        "repeat": options.repeat, "load_average": round(os.getloadavg()[0], 2), "found": found,
        "medians": {
            f"{options.model}, {f['server']}, {f['streams']} streams": 1000 / f["cpu_ms_per_token"]
            for f in found
            if f["server"] != XLLAMACPP
        },
    }  # fmt: skip


def print_text(facts: dict[str, Any]) -> None:
    """The same as a table for people."""
    print(
        f"{facts['model']}: {facts['machine']}, load average {facts['load_average']}; kernels "
        f"{facts['kernels']}, {facts['threads']} thread(s); prompts of {facts['prompt']}, answers of "
        f"{facts['tokens']} tokens, medians of {facts['repeat']} turns\n"
    )
    print(
        "| streams | server | first token, median | worst | between tokens, median | p99 | "
        "tokens/s | processor time per token |\n|---|---|---|---|---|---|---|---|"
    )
    for f in sorted(facts["found"], key=lambda f: f["streams"]):
        print(
            f"| {f['streams']} | {f['server']} | {f['first_token_p50_ms']:.0f} ms | "
            f"{f['first_token_worst_ms']:.0f} ms | {f['between_tokens_p50_ms']:.1f} ms | "
            f"{f['between_tokens_p99_ms']:.0f} ms | {f['tokens_per_second']:.1f} | "
            f"{f['cpu_ms_per_token']:.1f} ms |"
        )


def main() -> None:
    """Make what is missing, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for models (3 GB)")
    parser.add_argument("--model", choices=SHAPES, default="gpt-oss", help="(default gpt-oss)")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--threads", type=int, default=1, help="of each server (default 1)")
    parser.add_argument("--prompt", type=int, default=128, help="tokens of a prompt (default 128)")
    parser.add_argument("--tokens", type=int, default=32, help="tokens of an answer (default 32)")
    parser.add_argument("--rounds", type=int, default=2, help="requests of each stream in a turn")
    parser.add_argument("--repeat", type=int, default=3, help="turns of each load (default 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    facts = measure(options)
    if options.json:
        print(json.dumps(facts, indent=1))
    else:
        print_text(facts)


if __name__ == "__main__":
    main()
