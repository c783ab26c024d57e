"""Chip numerics beside float: perplexity of a model, and the error of each function.

    python benchmarks/numerics.py perplexity checkpoints/stdlib-8m
    python benchmarks/numerics.py errors

Prints the Markdown tables of docs/vector-unit.md, or JSON.  Perplexity is over all held-out
modules (training/corpus.py), each after an end-of-text token, as training/evaluate.py scores them.
Errors are against float64 on the same inputs: all inputs where there are few enough, else random.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

import hnlpu
from hnlpu.arithmetic import fixed_point
from hnlpu.arithmetic.fixed_point._functions import inverse_root, sine

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
import corpus

ONE = 1 << fixed_point.FRACTION
UNIT = 1 << fixed_point.UNIT_FRACTION
KINDS = ("float", "chip")


def perplexity(checkpoint: Path, bits: int, size: int | None) -> dict[str, Any]:
    """Both numerics at one activation width: perplexity and processor seconds."""
    documents = corpus.held_out_documents()
    texts = [d.text for d in documents] if size is None else [corpus.excerpt(documents, size)]
    row: dict[str, Any] = {"bits": bits}
    with tempfile.TemporaryDirectory() as folder:
        build = Path(folder) / "build"
        hnlpu.build(checkpoint, build, hnlpu.make_policy(activation_bits=bits))
        for kind in KINDS:
            model = hnlpu.open(build, numerics=kind)
            model.score([0, 1, 2])
            began = time.process_time()
            logprobs: list[float] = []
            for text in texts:
                logprobs += model.score([0, *model.encode(text).tolist()]).logprobs
            row[kind] = math.exp(-math.fsum(logprobs) / len(logprobs))
            row[f"{kind} seconds"] = round(time.process_time() - began, 1)
            row["tokens"] = len(logprobs)
    row["change"] = row["chip"] / row["float"] - 1
    return row


@njit(cache=True)
def _each(function: Any, inputs: Any) -> Any:
    return np.array([function(x) for x in inputs])


def values(random: np.random.Generator, *shape: int, spread: float = 1.0) -> Any:
    """Normal numbers as values."""
    return fixed_point.to_fixed(spread * random.standard_normal(shape))


def scalar_errors(random: np.random.Generator) -> Iterator[tuple[str, str, float, str]]:
    """(function, inputs, largest error, its unit) of the functions of one value."""
    u = np.arange((1 << 22) + 1)
    found = _each(fixed_point.exponential, u)
    yield "exponential", "all of 0 to 64", np.abs(found / UNIT - np.exp(-u / ONE)).max(), "1"
    z = np.arange(-(1 << 20), (1 << 20) + 1)
    found = _each(fixed_point.sigmoid, z)
    yield (
        "sigmoid",
        "all of -16 to 16",
        np.abs(found / UNIT - 1 / (1 + np.exp(-z / ONE))).max(),
        "1",
    )
    yield from curve_errors()
    angles = random.integers(0, 1 << 32, 2_000_000)
    table = fixed_point.sine_table(1.0)
    found = np.array([sine(int(angle), table) for angle in angles[:200_000]])
    exact = np.sin(angles[:200_000] / 2.0**31 * math.pi)
    yield "sine", "200,000 angles", np.abs(found / UNIT - exact).max(), "1"
    m = random.integers(1 << 30, 1 << 32, 1_000_000)
    found = _each(inverse_root, m)
    yield "inverse root", "10^6 numbers", np.abs(found * np.sqrt(m) / 2.0**39 - 1).max(), "relative"


def curve_errors() -> Iterator[tuple[str, str, float, str]]:
    """The same of the functions that networks other than gpt-oss need."""
    x = np.arange(-(1 << 20), (1 << 20) + 1)
    real = x / ONE
    inputs = "all of -16 to 16"
    exact = np.logaddexp(0, real)
    bent = _each(fixed_point.softplus, x) / UNIT
    yield "tanh", inputs, np.abs(_each(fixed_point.tanh, x) / UNIT - np.tanh(real)).max(), "1"
    yield "softplus", inputs, np.abs(bent - exact).max(), "1"
    small = (real >= -10) & (real <= -2)
    yield "softplus", "-10 to -2", np.abs(bent / exact - 1)[small].max(), "relative"
    exact = real * 0.5 * (1 + np.vectorize(math.erf)(real / math.sqrt(2)))
    yield "gelu", inputs, np.abs(_each(fixed_point.gelu, x) / ONE - exact).max(), "2^-16"
    exact = real * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (real + 0.044715 * real**3)))
    yield "gelu_tanh", inputs, np.abs(_each(fixed_point.gelu_tanh, x) / ONE - exact).max(), "2^-16"
    u = np.arange(0, 20 * UNIT, 163)
    found = _each(fixed_point.power, -u) / UNIT
    yield "power", "2 million of -20 to 0", np.abs(found - np.exp(-u / UNIT)).max(), "1"
    u = np.arange(UNIT >> 14, UNIT >> 4)  # what fades away in 16 to 16,384 positions
    found = 1 - _each(fixed_point.power, -u) / UNIT
    yield (
        "1 - power", "all of -2^-4 to -2^-14", np.abs(found / -np.expm1(-u / UNIT) - 1).max(),
        "relative",
    )  # fmt: skip
    x = np.arange(1, 1 << 22)
    exact = 1 / np.sqrt(x / ONE)
    found = _each(fixed_point.root, x) / ONE
    yield "root", "all of 0 to 64", np.abs(found - exact).max(), "2^-16"


def vector_errors(random: np.random.Generator) -> Iterator[tuple[str, str, float, str]]:
    """The same of the functions of vectors, on normal numbers of the sizes that models have."""
    n, eps = 2880, 1e-5
    for spread in (0.05, 1.0, 100.0):
        x, w = values(random, 200, n, spread=spread), np.abs(random.standard_normal(n)) + 0.5
        found = fixed_point.norm(x, fixed_point.norm_weights(w), fixed_point.norm_epsilon(eps, n))
        wide = x / ONE
        exact = wide / np.sqrt((wide**2).mean(1, keepdims=True) + eps) * w
        yield "norm", f"2880 values, spread {spread:g}", np.abs(found / ONE - exact).max(), "2^-16"
    frequencies = (150_000.0 ** -(np.arange(32) / 32)).astype(np.float32)
    positions = random.integers(0, 131_072, 500)
    turned = fixed_point.rotations(
        positions, fixed_point.turns(frequencies), fixed_point.sine_table(1.0)
    )
    angles = positions[:, None] * frequencies.astype(np.float64)
    error = np.abs(turned / UNIT - [np.cos(angles), np.sin(angles)])
    near = positions < 4096
    yield "rotations", "positions below 4,096", error[:, near].max(), "1"
    yield "rotations", "positions below 131,072", error.max(), "1"
    x = values(random, 500, 8, 64, spread=4.0)
    exact = x[..., :32] + 1j * x[..., 32:]
    exact = exact / ONE * (turned[0] + 1j * turned[1])[:, None] / UNIT
    fixed_point.rotate(x, turned)
    error = np.maximum(
        np.abs(x[..., :32] / ONE - exact.real), np.abs(x[..., 32:] / ONE - exact.imag)
    )
    yield "rotate", "values of spread 4, given cosines", error.max(), "2^-16"
    for context in (128, 4096):
        yield "attend", f"d = 64, {context:,} positions", attention_error(random, context), "2^-16"
    x = values(random, 500, 2 * n, spread=4.0)
    gate, up = np.minimum(x[:, ::2] / ONE, 7), np.clip(x[:, 1::2] / ONE, -7, 7)
    exact = (up + 1) * gate / (1 + np.exp(-1.702 * gate))
    found = fixed_point.swiglu(x, int(fixed_point.to_fixed(np.array(1.702))), 7 * ONE)
    yield "swiglu", "values of spread 4", np.abs(found / ONE - exact).max(), "2^-16"
    logits = values(random, 5000, 32, spread=2.0)
    chosen, shares = fixed_point.route(logits, 4)
    exact = np.exp(np.take_along_axis(logits, chosen, 1) / ONE)
    exact /= exact.sum(1, keepdims=True)
    yield "route", "4 of 32 logits of spread 2", np.abs(shares / UNIT - exact).max(), "1"
    outputs, x = values(random, 500, 4, n), values(random, 500, n)
    exact = x + (outputs * shares[:500, :, None] / UNIT).sum(1)
    fixed_point.mix(x, outputs, shares[:500])
    yield "mix", "4 experts, given shares", np.abs(x - exact).max() / ONE, "2^-16"


def attention_error(random: np.random.Generator, context: int) -> float:
    """Of 8 queries against float64 on the same values, before they become keys of 24 bits."""
    heads, groups, size = 8, 2, 64
    q, sinks = values(random, 8, heads, size, spread=2.0), values(random, heads)
    k, v = (values(random, groups, context, size, spread=1.5) for _ in range(2))
    found = fixed_point.attend(
        fixed_point.to_keys(q, fixed_point.query_factor(size)), fixed_point.to_keys(k, ONE),
        fixed_point.to_keys(v, ONE), context - 8, 0, sinks,
    )  # fmt: skip
    largest = 0.0
    for token in range(8):
        end = context - 7 + token
        for head in range(heads):
            g = head // (heads // groups)
            scores = (k[g, :end] / ONE) @ (q[token, head] / ONE) / math.sqrt(size)
            weights = np.exp(scores - scores.max())
            total = weights.sum() + math.exp(sinks[head] / ONE - scores.max())
            exact = weights @ (v[g, :end] / ONE) / total
            part = found[token, head * size : (head + 1) * size] / ONE
            largest = max(largest, float(np.abs(part - exact).max()))
    return largest


def as_unit(error: float, unit: str) -> str:
    """An error in words: steps of 2^-16 where values come out, else a power of two."""
    if unit == "2^-16":
        return f"{error * ONE:.2f} x 2^-16"
    return f"2^{math.log2(error):.1f}" + (" of the result" if unit == "relative" else "")


def main() -> None:
    parser = argparse.ArgumentParser(description="Chip numerics beside float.")
    parser.add_argument("--json", action="store_true")
    what = parser.add_subparsers(dest="what", required=True)
    scored = what.add_parser("perplexity")
    scored.add_argument("checkpoint", type=Path)
    scored.add_argument("--bits", type=int, nargs="+", default=[12, 8])
    scored.add_argument("--bytes", type=int, help="score an excerpt of about this size alone")
    what.add_parser("errors")
    args = parser.parse_args()
    if args.what == "perplexity":
        rows = [perplexity(args.checkpoint, bits, args.bytes) for bits in args.bits]
        head = ("activation bits", "float", "chip", "change", "processor time, float", "chip")
        lines = [
            [
                str(r["bits"]), f"{r['float']:.4f}", f"{r['chip']:.4f}", f"{r['change']:+.3%}",
                f"{r['float seconds']} s", f"{r['chip seconds']} s",
            ]
            for r in rows
        ]  # fmt: skip
    else:
        measures: tuple[Callable[..., Any], ...] = (scalar_errors, vector_errors)
        found = [row for measure in measures for row in measure(np.random.default_rng(0))]
        rows = [
            {"function": f, "inputs": i, "largest error": float(e), "unit": u}
            for f, i, e, u in found
        ]
        head = ("function", "inputs", "largest error")
        lines = [[f, i, as_unit(float(e), u)] for f, i, e, u in found]
    if args.json:
        print(json.dumps(rows, indent=1))
        return
    for line in (head, ["---"] * len(head), *lines):
        print(f"| {' | '.join(line)} |")
    if args.what == "perplexity":
        print(f"\n{rows[0]['tokens']:,} tokens", file=sys.stderr)


if __name__ == "__main__":
    main()
