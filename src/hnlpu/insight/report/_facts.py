"""A build directory -> `BuildFacts`: every count of the page, before anything is run.

All of it comes from the manifest, the layout it implies and the build's log;
only `Excerpt` reads weights, a few thousand of them, to show real metal.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from hnlpu.arithmetic.mx import BLOCK, SCALE_BIAS, TWICE_E2M1, unpack
from hnlpu.model.checkpoint import Role, kept_parameters
from hnlpu.model.network import ops
from hnlpu.silicon.hardwire import (
    MANIFEST,
    Build,
    BuildLog,
    Manifest,
    MatrixRecord,
    bias_name,
    file_sha256,
    fill_of,
    read_log,
)

TWICE_VALUES: tuple[int, ...] = tuple(sorted({int(twice) for twice in TWICE_E2M1}))
"""Twice the 15 distinct E2M1 values, ascending; both zeros are one."""

EXCERPT_WEIGHTS = 3072
EXCERPT_NEURONS = 7


@dataclass(frozen=True)
class Spectrum:
    """What one digit of some matrices holds.

    `values` counts elements by `TWICE_VALUES`; `exponents` counts non-zero
    blocks by power of two, ascending; `zero_blocks` the others.
    """

    values: tuple[int, ...]
    exponents: tuple[tuple[int, int], ...]
    zero_blocks: int

    @property
    def elements(self) -> int:
        """Number of digits counted."""
        return sum(self.values)


@dataclass(frozen=True)
class MatrixFacts:
    """One matrix, or stack of them, as the page lists it."""

    name: str
    kind: str
    layer: int | None
    record: MatrixRecord

    @property
    def digits(self) -> int:
        """Number of digits."""
        return self.record.weights * self.record.metal_digits


@dataclass(frozen=True)
class RoleFacts:
    """All matrices of one role together; `spectra` has one entry per digit."""

    role: Role
    formats: tuple[str, ...]
    matrices: int
    weights: int
    digits: int
    zeros: int
    spectra: tuple[Spectrum, ...]


@dataclass(frozen=True)
class Excerpt:
    """Real digits of one matrix: `twice` values of its first weights in reading order.

    `column` is what input 0 meets in the first few neurons; `block` the first
    32 inputs of neuron 0 and `exponent` the power of two that scales them.
    """

    matrix: str
    twice: tuple[int, ...]
    column: tuple[int, ...]
    block: tuple[int, ...]
    exponent: int


@dataclass(frozen=True)
class BuildFacts:
    """Everything the page says about a build as it lies on disk.

    `parts` splits `bytes_on_disk` into what the bytes are for;
    `matrix_bytes` counts codes, block exponents and row exponents.
    """

    name: str
    directory: str
    manifest: Manifest
    log: BuildLog | None
    matrices: tuple[MatrixFacts, ...]
    roles: tuple[RoleFacts, ...]
    weights: int
    fill: int
    digits: int
    zeros: int
    kept_parameters: int
    bytes_on_disk: int
    matrix_bytes: int
    parts: tuple[tuple[str, int], ...]
    excerpt: Excerpt


def examine(build: Build) -> BuildFacts:
    """Gather the facts of a build.  Raises DamagedBuild where a file cannot be read."""
    manifest = build.manifest
    matrices = tuple(
        MatrixFacts(name, _kind(name, shape.layer), shape.layer, manifest.matrices[name])
        for name, shape in build.shapes().items()
    )
    weights = sum(m.record.weights for m in matrices)
    fill = sum(fill_of(build.network).values())
    path = build.directory / MANIFEST
    on_disk = sum(f.bytes for f in manifest.files.values()) + path.stat().st_size
    parts = _parts(build, on_disk)
    return BuildFacts(
        name=build.directory.name,
        directory=str(build.directory),
        manifest=manifest,
        log=read_log(build.directory, file_sha256(path)),
        matrices=matrices,
        roles=tuple(
            _role(role, matrices) for role in dict.fromkeys(m.record.role for m in matrices)
        ),
        weights=weights,
        fill=fill,
        digits=sum(m.digits for m in matrices),
        zeros=sum(m.record.zeros for m in matrices),
        kept_parameters=_kept_parameters(build),
        bytes_on_disk=on_disk,
        matrix_bytes=sum(size for _, size in parts[:3]),
        parts=parts,
        excerpt=_excerpt(build),
    )


def value_counts(codes: Iterable[int]) -> tuple[int, ...]:
    """Counts of the 16 codes -> counts of the 15 values of `TWICE_VALUES`."""
    by_value: Counter[int] = Counter()
    for twice, count in zip(TWICE_E2M1.tolist(), codes, strict=True):
        by_value[twice] += count
    return tuple(by_value[twice] for twice in TWICE_VALUES)


def _kind(name: str, layer: int | None) -> str:
    """Name of a matrix without its layer and the part of it: "q_proj", "experts.down_proj"."""
    if layer is None:
        return name
    within = re.sub(rf"^(.*\.)?{layer}\.", "", name)
    if within == name:  # as in gru.weight_ih_l0
        return name.removesuffix(str(layer))
    return within.partition(".")[2] or within


def _role(role: Role, matrices: tuple[MatrixFacts, ...]) -> RoleFacts:
    records = [m.record for m in matrices if m.record.role == role]
    most = max(len(r.digits) for r in records)
    return RoleFacts(
        role=role,
        formats=tuple(sorted({r.format for r in records})),
        matrices=sum(r.count for r in records),
        weights=sum(r.weights for r in records),
        digits=sum(r.weights * r.metal_digits for r in records),
        zeros=sum(r.zeros for r in records),
        spectra=tuple(_spectrum(records, digit) for digit in range(most)),
    )


def _spectrum(records: list[MatrixRecord], digit: int) -> Spectrum:
    found = [r.digits[digit] for r in records if len(r.digits) > digit]
    powers: Counter[int] = Counter()
    for record in found:
        for exponent, blocks in record.exponents:
            powers[exponent - SCALE_BIAS] += blocks
    return Spectrum(
        values=value_counts(sum(column) for column in zip(*(r.codes for r in found), strict=True)),
        exponents=tuple(sorted(powers.items())),
        zero_blocks=sum(r.zero_blocks for r in found),
    )


def _parts(build: Build, on_disk: int) -> tuple[tuple[str, int], ...]:
    """Bytes by purpose: the layout of hnlpu.silicon.hardwire, and what is left for the rest."""
    shapes = build.shapes().values()
    digits = {name: len(record.digits) for name, record in build.manifest.matrices.items()}
    elements = sum(s.weights * digits[s.name] for s in shapes)
    tables = {step.op.table for step in build.network.steps if isinstance(step.op, ops.Lookup)}
    kept = [p.name for p in kept_parameters(build.network)]
    biases = [bias_name(s.name) for s in shapes if s.has_bias]
    parts = [
        ("digit codes", elements // 2),
        ("block exponents", elements // BLOCK),
        ("row exponents", sum(s.count * s.rows for s in shapes)),
        ("tables of embeddings", _bytes(build, [name for name in kept if name in tables])),
        (
            "biases, norms and other parameters",
            _bytes(build, [*biases, *(name for name in kept if name not in tables)]),
        ),
    ]
    rest = on_disk - sum(size for _, size in parts)
    return (*parts, ("tokenizer, manifest, file headers", rest))


def _bytes(build: Build, names: Iterable[str]) -> int:
    """Bytes of tensors."""
    widths = {"BF16": 2, "F16": 2, "F32": 4}
    found = (build.tensors[name] for name in names)
    return sum(widths[tensor.dtype] * prod(tensor.shape) for tensor in found)


def _kept_parameters(build: Build) -> int:
    kept = sum(prod(p.shape) for p in kept_parameters(build.network))
    return kept + sum(s.count * s.rows for s in build.matrices() if s.has_bias)


def _excerpt(build: Build) -> Excerpt:
    """From the first matrix, or the first member of the first one that has members."""
    shapes = build.matrices()
    shape = next((shape for shape in shapes if shape.bank), shapes[0])
    matrix = build.matrix(shape)
    rows = max(EXCERPT_NEURONS, -(-EXCERPT_WEIGHTS // shape.columns))
    first = matrix.part(slice(0, rows)).digits[0]
    twice = TWICE_E2M1[unpack(first.codes)]
    return Excerpt(
        matrix=shape.name,
        twice=tuple(twice.reshape(-1)[:EXCERPT_WEIGHTS].tolist()),
        column=tuple(twice[:EXCERPT_NEURONS, 0].tolist()),
        block=tuple(twice[0, :BLOCK].tolist()),
        exponent=int(first.exponents[0, 0]) - SCALE_BIAS,
    )
