"""masks.json and chip-NN.cells.json: what a folder of masks holds, of which build, and where.

The record names the build by the digest of its manifest, so that masks of another build are known
for what they are; cells say where each tile lies in its file, so that tiles can be read one by one.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from hnlpu.errors import DamagedMasks
from hnlpu.model.checkpoint import first_problem
from hnlpu.silicon.hardwire import MANIFEST, Build, canonical_json, file_sha256
from hnlpu.silicon.masks._layers import Layers
from hnlpu.silicon.masks._oasis_write import CellPlace

RECORD = "masks.json"
SCHEMA_VERSION: Literal[2] = 2
Format = Literal["oasis", "gds", "via-map", "def", "tcl"]
_frozen = ConfigDict(frozen=True, extra="forbid")


class MaskFile(BaseModel):
    """Size and SHA-256 of a file."""

    model_config = _frozen

    bytes: int
    sha256: str


class MasksRecord(BaseModel):
    """Everything of masks.json but its own digest; `tiles` counts by chip."""

    model_config = _frozen

    schema_version: Literal[2]
    generator: str
    build: str
    technology: str
    scheme: str
    formats: tuple[Format, ...]
    layers: Layers
    with_base: bool
    tiles: dict[int, int]
    digits: int
    files: dict[str, MaskFile]


def build_digest(build: Build) -> str:
    """SHA-256 of a build's manifest, which holds the digests of all else."""
    return file_sha256(build.directory / MANIFEST)


def encode_record(record: MasksRecord) -> bytes:
    """The bytes of masks.json."""
    values = record.model_dump(mode="json")
    values["masks_sha256"] = hashlib.sha256(canonical_json(values)).hexdigest()
    return canonical_json(values)


def read_record(folder: Path) -> MasksRecord:
    """Read and check `folder`/masks.json; raises DamagedMasks."""
    path = folder / RECORD
    again = "write the masks again"
    try:
        raw = path.read_bytes()
        values = json.loads(raw)
        version = values.get("schema_version")
        if isinstance(version, int) and version != SCHEMA_VERSION:
            remedy = "update hnlpu" if version > SCHEMA_VERSION else again
            raise DamagedMasks(
                f"{path}: schema version {version}, this hnlpu reads {SCHEMA_VERSION}; {remedy}"
            )
        values.pop("masks_sha256", None)
        record = MasksRecord.model_validate(values)
        sound = encode_record(record) == raw
    except OSError as error:
        raise DamagedMasks(
            f"{path}: cannot be read ({error.strerror}); give a folder that 'hnlpu masks' wrote"
        ) from None
    except ValidationError as error:
        raise DamagedMasks(f"{path}: {first_problem(error)}; {again}") from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedMasks(f"{path}: not valid JSON ({error}); {again}") from None
    if not sound:
        raise DamagedMasks(f"{path}: does not match its own digest; {again}")
    return record


def encode_cells(cells: dict[str, CellPlace]) -> bytes:
    """Names with offset and bytes, one a line."""
    lines = (f"{json.dumps(name)}: [{p.offset}, {p.bytes}]" for name, p in cells.items())
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def encode_names(names: dict[str, str]) -> bytes:
    """Short names and the cells that they stand for, one a line."""
    lines = (f"{json.dumps(short)}: {json.dumps(name)}" for short, name in names.items())
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def read_cells(path: Path) -> dict[str, CellPlace]:
    """The inverse of `encode_cells`; raises DamagedMasks."""
    try:
        values = json.loads(path.read_bytes())
        return {
            str(name): CellPlace(int(offset), int(size)) for name, (offset, size) in values.items()
        }
    except OSError as error:
        raise DamagedMasks(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DamagedMasks(
            f"{path}: not a table of cells ({error}); write the masks again"
        ) from None
