"""Which step of `hnlpu compress` buys most area per point of perplexity, on the bundled models.

    python -m benchmarks compress --work /tmp/compress                        # every model, about an hour of a core
    python -m benchmarks compress --work /tmp/compress --models llama-90k --tokens 4096

Each step alone, decided on a module of Python's standard library that the models were trained on, judged on modules
that they never saw.  Perplexities are those of the builds' integers, areas those of `hnlpu place` in n5, taps.
What is in --work already is not made again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from hnlpu.insight.compress import LEDGER, Ledger, Task, compress, parse_steps
from hnlpu.model.policy import make_policy
from hnlpu.silicon.place import make_target

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "training"))
import corpus  # noqa: E402  beside the models' training

DECIDED_ON = ("argparse.py", "inspect.py", "typing.py")
DENSE = (
    "finercut:remove=1", "amp:share=0.25,of=neurons", "amp:share=0.5,of=heads",
    "amp:share=0.25,of=neurons,by=\"magnitude\"",
)  # fmt: skip
MIXED = (
    "finercut:remove=1", "amp:share=0.25,of=neurons", "amp:share=0.5,of=heads",
    "experts:share=0.25", "experts:share=0.25,by=\"count\"",
)  # fmt: skip
STEPS = {"llama-90k": DENSE, "qwen3-90k": DENSE, "stdlib-140k": MIXED, "stdlib-8m": MIXED}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder that results are kept in")
    parser.add_argument("--models", nargs="+", choices=sorted(STEPS), default=sorted(STEPS))
    parser.add_argument("--tokens", type=int, default=8192, help="read of each text")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    decided, judged = texts()
    figures = {}
    print("| model | step | perplexity | weights | arrays, mm2 | saved | saved per 1 % |")
    print("|---|---|---|---|---|---|---|")
    for model in chosen.models:
        for number, step in enumerate(STEPS[model]):
            task = Task(
                ROOT / "checkpoints" / model, parse_steps([step]), decided,
                make_target("n5", "taps", 1), make_policy("default"), judged, chosen.tokens,
                allow_uncovered=True,
            )  # fmt: skip
            out = chosen.work / f"{model}-{number}-{chosen.tokens}"
            found = (
                Ledger.model_validate_json((out / LEDGER).read_text())
                if (out / LEDGER).exists()
                else compress(task, out)
            )
            figures[f"{model} {step}"] = row(model, step, found)
    print(json.dumps(figures))
    return 0


def texts() -> tuple[str, str]:
    """Modules that the models were trained on, and some that were held out."""
    library = {document.name: document.text for document in corpus.training_documents()}
    decided = "".join(library[name] for name in DECIDED_ON)
    return decided, "".join(document.text for document in corpus.held_out_documents())


def row(model: str, step: str, found: Ledger) -> float | None:
    """A line of the table; the share of area that is saved per share of perplexity, if anything was lost."""
    before, after = found.stages
    lost = after.perplexity / before.perplexity - 1
    saved = 1 - after.arrays_mm2 / before.arrays_mm2
    per = saved / lost if lost > 0 else None
    print(
        f"| {model} | `{step}` | {after.perplexity:.4g} ({100 * lost:+.3g} %) | "
        f"{100 * after.weights / before.weights:.3g} % | {after.arrays_mm2:.4g} | {100 * saved:.3g} % | "
        f"{'nothing is lost' if per is None else f'{per:.3g} %'} |",
        flush=True,
    )
    return per


if __name__ == "__main__":
    sys.exit(main())
