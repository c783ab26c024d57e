"""A checkpoint -> a build directory.

weights/embedding.safetensors    embedding table and final norm: parameters of no layer
weights/layer-007.safetensors    digits of the layer's matrices; norms, sinks, biases
weights/unembedding.safetensors  digits of lm_head: matrices of no layer
network.json                     what the model does, of families other than gpt-oss
tokenizer.json, ...              as the checkpoint has them
manifest.json                    everything else, and the digests
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hnlpu._paths import absolute
from hnlpu._version import __version__
from hnlpu.errors import DamagedBuild, InvalidInput, OutputExists, OutputFailed
from hnlpu.model.checkpoint import (
    Architecture,
    MatrixShape,
    Model,
    StoredTensor,
    finite,
    kept_parameters,
    locate,
    pieces,
    read_header,
    read_model,
)
from hnlpu.model.checkpoint._writer import SafetensorsWriter, layout_bytes
from hnlpu.model.families import Family
from hnlpu.model.network import dump
from hnlpu.model.policy import Policy, stored_digits
from hnlpu.silicon.embed import ROUTED
from hnlpu.silicon.hardwire._convert import Layout, convert, matrix_layout, stored_format
from hnlpu.silicon.hardwire._errors_by_role import check_coverage
from hnlpu.silicon.hardwire._gate import Judge, check_limit, check_patterns, judge_build
from hnlpu.silicon.hardwire._log import BuildLog, machine, peak_memory_mb, write_log
from hnlpu.silicon.hardwire._manifest import (
    MANIFEST,
    NETWORK,
    FileRecord,
    Manifest,
    MatrixRecord,
    Source,
    encode_manifest,
    source_digest,
)
from hnlpu.silicon.hardwire._open import Build
from hnlpu.silicon.hardwire._staging import Staging, check_output, file_sha256, staging
from hnlpu.silicon.hardwire._tracks import place_with_tracks
from hnlpu.silicon.place import Target, chip_grid, make_target, place

Progress = Callable[[str, int, int], None]
"""Called with (what was done, weights done, weights in all)."""


@dataclass(frozen=True)
class WeightFile:
    """One file of weights: the matrices and vectors it holds, by name."""

    name: str
    matrices: tuple[MatrixShape, ...]
    vectors: tuple[str, ...]

    @property
    def weights(self) -> int:
        """Hardwired weights in the file."""
        return sum(shape.weights for shape in self.matrices)


def weight_files(model: Model) -> Iterator[WeightFile]:
    """The weight files of a build, in the order in which data meets them."""
    kept = kept_parameters(model.network)

    def part(
        name: str, layer: int | None, *, matrices: bool = True, vectors: bool = True
    ) -> WeightFile:
        return WeightFile(
            f"weights/{name}.safetensors",
            tuple(s for s in model.shapes() if matrices and s.layer == layer),
            tuple(p.name for p in kept if vectors and p.block == layer),
        )

    yield part("embedding", None, matrices=False)
    blocks = {s.layer for s in model.shapes()} | {p.block for p in kept}
    for layer in sorted(block for block in blocks if block is not None):
        yield part(f"layer-{layer:03d}", layer)
    yield part("unembedding", None, vectors=False)


def build(
    checkpoint: str | Path,
    out: str | Path,
    policy: Policy | None = None,
    target: Target | None = None,
    *,
    revision: str | None = None,
    family: Family[Any] | None = None,
    max_error: float | None = None,
    judge: Judge | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Hardwire `checkpoint` (a folder or Hub id) into the build directory `out`, for `target`.

    `family` stands in for the one that `model_type` of the config finds.  `max_error` is the largest
    relative error (RMS of the change over RMS of the weights) that a matrix may have; `judge` sees
    the build before anyone else and may refuse it.

    `out` appears complete or not at all; a build there is replaced.  Returns
    its path.  Raises any HnlpuError; then nothing is left behind.
    """
    check_limit(max_error)
    policy, embed_in = policy or Policy(), target or make_target()
    workers = (os.cpu_count() or 1) if workers is None else workers
    began = time.monotonic()
    if workers < 1:
        raise InvalidInput(f"workers {workers}: must be at least 1")
    folder = absolute(out)
    check_output(folder)
    model = read_model(locate(checkpoint, revision), family)
    if folder == model.directory or folder in model.directory.parents:
        raise OutputExists(f"{folder}: is the checkpoint's own folder; choose another")
    if embed_in.chips is not None:
        chip_grid(model.shapes(), embed_in.chips)  # refused before the work, not after
    check_patterns(model, policy)
    _check_space(folder, model, policy)
    files = list(weight_files(model))
    total = sum(file.weights for file in files)
    with staging(folder) as stage, ThreadPoolExecutor(workers) as pool:
        source = _hash_source(model, pool)
        stage.resume_or_clear(_plan(model, source, policy))
        done = 0
        entries: dict[str, dict[str, Any]] = {}
        # last first: the unembedding takes longest and would keep one worker busy at the end
        pending: dict[Future[dict[str, Any]], WeightFile] = {
            pool.submit(_make_file, model, policy, file, stage): file for file in reversed(files)
        }
        try:
            for future in as_completed(pending):
                file = pending[future]
                entries[file.name] = future.result()
                done += file.weights
                if progress:
                    progress(file.name, done, total)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        for path in model.carried_files():
            with stage.writing(path.name) as temporary:
                shutil.copyfile(path, temporary)
            entries[path.name] = stage.finish(path.name, {})
        described = not isinstance(model.architecture, Architecture)
        if described:
            with stage.writing(NETWORK) as temporary:
                temporary.write_text(dump(model.network), "utf-8")
            entries[NETWORK] = stage.finish(NETWORK, {})
        matrices = {
            name: MatrixRecord.model_validate(record)
            for entry in entries.values()
            for name, record in entry["records"].items()
        }
        check_coverage(model.shapes(), matrices)
        embeddings = {name: record.embedding for name, record in matrices.items()}
        manifest = Manifest(
            schema_version=3 if described else 2,
            generator=f"hnlpu {__version__}",
            source=source,
            architecture=model.architecture,
            policy=policy,
            technology=embed_in.technology,
            placement=place(model.shapes(), embeddings, dataclasses.replace(embed_in, chips=1)),
            matrices=matrices,
            files={name: FileRecord(**entry["file"]) for name, entry in entries.items()},
        )
        grown = Build(stage.folder, manifest, _tensors(stage.folder, manifest), model.network)
        if embed_in.scheme in ROUTED:
            placement = place_with_tracks(grown, embed_in, pool)
        else:
            placement = place(model.shapes(), embeddings, embed_in)
        manifest = manifest.model_copy(update={"placement": placement})
        judge_build(
            dataclasses.replace(grown, manifest=manifest), model, embed_in, max_error, judge
        )
        with stage.writing(MANIFEST) as temporary:
            temporary.write_bytes(encode_manifest(manifest))
        stage.publish()
    log = BuildLog(
        checkpoint=str(model.directory),
        manifest_sha256=file_sha256(folder / MANIFEST),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - began, 3),
        peak_memory_mb=round(peak_memory_mb(), 1),
        weights=total,
        workers=workers,
        machine=machine(),
        notes=model.notes,
    )
    write_log(folder, log)
    return folder


