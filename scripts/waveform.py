"""Waveforms of a chip (VCD) -> a drawing of one token on its way through.

    hnlpu chip BUILD -o OUT --simulate --prompt A --prompt B --max-tokens 3 --trace wave.vcd
    python scripts/waveform.py BUILD wave.vcd docs/images/chip-token.svg

A row a part of the chip: what the lanes do for the token, what they do for others, which arrays work,
the attention unit, the sampler, the handshakes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hnlpu.insight.report._svg import element, join, line, text
from hnlpu.silicon.hardwire import open_build
from hnlpu.silicon.rtl.chip import Op, Program, chip_shape, make_program

WIDTH, LEFT, ROW, TOP = 1180, 150, 22, 46
COLOURS = {
    "norm": "#7c5cbf", "quantize": "#2f7dd1", "arrays": "#1f9e89", "RoPE": "#d98c21",
    "attention": "#c2477f", "experts": "#4c9a2a", "SwiGLU": "#8a6d3b", "sum": "#5b6b7b",
    "embedding": "#99582a", "sampling": "#b5382b",
}  # fmt: skip
KINDS = {
    Op.SQUARES: "norm", Op.PEAK: "quantize", Op.SETTLE: "quantize",
    Op.QUANTIZE: "quantize", Op.READ: "arrays", Op.ACQUIRE: "arrays", Op.ISSUE: "arrays",
    Op.AWAIT: "arrays", Op.RELEASE: "arrays", Op.ANGLE: "RoPE", Op.KEYS: "attention",
    Op.VALUES: "attention", Op.QUERY: "attention", Op.MIXED: "attention", Op.TOP: "experts",
    Op.SHARES: "experts", Op.CLAMP: "SwiGLU", Op.SIGMOID: "SwiGLU", Op.EMBED: "embedding",
    Op.LOGITS: "sampling", Op.SKIP: "sampling", Op.TAKE: "sampling", Op.FINISH: "sampling",
}  # fmt: skip
STYLE = """
text { font: 12px sans-serif; fill: #333 } .small { font-size: 11px; fill: #666 }
.grid { stroke: #ddd } .wave { stroke: #333; fill: none } .others { fill: #c9ced6 }
"""
NAMES = ("in_valid", "in_ready", "out_valid", "out_ready", "place", "issue", "done", "free", "id",
         "execute", "running")  # fmt: skip


@dataclass
class Cycle:
    """Signals just before a rising edge."""

    values: dict[str, int] = field(default_factory=dict)

    def __getitem__(self, name: str) -> int:
        return self.values[name]


def read_vcd(path: Path) -> Iterator[Cycle]:
    """The signals of NAMES, a cycle at a time."""
    codes: dict[str, str] = {}
    values = dict.fromkeys(NAMES, 0)
    with path.open(encoding="ascii") as file:
        for row in file:
            words = row.split()
            if words[:1] == ["$var"] and words[4] in NAMES and words[4] not in codes.values():
                codes[words[3]] = words[4]
            if words[:1] == ["$enddefinitions"]:
                break
        for row in file:
            if row[0] == "#":
                if int(row[1:]) % 2 == 1:
                    yield Cycle(dict(values))
            elif row[0] == "b":
                bits, code = row[1:].split()
                if code in codes:
                    values[codes[code]] = int(bits.replace("x", "0"), 2)
            elif row[0] in "01" and row[1:].strip() in codes:
                values[codes[row[1:].strip()]] = int(row[0])


def kind_of(program: Program, place: int) -> str:
    """What an instruction is for."""
    one = program.instructions[place]
    if one.op in KINDS:
        return KINDS[one.op]
    if one.op == Op.ADD:
        return "SwiGLU" if one.immediate else "sum"
    operand = one.operand.name
    if operand in ("INVERSE", "PARAMETER"):
        return "norm"
    if operand in ("COSINE", "SINE"):
        return "RoPE"
    if operand == "SHARE":
        return "experts"
    return "attention" if one.shift == 20 else "SwiGLU"


def spans(flags: list[object]) -> Iterator[tuple[int, int, object]]:
    """(first, end, value) of runs of equal values that are not None."""
    start = 0
    for n in range(1, len(flags) + 1):
        if n == len(flags) or flags[n] != flags[start]:
            if flags[start] is not None:
                yield start, n, flags[start]
            start = n


def main() -> None:
    build, vcd, out = open_build(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    program = make_program(chip_shape(build))
    cycles = list(read_vcd(vcd))
    finish = len(program.instructions) - 1
    ends = [
        n for n, c in enumerate(cycles) if c["execute"] and c["id"] == 0 and c["place"] == finish
    ]
    first, last = ends[-3] + 1, ends[-2] + 1
    window = cycles[first : last + 12]
    scale = (WIDTH - LEFT - 20) / len(window)

    def x(n: float) -> float:
        return LEFT + n * scale

    rows, y = [], TOP

    def row(name: str, bars: Iterator[tuple[int, int, str | None]]) -> None:
        nonlocal y
        rows.append(text(LEFT - 10, y + 14, name, "end"))
        for begin, end, colour in bars:
            paint = {"fill": colour} if colour else {"class_": "others"}
            rows.append(
                element(
                    "rect", x=x(begin), y=y + 3, width=(end - begin) * scale, height=15, **paint
                )
            )
        y += ROW

    mine = [kind_of(program, c["place"]) if c["running"] and c["id"] == 0 else None for c in window]
    other = ["x" if c["running"] and c["id"] != 0 else None for c in window]
    row("lanes, this token", ((a, b, COLOURS[str(k)]) for a, b, k in spans(list(mine))))
    row("lanes, others", ((a, b, None) for a, b, _ in spans(list(other))))
    groups = [
        *(" ".join(m.rsplit(".", 1)[-1].removesuffix("_proj") for m in g) for g in program.groups)
    ]
    layers = [f"layer {n // 5}: " for n in range(len(groups) - 1)]
    titles = [layer + name for layer, name in zip(layers, groups, strict=False)] + ["unembedding"]
    for number, title in enumerate([*titles, "attention unit", "sampler", "root", "router unit"]):
        owner: int | None = None
        state: list[object] = []
        for n, c in enumerate(cycles[: last + 12]):
            if c["execute"]:
                one = program.instructions[c["place"]]
                if one.op == Op.ISSUE and one.index == number:
                    owner = c["id"]
                if one.op == Op.RELEASE and one.index == number:
                    owner = None
            if n >= first:
                state.append(owner)
        row(title, ((a, b, COLOURS["arrays"] if s == 0 else None) for a, b, s in spans(state)))
    for name in ("in_valid", "in_ready", "out_valid", "out_ready"):
        rows.append(text(LEFT - 10, y + 14, name, "end"))
        path, level = "", None
        for n, c in enumerate(window):
            here = y + (5 if c[name] else 17)
            if here != level:
                path += f"L{x(n):.1f} {level}L{x(n):.1f} {here}" if path else f"M{x(n):.1f} {here}"
                level = here
        rows.append(element("path", d=f"{path}L{x(len(window)):.1f} {level}", class_="wave"))
        y += ROW
    grid = [
        join(line(x(n), TOP, x(n), y, "grid"), text(x(n), y + 16, str(n), "middle", "small"))
        for n in range(0, len(window), 100)
    ]
    legend = [
        join(
            element("rect", x=LEFT + 98 * n, y=22, width=12, height=12, fill=colour),
            text(LEFT + 98 * n + 16, 33, name, class_="small"),
        )
        for n, (name, colour) in enumerate(COLOURS.items())
    ]  # fmt: skip
    title = f"One token on its way through the chip: {last - first} cycles, other sequences in grey"
    drawn = element(
        "svg",
        element("style", STYLE),
        element("rect", width=WIDTH, height=y + 26, fill="white"),
        text(LEFT, 14, title),
        *legend, *grid, *rows,
        xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {y + 26}", width=WIDTH,
    )  # fmt: skip
    out.write_text(str(drawn) + "\n", encoding="utf-8")
    print(f"{out}: {last - first} cycles")


if __name__ == "__main__":
    main()
