"""The connection script, run by Tcl itself with stand-ins for the commands of both tools."""

from __future__ import annotations

import importlib
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from layouts import KINDS, driver_of_sink, random_digits, scheme_of

from hnlpu.silicon.embed import Scheme, TileDigits, TileShape
from hnlpu.silicon.masks._names import pin_identifier
from hnlpu.silicon.masks._tcl import tcl_lines

SHAPE = TileShape(8, 2)

# What the tools' commands do, as far as the script can see; every connection is recorded.
OPENROAD = """
namespace eval ::ord { proc get_db_block {} { return block } }
proc block {what name} {
    global made
    if {$what eq "findInst"} { return [expr {$name eq "array" ? "instance" : "NULL"}] }
    return [expr {[info exists made($name)] ? "net:$name" : "NULL"}]
}
proc instance {what pin} {
    if {$what ne "findITerm"} { error "no method $what" }
    return [expr {$pin eq $::missing ? "NULL" : "term:$pin"}]
}
namespace eval ::odb {
    proc dbNet_create {block name} {
        if {[info exists ::made($name)]} { error "net $name exists" }
        set ::made($name) 1
        return net:$name
    }
    proc dbITerm_connect {term net} {
        lappend ::connected [list [string range $term 5 end] [string range $net 4 end]]
    }
}
"""
INNOVUS = """
proc dbGet {flag what name} { if {[info exists ::made($name)]} { return 0x7f10 } else { return 0x0 } }
proc addNet {name} {
    if {[info exists ::made($name)]} { error "net $name exists" }
    set ::made($name) 1
}
proc attachTerm {instance pin net} {
    if {$instance ne "array"} { error "no instance $instance" }
    if {$pin eq $::missing} { error "no terminal $pin" }
    if {![info exists ::made($net)]} { error "no net $net" }
    lappend ::connected [list $pin $net]
}
"""
START = "set missing none\nset connected {}\narray set made {}\n"
Run = Callable[[str], str]


class TclFailed(Exception):
    pass


def _tkinter() -> Run | None:
    try:
        tkinter = importlib.import_module("tkinter")
    except ImportError:
        return None

    def run(script: str) -> str:
        try:
            return str(tkinter.Tcl().eval(script))
        except tkinter.TclError as error:
            raise TclFailed(str(error)) from None

    return run


def _tclsh() -> Run | None:
    tclsh = shutil.which("tclsh")
    if tclsh is None:
        return None

    def run(script: str) -> str:
        wrapped = (
            f"if {{[catch {{{script}\n}} answer]}} {{ puts stderr $answer; exit 1 }}\nputs $answer"
        )
        done = subprocess.run([tclsh], input=wrapped, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise TclFailed(done.stderr)
        return done.stdout

    return run


RUNNERS = {name: run for name, run in (("tkinter", _tkinter()), ("tclsh", _tclsh())) if run}
pytestmark = pytest.mark.skipif(not RUNNERS, reason="no Tcl: install tclsh, or Python's tkinter")


@pytest.fixture(params=sorted(RUNNERS))
def run(request: pytest.FixtureRequest) -> Run:
    return RUNNERS[request.param]


def script_of(scheme: Scheme, digits: TileDigits) -> str:
    return "".join(tcl_lines(scheme, digits, "tile"))


def connections(run: Run, tool: str, script: str, folder: Path) -> list[tuple[str, str]]:
    path = folder / "tile.tcl"
    path.write_text(script)
    answer = run(f'{START}{tool}\nsource "{path}"\njoin $connected \\n')
    return [tuple(line.split()) for line in answer.splitlines()]


@pytest.mark.parametrize("tool", [OPENROAD, INNOVUS], ids=["openroad", "innovus"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_tool_makes_the_connections_that_the_digits_ask_for(
    kind: str, tool: str, run: Run, tmp_path: Path
) -> None:
    scheme = scheme_of(kind)
    digits = random_digits(scheme, SHAPE)
    found = connections(run, tool, script_of(scheme, digits), tmp_path)
    assert Counter(pin for pin, _ in found).most_common(1)[0][1] == 1
    sinks = {pin: net for pin, net in found if pin != net}
    wanted = driver_of_sink(scheme, digits)
    assert sinks == {pin_identifier(a): pin_identifier(b) for a, b in wanted.items()}
    # each net hangs on the pin that drives it
    assert {net for pin, net in found if pin == net} == set(sinks.values())


@pytest.mark.parametrize("tool", [OPENROAD, INNOVUS], ids=["openroad", "innovus"])
def test_nets_can_have_a_prefix(tool: str, run: Run, tmp_path: Path) -> None:
    scheme = scheme_of("plain")
    script = script_of(scheme, random_digits(scheme, SHAPE))
    bare = connections(run, tool, script, tmp_path)
    found = connections(run, tool, 'set hnlpu_prefix "tile7_"\n' + script, tmp_path)
    assert found == [(pin, f"tile7_{net}") for pin, net in bare]


@pytest.mark.parametrize("tool", [OPENROAD, INNOVUS], ids=["openroad", "innovus"])
def test_it_may_be_sourced_twice(tool: str, run: Run, tmp_path: Path) -> None:
    scheme = scheme_of("plain")
    script = script_of(scheme, random_digits(scheme, SHAPE))
    once = connections(run, tool, script, tmp_path)
    assert connections(run, tool, script + script, tmp_path) == once + once


@pytest.mark.parametrize(
    ("tool", "setting", "message"),
    [
        ("", "", "neither OpenROAD's odb:: commands nor Innovus' attachTerm"),
        (OPENROAD, "set hnlpu_instance elsewhere", "no instance elsewhere"),
        (OPENROAD, "set missing p3_7", "array has no pin p3_7"),
        (INNOVUS, "set hnlpu_instance elsewhere", "no instance elsewhere"),
        (INNOVUS, "set missing p3_7", "no terminal p3_7"),
    ],
)
def test_what_is_missing_is_said(
    tool: str, setting: str, message: str, run: Run, tmp_path: Path
) -> None:
    scheme = scheme_of("plain")
    script = script_of(scheme, random_digits(scheme, SHAPE))
    with pytest.raises(TclFailed, match=message):
        connections(run, f"{tool}\n{setting}", script, tmp_path)
