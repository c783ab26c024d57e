"""The table of docs/design.md: designs of bundled and of catalog models."""

from __future__ import annotations

import sys
from pathlib import Path

from hnlpu.system.cost import OwnershipPlan, cost
from hnlpu.system.design import design

PAGE = Path(__file__).parents[1] / "docs" / "design.md"
CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
MODELS = (
    ("stdlib-140k", "sky130"), ("stdlib-140k", "n5"), ("gru-106k", "n5"), ("llama-90k", "n5"),
    ("stdlib-8m", "sky130"), ("stdlib-8m", "n5"), ("llama-3.1-8b", "n5"), ("gpt-oss-20b", "n5"),
    ("gpt-oss-120b", "n5"),
)  # fmt: skip
BEGIN, END = "<!-- designs -->", "<!-- end -->"


def table() -> str:
    """Rows of all designs at their default target."""
    head = [
        "model", "process", "chips", "die, mm²", "arrays, mm²", "vector unit, mm²", "buffer, MB",
        "memory beside a chip", "users, positions", "tokens/s at most", "limit", "3 years, M$",
    ]  # fmt: skip
    lines = [head, ["---"] * len(head)]
    for name, process in MODELS:
        folder = CHECKPOINTS / name
        made = design(str(folder) if folder.exists() else name, technology=process)
        machine, rate = made.system.machine, made.rate()
        assert machine
        hbm = machine.hbm
        found = cost(made.system, made.subject, OwnershipPlan(), trials=20)
        lines.append(
            [
                name, process, str(made.system.chips), f"{made.system.die.area.value:,.3g}",
                f"{made.system.area_for('neuron arrays'):,.3g}",
                f"{made.system.area_for('vector unit'):,.3g}", f"{machine.buffer.capacity.value:,.3g}",
                f"{hbm.stacks} x {hbm.capacity.value:g} GB" if hbm else "none",
                f"{made.users:,}, {made.context:,}", f"{rate.tokens_per_second:,.0f}", rate.resource,
                f"{float(found.value.tco_musd):,.3g}",
            ]
        )  # fmt: skip
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def page() -> str:
    """The page with its table as computed."""
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    if "--check" in sys.argv:
        fresh = PAGE.read_text("utf-8") == page()
        print("up to date" if fresh else f"{PAGE}: run python scripts/design_tables.py")
        sys.exit(not fresh)
    PAGE.write_text(page(), "utf-8")
