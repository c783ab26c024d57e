"""Decode and prefill beside llama.cpp, on the same weights, in turns, on the same machine.

    random checkpoint ─► build ─┬─► hnlpu, 12-bit and 8-bit activations ─┐
                                └─► GGUF ─► xllamacpp, llama.cpp         ├─► in turns ─► ratios
                                             the machine's limits ───────┘

Models in the shapes of gpt-oss, Llama and Qwen3 with experts, every matrix in MXFP4.  Each engine is a
process of its own that waits for its turn, so what else the machine does meets all of them; medians
and ratios are reported, by the clock and by processor time, which other jobs disturb less.
`xllamacpp` is a wheel with llama.cpp for AVX2, `llama.cpp` is `llama-cpp-python`, compiled for this
processor; where one cannot be installed the table says so.  First, logits are compared: on a trained
model of the same kind and on the random one.

    python benchmarks/decode.py --work /tmp/decode
    python benchmarks/decode.py --work /tmp/decode --model llama --beside xllamacpp llama.cpp
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from decode_models import (
    CHECKPOINTS,
    SHAPES,
    WIDTHS,
    active_weights,
    make_gguf,
    make_models,
    make_trained,
    packed_bytes,
)
from decode_workers import HERE, LLAMA, XLLAMACPP, Worker, our_command, rival_command
from hnlpu.run.kernels import load
from hnlpu.run.kernels._compile import system_compiler, zig_compiler
from hnlpu.silicon.hardwire import machine

BITS_PER_WEIGHT = 4.25
CHECKED_TOKENS = 16
LEAST_CORRELATION = 0.999  # of logits, on the trained model


def make_limits(work: Path) -> Path | None:
    """The program that measures the machine's limits; None without a compiler."""
    program = work / "limits"
    compiler = system_compiler() or zig_compiler()
    if compiler is None:
        return None
    source = str(HERE / "limits.c")
    subprocess.run(
        [*compiler, "-O3", "-Wno-psabi", source, "-o", str(program), "-lpthread"], check=True
    )
    return program


def limit(program: Path | None, what: str, threads: int) -> tuple[float, float] | None:
    """GB/s read or G products/s: of so many threads by the clock, of one by its processor time.

    None where it cannot be measured.
    """
    if program is None:
        return None
    done = subprocess.run([program, what, str(threads)], capture_output=True, text=True)
    if done.returncode:
        return None
    by_clock, by_cpu = done.stdout.split()
    return float(by_clock), float(by_cpu)


def logits_of(command: list[str]) -> tuple[np.ndarray, str]:
    """The logits after CHECKED_TOKENS tokens, and what the engine says of itself."""
    worker = Worker(command, 1)
    answer = worker.ask("logits", CHECKED_TOKENS)
    worker.close()
    return np.array(answer["logits"]), str(answer.get("built", ""))


def agreement(
    work: Path, rivals: list[str], builds: dict[str, tuple[Path, Path]]
) -> dict[str, dict[str, Any]]:
    """How close each rival's logits are to ours, by the kind of weights (build, checkpoint).

    Raises SystemExit where the trained model's are not the same model's.
    """
    found: dict[str, dict[str, Any]] = {}
    for kind, (build, checkpoint) in builds.items():
        ours, _ = logits_of(our_command(build, None))
        for rival in rivals:
            command, why = rival_command(work, rival, make_gguf(build, checkpoint))
            assert command is not None, why
            theirs, built = logits_of(command)
            correlation = float(np.corrcoef(ours, theirs)[0, 1])
            if kind == "trained" and not correlation > LEAST_CORRELATION:
                sys.exit(
                    f"{rival}: logits of {build.name} correlate by {correlation:.5f}: another model"
                )
            of_rival = found.setdefault(rival, {"built": built})
            of_rival[kind] = {
                "correlation": correlation,
                "same_best": int(np.argmax(ours)) == int(np.argmax(theirs)),
            }
    return found


