"""Proving a build: is it whole, is it the checkpoint, is its arithmetic exact?

files         every byte of every file, and nothing else in the folder
source        the checkpoint is the one that was built
weights       every weight decoded and held against the checkpoint's value; counts
kept tensors  embedding, norms, sinks and biases are the checkpoint's bytes
arithmetic    sampled neurons against the golden model, on extreme inputs
masks ...     the metal, on request (see `hnlpu.insight.verify._masks`)
rtl           sampled neurons of every kind of array simulated, on request
rtl all       every neuron of every array simulated, on request
chip files    a folder that `hnlpu chip` wrote, on request; with one of masks, both as one set
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hnlpu._paths import absolute
from hnlpu.errors import DamagedBuild, HnlpuError, InvalidInput
from hnlpu.insight.verify._arithmetic import check_samples
from hnlpu.insight.verify._check import Check, collect
from hnlpu.insight.verify._chips import check_chips, check_set, set_digest
from hnlpu.insight.verify._masks import check_masks
from hnlpu.insight.verify._rtl import check_all_rtl, check_rtl
from hnlpu.insight.verify._weights import check_kept, check_matrix
from hnlpu.model.checkpoint import (
    Model,
    ModelFacts,
    is_checkpoint,
    read_model,
    read_network_model,
)
from hnlpu.run.emulate import one_blas_thread
from hnlpu.silicon.hardwire import (
    MANIFEST,
    Build,
    Manifest,
    Progress,
    file_sha256,
    fill_of,
    open_build,
    read_log,
    read_manifest,
)
from hnlpu.silicon.masks import RECORD
from hnlpu.silicon.rtl import ArrayUnit, require_simulator, sample_units
from hnlpu.silicon.rtl.chip import CHIP_RECORD


@dataclass(frozen=True)
class Verification:
    """The outcome of `verify`; `checkpoint` is what weights were compared with, if anything.

    `set_digest` is that of masks and chips that were given and are one sound set.
    """

    directory: Path
    checkpoint: Path | None
    checks: tuple[Check, ...]
    set_digest: str | None = None

    @property
    def passed(self) -> bool:
        """Whether no check failed; `skipped` names those that did not run."""
        return all(check.outcome != "failed" for check in self.checks)

    @property
    def skipped(self) -> list[str]:
        """Names of the checks that did not run."""
        return [check.name for check in self.checks if check.outcome == "skipped"]

    @property
    def problems(self) -> list[str]:
        """Everything that was found wrong."""
        return [problem for check in self.checks for problem in check.problems]


def verify(
    directory: str | Path,
    checkpoint: str | Path | None = None,
    *,
    samples: int = 4,
    seed: int = 0,
    masks: bool = False,
    masks_from: str | Path | None = None,
    chips_from: str | Path | None = None,
    rtl: bool = False,
    rtl_all: bool = False,
    workers: int | None = None,
    ray: str | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Check a build directory; see the module's head for what is checked.

    The checkpoint is found by the build's log, or given.  Without one `source`
    and `kept tensors` are skipped, and `weights` says why it compared nothing.
    With `masks` the metal is drawn and read back, with `masks_from` read from a folder that
    `hnlpu masks` wrote, by `workers` processes or on the Ray cluster at `ray`.  With `rtl` a neuron of
    every shape is simulated, with `rtl_all` every neuron.  With `chips_from` the files of a folder that
    `hnlpu chip` wrote are held to what the build gives, and with `masks_from` too both are one set.  Raises ToolMissing without Verilator, a C++
    compiler or make, and InvalidInput for activations that have no RTL.  Raises NotABuild
    where there is no build, and any error of `read_model` for a checkpoint that was given.
    """
    folder = absolute(directory)
    workers = (os.cpu_count() or 1) if workers is None else workers
    if ray is not None and not masks and masks_from is None:
        raise InvalidInput(f"ray {ray!r}: a cluster only checks the metal; add `masks`")
    if masks_from is not None and not (absolute(masks_from) / RECORD).exists():
        raise InvalidInput(f"{masks_from}: no folder that 'hnlpu masks' wrote (it lacks {RECORD})")
    if chips_from is not None and not (absolute(chips_from) / CHIP_RECORD).exists():
        raise InvalidInput(
            f"{chips_from}: no folder that 'hnlpu chip' wrote (it lacks {CHIP_RECORD})"
        )
    for name, value, least in (("workers", workers, 1), ("samples", samples, 1), ("seed", seed, 0)):
        if value < least:
            raise InvalidInput(f"{name} {value}: must be at least {least}")
    try:
        manifest = read_manifest(folder)
        if masks or masks_from is not None:
            manifest.technology.require_drawn()
    except DamagedBuild as error:
        return Verification(folder, None, (Check("files", 0, "files", (str(error),)),))
    with one_blas_thread(), ThreadPoolExecutor(workers) as pool:
        files = collect("files", "files", _check_files(folder, manifest, pool))
        if not files.passed:
            return Verification(folder, None, (files,))
        try:
            build = open_build(folder)
        except DamagedBuild as error:
            return Verification(folder, None, (Check("files", 0, "files", (str(error),)),))
        units = _rtl_units(build, seed) if rtl or rtl_all else []
        model, why_not = _find_checkpoint(build, checkpoint)
        checks = [files]
        if model is not None:
            checks.append(collect("source", "files", _check_source(build, model, pool)))
        else:
            checks.append(Check("source", 0, "files", (), why_not))
        same = model
        if model is not None and model.architecture != build.facts:
            same, why_not = None, "the checkpoint is of another architecture"
        checks.append(_check_weights(build, same, why_not, pool, progress))
        if same is not None:
            kept = ((1, problem) for _, problem in check_kept(build, same))
            checks.append(collect("kept tensors", "tensors", kept))
        else:
            checks.append(Check("kept tensors", 0, "tensors", (), why_not))
        random = np.random.default_rng(seed)
        sums = (check_samples(build, s, samples, random) for s in build.shapes().values())
        checks.append(collect("arithmetic", "sums", sums))
    if masks or masks_from is not None:
        given = None if masks_from is None else absolute(masks_from)
        checks += check_masks(build, given, seed, workers, ray, progress)
    if rtl:
        checks.append(check_rtl(build, units, seed, progress))
    if rtl_all:
        checks.append(check_all_rtl(build, seed, workers, progress))
    sealed = None
    if chips_from is not None:
        chips = absolute(chips_from)
        checks.append(check_chips(build, chips))
        if masks_from is not None:
            checks.append(check_set(build, absolute(masks_from), chips))
            if all(check.outcome != "failed" for check in checks):
                sealed = set_digest(build, absolute(masks_from), chips)
    return Verification(folder, model.directory if model else None, tuple(checks), sealed)


