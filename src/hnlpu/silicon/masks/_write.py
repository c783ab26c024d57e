"""Tiles of a build -> a folder of mask files.

    chip-00.oas            OASIS: a cell a tile, one that places them all; with the base on request
    chip-00.cells.json     where each cell lies in it
    chip-00.gds            GDSII, the same cells
    chip-00.names.json     which cell each of its short names stands for
    chip-00.drc            the technology's rules, for KLayout to check the file beside it
    layers.lyp layers.map  names of layers, for KLayout and as a table
    chip-00.via-map.npz    arrays of numbers by tile (NumPy's format)
    NAME.def KIND.lef      a tile as DEF, and the neuron array it is routed on
    n5.tech.lef            layers, rules and vias of both
    NAME.tcl               the connection script of a tile
    masks.json             of which build they are, and the digests of all files

`masks._drawing` draws them; the same build gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from hnlpu._version import __version__
from hnlpu._whole import new_folder
from hnlpu._workers import Workers
from hnlpu.arithmetic.mx import BLOCK
from hnlpu.errors import InvalidInput, OutputExists
from hnlpu.silicon.hardwire import Build, Progress, file_sha256
from hnlpu.silicon.masks._drawing import Drawing
from hnlpu.silicon.masks._gds import require_gds_layers
from hnlpu.silicon.masks._layers import LayerMap, choose_layers
from hnlpu.silicon.masks._output import NewFiles
from hnlpu.silicon.masks._record import (
    RECORD,
    SCHEMA_VERSION,
    Format,
    MaskFile,
    MasksRecord,
    build_digest,
    encode_record,
)
from hnlpu.silicon.masks._schemes import MASK_SCHEMES
from hnlpu.silicon.place import Tile

LEF_BYTES_A_DIGIT, DEF_BYTES_AN_INPUT = 1800, 3000
"""About what a digit of a macro's LEF takes, which tiles of a kind and shape share; a tile's pins in DEF."""


def write_masks(
    build: Build, out: Path, tiles: Sequence[Tile], formats: Sequence[Format], workers: Workers,
    *, with_base: bool = False, layers: str | None = None, progress: Progress | None = None,
) -> MasksRecord:  # fmt: skip
    """Write `tiles`, each once, into the new folder `out`; returns what masks.json says.

    OASIS and GDSII are on the `layers` "mask" or "drawing" (default: as `choose_layers` says).
    Raises InvalidInput (of a process too in which nothing is drawn), OutputExists, OutputFailed, DoesNotFit (a regions row that needs more tracks
    than there are); then nothing is left.
    """
    if not tiles:
        raise InvalidInput("no tile to write")
    if build.directory in (out, *out.parents):
        raise OutputExists(f"{out}: is in the build's own folder; choose another with `output`")
    technology = build.manifest.technology
    chosen = choose_layers(technology, layers)
    if "gds" in formats:
        require_gds_layers(LayerMap(technology, chosen))
    tiles = sorted(dict.fromkeys(tiles), key=lambda tile: tile.chip)  # within a chip as they came
    digits = sum(tile.shape.weights for tile in tiles)
    of_scheme = MASK_SCHEMES[build.manifest.placement.scheme].bytes_a_digit
    needed = digits * sum(of_scheme[name] for name in formats)
    if "def" in formats:
        macros = {(tile.kind, tile.shape) for tile in tiles}
        needed += LEF_BYTES_A_DIGIT * sum(shape.weights for _, shape in macros)
        needed += DEF_BYTES_AN_INPUT * sum(tile.shape.blocks * BLOCK for tile in tiles)
    with new_folder(out, needed) as folder:
        drawing = Drawing(
            build, NewFiles(folder), workers, with_base, chosen, progress, digits * len(formats)
        )
        for name in formats:
            drawing.write(name, tiles)
        drawing.write_layers(tiles, formats)
        files = {
            path.name: MaskFile(bytes=path.stat().st_size, sha256=file_sha256(path))
            for path in sorted(folder.iterdir())
        }
        record = MasksRecord(
            schema_version=SCHEMA_VERSION,
            generator=f"hnlpu {__version__}",
            build=build_digest(build),
            technology=technology.name,
            scheme=build.manifest.placement.scheme,
            formats=tuple(formats),
            layers=chosen,
            with_base=with_base,
            tiles={
                chip: sum(1 for _ in group) for chip, group in groupby(tiles, key=lambda t: t.chip)
            },
            digits=digits,
            files=files,
        )
        (folder / RECORD).write_bytes(encode_record(record))
    return record