def take_turns(
    commands: dict[str, list[str]], threads: int, options: argparse.Namespace, limits: Path | None
) -> dict[str, Any]:
    """Every engine in turn, `repeat` times: medians by the clock and by processor time."""
    workers = {name: Worker(command, threads) for name, command in commands.items()}
    asked = {
        f"prefill {count}": ("prefill", count) for count in sorted(options.prompt, reverse=True)
    }
    asked |= {"decode": ("decode", options.tokens)}  # behind the shortest prompt
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {
        name: {what: [] for what in asked} for name in workers
    }
    bounds: dict[str, list[tuple[float, float]]] = {"read": [], "int8": []}
    for turn in range(options.repeat + 1):
        for name, worker in workers.items():
            for what, (command, count) in asked.items():
                answer = worker.ask(command, count)
                if turn:  # the first one maps and warms
                    runs[name][what].append(answer)
        for what, found in bounds.items():
            narrow = what == "int8" and options.instructions not in (None, "avx512")
            rates = limit(limits, f"{what}-avx2" if narrow else what, threads)
            if rates is not None:
                found.append(rates)
    for worker in workers.values():
        worker.close()
    engines = {
        name: {
            what: {
                "tokens_per_second": statistics.median(
                    asked[what][1] / a["seconds"] for a in answers
                ),
                "tokens_per_cpu_second": statistics.median(
                    asked[what][1] / a["cpu_seconds"] for a in answers
                ),
                "spread": [round(asked[what][1] / a["seconds"], 2) for a in answers],
            }
            for what, answers in by_command.items()
        }
        | {
            "peak_mb": max(a["peak_mb"] for a in by_command["decode"]),
            "private_mb": by_command["decode"][-1].get("private_mb"),
        }
        for name, by_command in runs.items()
    }
    limits_found = {
        what: [statistics.median(rates) for rates in zip(*found, strict=True)]
        for what, found in bounds.items()
        if found
    }
    return {
        "threads": threads,
        "what": list(asked)[::-1],
        "engines": engines,
        "limits": limits_found,
    }


