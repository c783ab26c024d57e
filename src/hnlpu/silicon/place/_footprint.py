"""What a tile takes of a die: its outline, the landing below it and the clearance beside it.

+-----------+
| tile   |  |    the clearance to the right, the landing below: placed side by side, no two
|        |  |    tiles' outlines come nearer than the clearance of the process
+--------+  |
| landing   |
+-----------+
"""

from __future__ import annotations

from hnlpu.silicon.embed import Scheme, TileShape, clearance_nm
from hnlpu.silicon.technology import Technology


def landing_nm(technology: Technology, height: int) -> int:
    """Height below a tile of `height` nm for what drives its trunks; at least the clearance."""
    grid = round(technology.grid.value)
    landing = round(height * technology.array.landing.value / 100 / grid) * grid
    return max(clearance_nm(technology)[1], landing)


def footprint_nm(scheme: Scheme, shape: TileShape) -> tuple[int, int]:
    """Width and height that a tile takes, clearance and landing with it."""
    width, height = scheme.size_nm(shape)
    dx, _ = clearance_nm(scheme.technology)
    return width + dx, height + landing_nm(scheme.technology, height)
