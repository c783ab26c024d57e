"""The table of docs/hardwiring-index.md:  python scripts/index_table.py [INDEX.json]

Without a file the index is computed anew, which takes about a minute of processor time; with one, what
`hnlpu index --json` or `-o` wrote is taken.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from hnlpu.system.index import Entry, hardwiring_index

PAGE = Path(__file__).parents[1] / "docs" / "hardwiring-index.md"
BEGIN, END = "<!-- index -->", "<!-- end -->"
TRIALS = 100
HEAD = (
    "model", "process", "machine", "chips", "all dies, mm²", "masks a chip", "tokens/s at most",
    "masks and design, M$", "re-spin, M$", "$ a million tokens", "pays above, tokens a day",
    "best found, times the tokens a dollar",
)  # fmt: skip


def row(e: dict[str, Any]) -> list[str]:
    """An entry that makes a machine as cells."""
    above, best = e["pays_above"], e["best_times_tokens_per_usd"]
    volume = "not known" if above is None else "at no volume"
    if isinstance(above, float) and math.isfinite(above):
        volume = f"{above:.2g}"
    return [
        e["model"], e["technology"], e["machine"], f"{e['chips']:,}", f"{e['silicon_mm2']:,.0f}",
        f"{e['chip_masks']}", f"{e['tokens_per_second']:,.0f}", f"{e['nre_musd']:,.3g}",
        f"{e['respin_musd']:,.3g}", f"{e['usd_per_mtoken']:,.3g}", volume,
        "" if best is None else f"{best:.2f}",
    ]  # fmt: skip


def table(entries: list[dict[str, Any]]) -> str:
    """Entries with a machine, and then how many there are without one, by process."""
    lines = [list(HEAD), ["---"] * len(HEAD)]
    lines += [row(e) for e in entries if not e["problem"]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def page(entries: list[dict[str, Any]]) -> str:
    """The page with its table as computed."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(entries)}\n{END}{after}"


def facts(entries: list[Entry]) -> list[dict[str, Any]]:
    """Entries by name of value."""
    return [entry.facts() for entry in entries]


if __name__ == "__main__":
    given = sys.argv[1:]
    found = (
        json.loads(Path(given[0]).read_text("utf-8"))["entries"]
        if given
        else facts(hardwiring_index(trials=TRIALS))
    )
    PAGE.write_text(page(found), "utf-8")
