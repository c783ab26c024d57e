"""Pictures of metal embedding: from a die to one weight's via.

draw_png   one page with drawings from the die to the weight
viewer     markup, style and script of a drawing to zoom into, for a page
"""

from hnlpu.masks.picture._poster import draw_png
from hnlpu.masks.picture._subject import Block, Floorplan, Subject
from hnlpu.masks.picture._viewer import Fragment, viewer

__all__ = ["Block", "Floorplan", "Fragment", "Subject", "draw_png", "viewer"]
