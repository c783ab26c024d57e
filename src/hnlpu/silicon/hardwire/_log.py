"""`DIR.log.json`, beside a build: when, from where, how long, how much memory.

Kept out of the build directory so that equal inputs give equal directories.
Nothing depends on it: it tells `verify` where the checkpoint was and the
report how the build went.
"""

from __future__ import annotations

import contextlib
import json
import platform
import resource
import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from hnlpu.silicon.hardwire._manifest import canonical_json


class BuildLog(BaseModel):
    """How a build went.  `weights` counts those hardwired, `manifest_sha256` names the build.

    `notes` are lines about what the checkpoint holds beside its weights and the build leaves out.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    checkpoint: str
    manifest_sha256: str
    finished: str
    seconds: float
    peak_memory_mb: float
    weights: int
    workers: int
    machine: str
    notes: tuple[str, ...] = ()


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in MB (10^6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def machine() -> str:
    """One line that tells this machine from others."""
    return f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"


def log_path(build: Path) -> Path:
    """Where the log of the build at `build` lies."""
    return build.with_name(build.name + ".log.json")


def write_log(build: Path, log: BuildLog) -> None:
    """Write the log beside the build; a place that cannot be written is no failure."""
    with contextlib.suppress(OSError):
        log_path(build).write_bytes(canonical_json(log.model_dump(mode="json")))


def read_log(build: Path, manifest_sha256: str) -> BuildLog | None:
    """The log of exactly this build, if it is still there."""
    try:
        log = BuildLog.model_validate(json.loads(log_path(build).read_bytes()))
    except (OSError, ValueError, ValidationError):
        return None
    return log if log.manifest_sha256 == manifest_sha256 else None
