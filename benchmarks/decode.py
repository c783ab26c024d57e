"""Decode and prefill beside llama.cpp, on the same weights, in turns, on the same machine.

    synthetic checkpoint ─► build ─┬─► hnlpu, 12-bit and 8-bit activations ─┐
                                   └─► GGUF ─► llama.cpp                    ├─► in turns ─► ratios
                                                the machine's limits ───────┘

A gpt-oss-shaped model with every matrix in MXFP4.  Each engine is a process of
its own that waits for its turn, so what else the machine does meets all of
them; medians and ratios are reported, by the clock and by processor time of
one thread, which other jobs disturb less.  llama.cpp (`llama-cpp-python`) is
installed into an environment of its own under --work; where that fails the
table says so.

    python benchmarks/decode.py --work /tmp/decode
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np

from hnlpu.run.emulate import open_language_model
from hnlpu.run.kernels import load
from hnlpu.run.kernels._compile import system_compiler, zig_compiler
from hnlpu.silicon.hardwire import machine, open_build
from synthetic import GPT_OSS_20B, write_checkpoint

HERE = Path(__file__).parent
BUNDLED = HERE.parent / "checkpoints" / "stdlib-8m"
SHAPE = {
    "hidden_size": 1024, "intermediate_size": 1024, "num_hidden_layers": 12,
    "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 64, "vocab_size": 8192,
    "eos_token_id": 8191,
}  # fmt: skip
FORMATS = [f"--{role}=mxfp4" for role in ("attention", "router", "experts", "unembedding")]
WIDTHS = (12, 8)  # activation bits: the default, and what llama.cpp rounds activations to
LLAMA = "llama.cpp"
BITS_PER_WEIGHT = 4.25
CHECKED_TOKENS = 16


class Ours:
    """hnlpu as a worker: the same commands as decode_llama.py's."""

    def __init__(self, build: str, threads: int, instructions: str):
        library, _ = load()
        if library is not None:
            library.set_threads(threads)
            if instructions:
                library.choose(instructions)
        self.transformer = open_language_model(build).transformer
        self.vocabulary = self.transformer.architecture.vocab_size
        self.cache = self.transformer.new_cache()
        self.random = np.random.default_rng(0)

    def feed(self, tokens: Any) -> Any:
        """Run tokens through the model; logits of the last one."""
        hidden = self.transformer.forward(np.asarray(tokens), self.cache, last=True)
        return self.transformer.logits(hidden)[0]

    def do(self, command: str, count: int) -> dict[str, Any]:
        """One command."""
        if command == "logits":
            self.cache = self.transformer.new_cache()
            tokens = np.random.default_rng(1).integers(3, self.vocabulary, count)
            return {"logits": self.feed(tokens).tolist()}
        tokens = self.random.integers(3, self.vocabulary, count)
        if command == "prefill":
            self.cache = self.transformer.new_cache()
        began, cpu = time.perf_counter(), time.process_time()
        if command == "prefill":
            self.feed(tokens)
        else:
            for token in tokens:
                self.feed([token])
        a, cache = self.transformer.architecture, self.cache
        numbers = 2 * a.num_hidden_layers * a.key_value_width * cache.length
        status = Path("/proc/self/status")
        parts = status.read_text().split() if status.exists() else []
        return {
            "seconds": time.perf_counter() - began,
            "cpu_seconds": time.process_time() - cpu,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "cache_mb": numbers * cache.kind.itemsize / 2**20,
            "private_mb": int(parts[parts.index("RssAnon:") + 1]) / 1024 if parts else None,
        }


class Worker:
    """A process that measures on command."""

    def __init__(self, command: list[str]):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, command: str, count: int) -> dict[str, Any]:
        """Give a command and wait for its line."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{command} {count}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{' '.join(map(str, self.process.args))} ended early")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def make_models(work: Path) -> dict[int, Path]:
    """The synthetic checkpoint and its builds, by activation bits, where they are missing."""
    checkpoint = work / "checkpoint"
    if not checkpoint.exists():
        write_checkpoint(checkpoint, GPT_OSS_20B | SHAPE, 0)
    builds = {}
    for bits in WIDTHS:
        builds[bits] = work / f"build-{bits}"
        if not builds[bits].exists():
            words = ["build", str(checkpoint), "-o", str(builds[bits]), *FORMATS]
            words.append(f"--activation-bits={bits}")
            subprocess.run([sys.executable, "-m", "hnlpu", *words], stdout=sys.stderr, check=True)
    return builds


def make_llama(work: Path, build: Path) -> tuple[list[str] | None, str]:
    """The command of a llama.cpp worker without its threads, or None and why not."""
    from gguf_writer import write_gguf

    python, model = work / "llama" / "bin" / "python", work / "model.gguf"
    try:
        if not python.exists():
            venv.create(work / "llama", with_pip=True)
        found = subprocess.run([python, "-c", "import llama_cpp"], capture_output=True)
        if found.returncode:
            print("installing llama-cpp-python (compiled here: minutes) ...", file=sys.stderr)
            install = [python, "-m", "pip", "install", "--quiet", "llama-cpp-python", "numpy"]
            subprocess.run(install, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return None, f"llama-cpp-python could not be installed ({error})"
    if not model.exists():
        write_gguf(open_build(build), model)
    return [str(python), str(HERE / "decode_llama.py"), str(model)], ""


def make_limits(work: Path) -> Path | None:
    """The program that measures the machine's limits; None without a compiler."""
    program = work / "limits"
    compiler = system_compiler() or zig_compiler()
    if compiler is None:
        return None
    source = str(HERE / "limits.c")
    subprocess.run([*compiler, "-O3", source, "-o", str(program), "-lpthread"], check=True)
    return program


