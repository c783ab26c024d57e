"""What a format of exchange costs: perplexity of a bundled model on several chips, beside bytes and rate.

    python benchmarks/exchange.py checkpoints/stdlib-140k --grid 2x2
    python benchmarks/exchange.py checkpoints/stdlib-8m --grid 4x2

Prints the Markdown tables of docs/machine.md, or JSON.  Perplexity is over an excerpt of the held-out
modules, as benchmarks/numerics.py has it, in machine numerics: each chip with its slices.  The change is
against exact exchange, with twice its standard error (differences token by token).  Bytes are those of the
busiest link, and tokens/s those of the closed form, on the chips of the build in this grid, designed with
this exchange.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import hnlpu
from hnlpu.arithmetic.exchange import Exchange, ExchangeFormats, parse_formats
from hnlpu.run.emulate import hardwired
from hnlpu.silicon.exchange import slices_on
from hnlpu.silicon.hardwire import Build, open_build
from hnlpu.silicon.place import make_target
from hnlpu.system.design import design
from hnlpu.system.machine import closed_form, parse_grid, token_link_bytes, token_work

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
import corpus

EXCHANGES = (
    "exact", "vector", "fp16", "int8", "sums=fp16", "attention=fp16", "experts=fp16",
    "attention=fp16,experts=fp16", "sums=int8", "attention=int8", "experts=int8",
)  # fmt: skip


def logprobs_of(build: Build, grid: tuple[int, int], formats: ExchangeFormats, text: str) -> Any:
    """Log-probabilities of a text's tokens, and processor seconds."""
    on = slices_on(build.matrices(), *grid)
    exchange = Exchange(formats, "scatter", "scatter")
    model = hardwired(build, numerics="machine", machine=lambda _: (exchange, on))
    began = time.process_time()
    found = model.score([0, *model.encode(text).tolist()]).logprobs
    return np.array(found), time.process_time() - began


def machine_of(folder: Path, formats: ExchangeFormats) -> tuple[float, float, float]:
    """Bytes a token of the busiest link of a row and of a column, and tokens/s, of a build's own chips."""
    made = design(str(folder))
    target = made.target()
    spec = replace(
        target.specification, formats=formats, collective="scatter", sampling="candidates"
    )
    work = token_work(target.model, spec.rows, spec.columns, target.windows)
    row, column = token_link_bytes(spec, work)
    rate = closed_form(spec, target.model, made.context, made.users, sliding=target.windows)
    return row, column, rate.tokens_per_second


def rows_of(checkpoint: Path, grid: tuple[int, int], size: int) -> list[dict[str, Any]]:
    """A row for each exchange."""
    text = corpus.excerpt(corpus.held_out_documents(), size)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "build"
        target = make_target(chips=grid[0] * grid[1])
        hnlpu.build(checkpoint, folder, hnlpu.make_policy(activation_bits=8), target)
        build = open_build(folder)
        exact: Any = None
        for name in EXCHANGES:
            formats = parse_formats(name)
            found, seconds = logprobs_of(build, grid, formats, text)
            exact = found if exact is None else exact
            differences = exact - found
            error = 2 * differences.std(ddof=1) / math.sqrt(len(found))
            row, column, rate = machine_of(folder, formats)
            rows.append({
                "exchange": name, "perplexity": math.exp(-found.mean()),
                "change": math.expm1(differences.mean()), "two_errors": error,
                "row_bytes": row, "column_bytes": column, "tokens_per_second": rate,
                "tokens": len(found), "seconds": round(seconds, 1),
            })  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--grid", default="2x2")
    parser.add_argument("--bytes", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = rows_of(args.checkpoint, parse_grid(args.grid), args.bytes)
    if args.json:
        print(json.dumps(rows, indent=1))
        return
    print("| exchange | perplexity | change | bytes a token, row link | column link | tokens/s |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        change = (
            ""
            if row["exchange"] == "exact"
            else (f"{100 * row['change']:+.3f} ± {100 * row['two_errors']:.3f} %")
        )
        print(
            f"| {row['exchange'].replace('=', ' ')} | {row['perplexity']:.4f} | {change} "
            f"| {row['row_bytes']:,.0f} | {row['column_bytes']:,.0f} "
            f"| {row['tokens_per_second']:,.0f} |"
        )
    print(
        f"\n{rows[0]['tokens']:,} tokens, {sum(row['seconds'] for row in rows):,.0f} s of processor time"
    )


if __name__ == "__main__":
    main()
