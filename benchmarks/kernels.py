"""Rates of the inner loops, one thread: where the choices between kernels come from.

The emulator's ways to sum are compared by weights multiplied per second
(tokens x rows x columns / time) over numbers of tokens.  For each pair of a way
for few tokens and a way for many, the first number of tokens at which the
latter wins is one more than `few_tokens` in kernels.c (by planes of
activations: two at 12 bits, one at 8) or `hnlpu.run.emulate._projection.FEW_TOKENS`
should be.  The golden model in plain Python stands beside them.

    python benchmarks/kernels.py
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from hnlpu.arithmetic import golden
from hnlpu.arithmetic.mx import quantize_digits, unpack
from hnlpu.run.emulate import one_blas_thread, ways_to_sum
from hnlpu.run.kernels import describe, load
from hnlpu.silicon.hardwire import Digit, HardwiredMatrix, row_facts

SHAPES = ((1024, 1024), (2880, 2880))  # rows, columns
TOKENS = (1, 2, 4, 8, 12, 16, 32, 64, 256)
GOLDEN_ROWS = 2
PAIRS = {"packed digits": "matrix product"}  # of Numba; those of C end in these words
FEW, MANY = " digits", " panels"


def median_seconds(work: Callable[[], object], repeat: int) -> float:
    """Median time of `work` in seconds, after one call that compiles.

    Processor time of this thread: other jobs on the machine hardly change it.
    """
    work()
    times = []
    for _ in range(repeat):
        began = time.thread_time()
        work()
        times.append(time.thread_time() - began)
    return statistics.median(times)


def random_matrix(rows: int, columns: int, digits: int) -> HardwiredMatrix:
    """Normal weights as `digits` MXFP4 digits."""
    weights = np.random.default_rng(0).standard_normal((rows, columns), np.float32)
    found, _ = quantize_digits(weights, digits, 20)
    parts = tuple(Digit(codes, exponents) for codes, exponents in found)
    return HardwiredMatrix(parts, row_facts(parts).row_exponents, None)


def measure_sums(rows: int, columns: int, digits: int, bits: int, repeat: int) -> dict[str, Any]:
    """Weights/s of every way at every number of tokens, with activations of so many bits."""
    matrix = random_matrix(rows, columns, digits)
    described = describe(matrix)
    high = 2 ** (bits - 1)
    random = np.random.default_rng(1)
    rates: dict[str, list[float]] = {name: [] for name in ways_to_sum()}
    for tokens in TOKENS:
        x = random.integers(-high, high, (tokens, columns)).astype(np.int32)
        for name, way in ways_to_sum().items():
            meets = described if name.startswith("C ") else matrix  # described once, as in models
            seconds = median_seconds(lambda way=way, m=meets, x=x: way(m, x), repeat)
            rates[name].append(tokens * rows * columns / seconds)
    pairs = PAIRS | {n: n.replace(FEW, MANY) for n in rates if n.endswith(FEW) and n not in PAIRS}
    return {
        "rows": rows, "columns": columns, "digits": digits, "activation_bits": bits,
        "weights_per_second": rates,
        "wins_from": {
            many: next(
                (t for t, a, b in zip(TOKENS, rates[few], rates[many], strict=True) if b > a), None
            )
            for few, many in pairs.items()
        },
    }  # fmt: skip


def measure_golden(columns: int, repeat: int) -> float:
    """Weights/s of the golden model: integer weights and one sum, from packed digits."""
    matrix = random_matrix(GOLDEN_ROWS, columns, 1)
    (digit,) = matrix.digits
    x = [int(v) for v in np.random.default_rng(1).integers(-2048, 2048, columns)]

    def run() -> None:
        for row in range(GOLDEN_ROWS):
            codes, exponents = unpack(digit.codes[row]).tolist(), digit.exponents[row].tolist()
            base = int(matrix.row_exponents[row])
            weights = [
                golden.integer_weight([code], [exponents[i // 32]], base)
                for i, code in enumerate(codes)
            ]
            golden.neuron(weights, x)

    return GOLDEN_ROWS * columns / median_seconds(run, repeat)


def measure_quantize(repeat: int) -> dict[str, float]:
    """Weights/s of quantising normal float32 weights, by number of digits."""
    weights = np.random.default_rng(0).standard_normal((1456, 2880), np.float32)
    return {
        str(digits): weights.size
        / median_seconds(lambda digits=digits: quantize_digits(weights, digits, 20), repeat)
        for digits in (1, 2)
    }


def measure(repeat: int) -> dict[str, Any]:
    """Everything."""
    library, _ = load()
    if library is not None:
        library.set_threads(1)
    with one_blas_thread():
        return {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread used",
            "load_average": round(os.getloadavg()[0], 2),
            "tokens": list(TOKENS),
            "sums": [
                measure_sums(*shape, d, bits, repeat)
                for shape in SHAPES
                for d, bits in ((1, 12), (1, 8), (2, 12))
            ],
            "golden_weights_per_second": measure_golden(2880, repeat),
            "quantize_weights_per_second": measure_quantize(repeat),
        }


def print_text(facts: dict[str, Any]) -> None:
    """The same as tables for people, in M weights/s."""
    print(f"{facts['machine']}, load average {facts['load_average']}; M weights/s\n")
    for sums in facts["sums"]:
        print(f"{sums['rows']} x {sums['columns']}, {sums['digits']} digit(s), "
              f"activations of {sums['activation_bits']} bits")  # fmt: skip
        print(f"{'tokens':>18}" + "".join(f"{tokens:>8}" for tokens in facts["tokens"]))
        for name, rates in sums["weights_per_second"].items():
            print(f"{name:>18}" + "".join(f"{rate / 1e6:>8.0f}" for rate in rates))
        wins = (f"{name} from {first}" for name, first in sums["wins_from"].items())
        print(f"ways for many tokens win: {', '.join(wins)}\n")
    print(f"golden model {facts['golden_weights_per_second'] / 1e6:.2f}")
    for digits, rate in facts["quantize_weights_per_second"].items():
        print(f"quantising to {digits} digit(s) {rate / 1e6:.0f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure hnlpu's inner loops.")
    parser.add_argument("--repeat", type=int, default=7, help="runs of each (default 7)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    facts = measure(options.repeat)
    if options.json:
        print(json.dumps(facts, indent=1))
    else:
        print_text(facts)


if __name__ == "__main__":
    main()