def limit(program: Path | None, what: str, threads: int) -> float | None:
    """GB/s read or G products/s by so many threads; None where it cannot be measured."""
    if program is None:
        return None
    done = subprocess.run([program, what, str(threads)], capture_output=True, text=True)
    return float(done.stdout) if done.returncode == 0 else None


def active_weights(build: Path) -> int:
    """Weights that one token meets."""
    opened = open_build(build)
    a = opened.architecture
    share = {"experts": a.num_experts_per_tok}
    return sum(s.rows * s.columns * share.get(s.role, s.count) for s in opened.shapes().values())


def packed_bytes(build: Path) -> int:
    """Bytes of the build's tensors."""
    return sum(path.stat().st_size for path in (build / "weights").glob("*.safetensors"))


def agreement(work: Path, llama: list[str]) -> dict[str, Any]:
    """How close llama.cpp's logits are to ours on the bundled model, which is trained.

    In the synthetic one the smallest rounding changes which experts fire.
    """
    from gguf_writer import write_gguf

    build, model = work / "bundled", work / "bundled.gguf"
    if not build.exists():
        words = ["build", str(BUNDLED), "-o", str(build), *FORMATS]
        subprocess.run([sys.executable, "-m", "hnlpu", *words], stdout=sys.stderr, check=True)
    write_gguf(open_build(build), model)
    commands = ([sys.executable, __file__, "--worker", str(build), ""], [*llama[:-1], str(model)])
    logits = []
    for command in commands:
        worker = Worker([*command, "1"])
        logits.append(np.array(worker.ask("logits", CHECKED_TOKENS)["logits"]))
        worker.close()
    ours, theirs = logits
    return {
        "correlation": float(np.corrcoef(ours, theirs)[0, 1]),
        "same_best": int(np.argmax(ours)) == int(np.argmax(theirs)),
    }


