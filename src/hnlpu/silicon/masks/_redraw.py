"""A folder of masks -> which of its files are not those that the build gives, byte for byte.

    GDSII, via maps, DEF, LEF, Tcl     drawn again and compared as they are drawn
    names of layers, DRC scripts       likewise
    OASIS and its places of cells      read and judged for themselves (`masks._check`, `masks._files`)

So whoever alters a file and seals the folder anew is found, whatever the format.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from hnlpu._version import __version__
from hnlpu._workers import Workers
from hnlpu.errors import DoesNotFit
from hnlpu.silicon.hardwire import Build, Progress
from hnlpu.silicon.masks._cells import chip_name
from hnlpu.silicon.masks._drawing import Drawing
from hnlpu.silicon.masks._gds import require_gds_layers
from hnlpu.silicon.masks._layers import LayerMap
from hnlpu.silicon.masks._output import SameFiles
from hnlpu.silicon.masks._record import RECORD, MasksRecord
from hnlpu.silicon.place import Tile

BY_DIGEST = "what an OASIS file says of itself: properties, names of layers, boxes around cells"
"""What of a folder is held to its sealed digest alone: no metal depends on it."""


def redrawn_problems(
    build: Build, folder: Path, record: MasksRecord, tiles: Sequence[Tile], workers: Workers,
    progress: Progress | None = None,
) -> Iterator[str]:  # fmt: skip
    """Files of a folder, which holds `tiles` in this order, that are not as the build draws them.

    Takes as long as writing them. What is wrong with the OASIS is not looked for.
    """
    tiles = sorted(tiles, key=lambda tile: tile.chip)
    output = SameFiles(folder)
    others = [name for name in record.formats if name != "oasis"]
    try:
        _draw(build, output, record, tiles, workers, progress)
    except OSError as error:
        yield f"{error.filename}: {', '.join(record.formats)} have this file; it cannot be read ({error.strerror})"
        return
    except DoesNotFit as error:
        yield f"{folder / RECORD}: says formats {', '.join(others)}, which the build has not: {error}"
        return
    for name, first in output.differing:
        yield (
            f"{folder / name}: is not what the build gives, from byte {first} on"
            f"{_other_version(record)}; write the masks again"
        )
    judged = {f"{chip_name(tile.chip)}.{end}" for tile in tiles for end in ("oas", "cells.json")}
    for name in sorted(record.files.keys() - output.names - judged):
        yield f"{folder / name}: is no file of the formats {', '.join(record.formats)} of these tiles"
    for name in sorted(output.names - record.files.keys()):
        yield f"{folder / RECORD}: does not list {name}"


def _draw(
    build: Build, output: SameFiles, record: MasksRecord, tiles: Sequence[Tile], workers: Workers,
    progress: Progress | None,
) -> None:  # fmt: skip
    others = [name for name in record.formats if name != "oasis"]
    if "gds" in others:
        require_gds_layers(LayerMap(build.manifest.technology, record.layers))
    digits = sum(tile.shape.weights for tile in tiles)
    drawing = Drawing(
        build, output, workers, record.with_base, record.layers, progress, digits * len(others)
    )
    for name in others:
        drawing.write(name, tiles)
    drawing.write_layers(tiles, record.formats)


def _other_version(record: MasksRecord) -> str:
    """Who wrote the folder, where that is not this version."""
    own = f"hnlpu {__version__}"
    return "" if record.generator == own else f" ({record.generator} wrote it, this is {own})"
