"""`hnlpu demo`: the main job with the model that comes with the package, command by command."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from hnlpu._bundled import bundled_model
from hnlpu._paths import absolute
from hnlpu.cli._app import app
from hnlpu.cli._options import Json
from hnlpu.cli._output import out, print_json
from hnlpu.errors import OutputExists

PROMPT = "def add(self, "


@app.command()
def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder to make, with all that comes out.")
    ] = Path("hnlpu-demo"),
    technology: Annotated[
        str, typer.Option(help="Process, as of build; its masks must be drawable.")
    ] = "sky130",
    json: Json = False,
) -> None:
    """Hardwire the bundled model, prove it, let it talk, and say what its chip does and costs."""
    folder = absolute(output)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputExists(f"{output}: is there already; remove it or choose another with `output`")
    model = bundled_model()
    build = output / model.name
    pages = {"report": output / "report.html", "cost": output / "cost.html"}
    design = output / "design.toml"
    folder.mkdir(parents=True, exist_ok=True)
    steps: list[dict[str, Any]] = []
    began = time.monotonic()
    for said, words in (
        ("Every weight of a small gpt-oss, trained on Python, becomes metal:",
         ("build", model, "-o", build, "--technology", technology)),
        ("Proof: every byte, every weight, the arithmetic, and the metal, drawn and read back:",
         ("verify", build, "--masks")),
        ("The hardwired model writes:",
         ("generate", build, "--prompt", PROMPT, "--max-tokens", "60")),
        ("Its chip, each part with its reason:", ("design", build, "-o", design)),
        ("How fast that chip is:", ("simulate", build)),
        ("What it costs:", ("cost", build, "--report", pages["cost"])),
        ("All of it as a page:", ("report", build, "-o", pages["report"])),
    ):  # fmt: skip
        steps.append(_step(said, [str(word) for word in words], quiet=json))
    facts = {
        "model": str(model), "technology": technology, "build": str(build), "design": str(design),
        "pages": {name: str(page) for name, page in pages.items()}, "steps": steps,
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
    if json:
        print_json(facts)
        return
    out.print(f"\nDone in {facts['seconds']:.0f} s.  Open {pages['report']} and {pages['cost']}.")
    out.print(
        "Your own model: hnlpu build FOLDER -o build/mine;  what there is: hnlpu catalog list"
    )


def _step(said: str, words: list[str], *, quiet: bool) -> dict[str, Any]:
    """Run a command as a user would; ends the demo with its exit code where it fails."""
    line = f"hnlpu {shlex.join(words)}"
    if not quiet:
        out.print(f"\n{said}\n$ {line}")
        sys.stdout.flush()
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "hnlpu", *words],
        check=False, stdout=subprocess.DEVNULL if quiet else None,
    )  # fmt: skip
    if done.returncode:
        raise typer.Exit(done.returncode)
    return {"command": line, "seconds": round(time.monotonic() - began, 2)}
