"""The main job on the bundled model, from checkpoint to masks, RTL, report and machine:  make demo

Runs the same commands that a user would type, prints each before it runs, and
says at the end where the report is.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROMPT = 'def is_text(path):\n    """Return True if'
HELD_OUT_BYTES = 60_000
ROUTER = "model.layers.0.mlp.router"
TILE = "model.layers.0.mlp.experts.gate_up_proj.e0.n32.b0"


def run(*words: str | Path) -> None:
    """Print and run one hnlpu command; ends the demo with its exit code if it fails."""
    line = shlex.join(str(w) for w in words).replace("\n", "\\n")
    print(f"\n$ hnlpu {line}", flush=True)
    done = subprocess.run([sys.executable, "-m", "hnlpu", *map(str, words)], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def shown(path: Path) -> Path:
    """`path` as seen from where the user stands, if it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def main() -> None:
    parser = argparse.ArgumentParser(description="Hardwire the bundled model and let it talk.")
    parser.add_argument("--model", type=Path, default=ROOT / "checkpoints" / "stdlib-8m")
    parser.add_argument("--out", type=Path, default=ROOT / "demo")
    args = parser.parse_args()
    model, out = shown(args.model.resolve()), shown(args.out.resolve())
    build, text = out / "stdlib-8m", out / "held-out.txt"
    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    print("The first run compiles the kernels, which takes half a minute.")
    run("build", model, "-o", build)
    print("\nProof: every byte, every weight, the arithmetic, and the metal, drawn and read back:")
    run("verify", build, "--masks")
    print(
        "\nOne tile as mask data with its fixed metal, checked from its file; and a picture of it:"
    )
    tile = out / "tile"
    if tile.exists():
        shutil.rmtree(tile)
    run("masks", build, "--tile", TILE, "--with-base", "-o", tile)
    run("verify", build, "--masks-from", tile)
    run("masks", build, "--tile", TILE, "--png", "-o", out / "tile.png")
    print(
        "\nTwo neurons of the router as SystemVerilog, simulated and held to the golden integers:"
    )
    rtl = out / "rtl"
    if rtl.exists():
        shutil.rmtree(rtl)
    neurons = ("--neurons", "2", "--vectors", "640", "--simulate")
    run("rtl", build, "--matrix", ROUTER, *neurons, "-o", rtl)
    print(f"\nThe hardwired model continues {PROMPT!r}:")
    run(
        "generate",
        build,
        "--prompt",
        PROMPT,
        "--max-tokens",
        "160",
        "--temperature",
        "0.6",
        "--seed",
        "1",
    )
    print(
        "\nHeld-out text, never trained on (modules of your own Python's standard library):",
        flush=True,
    )
    corpus = [ROOT / "training" / "corpus.py", "--held-out", text, "--bytes", str(HELD_OUT_BYTES)]
    subprocess.run([sys.executable, *map(str, corpus)], check=True)
    print("\nThe float model, in float32:")
    run("score", model, "--file", text)
    print("\nThe hardwired model, in integers:")
    run("score", build, "--file", text)
    report = out / "report.html"
    run("report", build, "--text", text, "--prompt", PROMPT, "-o", report)
    print("\nIts own machine: how fast the chip would be, and what it would cost:")
    run("design", build)
    run("simulate", build)
    run("cost", build)
    print("\nThe same model at 130 nm, on one die of an open process:")
    run("design", model, "--technology", "sky130")
    run("cost", model, "--system", "sky130-one")
    print(
        f"\nDone in {time.monotonic() - began:.0f} s. Open the report: {report.resolve().as_uri()}"
    )


if __name__ == "__main__":
    main()
