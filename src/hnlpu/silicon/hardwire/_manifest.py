"""manifest.json: what a build directory holds, and the digests that prove it.

The file is canonical JSON (sorted keys, fixed layout) and ends with its own
digest, so a build has exactly one correct byte sequence: every flipped bit
anywhere in the directory shows.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from hnlpu.errors import DamagedBuild, NotABuild
from hnlpu.model.checkpoint import Architecture, ModelFacts, Role, first_problem
from hnlpu.model.families import refusal
from hnlpu.model.policy import Policy, array_codebook_of, digits_of_format
from hnlpu.silicon.place import Embedding, Placement
from hnlpu.silicon.technology import Technology

MANIFEST = "manifest.json"
NETWORK = "network.json"
"""The network of a build of any family but gpt-oss, as `hnlpu.model.network.dump` writes it."""
SCHEMA_VERSION = 3
"""The newest that is read: 2 is of gpt-oss, whose network follows from its architecture."""
OLDEST_SCHEMA = 2
_frozen = ConfigDict(frozen=True, extra="forbid")


class FileRecord(BaseModel):
    """Size and SHA-256 of one file of the build."""

    model_config = _frozen

    bytes: int
    sha256: str


class DigitRecord(BaseModel):
    """Counts over one digit of a matrix.

    `codes` counts the 16 E2M1 codes; `exponents` counts the E8M0 exponents of
    non-zero blocks, as (exponent, blocks) pairs.
    """

    model_config = _frozen

    codes: tuple[int, ...]
    exponents: tuple[tuple[int, int], ...]
    zero_blocks: int


class MatrixRecord(BaseModel):
    """What was done to one matrix (or stack of `count` matrices).

    `zeros` counts weights whose every digit is zero; `spread` is the largest
    range of exponents within a row; `accumulator_bits` the width that holds
    every possible y_int; `relative_error` the RMS of the change divided by the
    RMS of the weights, `largest_error` its largest magnitude.  `rms` is the RMS of the
    weights where they were rounded or compared, None where codes were taken as they are.
    """

    model_config = _frozen

    role: Role
    file: str
    format: Literal[
        "native", "mxfp4", "mxfp4x2", "ternary", "int3", "int4", "nf4", "fitted", "int8", "ternary2"
    ]
    count: int
    rows: int
    columns: int
    digits: tuple[DigitRecord, ...]
    zeros: int
    spread: int
    accumulator_bits: int
    relative_error: float
    largest_error: float
    rms: float | None = None

    @model_serializer(mode="wrap")
    def _as_counted(self, encode: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A record without `rms` has the bytes that it had before there was one."""
        values: dict[str, Any] = encode(self)
        return {k: v for k, v in values.items() if k != "rms" or v is not None}

    @property
    def weights(self) -> int:
        """Number of weights."""
        return self.count * self.rows * self.columns

    @property
    def metal_digits(self) -> int:
        """Digits of a weight in metal; `digits` are those that are stored (`Codebook.stored` for each)."""
        return digits_of_format(self.format)

    @property
    def embedding(self) -> Embedding:
        """What arrays must take of this matrix."""
        return Embedding(
            self.metal_digits, self.spread, codebook=array_codebook_of(self.format).name
        )


class Source(BaseModel):
    """The checkpoint that was built: SHA-256 of every file read, and of that list."""

    model_config = _frozen

    digest: str
    files: dict[str, str]


class Manifest(BaseModel):
    """All of manifest.json but its own digest."""

    model_config = _frozen

    schema_version: Literal[2, 3]
    generator: str
    source: Source
    architecture: Architecture | ModelFacts
    policy: Policy
    technology: Technology
    placement: Placement
    matrices: dict[str, MatrixRecord]
    files: dict[str, FileRecord]

    @model_validator(mode="after")
    def _of_its_version(self) -> Self:
        described = isinstance(self.architecture, ModelFacts)
        if described != (self.schema_version == SCHEMA_VERSION):
            raise ValueError(f"schema version {self.schema_version} describes models otherwise")
        if described != (NETWORK in self.files):
            raise ValueError(f"{NETWORK} belongs to builds of schema version {SCHEMA_VERSION}")
        return self

    @property
    def family(self) -> str:
        """The family of the model."""
        a = self.architecture
        return a.family if isinstance(a, ModelFacts) else "gpt_oss"

    def gpt_oss(self, directory: Path, what: str) -> Architecture:
        """The architecture, for what reads that of gpt-oss alone; `what` does, as "hnlpu chip".

        Raises UnsupportedArchitecture for a build of another family.
        """
        if isinstance(self.architecture, ModelFacts):
            raise refusal(directory, self.family, what)
        return self.architecture


def source_digest(files: dict[str, str]) -> str:
    """SHA-256 over the sorted lines `sha256  name` of a checkpoint's files."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def canonical_json(values: Any) -> bytes:
    """The one way hnlpu writes JSON that is compared or hashed."""
    return (json.dumps(values, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def encode_manifest(manifest: Manifest) -> bytes:
    """The bytes of manifest.json."""
    values = manifest.model_dump(mode="json")
    values["manifest_sha256"] = hashlib.sha256(canonical_json(values)).hexdigest()
    return canonical_json(values)


def read_manifest(directory: Path) -> Manifest:
    """Read and check `directory`/manifest.json; raises NotABuild or DamagedBuild."""
    path = directory / MANIFEST
    if not directory.is_dir():
        raise NotABuild(f"{directory}: no such build folder; make one with 'hnlpu build'")
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise NotABuild(
            f"{directory}: not a build (no {MANIFEST}); make one with 'hnlpu build'"
        ) from None
    except OSError as error:
        raise DamagedBuild(f"{path}: cannot be read ({error.strerror})") from None
    rebuild = "the build is damaged; build it again"
    try:
        values = json.loads(raw)
        version = values.get("schema_version")
        if isinstance(version, int) and not OLDEST_SCHEMA <= version <= SCHEMA_VERSION:
            remedy = "update hnlpu" if version > SCHEMA_VERSION else "build it again"
            raise DamagedBuild(
                f"{path}: schema version {version}, this hnlpu reads {OLDEST_SCHEMA} and "
                f"{SCHEMA_VERSION}; {remedy}"
            )
        stated = values.pop("manifest_sha256", None)
        manifest = Manifest.model_validate(values)
        sound = encode_manifest(manifest) == raw  # NaN has no encoding: ValueError
    except ValidationError as error:
        raise DamagedBuild(f"{path}: {first_problem(error)}; {rebuild}") from None
    except (ValueError, AttributeError, RecursionError) as error:
        raise DamagedBuild(f"{path}: not valid JSON ({error}); {rebuild}") from None
    if not sound or stated is None:
        raise DamagedBuild(f"{path}: does not match its own digest; {rebuild}")
    return manifest
