"""Tiles that hold everything that may stand side by side, for KLayout to judge once.

A tile has too many weights to give each to a DRC engine, and it need not be given: whether a shape
is legal depends on what lies within the reach of the rules.

Taps.  All metal is fixed, and repeats from cell to cell and from row to row; weights choose vias,
one of a few places in each cell and scale cell.  The rules of a cut speak of itself and one more
shape: its own metal (every place occurs), or another cut.  Cuts of two rows are further apart than
their space wherever they stand in their rows, and so are cuts two cells apart (`require_short_reach`
computes both).  What is left are the pairs of neighbours in a row: two weights, or a weight and the
scale cell beside it.  A tile that holds all of them is clean if and only if all tiles are.  The one
drawn here holds the pairs above each other and on both diagonals, too, and all pairs of shifts above
each other: KLayout is to judge, not we.

Regions.  Wires are routed, and a wire's neighbours on its track may be any; pairs of codes prove
nothing.  `masks._proof_regions` computes why any routing is legal; its tile shows KLayout.
"""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.silicon.embed import Layout, Scheme, TileDigits, TileShape
from hnlpu.silicon.masks._schemes import MASK_SCHEMES


def proof_tile(scheme: Scheme) -> tuple[Scheme, TileDigits]:
    """The proof tile of an array kind, and the scheme to draw it with.

    That is `scheme`, or for regions the same with the tracks that the tile needs: how many a row has
    makes no difference to its rules.  Raises DoesNotFit where the tile would prove nothing.
    """
    return MASK_SCHEMES[scheme.name].proof_tile(scheme)


@dataclass(frozen=True)
class ProofMetal:
    """The proof tile of an array kind, drawn: its fixed metal, and that which digits decide."""

    scheme: Scheme
    shape: TileShape
    parts: tuple[Layout, Layout]


def draw_proof(scheme: Scheme) -> ProofMetal:
    """The metal of the proof tile of an array kind; raises DoesNotFit as `proof_tile` does."""
    proof, digits = proof_tile(scheme)
    shape = TileShape(digits.rows, digits.blocks)
    return ProofMetal(proof, shape, (proof.metal(shape), proof.draw(digits)))
