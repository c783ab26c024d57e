"""Pictures of metal embedding: from a die to one weight's via.

draw_png        one page with drawings from the die to the weight
viewer          a drawing to zoom into, as a piece of HTML that needs nothing else
fragment        the same in parts, for a page with a style sheet and a script of its own
floorplan_svg   a die's blocks to scale
detail_svg      some metal drawn large, with names: figures for texts

A `PictureSubject` says what they are of; `subject_of` makes one of a build's tile, `distinct_dies` gives the
dies of a build.
"""

from hnlpu.silicon.masks.picture._detail import Detail, PictureTag, Spot, detail_svg
from hnlpu.silicon.masks.picture._floorplan import floorplan_svg
from hnlpu.silicon.masks.picture._of_build import distinct_dies, subject_of
from hnlpu.silicon.masks.picture._poster import draw_png
from hnlpu.silicon.masks.picture._subject import DrawnBlock, DrawnDie, PictureSubject, TilePlace
from hnlpu.silicon.masks.picture._viewer import Fragment, fragment, viewer

__all__ = [
    "Detail",
    "DrawnBlock",
    "DrawnDie",
    "Fragment",
    "PictureSubject",
    "PictureTag",
    "Spot",
    "TilePlace",
    "detail_svg",
    "distinct_dies",
    "draw_png",
    "floorplan_svg",
    "fragment",
    "subject_of",
    "viewer",
]
