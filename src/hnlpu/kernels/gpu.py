"""The same integer sums on a GPU: Triton kernels, which its interpreter also runs on a CPU.

    packed digits, x_int ──► few tokens:  a row's products added block by block
                         └─► many tokens: 8-bit planes of x through the int8 tensor cores

A block's sum fits 32 bits; it is shifted by e - b and added in 64, so the
order of blocks does not matter and nothing rounds.  torch and triton are the
extra `hnlpu[gpu]`; nothing else imports this file.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from hnlpu.hardwire import HardwiredMatrix

ROWS = 32  # rows of a program
TOKENS = 16  # tokens of a program that uses tensor cores: the least that they take
FEW_TOKENS = 8


@triton.jit
def _twice(code):
    """Twice the E2M1 value of a code: 0 1 2 3 4 6 8 12, and bit 3 is the sign."""
    m = code & 7
    large = (4 + 2 * (m & 1)) << tl.maximum((m >> 1) - 2, 0)
    magnitude = tl.where(m < 4, m, large)
    return tl.where(code >= 8, -magnitude, magnitude)


@triton.jit
def _shifts(exponents, row_exponents, row, block, blocks, inside):
    """E - b of a block in some rows; only blocks of zeros lie below b."""
    e = tl.load(exponents + row * blocks + block, mask=inside, other=0).to(tl.int32)
    b = tl.load(row_exponents + row, mask=inside, other=0).to(tl.int32)
    return tl.minimum(tl.maximum(e - b, 0), 31).to(tl.int64)


@triton.jit
def _few(codes, exponents, row_exponents, x, sums, rows, blocks, size: tl.constexpr):
    """Add a digit's part of y_int for `size` rows and one token: x int32 [tokens, columns]."""
    row = tl.program_id(0) * size + tl.arange(0, size)
    token = tl.program_id(1)
    inside = row < rows
    j = tl.arange(0, 16)
    total = tl.zeros([size], tl.int64)
    for block in range(blocks):
        at = (row.to(tl.int64) * blocks + block)[:, None] * 16 + j[None, :]
        byte = tl.load(codes + at, mask=inside[:, None], other=0).to(tl.int32)
        place = x + (token * blocks + block) * 32 + 2 * j
        even, odd = tl.load(place), tl.load(place + 1)
        products = _twice(byte & 15) * even[None, :] + _twice(byte >> 4) * odd[None, :]
        part = tl.sum(products, axis=1).to(tl.int64)
        total += part << _shifts(exponents, row_exponents, row, block, blocks, inside)
    to = sums + token * rows + row
    tl.store(to, tl.load(to, mask=inside, other=0) + total, mask=inside)


@triton.jit
def _many(
    codes, exponents, row_exponents, x, sums, rows, blocks, tokens, unit,
    size: tl.constexpr, width: tl.constexpr,
):  # fmt: skip
    """Add a digit's part for `size` rows and `width` tokens: x is one int8 plane, worth `unit`."""
    row = tl.program_id(0) * size + tl.arange(0, size)
    token = tl.program_id(1) * width + tl.arange(0, width)
    inside, here = row < rows, token < tokens
    j, i = tl.arange(0, 16), tl.arange(0, 32)
    total = tl.zeros([size, width], tl.int64)
    for block in range(blocks):
        at = (row.to(tl.int64) * blocks + block)[:, None] * 16 + j[None, :]
        byte = tl.load(codes + at, mask=inside[:, None], other=0).to(tl.int32)
        weights = tl.interleave(_twice(byte & 15), _twice(byte >> 4)).to(tl.int8)
        place = x + (token[None, :].to(tl.int64) * blocks + block) * 32 + i[:, None]
        inputs = tl.load(place, mask=here[None, :], other=0)
        part = tl.dot(weights, inputs, out_dtype=tl.int32).to(tl.int64)
        total += part << _shifts(exponents, row_exponents, row, block, blocks, inside)[:, None]
    to = sums + token[None, :].to(tl.int64) * rows + row[:, None]
    mask = inside[:, None] & here[None, :]
    tl.store(to, tl.load(to, mask=mask, other=0) + total * unit, mask=mask)


class GpuMatrix:
    """A matrix on a device: the packed digits as they are, nothing unpacked."""

    def __init__(self, matrix: HardwiredMatrix, device: torch.device | str):
        self.rows, self.columns = matrix.rows, matrix.columns
        self.digits = [
            (torch.tensor(d.codes, device=device), torch.tensor(d.exponents, device=device))
            for d in matrix.digits
        ]
        self.row_exponents = torch.tensor(matrix.row_exponents, device=device)


def planes_of(x: torch.Tensor) -> list[tuple[torch.Tensor, int]]:
    """Int8 planes of x and what each is worth: their sum is x, for 16-bit integers."""
    low = ((x + 128) & 255) - 128
    high = (x - low) >> 8
    first = high.clamp(max=127)
    planes = [(low, 1), (first, 256), (high - first, 256)]
    return [(plane.to(torch.int8).contiguous(), unit) for plane, unit in planes if plane.any()]


def gpu_sums(matrix: GpuMatrix, x: torch.Tensor, *, way: int = 0) -> torch.Tensor:
    """y_int int64 [tokens, rows] for x int32 [tokens, columns] of at most 16 bits.

    `way` is 1 for few tokens, 2 for tensor cores, 0 for the faster.
    """
    tokens, blocks = len(x), matrix.columns // 32
    sums = torch.zeros((tokens, matrix.rows), dtype=torch.int64, device=x.device)
    x = x.to(torch.int32).contiguous()
    if way == 1 or (way == 0 and tokens <= FEW_TOKENS):
        grid = (triton.cdiv(matrix.rows, ROWS), tokens)
        for codes, exponents in matrix.digits:
            _few[grid](
                codes, exponents, matrix.row_exponents, x, sums, matrix.rows, blocks, size=ROWS
            )
        return sums
    grid = (triton.cdiv(matrix.rows, ROWS), triton.cdiv(tokens, TOKENS))
    for plane, unit in planes_of(x):
        for codes, exponents in matrix.digits:
            _many[grid](
                codes, exponents, matrix.row_exponents, plane, sums, matrix.rows, blocks, tokens,
                unit, size=ROWS, width=TOKENS,
            )  # fmt: skip
    return sums
