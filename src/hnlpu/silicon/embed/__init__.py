"""Two ways to embed a weight in metal: geometry, silicon and needs, without any file format.

taps      a weight is one via between the trunk of its product and its neuron's stub
regions   a weight is one wire from its input's trunk to a port of a group with its value
"""

from hnlpu.silicon.embed._clearance import clearance_nm, largest_space_nm, one_exposure_nm
from hnlpu.silicon.embed._digits import TileDigits, canonical, enter_canonical
from hnlpu.silicon.embed._exposures import (
    Colouring,
    CutGrid,
    Limit,
    Pitches,
    Way,
    WireGrid,
    cheapest_first,
    colouring_of,
    cut_ways,
    line_cuts,
    wire_ways,
)
from hnlpu.silicon.embed._kind import ROUTED, SCHEMES, ArrayKind, array_kind
from hnlpu.silicon.embed._labels import Label, LabelTable, LayerKey, join_labels, label_table
from hnlpu.silicon.embed._layout import Grid, Layout, Rectangles, RectRows, Shapes
from hnlpu.silicon.embed._printing import (
    LayerExposures,
    MasksNeeded,
    layer_exposures,
    masks_needed,
    programmable_masks,
    scheme_grids,
)
from hnlpu.silicon.embed._regions import Regions, tracks_needed
from hnlpu.silicon.embed._regions_route import NO_PORT, Routes, route
from hnlpu.silicon.embed._regions_values import groups_of, tie_count
from hnlpu.silicon.embed._scheme import Fault, Scheme, TileShape, open_scheme
from hnlpu.silicon.embed._taps import Taps

__all__ = [
    "NO_PORT",
    "ROUTED",
    "SCHEMES",
    "ArrayKind",
    "Colouring",
    "CutGrid",
    "Fault",
    "Grid",
    "Label",
    "LabelTable",
    "LayerExposures",
    "LayerKey",
    "Layout",
    "Limit",
    "MasksNeeded",
    "Pitches",
    "RectRows",
    "Rectangles",
    "Regions",
    "Routes",
    "Scheme",
    "Shapes",
    "Taps",
    "TileDigits",
    "TileShape",
    "Way",
    "WireGrid",
    "array_kind",
    "canonical",
    "cheapest_first",
    "clearance_nm",
    "colouring_of",
    "cut_ways",
    "enter_canonical",
    "groups_of",
    "join_labels",
    "label_table",
    "largest_space_nm",
    "layer_exposures",
    "line_cuts",
    "masks_needed",
    "one_exposure_nm",
    "open_scheme",
    "programmable_masks",
    "route",
    "scheme_grids",
    "tie_count",
    "tracks_needed",
    "wire_ways",
]
