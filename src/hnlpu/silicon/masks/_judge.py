"""KLayout as judge of a build's masks: its rules and nets on samples, and the proof tiles.

KLayout is thousands of times slower than what checks every tile, so it sees a corner of a tile of
every array kind; and a tile of each kind with all neighbours that weights can have, which being
clean shows that any tile is (see `hnlpu.silicon.masks._proof`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hnlpu.silicon.embed import Scheme, TileDigits, TileShape
from hnlpu.silicon.masks._klayout import check_rules, extract_netlist
from hnlpu.silicon.masks._named_weights import weights_of_names
from hnlpu.silicon.masks._proof import ProofMetal

CORNER_ROWS, CORNER_BLOCKS = 16, 2
PROBLEMS_KEPT = 5


@dataclass(frozen=True)
class Judgement:
    """How many digits or shapes KLayout saw, and what it found wrong."""

    covered: int
    problems: tuple[str, ...]


def corner_of(digits: TileDigits) -> TileDigits:
    """The lower left corner of a tile, as a tile of its own."""
    part = slice(0, CORNER_ROWS), slice(0, CORNER_BLOCKS)
    return TileDigits(digits.codes[part].copy(), digits.shifts[part].copy(), digits.codebook)


def judge_corner(scheme: Scheme, digits: TileDigits) -> Judgement:
    """Rules and nets of a corner of a tile; raises ToolMissing without KLayout."""
    corner = corner_of(digits)
    shape = TileShape(corner.rows, corner.blocks)
    layout = scheme.base(shape).merged(scheme.draw(corner))
    problems = [str(violation) for violation in check_rules(scheme.technology, layout)]
    found, faults = weights_of_names(extract_netlist(scheme.technology, layout), shape)
    problems += [f"row {fault.row}, input {fault.column}: {fault.what}" for fault in faults]
    if not np.array_equal(found, corner.integers()):
        row, column = np.argwhere(found != corner.integers())[0].tolist()
        problems.append(
            f"row {row}, input {column}: KLayout's netlist says {found[row, column]}, "
            f"the build has {corner.integers()[row, column]}"
        )
    return Judgement(corner.weights, tuple(problems[:PROBLEMS_KEPT]))


def judge_proof(proof: ProofMetal) -> Judgement:
    """Rules on the proof tile of an array kind; raises ToolMissing without KLayout."""
    fixed, drawn = proof.parts
    found = [
        str(violation) for violation in check_rules(proof.scheme.technology, fixed.merged(drawn))
    ]
    return Judgement(proof.shape.weights, tuple(found[:PROBLEMS_KEPT]))
