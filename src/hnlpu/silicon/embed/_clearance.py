"""How far apart two tiles stand, so that any two are legal side by side.

        +------+        +------+
        | tile |<- dx ->| tile |        dx, dy: no less than any space that a rule asks for
        +------+        +------+
           ^
           dy           all metal of a tile lies inside its outline
           v
        +------+
        | tile |
        +------+

A rule of space speaks of two shapes and says how near they may come.  The metal of two tiles is
nowhere nearer than their outlines, whatever their weights, so no such rule can be broken between
them, and no net can go on from one to the other.  The other rules (width, length, enclosure, size)
speak of shapes that hang together, hence of one tile.
"""

from __future__ import annotations

import math

from hnlpu.silicon.technology import Technology


def largest_space_nm(technology: Technology) -> float:
    """The largest space that a rule of the embedding's layers asks for."""
    t = technology
    metals = [metal.end_space_nm for metal in (t.lower, t.stub, t.upper)]
    cuts = [cut.space.value for cut in (t.port_cut, t.lower_cut, t.upper_cut)]
    return max(*metals, *cuts)


def one_exposure_nm(technology: Technology) -> float:
    """From one cut to the next at which any scanner of the process prints both at once; 0 if unknown."""
    litho = technology.lithography
    if litho is None:
        return 0.0
    return max(s.least_pitch_nm(litho.least_k1_cuts.value) for s in litho.scanner)


def clearance_nm(technology: Technology) -> tuple[int, int]:
    """Least free width and height between a tile and anything else on the die.

    The largest space of all rules, and what one exposure asks for between cuts, up to the grid and to
    the tracks of the metals that have them.
    """
    t = technology
    grid = round(t.grid.value)
    space = max(largest_space_nm(technology), one_exposure_nm(technology))
    upright = [round(metal.track.value) for metal in (t.lower, t.upper) if metal.track]
    across = round(t.stub.track.value) if t.stub.track else grid
    steps = math.lcm(grid, *upright), math.lcm(grid, across)
    dx, dy = (math.ceil(space / step - 1e-9) * step for step in steps)
    return dx, dy
