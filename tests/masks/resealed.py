"""Folders of masks altered by somebody who knows how they are sealed: digests are right again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from hnlpu.hardwire import Build, file_sha256
from hnlpu.masks._oasis_write import END_BYTES, CellPlace
from hnlpu.masks._record import MaskFile, encode_cells, encode_record, read_cells, read_record
from hnlpu.verify import Check
from hnlpu.verify._masks import check_masks


def reseal(folder: Path) -> None:
    """Make masks.json agree with the files that are there."""
    files = {
        path.name: MaskFile(bytes=path.stat().st_size, sha256=file_sha256(path))
        for path in sorted(folder.iterdir())
        if path.name != "masks.json"
    }
    record = read_record(folder).model_copy(update={"files": files})
    (folder / "masks.json").write_bytes(encode_record(record))


def cell(folder: Path, name: str, chip: int = 0) -> bytes:
    """The bytes of a cell."""
    place = read_cells(folder / f"chip-{chip:02d}.cells.json")[name]
    raw = (folder / f"chip-{chip:02d}.oas").read_bytes()
    return raw[place.offset : place.offset + place.bytes]


def replace_cells(folder: Path, cells: Mapping[str, bytes], chip: int = 0) -> None:
    """Write a chip's file anew with other bytes for some of its cells."""
    path = folder / f"chip-{chip:02d}.oas"
    old, raw = read_cells(path.with_suffix(".cells.json")), path.read_bytes()
    new, places = bytearray(raw[: min(place.offset for place in old.values())]), {}
    for name, place in old.items():
        own = cells.get(name, raw[place.offset : place.offset + place.bytes])
        places[name] = CellPlace(len(new), len(own))
        new += own
    path.write_bytes(new + raw[-END_BYTES:])
    path.with_suffix(".cells.json").write_bytes(encode_cells(places))
    reseal(folder)


def check(build: Build, folder: Path) -> list[Check]:
    """What `verify --masks-from` finds, without KLayout's checks, which look at the build alone."""
    return list(islice(check_masks(build, folder, 0, 1, None, None), 4))


def problems(build: Build, folder: Path) -> str:
    return "\n".join(problem for done in check(build, folder) for problem in done.problems)


def swap_names(folder: Path, a: str, b: str, chip: int = 0) -> None:
    """Exchange the places of two cells in the table of cells."""
    path = folder / f"chip-{chip:02d}.cells.json"
    places = json.loads(path.read_text())
    places[a], places[b] = places[b], places[a]
    path.write_text(json.dumps(places))
    reseal(folder)
