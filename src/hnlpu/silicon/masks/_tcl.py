"""Digits of a tile -> Tcl for a place-and-route tool: one line a net, as the paper's flow has it.

    hnlpu_connect x3_p2 x3_p2 p0_3 p5_3        net, the trunk that drives it, its ports

The tool has both LEF files loaded, the technology's first, and an instance of the array in its
design; the script finds out whether it is OpenROAD or Innovus by the commands that there are.  It can
be sourced again: a pin that is on its net stays there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hnlpu.silicon.embed import Scheme, TileDigits, TileShape
from hnlpu.silicon.masks._def import ARRAY
from hnlpu.silicon.masks._lef import macro_name
from hnlpu.silicon.masks._names import identifier, pin_identifier
from hnlpu.silicon.masks._nets import nets

_PINS_A_LINE = 12

_PROCS = r"""
# The instance of the array: set hnlpu_instance before sourcing to name another.
if {![info exists hnlpu_instance]} { set hnlpu_instance @array@ }
# Nets are named for the pin that drives them, after this prefix.
if {![info exists hnlpu_prefix]} { set hnlpu_prefix "" }

if {[llength [info commands ::odb::dbITerm_connect]]} {
    # OpenROAD: the database's own commands
    proc hnlpu_connect {net args} {
        global hnlpu_instance hnlpu_prefix
        set block [ord::get_db_block]
        set instance [$block findInst $hnlpu_instance]
        if {$instance eq "NULL"} { error "hnlpu: no instance $hnlpu_instance; set hnlpu_instance" }
        set db_net [$block findNet $hnlpu_prefix$net]
        if {$db_net eq "NULL"} { set db_net [odb::dbNet_create $block $hnlpu_prefix$net] }
        foreach pin $args {
            set term [$instance findITerm $pin]
            if {$term eq "NULL"} { error "hnlpu: $hnlpu_instance has no pin $pin; load this tile's LEF files" }
            odb::dbITerm_connect $term $db_net
        }
    }
} elseif {[llength [info commands ::attachTerm]]} {
    # Innovus
    proc hnlpu_connect {net args} {
        global hnlpu_instance hnlpu_prefix hnlpu_nets
        if {![info exists hnlpu_nets($hnlpu_prefix$net)]} {
            if {[dbGet -p top.nets.name $hnlpu_prefix$net] == 0} { addNet $hnlpu_prefix$net }
            set hnlpu_nets($hnlpu_prefix$net) 1
        }
        foreach pin $args { attachTerm $hnlpu_instance $pin $hnlpu_prefix$net }
    }
} else {
    error "hnlpu: neither OpenROAD's odb:: commands nor Innovus' attachTerm are here; source this file in one of them"
}
"""


def tcl_lines(scheme: Scheme, digits: TileDigits, design: str) -> Iterator[str]:
    """The whole script, line by line; `design` names the tile."""
    shape = TileShape(digits.rows, digits.blocks)
    yield f"# {identifier(design)}: connections of {macro_name(scheme, shape)}\n"
    yield _PROCS.lstrip("\n").replace("@array@", ARRAY)
    yield "\n"
    for net in nets(scheme, digits):
        driver = pin_identifier(net.driver)
        yield from _wrapped(["hnlpu_connect", driver, driver, *map(pin_identifier, net.sinks)])


def _wrapped(words: Sequence[str]) -> Iterator[str]:
    """One command, long ones over several lines."""
    for n in range(0, len(words), _PINS_A_LINE):
        more = n + _PINS_A_LINE < len(words)
        yield f"{'    ' if n else ''}{' '.join(words[n : n + _PINS_A_LINE])}{' ' + chr(92) if more else ''}\n"
