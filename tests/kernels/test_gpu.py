"""Triton kernels: bit for bit in the interpreter on the CPU (or on a GPU, where there is one)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

SUMS = """
import numpy as np, torch
from hnlpu.kernels import gpu
from kernel_samples import random_activations, random_matrix
device = "cuda" if torch.cuda.is_available() else "cpu"
for rows, blocks, digits, spread, tokens, bits in (
    (33, 2, 2, 20, 3, 16), (5, 3, 1, 5, 1, 12), (40, 1, 1, 0, 17, 8)
):
    random = np.random.default_rng(rows)
    matrix = random_matrix(random, rows, blocks, digits, spread)
    x = random_activations(random, tokens, matrix.columns, bits)
    x[0, :2] = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    expected = x.astype(np.int64) @ matrix.integers().T
    for way in (1, 2):
        metal = gpu.GpuMatrix(matrix, device)
        found = gpu.gpu_sums(metal, torch.tensor(x, device=device), way=way)
        print(rows, way, np.array_equal(found.cpu().numpy(), expected))
"""

COMPILE = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from hnlpu.kernels import gpu
common = {"codes": "*u8", "exponents": "*u8", "row_exponents": "*u8"}
sizes = {"sums": "*i64", "rows": "i32", "blocks": "i32"}
for kernel, more, constants in (
    (gpu._few, {"x": "*i32", **sizes}, {"size": 32}),
    (gpu._many, {"x": "*i8", **sizes, "tokens": "i32", "unit": "i32"}, {"size": 32, "width": 16}),
):
    signature = common | more | dict.fromkeys(constants, "constexpr")
    names = list(signature)
    values = {(names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=values)
    made = compile(source, target=GPUTarget("cuda", 90, 32))
    print(kernel.__name__, "mma" if "mma.sync" in made.asm["ptx"] else "no mma", "s8.s8" in made.asm["ptx"])
"""


def says(script, **settings):
    """What a script prints in a process of its own: Triton reads its settings once."""
    paths = os.pathsep.join([*sys.path, str(Path(__file__).parent.parent)])
    environment = os.environ | {"PYTHONPATH": paths} | settings
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_sums_are_exact():
    settings = {} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1"}
    expected = [f"{rows} {way} True" for rows in (33, 5, 40) for way in (1, 2)]
    assert says(SUMS, **settings) == expected


def test_they_compile_for_an_h100_without_one():
    assert says(COMPILE, TRITON_INTERPRET="0") == ["_few no mma False", "_many mma True"]
