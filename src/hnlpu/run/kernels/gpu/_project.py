"""Hardwired matrices on a device: exact integer sums, then float32 as the emulator rounds them.

    digits, x_int ──► few entries:  a row's products added block by block
                  └─► many entries: 8-bit planes of x through the int8 tensor cores

An entry is one vector through one matrix of a stack: a token, or a token and
one of its experts.  Few entries are taken one by one; many are grouped by
expert, so that an expert's digits are read once for `WIDTH` of them.  A
block's sum is exact in 32 bits; it is shifted by e - b and added in 64, so the
order of blocks does not matter and nothing rounds before the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from hnlpu.run.kernels.gpu._numbers import EXACT, power_of_two
from hnlpu.silicon.hardwire import HardwiredMatrix

WIDTH = 16  # entries of a program that uses tensor cores: the least that they take
LARGEST_SHIFT = 31


@triton.jit
def _twice(code):
    """Twice the E2M1 value of a code: 0 1 2 3 4 6 8 12, and bit 3 is the sign."""
    m = code & 7
    large = (4 + 2 * (m & 1)) << tl.maximum((m >> 1) - 2, 0)
    magnitude = tl.where(m < 4, m, large)
    return tl.where(code >= 8, -magnitude, magnitude)


@triton.jit
def _shifts(exponents, at, base, inside):
    """e - b of blocks; only blocks of zeros lie below b."""
    e = tl.load(exponents + at, mask=inside, other=0).to(tl.int32)
    return tl.minimum(tl.maximum(e - base, 0), 31).to(tl.int64)


@triton.jit
def _to_float(total, base, scale):
    """total * 2^(b - 128 + s), exact in float64, rounded once to float32."""
    return (total.to(tl.float64) * power_of_two(base - 128 + scale)).to(tl.float32)


@triton.jit
def _few(
    codes, exponents, row_exponents, biases, x, scales, experts, out, rows, plane,
    blocks: tl.constexpr, per: tl.constexpr, digits: tl.constexpr, biased: tl.constexpr,
    raw: tl.constexpr, size: tl.constexpr, chunk: tl.constexpr,
):  # fmt: skip
    """`size` rows of one entry: `chunk` blocks of every row at a time.

    A nibble moved to the top of a float32 is its weight times 2^-127, exactly;
    so products and a block's sum, below 2^24 of that unit, are exact in float32.
    """
    entry = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    inside = row < rows
    place = tl.load(experts + entry) * rows + row
    base = tl.load(row_exponents + place, mask=inside, other=0).to(tl.int32)
    source = entry // per
    j = tl.arange(0, 16)
    total = tl.zeros([size], tl.int64)
    for first in range(0, blocks, chunk):
        block = first + tl.arange(0, chunk)
        here = block < blocks
        inputs = x + (source * blocks + block)[:, None] * 32 + 2 * j[None, :]
        even = tl.load(inputs, mask=here[:, None], other=0.0)[None, :, :]
        odd = tl.load(inputs + 1, mask=here[:, None], other=0.0)[None, :, :]
        both = inside[:, None] & here[None, :]
        for digit in tl.static_range(digits):
            at = (digit * plane + place[:, None]) * blocks + block[None, :]
            spots = codes + at[:, :, None] * 16 + j[None, None, :]
            byte = tl.load(spots, mask=both[:, :, None], other=0).to(tl.int32)
            low = (((byte & 7) << 22) | ((byte & 8) << 28)).to(tl.float32, bitcast=True)
            high = (((byte & 0x70) << 18) | ((byte & 0x80) << 24)).to(tl.float32, bitcast=True)
            part = tl.sum(low * even + high * odd, axis=2) * 1.7014118346046923e38  # 2^127
            shift = _shifts(exponents, at, base[:, None], both)
            total += tl.sum(part.to(tl.int32).to(tl.int64) << shift, axis=1)
    to = out + entry * rows + row
    if raw:
        tl.store(to, total, mask=inside)
    else:
        y = _to_float(total, base, tl.load(scales + source))
        if biased:
            y = y + tl.load(biases + place, mask=inside, other=0.0)
        tl.store(to, y, mask=inside)


@triton.jit
def _many(
    codes, exponents, row_exponents, biases, x, scales, experts, entries, out, rows, plane,
    blocks: tl.constexpr, per: tl.constexpr, digits: tl.constexpr, biased: tl.constexpr,
    raw: tl.constexpr, planes: tl.constexpr, size: tl.constexpr, width: tl.constexpr,
):  # fmt: skip
    """`size` rows of `width` entries that meet the same expert; entry -1 stands for none."""
    group = tl.program_id(1).to(tl.int64)
    entry = tl.load(entries + group * width + tl.arange(0, width))
    here = entry >= 0
    if tl.max(entry, axis=0) < 0:
        return
    row = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    inside = row < rows
    place = tl.load(experts + group) * rows + row
    base = tl.load(row_exponents + place, mask=inside, other=0).to(tl.int32)
    source = tl.maximum(entry, 0) // per
    i, j = tl.arange(0, 32), tl.arange(0, 16)
    total = tl.zeros([size, width], tl.int64)
    for block in range(blocks):
        spots = x + (source[None, :] * blocks + block) * 32 + i[:, None]
        inputs = tl.load(spots, mask=here[None, :], other=0.0).to(tl.int32)
        low = ((inputs + 128) & 255) - 128
        high = (inputs - low) >> 8  # up to 128 for 16-bit activations
        for digit in tl.static_range(digits):
            at = (digit * plane + place) * blocks + block
            spots = codes + at[:, None] * 16 + j[None, :]
            byte = tl.load(spots, mask=inside[:, None], other=0).to(tl.int32)
            weights = tl.interleave(_twice(byte & 15), _twice(byte >> 4)).to(tl.int8)
            part = tl.dot(weights, low.to(tl.int8), out_dtype=tl.int32)
            if planes > 1:
                upper = tl.minimum(high, 127)
                part += 256 * tl.dot(weights, upper.to(tl.int8), out_dtype=tl.int32)
            if planes > 2:
                rest = high - tl.minimum(high, 127)
                part += 256 * tl.dot(weights, rest.to(tl.int8), out_dtype=tl.int32)
            shift = _shifts(exponents, at, base, inside)
            total += part.to(tl.int64) << shift[:, None]
    to = out + entry[None, :] * rows + row[:, None]
    mask = inside[:, None] & here[None, :]
    if raw:
        tl.store(to, total, mask=mask)
    else:
        scale = tl.load(scales + source)
        y = _to_float(total, base[:, None], scale[None, :])
        if biased:
            y = y + tl.load(biases + place, mask=inside, other=0.0)[:, None]
        tl.store(to, y, mask=mask)


class SpreadTooWide(Exception):
    """Exponents of a row lie further apart than a build may hold."""


@dataclass(frozen=True)
class GpuStack:
    """Equal matrices on a device, their packed digits as they are.

    `codes` uint8 [digits, count, rows, blocks, 16], `exponents` uint8 [digits,
    count, rows, blocks], `row_exponents` uint8 [count, rows], `biases` float32
    [count, rows] or None.
    """

    codes: torch.Tensor
    exponents: torch.Tensor
    row_exponents: torch.Tensor
    biases: torch.Tensor | None

    @property
    def rows(self) -> int:
        """Neurons of each matrix."""
        return int(self.row_exponents.shape[1])

    @property
    def columns(self) -> int:
        """Inputs of each matrix."""
        return int(self.codes.shape[3]) * 32

    @staticmethod
    def of(
        digits: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]],
        row_exponents: np.ndarray[Any, Any], biases: np.ndarray[Any, Any] | None,
        device: torch.device | str,
    ) -> GpuStack:  # fmt: skip
        """Copy arrays, the stack's number first in every shape, to `device`.  Raises SpreadTooWide."""
        stack = GpuStack(
            torch.stack([torch.tensor(codes, device=device) for codes, _ in digits]),
            torch.stack([torch.tensor(exponents, device=device) for _, exponents in digits]),
            torch.tensor(row_exponents, device=device),
            None if biases is None else torch.tensor(biases, device=device),
        )
        for codes, exponents in zip(stack.codes, stack.exponents, strict=True):
            shifts = exponents.to(torch.int16) - stack.row_exponents[..., None]
            outside = (shifts < 0) | (shifts > LARGEST_SHIFT)
            if (codes[outside] & 0x77).any():
                raise SpreadTooWide
        return stack

    @staticmethod
    def of_matrix(matrix: HardwiredMatrix, device: torch.device | str) -> GpuStack:
        """One matrix as a stack."""
        digits = [(d.codes[None], d.exponents[None]) for d in matrix.digits]
        bias = None if matrix.bias is None else matrix.bias[None]
        return GpuStack.of(digits, matrix.row_exponents[None], bias, device)

    @staticmethod
    def below_each_other(stacks: list[GpuStack]) -> GpuStack:
        """Matrices of the same inputs as one, the rows of the first on top."""
        biases = [s.biases for s in stacks if s.biases is not None]
        return GpuStack(
            torch.cat([s.codes for s in stacks], 2),
            torch.cat([s.exponents for s in stacks], 2),
            torch.cat([s.row_exponents for s in stacks], 1),
            torch.cat(biases, 1) if biases else None,
        )


