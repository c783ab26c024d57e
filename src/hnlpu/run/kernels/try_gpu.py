"""`python -m hnlpu.run.kernels.try_gpu`: the integer sums tried out, on a GPU or in the interpreter.

Prints one line; exits with 1 if a sum is wrong.
"""

from __future__ import annotations

import os
import sys

import numpy as np
import torch

GPU = torch.cuda.is_available()
if not GPU:
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is loaded, below


def main() -> None:
    """Compute, compare, report."""
    from hnlpu.run.kernels.gpu import GpuStack, Integers, gpu_project, meet_one
    from hnlpu.silicon.hardwire import Digit, HardwiredMatrix, row_facts

    device = torch.device("cuda" if GPU else "cpu")
    random = np.random.default_rng(0)
    digit = Digit(
        random.integers(0, 256, (40, 3, 16), dtype=np.uint8),
        random.integers(110, 124, (40, 3), dtype=np.uint8),
    )
    matrix = HardwiredMatrix((digit,), row_facts((digit,)).row_exponents, None)
    x = random.integers(-2048, 2048, (3, 96), dtype=np.int32)
    expected = x.astype(np.int64) @ matrix.integers().T
    inputs = Integers(
        torch.tensor(x.astype(np.float32), device=device),
        torch.zeros(3, dtype=torch.int32, device=device), 12,
    )  # fmt: skip
    stack = GpuStack.of_matrix(matrix, device)
    for grouped in (False, True):
        sums = gpu_project(stack, inputs, meet_one(3, device, grouped=grouped), sums=True)
        if not np.array_equal(sums.cpu().numpy(), expected):
            sys.exit("wrong sums")
    where = torch.cuda.get_device_name() if GPU else "no GPU here: Triton's interpreter on the CPU"
    print(f"{where}; integer sums exact")  # noqa: T201


if __name__ == "__main__":
    main()