def find_rivals(
    work: Path, names: list[str], model: Path
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The commands of those that are there, and why the others are not."""
    commands, missing = {}, {}
    for name in names:
        command, why = rival_command(work, name, model)
        if command is None:
            missing[name] = why
        else:
            commands[name] = command
    return commands, missing


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything."""
    work, shape = options.work, SHAPES[options.model]
    work.mkdir(parents=True, exist_ok=True)
    builds = make_models(work, options.model)
    first, checkpoint = builds[WIDTHS[0]], work / f"{options.model}-checkpoint"
    limits = make_limits(work)
    commands = {
        f"hnlpu, {bits} bits": our_command(build, options.instructions)
        for bits, build in builds.items()
    }
    asked = [] if options.alone else options.beside
    rivals, missing = find_rivals(work, asked, make_gguf(first, checkpoint) if asked else first)
    trained = make_trained(work, options.model) if rivals else first
    same = agreement(
        work, list(rivals),
        {"trained": (trained, CHECKPOINTS / shape.trained), "random": (first, checkpoint)},
    ) if rivals else {}  # fmt: skip
    library, why = load()
    c = shape.config
    numbers = 2 * c["num_hidden_layers"] * c["num_key_value_heads"] * c["head_dim"]
    facts = {
        "model": options.model,
        "machine": f"{machine()}, {os.cpu_count()} cores",
        "kernels": (options.instructions or library.instructions[0]) if library
        else f"Numba ({why})",
        "missing": missing, "agreement": same, "trained": shape.trained,
        "active_weights": active_weights(first, c),
        "packed_mb": packed_bytes(first) / 2**20,
        "cache_mb": numbers * 4 * max(*options.prompt, min(options.prompt) + options.tokens) / 2**20,
        "rivals": options.rivals, "prompt": options.prompt, "tokens": options.tokens, "repeat": options.repeat,
        "runs": [take_turns(commands | rivals, t, options, limits) for t in options.threads],
    }  # fmt: skip
    facts["load_average"] = round(os.getloadavg()[0], 2)
    facts["medians"] = {
        f"{options.model}, {name}, {what}, {run['threads']} thread(s)": engine[what][
            "tokens_per_cpu_second"
        ]
        for run in facts["runs"]
        for name, engine in run["engines"].items()
        for what in run["what"]
        if name in commands
    }
    return facts


def print_run(run: dict[str, Any], weights: float, rivals: list[str]) -> None:
    """One table: every engine and what it did; `weights` in billions a token."""
    limits = run["limits"]
    words = {"read": "memory {0:.1f} GB/s", "int8": "int8 peak {0:.0f} G products/s"}
    print(f"\n{run['threads']} thread(s)" + "".join(
        f"; {words[what].format(clock)} ({cpu:.{0 if what == 'int8' else 1}f} of one by processor time)"
        for what, (clock, cpu) in limits.items()
    ))  # fmt: skip
    print("| what | engine | tokens/s | of the limit | tokens per CPU second | of the limit | "
          "G weights per CPU second |"
          + "".join(f" times {rival}: clock | CPU |" for rival in rivals))  # fmt: skip
    print("|---|---|---|---|---|---|---|" + "---|---|" * len(rivals))
    for what in run["what"]:
        bounds = limits.get("read" if what == "decode" else "int8")
        of_bound = weights * (BITS_PER_WEIGHT / 8 if what == "decode" else 1)
        for name, engine in run["engines"].items():
            speeds = [engine[what][f"tokens_per_{by}second"] for by in ("", "cpu_")]
            shares = [
                f"{speed * of_bound / bound:.0%}"
                for speed, bound in zip(speeds, bounds or (), strict=bool(bounds))
            ] or ["-", "-"]
            times = [
                f"{speeds[0] / peer['tokens_per_second']:.2f} | "
                f"{speeds[1] / peer['tokens_per_cpu_second']:.2f}"
                for peer in (run["engines"][rival][what] for rival in rivals)
            ]
            cells = [what, name]
            for speed, share in zip(speeds, shares, strict=True):
                cells += [f"{speed:.1f}", share]
            print(f"| {' | '.join([*cells, f'{speeds[1] * weights:.1f}', *times])} |")


def print_text(facts: dict[str, Any]) -> None:
    """The same as tables for people."""
    weights, same = facts["active_weights"] / 1e9, facts["agreement"]
    print(
        f"{facts['model']}: {facts['machine']}, load average {facts['load_average']}, {facts['rivals']} "
        f"rivals; kernels {facts['kernels']}\n{weights * 1e3:.0f} M active weights, "
        f"{facts['packed_mb']:.0f} MB packed; prefill of {facts['prompt']}, decode of {facts['tokens']}, "
        f"medians of {facts['repeat']} turns"
    )
    for rival, why in facts["missing"].items():
        print(f"{rival} left out: {why}")
    for run in facts["runs"]:
        print_run(run, weights, list(same))
    print("\nmemory, MB: " + "; ".join(
        f"{name} peak {e['peak_mb']:.0f}" + (
            f", private {e['private_mb']:.0f}, "
            f"{e['peak_mb'] / (facts['packed_mb'] + facts['cache_mb']):.2f} times the packed weights "
            f"with {facts['cache_mb']:.1f} of keys and values" if e["private_mb"] else ""
        )
        for name, e in facts["runs"][-1]["engines"].items()
    ))  # fmt: skip
    for rival, of in same.items():
        print(f"{rival}: {of['built'].strip(' |')}")
        for kind, name in (("trained", facts["trained"]), ("random", facts["model"])):
            best = "the same" if of[kind]["same_best"] else "another"
            print(
                f"  {kind} ({name}), logits after {CHECKED_TOKENS} tokens: correlation "
                f"{of[kind]['correlation']:.5f}, best token {best}"
            )


def main() -> None:
    """Make what is missing, measure, print."""
    parser = argparse.ArgumentParser(description="Measure decode and prefill beside llama.cpp.")
    parser.add_argument("--work", type=Path, required=True, help="folder for models (4 GB)")
    parser.add_argument("--model", choices=SHAPES, default="gpt-oss", help="(default gpt-oss)")
    parser.add_argument("--beside", nargs="+", choices=(XLLAMACPP, LLAMA), default=[XLLAMACPP],
                        help="rivals; llama.cpp is compiled here (default xllamacpp)")  # fmt: skip
    parser.add_argument("--alone", action="store_true", help="without rivals")
    parser.add_argument("--threads", type=int, nargs="+", default=[os.cpu_count() or 1, 1])
    parser.add_argument("--prompt", type=int, nargs="+", default=[256],
                        help="tokens of prefill (default 256)")  # fmt: skip
    parser.add_argument("--tokens", type=int, default=32, help="tokens of decode (default 32)")
    parser.add_argument("--repeat", type=int, default=7, help="turns of each (default 7)")
    parser.add_argument("--rivals", type=int, default=0, help="busy processes beside (default 0)")
    parser.add_argument("--instructions", help="instruction set of our kernels (default: the best)")
    parser.add_argument("--discard", action="store_true", help="remove the models afterwards")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    rivals = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(options.rivals)
    ]
    try:
        facts = measure(options)
    finally:
        for rival in rivals:
            rival.kill()
    if options.discard:
        shutil.rmtree(options.work)
    if options.json:
        print(json.dumps(facts, indent=1))
    else:
        print_text(facts)


if __name__ == "__main__":
    main()
