"""A folder of chips in SystemVerilog against the build that it was written from, and the set with its masks.

chip files    every byte is that of design.json, nothing else is there, and the build gives the same today
set           masks and chips of one build, of all its chips: one digest for both
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hnlpu.errors import DamagedChips, DamagedMasks, DoesNotFit, InvalidInput
from hnlpu.insight.verify._check import Check, collect
from hnlpu.silicon.hardwire import Build, canonical_json, file_sha256
from hnlpu.silicon.masks import RECORD as MASKS_RECORD
from hnlpu.silicon.masks import build_digest, open_masks
from hnlpu.silicon.rtl.chip import (
    CHIP_RECORD,
    chip_shape,
    file_problems,
    read_chip_record,
    rewritten_problems,
    write_chip,
)
from hnlpu.silicon.rtl.links import LinkShape


def check_chips(build: Build, folder: Path) -> Check:
    """Every file of a folder that `hnlpu chip` wrote; raises InvalidInput where it is none."""
    try:
        record = read_chip_record(folder)
    except DamagedChips as error:
        return Check("chip files", 0, "files", (str(error),))
    if record.get("build") != build_digest(build):
        said = f"{folder}: chips of another build than {build.directory}; write them again"
        return Check("chip files", 0, "files", (said,))
    found = collect("chip files", "files", file_problems(folder, record))
    if found.problems:
        return found
    return collect("chip files", "files", _written_again(build, folder, record))


def _written_again(
    build: Build, folder: Path, record: dict[str, object]
) -> Iterator[tuple[int, str | None]]:
    try:
        sizes = {name: int(str(record[name])) for name in ("sequences", "context", "chips")}
        shape = chip_shape(build, lanes=int(str(record["width"])), **sizes)
        told = record.get("link")
        link = None
        if isinstance(told, dict):
            link = LinkShape(**{name.lower(): int(number) for name, number in told.items()})
    except (KeyError, TypeError, ValueError, InvalidInput, DoesNotFit) as error:
        yield 0, f"{folder / CHIP_RECORD}: names no chips of this build ({error})"
        return
    with tempfile.TemporaryDirectory() as name:
        again = Path(name) / "again"
        write_chip(build, again, shape, trace=record.get("trace") is True, link=link)
        problems = list(rewritten_problems(folder, record, again))
    files = record["files"]
    assert isinstance(files, dict)
    yield len(files), None
    for problem in problems:
        yield 0, problem


def check_set(build: Build, masks: Path, chips: Path) -> Check:
    """Whether both folders hold all chips of the build."""
    every = set(range(build.manifest.placement.chips))
    try:
        record, _, _ = open_masks(build, masks)
        told = read_chip_record(chips)
    except (DamagedMasks, DamagedChips) as error:
        return Check("set", 0, "chips", (str(error),))
    problems = [
        f"{masks}: has no masks of chip {chip}; write those of all chips"
        for chip in sorted(every - {chip for chip, tiles in record.tiles.items() if tiles})
    ]
    if told.get("build") != record.build:
        problems.append(f"{chips}: chips of another build than the masks in {masks}")
    return Check("set", len(every), "chips", tuple(problems))


def set_digest(build: Build, masks: Path, chips: Path) -> str:
    """SHA-256 of the records of build, masks and chips, which have the digests of all else."""
    parts = {
        "build": build_digest(build), "masks": file_sha256(masks / MASKS_RECORD),
        "chips": file_sha256(chips / CHIP_RECORD),
    }  # fmt: skip
    return hashlib.sha256(canonical_json(parts)).hexdigest()
