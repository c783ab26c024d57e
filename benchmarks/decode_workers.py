"""The engines that decode.py lets take turns, each a process that waits for its turn.

    hnlpu: this file         xllamacpp, llama.cpp: decode_llama.py in an environment with the package

Commands and answers are lines: "prefill 256" gives the seconds of that.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np

from hnlpu.run.emulate import open_language_model
from hnlpu.run.kernels import load

HERE = Path(__file__).parent
XLLAMACPP, LLAMA = "xllamacpp", "llama.cpp"
PACKAGES = {XLLAMACPP: ("xllamacpp", "xllamacpp"), LLAMA: ("llama-cpp-python", "llama_cpp")}
"""By rival: the package, and what is imported.  The first is a wheel for AVX2; the second is compiled
here, for this processor."""


def memory() -> dict[str, float]:
    """MB of this process: at its peak and, where the system says so, now and private."""
    status = Path("/proc/self/status")
    if not status.exists():
        return {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    parts = status.read_text().split()
    names = {"peak_mb": "VmHWM:", "private_mb": "RssAnon:"}
    return {name: int(parts[parts.index(of) + 1]) / 1024 for name, of in names.items()}


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
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
        return {"seconds": seconds, "cpu_seconds": cpu_seconds, **memory()}


class Worker:
    """A process that measures on command."""

    def __init__(self, command: list[str], threads: int):
        self.process = subprocess.Popen(
            [*command, str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
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


def our_command(build: Path, instructions: str | None) -> list[str]:
    """The command of a worker of ours, without its threads."""
    return [sys.executable, str(Path(__file__)), str(build), instructions or ""]


def rival_python(work: Path, rival: str) -> tuple[str | None, str]:
    """The interpreter that imports a rival, installed where it is missing; or None and why not."""
    package, module = PACKAGES[rival]
    own = work / "rivals" / package / "bin" / "python"
    for python in (Path(sys.executable), own):
        if python.exists():
            found = f"import importlib.util as u, sys; sys.exit(not u.find_spec({module!r}))"
            if subprocess.run([python, "-c", found]).returncode == 0:
                return str(python), ""
    try:
        venv.create(own.parent.parent, with_pip=True)
        compiled = " (compiled here: many minutes)" if rival == LLAMA else ""
        print(f"installing {package}{compiled} ...", file=sys.stderr)
        install = [str(own), "-m", "pip", "install", "--quiet", package, "numpy"]
        subprocess.run(install, check=True, env=os.environ | {"CMAKE_ARGS": "-DGGML_NATIVE=ON"})
    except (OSError, subprocess.CalledProcessError) as error:
        return None, f"{package} could not be installed ({error})"
    return str(own), ""


def rival_command(work: Path, rival: str, model: Path) -> tuple[list[str] | None, str]:
    """The command of a rival's worker, without its threads; or None and why not."""
    python, why = rival_python(work, rival)
    if python is None:
        return None, why
    return [python, str(HERE / "decode_llama.py"), PACKAGES[rival][1], str(model)], ""


def main() -> None:
    """Be a worker: BUILD INSTRUCTIONS THREADS; commands in, times out."""
    ours = Ours(sys.argv[1], int(sys.argv[3]), sys.argv[2])
    for line in sys.stdin:
        command, count = line.split()
        print(json.dumps(ours.do(command, int(count))), flush=True)


if __name__ == "__main__":
    main()
