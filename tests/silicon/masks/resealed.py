"""Folders of masks altered by somebody who knows how they are sealed: digests are right again."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from hnlpu.insight.verify import Check
from hnlpu.insight.verify._masks import check_masks
from hnlpu.silicon.embed import LabelTable
from hnlpu.silicon.hardwire import Build, file_sha256
from hnlpu.silicon.masks._oasis_names import Names, NameTables
from hnlpu.silicon.masks._oasis_write import LayerName, OasisWriter
from hnlpu.silicon.masks._record import (
    MaskFile,
    encode_cells,
    encode_record,
    read_cells,
    read_record,
)


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


def names_of(folder: Path, chip: int = 0) -> Names:
    """What the cells of a chip's file call by number."""
    with (folder / f"chip-{chip:02d}.oas").open("rb") as file:
        tables = NameTables(file.fileno(), "file")
        return Names(tables.cells(), tables.texts())


def replace_cells(folder: Path, cells: Mapping[str, bytes], chip: int = 0) -> None:
    """Write a chip's file anew with other bytes for some of its cells, and all that is told of them."""
    path = folder / f"chip-{chip:02d}.oas"
    old, raw = read_cells(path.with_suffix(".cells.json")), path.read_bytes()
    with path.open("rb") as file:
        tables = NameTables(file.fileno(), "file")
        names = {cell.name: cell for cell, _ in tables.places()}
        texts = tables.texts()
    rows = [line.split() for line in (folder / "layers.map").read_text().splitlines()[1:]]
    layers = [LayerName(f"{name}.{what}", int(n), int(d)) for name, what, n, d in rows]
    new, places = io.BytesIO(), {}
    writer = OasisWriter(new, {"made": "anew"}, top=f"chip-{chip:02d}", layers=layers)
    if len(texts.numbers):
        text, ends = texts.gather(texts.numbers) or pytest.fail("texts are lacking")
        writer.texts.of(LabelTable(np.zeros((len(ends), 3), np.int64), text, ends))
    for name, place in old.items():
        own = cells.get(name, raw[place.offset : place.offset + place.bytes])
        places[name] = writer.put_cell(own, names[name])
    writer.end()
    path.write_bytes(new.getvalue())
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