def _rtl_units(build: Build, seed: int) -> list[ArrayUnit]:
    """What is to be simulated; raises at once where nothing can be."""
    units = sample_units(build, seed)
    require_simulator()
    return units


def _check_files(
    folder: Path, manifest: Manifest, pool: ThreadPoolExecutor
) -> Iterator[tuple[int, str | None]]:
    def digest(name: str) -> str | None:
        path = folder / name
        try:
            found = file_sha256(path)
        except OSError as error:
            return f"{path}: {error.strerror}"
        wanted = manifest.files[name].sha256
        return None if found == wanted else f"{path}: altered (its digest is not the manifest's)"

    for problem in pool.map(digest, manifest.files):
        yield 1, problem
    known = {MANIFEST, *manifest.files}
    for path in sorted(folder.rglob("*")):
        plain_folder = path.is_dir() and not path.is_symlink()
        if not plain_folder and path.relative_to(folder).as_posix() not in known:
            yield 1, f"{path}: is not part of the build"


def _find_checkpoint(build: Build, given: str | Path | None) -> tuple[Model | None, str | None]:
    """The checkpoint to compare with, or why there is none."""
    if given is not None:
        return _read_as(build, absolute(given)), None
    log = read_log(build.directory, file_sha256(build.directory / MANIFEST))
    if log is None:
        return None, "no checkpoint given and no build log to find it by; add `checkpoint`"
    try:
        return _read_as(build, Path(log.checkpoint)), None
    except HnlpuError as error:
        return None, f"the checkpoint of the build's log cannot be read ({error}); add `checkpoint`"


def _read_as(build: Build, directory: Path) -> Model:
    """A checkpoint by the network of the build, which needs no family; raises as `read_model`."""
    if isinstance(build.facts, ModelFacts) and is_checkpoint(directory):
        return read_network_model(directory, build.facts, build.network)
    return read_model(directory)


def _check_source(
    build: Build, model: Model, pool: ThreadPoolExecutor
) -> Iterator[tuple[int, str | None]]:
    """Is this the checkpoint that was built?  File by file."""
    wanted, files = build.manifest.source.files, model.source_files()

    def digest(name: str) -> str | None:
        path = files.get(name, model.settings / name)
        try:
            same = file_sha256(path) == wanted[name]
        except OSError as error:
            return f"{path}: {error.strerror}"
        return None if same else f"{path}: is not the file that was built"

    for problem in pool.map(digest, wanted):
        yield 1, problem


def _check_weights(
    build: Build,
    model: Model | None,
    why_not: str | None,
    pool: ThreadPoolExecutor,
    progress: Progress | None,
) -> Check:
    shapes = list(build.shapes().values())
    total = sum(shape.weights for shape in shapes)

    def check(name: str) -> list[tuple[int, str | None]]:
        matrix = model.matrices.get(name) if model else None
        try:
            return list(check_matrix(build, matrix, build.shapes()[name]))
        except HnlpuError as error:
            return [(0, str(error))]

    done = 0
    pieces = {}
    # large ones first: the last to be taken up should not be the one that takes longest
    order = sorted(shapes, key=lambda shape: -shape.weights)
    for shape, found in zip(order, pool.map(check, [s.name for s in order]), strict=True):
        pieces[shape.name] = found
        done += shape.weights
        if progress:
            progress(shape.name, done, total)
    check_ = collect("weights", "weights", (p for s in shapes for p in pieces[s.name]))
    # zeros that fill blocks are decoded, too, but are no weights
    fill = sum(fill_of(build.network).values()) if check_.covered == total else 0
    return Check(check_.name, check_.covered - fill, check_.unit, check_.problems, why_not)