def take_turns(
    commands: dict[str, list[str]], threads: int, options: argparse.Namespace, limits: Path | None
) -> dict[str, Any]:
    """Every engine in turn, `repeat` times: medians by the clock and by processor time."""
    workers = {name: Worker([*command, str(threads)]) for name, command in commands.items()}
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {
        name: {"prefill": [], "decode": []} for name in workers
    }
    bounds: dict[str, list[float]] = {"read": [], "int8": []}
    for turn in range(options.repeat + 1):
        for name, worker in workers.items():
            for what, count in (("prefill", options.prompt), ("decode", options.tokens)):
                answer = worker.ask(what, count)
                if turn:  # the first one maps and warms
                    runs[name][what].append(answer)
        for what, found in bounds.items():
            narrow = what == "int8" and options.instructions not in (None, "avx512")
            rate = limit(limits, f"{what}-avx2" if narrow else what, threads)
            if rate is not None:
                found.append(rate)
    for worker in workers.values():
        worker.close()
    count = {"prefill": options.prompt, "decode": options.tokens}
    engines = {
        name: {
            what: {
                "tokens_per_second": statistics.median(count[what] / a["seconds"] for a in answers),
                "tokens_per_cpu_second": statistics.median(
                    count[what] / a["cpu_seconds"] for a in answers
                ),
            }
            for what, answers in by_command.items()
        }
        | {
            "peak_mb": max(a["peak_mb"] for a in by_command["decode"]),
            "private_mb": by_command["decode"][-1].get("private_mb"),
            "cache_mb": by_command["decode"][-1].get("cache_mb"),
        }
        for name, by_command in runs.items()
    }
    limits_found = {what: statistics.median(found) for what, found in bounds.items() if found}
    return {"threads": threads, "engines": engines, "limits": limits_found}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything."""
    options.work.mkdir(parents=True, exist_ok=True)
    builds = make_models(options.work)
    limits = make_limits(options.work)
    commands = {
        f"hnlpu, {bits} bits": [
            sys.executable,
            __file__,
            "--worker",
            str(build),
            options.instructions or "",
        ]
        for bits, build in builds.items()
    }
    llama, reason = None, "left out"
    if not options.alone:
        llama, reason = make_llama(options.work, builds[WIDTHS[0]])
    same = None
    if llama is not None:
        commands[LLAMA] = llama
        same = agreement(options.work, llama)
    library, why = load()
    facts = {
        "machine": f"{machine()}, {os.cpu_count()} cores",
        "kernels": (options.instructions or library.instructions[0]) if library
        else f"Numba ({why})",
        "llama": reason or "present", "agreement": same,
        "active_weights": active_weights(builds[WIDTHS[0]]),
        "packed_mb": packed_bytes(builds[WIDTHS[0]]) / 2**20,
        "rivals": options.rivals, "prompt": options.prompt, "tokens": options.tokens, "repeat": options.repeat,
        "runs": [take_turns(commands, t, options, limits) for t in options.threads],
    }  # fmt: skip
    facts["load_average"] = round(os.getloadavg()[0], 2)
    facts["medians"] = {
        f"{name}, {what}, {run['threads']} thread(s)": engine[what]["tokens_per_cpu_second"]
        for run in facts["runs"]
        for name, engine in run["engines"].items()
        for what in ("decode", "prefill")
        if name != LLAMA
    }
    return facts


def print_text(facts: dict[str, Any]) -> None:
    """The same as tables for people."""
    weights = facts["active_weights"] / 1e9
    print(
        f"{facts['machine']}, load average {facts['load_average']}, {facts['rivals']} rivals; kernels {facts['kernels']}; "
        f"{LLAMA} {facts['llama']}\n{weights * 1e3:.0f} M active weights, {facts['packed_mb']:.0f} MB "
        f"packed; prefill of {facts['prompt']}, decode of {facts['tokens']}, medians of "
        f"{facts['repeat']} turns"
    )
    for run in facts["runs"]:
        limits = run["limits"]
        memory = limits["read"] * 8 / BITS_PER_WEIGHT if "read" in limits else None
        peak = limits.get("int8")
        print(f"\n{run['threads']} thread(s)" + (
            f"; memory {limits['read']:.1f} GB/s = {memory:.1f} G weights/s" if memory else ""
        ) + (f"; int8 peak {peak:.0f} G products/s" if peak else ""))  # fmt: skip
        print("| engine | what | tokens/s | G weights/s | of the limit | tokens per CPU second "
              "| times llama.cpp: clock | CPU |")  # fmt: skip
        print("|---|---|---|---|---|---|---|---|")
        peer = run["engines"].get(LLAMA)
        for name, engine in run["engines"].items():
            for what, bound in (("decode", memory), ("prefill", peak)):
                rates = engine[what]
                speed, cpu = rates["tokens_per_second"], rates["tokens_per_cpu_second"]
                times = (
                    f"{speed / peer[what]['tokens_per_second']:.2f} | "
                    f"{cpu / peer[what]['tokens_per_cpu_second']:.2f}" if peer else "- | -"
                )  # fmt: skip
                share = f"{speed * weights / bound:.0%}" if bound else "-"
                print(f"| {name} | {what} | {speed:.1f} | {speed * weights:.1f} | {share} | "
                      f"{cpu:.1f} | {times} |")  # fmt: skip
    last = facts["runs"][-1]
    print("\nmemory, MB: " + "; ".join(
        f"{name} peak {e['peak_mb']:.0f}" + (f", private {e['private_mb']:.0f}" if e["private_mb"] else "")
        + (f", {e['peak_mb'] / (facts['packed_mb'] + e['cache_mb']):.2f} times the packed weights with "
           f"{e['cache_mb']:.1f} of keys and values" if e["cache_mb"] else "")
        for name, e in last["engines"].items()
    ))  # fmt: skip
    same = facts["agreement"]
    if same:
        print(
            f"bundled model, logits after {CHECKED_TOKENS} tokens beside {LLAMA}'s: correlation "
            f"{same['correlation']:.5f}, best token {'the same' if same['same_best'] else 'another'}"
        )


def serve(build: str, instructions: str, threads: int) -> None:
    """Be a worker: commands in, times out."""
    ours = Ours(build, threads, instructions)
    for line in sys.stdin:
        command, count = line.split()
        print(json.dumps(ours.do(command, int(count))), flush=True)


def main() -> None:
    """Make what is missing, measure, print."""
    if sys.argv[1:2] == ["--worker"]:
        serve(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description="Measure decode and prefill beside llama.cpp.")
    parser.add_argument("--work", type=Path, required=True, help="folder for models (3 GB)")
    parser.add_argument("--threads", type=int, nargs="+", default=[os.cpu_count() or 1, 1])
    parser.add_argument("--prompt", type=int, default=256, help="tokens of prefill (default 256)")
    parser.add_argument("--tokens", type=int, default=32, help="tokens of decode (default 32)")
    parser.add_argument("--repeat", type=int, default=7, help="turns of each (default 7)")
    parser.add_argument("--rivals", type=int, default=0, help="busy processes beside (default 0)")
    parser.add_argument("--instructions", help="instruction set of the kernels (default: the best)")
    parser.add_argument("--alone", action="store_true", help="without llama.cpp")
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