def _tensors(folder: Path, manifest: Manifest) -> dict[str, StoredTensor]:
    """Where every tensor lies in a folder of finished files."""
    found: dict[str, StoredTensor] = {}
    for name in manifest.files:
        if name.endswith(".safetensors"):
            found |= read_header(folder / name, DamagedBuild)[0]
    return found


def _plan(model: Model, source: Source, policy: Policy) -> dict[str, Any]:
    plan = {
        "generator": f"hnlpu {__version__}",
        "source": source.digest,
        "policy": policy.model_dump(mode="json"),
    }
    if not isinstance(model.architecture, Architecture):  # a user's family may have changed
        plan["network"] = hashlib.sha256(dump(model.network).encode()).hexdigest()
    return plan


def _hash_source(model: Model, pool: ThreadPoolExecutor) -> Source:
    files = model.source_files()
    digests = dict(zip(files, pool.map(file_sha256, files.values()), strict=True))
    return Source(digest=source_digest(digests), files=digests)


def _make_file(model: Model, policy: Policy, file: WeightFile, stage: Staging) -> dict[str, Any]:
    """Write one weight file, unless an earlier run finished it; returns its journal entry."""
    if (entry := stage.finished(file.name)) is not None:
        return entry
    layout: Layout = {}
    formats = {s.name: stored_format(model.matrices[s.name], policy) for s in file.matrices}
    for name in file.vectors:
        layout[name] = (model.vectors[name].dtype, model.vectors[name].shape)
    for shape in file.matrices:
        layout |= matrix_layout(
            shape, stored_digits(formats[shape.name]), _bias_format(model, shape)
        )
    records = {}
    with stage.writing(file.name) as temporary, SafetensorsWriter(temporary, layout) as writer:
        for name in file.vectors:
            _copy_vector(model, name, writer)
        for shape in file.matrices:
            record = convert(
                model.matrices[shape.name], formats[shape.name], policy, writer, file.name
            )
            records[shape.name] = record.model_dump(mode="json")
    return stage.finish(file.name, records)


def _copy_vector(model: Model, name: str, writer: SafetensorsWriter) -> None:
    """Copy a tensor that stays in memory, checking on the way that it is finite."""
    tensor = model.vectors[name]
    shape = tensor.shape or (1,)  # a single number is a row of one
    width = math.prod(shape[1:])
    for rows in pieces(shape):
        raw = tensor.rows(rows).reshape(-1, *shape[1:])
        finite(tensor, raw)
        writer.put(name, raw, rows.start * width)


def _bias_format(model: Model, shape: MatrixShape) -> str:
    bias = model.matrices[shape.name].bias_tensor
    return "BF16" if bias is None else bias.dtype


def _check_space(out: Path, model: Model, policy: Policy) -> None:
    """Refuse early when the disk cannot hold the build (at most; `auto` may need one digit)."""
    layouts = [
        matrix_layout(
            shape,
            _most_digits(model, policy, shape),
            _bias_format(model, shape),
        )
        for shape in model.shapes()
    ]
    layouts.append({name: (tensor.dtype, tensor.shape) for name, tensor in model.vectors.items()})
    needed = sum(layout_bytes(layout) for layout in layouts)
    partial = out.with_name(out.name + ".partial")
    with contextlib.suppress(OSError):  # what an interrupted run has written need not be again
        needed -= sum(path.stat().st_size for path in partial.rglob("*.safetensors"))
    parent = next(p for p in out.parents if p.exists())
    free = shutil.disk_usage(parent).free
    if free < needed:
        raise OutputFailed(
            f"{out}: the disk has {free / 1e9:.1f} GB free, the build needs about "
            f"{needed / 1e9:.1f} GB; free some space or choose another folder"
        )


def _most_digits(model: Model, policy: Policy, shape: MatrixShape) -> int:
    """Stored digits of a matrix, at most."""
    if model.matrices[shape.name].is_mxfp4:
        return 1
    fmt = policy.format_of(shape.role, shape.name)
    return stored_digits("mxfp4x2" if fmt == "auto" else fmt)
