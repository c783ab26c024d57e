"""From a `Model` to a build directory of hardwired digits, and back to matrices."""

from hnlpu.hardwire import golden
from hnlpu.hardwire._build import Progress, build, weight_files
from hnlpu.hardwire._convert import tiles
from hnlpu.hardwire._log import BuildLog, machine, peak_memory_mb, read_log
from hnlpu.hardwire._manifest import (
    MANIFEST,
    DigitRecord,
    FileRecord,
    Manifest,
    MatrixRecord,
    canonical_json,
    read_manifest,
    source_digest,
)
from hnlpu.hardwire._matrix import (
    UNIT_BIAS,
    Digit,
    HardwiredMatrix,
    row_facts,
)
from hnlpu.hardwire._open import Build, Stack, open_build
from hnlpu.hardwire._staging import file_sha256
from hnlpu.hardwire._tally import Tally
from hnlpu.hardwire._tile import TileReader

__all__ = [
    "MANIFEST",
    "UNIT_BIAS",
    "Build",
    "BuildLog",
    "Digit",
    "DigitRecord",
    "FileRecord",
    "HardwiredMatrix",
    "Manifest",
    "MatrixRecord",
    "Progress",
    "Stack",
    "Tally",
    "TileReader",
    "build",
    "canonical_json",
    "file_sha256",
    "golden",
    "machine",
    "open_build",
    "peak_memory_mb",
    "read_log",
    "read_manifest",
    "row_facts",
    "source_digest",
    "tiles",
    "weight_files",
]
