"""A build's metal as mask data: drawn, written in the formats of the field, read back and judged.

Build ──► tiles ──► OASIS │ GDSII │ via maps │ LEF, DEF, Tcl
└──► bulk reader │ extractor by geometry │ KLayout ──► verdict
"""

from hnlpu._whole import new_folder
from hnlpu._workers import Workers, open_workers
from hnlpu.silicon.embed import programmable_masks
from hnlpu.silicon.masks._borders import Border, judge_border
from hnlpu.silicon.masks._cells import TileSource, chip_name
from hnlpu.silicon.masks._check import CheckTiles, TileResult, tiles_to_extract
from hnlpu.silicon.masks._chip_check import check_borders, open_masks
from hnlpu.silicon.masks._draw_jobs import DrawJob, jobs
from hnlpu.silicon.masks._judging import Answer, Ask, questions
from hnlpu.silicon.masks._layers import Layers, choose_layers
from hnlpu.silicon.masks._needs import mask_needs, scheme_needs
from hnlpu.silicon.masks._record import RECORD, Format, MasksRecord, build_digest
from hnlpu.silicon.masks._redraw import BY_DIGEST, redrawn_problems
from hnlpu.silicon.masks._write import write_masks

__all__ = [
    "BY_DIGEST",
    "RECORD",
    "Answer",
    "Ask",
    "Border",
    "CheckTiles",
    "DrawJob",
    "Format",
    "Layers",
    "MasksRecord",
    "TileResult",
    "TileSource",
    "Workers",
    "build_digest",
    "check_borders",
    "chip_name",
    "choose_layers",
    "jobs",
    "judge_border",
    "mask_needs",
    "new_folder",
    "open_masks",
    "open_workers",
    "programmable_masks",
    "questions",
    "redrawn_problems",
    "scheme_needs",
    "tiles_to_extract",
    "write_masks",
]
