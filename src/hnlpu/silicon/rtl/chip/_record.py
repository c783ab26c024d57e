"""design.json: what a folder of chips holds, of which build, and whether it is still that.

    build ──► chips, written ──► design.json: digests of all files ──► the same chips, written again

A file that was damaged, exchanged with another or left over is not the one that design.json names; a folder of
another build says so; and what the build gives today is held to it, file by file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hnlpu.errors import DamagedChips, InvalidInput
from hnlpu.silicon.hardwire import Build, canonical_json, file_sha256
from hnlpu.silicon.masks import build_digest
from hnlpu.silicon.rtl.chip._program import Program
from hnlpu.silicon.rtl.chip._shape import ChipShape
from hnlpu.silicon.rtl.links import LinkShape

RECORD = "design.json"
MADE_LATER = ("obj_chip/", "bench/requests.txt")
"""What compiling and simulating leave in the folder."""
_OWN_DIGEST = "sha256"


def chip_record(
    build: Build, shape: ChipShape, found: Program, link: LinkShape | None, *, trace: bool
) -> dict[str, Any]:
    """What design.json says beside the digests of files."""
    record: dict[str, Any] = {
        "build": build_digest(build), "width": shape.width, "context": shape.context,
        "sequences": shape.sequences, "activation_bits": shape.activation_bits,
        "sum_bits": shape.sum_bits, "registers": found.registers,
        "instructions": len(found.instructions), "groups": [list(g) for g in found.groups],
        "chips": shape.chips, "trace": trace,
    }  # fmt: skip
    return record if link is None else record | {"link": link.parameters()}


def seal(folder: Path, record: dict[str, Any]) -> None:
    """Write design.json, with the digests of all files that are in `folder`, and its own."""
    files = {name: file_sha256(folder / name) for name in _files(folder)}
    (folder / RECORD).write_bytes(_encoded({**record, "files": files}))


def _encoded(record: dict[str, Any]) -> bytes:
    digest = hashlib.sha256(canonical_json(record)).hexdigest()
    return canonical_json({**record, _OWN_DIGEST: digest})


def _files(folder: Path) -> list[str]:
    """Names of all files but the record, and those that are made later."""
    paths = (path for path in sorted(folder.rglob("*")) if not path.is_dir() or path.is_symlink())
    names = (path.relative_to(folder).as_posix() for path in paths)
    return [name for name in names if name != RECORD and not name.startswith(MADE_LATER)]


def read_chip_record(folder: Path) -> dict[str, Any]:
    """What `folder`/design.json says; raises InvalidInput where there is none, DamagedChips."""
    path = folder / RECORD
    if not path.exists():
        raise InvalidInput(f"{folder}: no folder that 'hnlpu chip' wrote (it lacks {RECORD})")
    try:
        raw = path.read_bytes()
        record = json.loads(raw)
        digest = record.pop(_OWN_DIGEST)
        sound = _encoded(record) == raw and isinstance(digest, str)
        sound = sound and all(isinstance(of, str) for of in record["files"].values())
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        sound = False
    if not sound:
        raise DamagedChips(f"{path}: does not match its own digest; write the chips again")
    found: dict[str, Any] = record
    return found


def file_problems(folder: Path, record: dict[str, Any]) -> Iterator[tuple[int, str | None]]:
    """Every file of design.json as (1, what is wrong with it), and (0, ...) for each other that is there."""
    told: dict[str, str] = record["files"]
    there = set(_files(folder))
    for name, digest in told.items():
        if name not in there:
            yield 1, f"{folder / name}: is missing"
        elif file_sha256(folder / name) != digest:
            own = file_sha256(folder / name)
            holder = next((other for other, known in told.items() if known == own), None)
            whose = f"it is {holder}" if holder else f"its digest is not that of {RECORD}"
            yield 1, f"{folder / name}: altered ({whose})"
        else:
            yield 1, None
    for name in sorted(there - set(told)):
        yield 0, f"{folder / name}: is not part of the chips"


def rewritten_problems(folder: Path, record: dict[str, Any], again: Path) -> Iterator[str]:
    """Files of which the build, written anew in `again`, has others than `folder`'s record says."""
    ours, new = record["files"], read_chip_record(again)["files"]
    for name in sorted(ours.keys() | new.keys()):
        if ours.get(name) != new.get(name):
            yield f"{folder / name}: is not what the build gives today; write the chips again"
