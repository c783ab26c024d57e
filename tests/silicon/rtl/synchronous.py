"""Yosys's word on a design: all its state is in flip-flops of one clock, and no path ends in itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hnlpu.silicon.rtl._tools import call_yosys


def complaint(folder: Path, files: Sequence[str], top: str, apart: Sequence[str] = ()) -> str:
    """What is wrong with `top`, whole but for the modules `apart`: latches, asynchronous resets,
    tri-states, other clocks, loops, several drivers; nothing if nothing is."""
    boxes = "".join(f" --blackboxed-module {name}" for name in apart)
    script = f"""\
read_slang --threads 1 -D SYNTHESIS --top {top}{boxes} {" ".join(files)}
hierarchy -check -top {top}
proc
flatten -noscopeinfo
opt_clean
check -assert
select -assert-none t:$dlatch* t:$adlatch* t:$adff* t:$aldff* t:$dffsr* t:$tribuf t:$sr
select -set clocked t:$*dff* t:$memwr*
select -assert-none @clocked w:clk %co1:+[CLK] %d
select -assert-none @clocked r:CLK_POLARITY<1 %i
tee -q -o done stat
"""
    (folder / "synchronous.ys").write_text(script)
    ran = call_yosys(["-q", "synchronous.ys"], folder, 600, "done")
    assert ran is not None
    if (folder / "done").exists():
        return ""
    return (ran.stderr + ran.stdout).strip() or "Yosys ended early"