@dataclass(frozen=True)
class Integers:
    """Activations as integers of `bits` bits, held in float32: `values` [n, columns], exact.

    `scales` int32 [n] are the exponents of their scales.
    """

    values: torch.Tensor
    scales: torch.Tensor
    bits: int


@dataclass(frozen=True)
class Meeting:
    """Which vector meets which matrix of a stack.

    Entry e is vector e // `per` with matrix `experts`[e].  Where there are
    many, `groups` [groups, WIDTH] lists entries that meet the same matrix,
    `group_experts` [groups]; -1 fills up.
    """

    per: int
    experts: torch.Tensor
    groups: torch.Tensor | None
    group_experts: torch.Tensor | None

    def one_each(self) -> Meeting:
        """The same where every entry brings a vector of its own."""
        return replace(self, per=1)


def meet_one(n: int, device: torch.device, *, grouped: bool | None = None) -> Meeting:
    """`n` vectors, all with the only matrix."""
    zeros = torch.zeros(n, dtype=torch.int64, device=device)
    if not (n > tile_of(device).few_entries if grouped is None else grouped):
        return Meeting(1, zeros, None, None)
    groups = torch.full((triton.cdiv(n, WIDTH) * WIDTH,), -1, dtype=torch.int64, device=device)
    groups[:n] = torch.arange(n, device=device)
    return Meeting(1, zeros, groups.reshape(-1, WIDTH), zeros[: len(groups) // WIDTH])


def meet_experts(chosen: torch.Tensor, count: int, *, grouped: bool | None = None) -> Meeting:
    """Vectors with the experts `chosen` [n, active] of `count`, the best first.

    Nothing here waits for the device: the number of groups is the most that
    there can be.
    """
    n, per = chosen.shape
    flat, device = chosen.reshape(-1), chosen.device
    if not (n * per > tile_of(device).few_entries if grouped is None else grouped):
        return Meeting(per, flat, None, None)
    order = torch.sort(flat, stable=True).indices
    members = (flat[:, None] == torch.arange(count, device=device)).sum(0)
    ends = torch.cumsum((members + WIDTH - 1) // WIDTH, 0)  # of each expert's groups
    most = min(n * per, n * per // WIDTH + count)
    group = torch.arange(most, device=device)
    expert = torch.searchsorted(ends, group, right=True).clamp(max=count - 1)
    before = torch.cumsum(members, 0) - members
    begin = ends[expert] - (members[expert] + WIDTH - 1) // WIDTH
    rank = (group - begin)[:, None] * WIDTH + torch.arange(WIDTH, device=device)
    used = (rank < members[expert][:, None]) & (group < ends[-1])[:, None]
    at = (before[expert][:, None] + rank).clamp(0, n * per - 1)
    return Meeting(per, flat, torch.where(used, order[at], -1), expert)


def gpu_project(
    stack: GpuStack, x: Integers, meeting: Meeting, *, sums: bool = False
) -> torch.Tensor:
    """y float32 [entries, rows] of every entry, plus bias; with `sums` the exact y_int, int64."""
    device, entries = x.values.device, len(meeting.experts)
    out = torch.empty(
        (entries, stack.rows), dtype=torch.int64 if sums else torch.float32, device=device
    )
    biases = stack.biases
    common: dict[str, Any] = {
        "blocks": stack.columns // 32, "per": meeting.per, "digits": len(stack.codes),
        "biased": biases is not None, "raw": sums, **EXACT,
    }  # fmt: skip
    tensors = (
        stack.codes, stack.exponents, stack.row_exponents,
        stack.row_exponents if biases is None else biases, x.values, x.scales,
    )  # fmt: skip
    plane = stack.row_exponents.numel()
    tile = tile_of(device)
    if meeting.groups is None:
        size = tile.rows
        _few[(triton.cdiv(stack.rows, size), entries)](
            *tensors, meeting.experts, out, stack.rows, plane, size=size, chunk=tile.blocks,
            **common,
        )  # fmt: skip
    else:
        size = tile.grouped_rows
        _many[(triton.cdiv(stack.rows, size), len(meeting.groups))](
            *tensors, meeting.group_experts, meeting.groups, out, stack.rows, plane,
            planes=1 if x.bits <= 8 else 2 if x.bits <= 15 else 3, size=size, width=WIDTH,
            **common,
        )  # fmt: skip
    return out


@dataclass(frozen=True)
class ProgramTile:
    """What one program takes: `rows` and `blocks` of few entries, `grouped_rows` of many.

    Up to `few_entries` are taken one by one.
    """

    rows: int
    blocks: int
    grouped_rows: int
    few_entries: int


def tile_of(device: torch.device) -> ProgramTile:
    """Small pieces for a GPU's many cores, not measured; large ones for the interpreter's one."""
    return ProgramTile(16, 8, 64, 16) if device.type == "cuda" else ProgramTile(256, 4, 256, 2)
