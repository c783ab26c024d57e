"""From a `Model` to a build directory of hardwired digits, and back to matrices."""

from hnlpu.silicon.hardwire._build import Progress, build, weight_files
from hnlpu.silicon.hardwire._convert import bias_name, keep_memory, member_word, tiles
from hnlpu.silicon.hardwire._errors_by_role import RoleError, role_errors
from hnlpu.silicon.hardwire._fill import fill_of
from hnlpu.silicon.hardwire._gate import Judge
from hnlpu.silicon.hardwire._log import BuildLog, machine, peak_memory_mb, read_log
from hnlpu.silicon.hardwire._manifest import (
    MANIFEST,
    DigitRecord,
    FileRecord,
    Manifest,
    MatrixRecord,
    canonical_json,
    read_manifest,
    source_digest,
)
from hnlpu.silicon.hardwire._matrix import (
    UNIT_BIAS,
    Digit,
    HardwiredMatrix,
    row_facts,
)
from hnlpu.silicon.hardwire._open import Build, HardwiredStack, network_of_build, open_build
from hnlpu.silicon.hardwire._staging import file_sha256
from hnlpu.silicon.hardwire._tally import Tally
from hnlpu.silicon.hardwire._tile import TileReader

__all__ = [
    "MANIFEST",
    "UNIT_BIAS",
    "Build",
    "BuildLog",
    "Digit",
    "DigitRecord",
    "FileRecord",
    "HardwiredMatrix",
    "HardwiredStack",
    "Judge",
    "Manifest",
    "MatrixRecord",
    "Progress",
    "RoleError",
    "Tally",
    "TileReader",
    "bias_name",
    "build",
    "canonical_json",
    "file_sha256",
    "fill_of",
    "keep_memory",
    "machine",
    "member_word",
    "network_of_build",
    "open_build",
    "peak_memory_mb",
    "read_log",
    "read_manifest",
    "role_errors",
    "row_facts",
    "source_digest",
    "tiles",
    "weight_files",
]
