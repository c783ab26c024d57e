"""Decode gpt-oss-20b's shapes on a GPU: share of the memory's rate, and transformers beside it.

    synthetic checkpoint ─► build ─► steps of batch 1 and 64 ─► tokens/s, share of the bound
                        └─► transformers' MXFP4 path ─► tokens/s

    python benchmarks/gpu.py --work FOLDER                  # 40 GB of disk, 20 GB on the card
    python benchmarks/gpu.py --work FOLDER --device interpreter --layers 1 --experts 2 --vocab 64 --tokens 1 --batch 1 --context 20

Without a GPU it ends in one line with exit code 2; `--device interpreter` runs
the same steps on the CPU, to try the script out, and its times mean nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hnlpu.errors import HnlpuError
from hnlpu.run.emulate import HardwiredConstants, split_off_logits
from hnlpu.run.engine._device import INTERPRETER, open_device
from hnlpu.run.engine._device_load import load_network
from hnlpu.run.engine._layout import PAGE, layout_of
from hnlpu.silicon.hardwire import Build, build, open_build
from synthetic import add_size_options, config_of, write_checkpoint

if TYPE_CHECKING:
    import torch

COPIED = 2**31  # bytes copied to measure the memory's rate


def seconds_of(work: Callable[[], Any], repeat: int, device: torch.device) -> float:
    """Median seconds of `work`, by the device's own clock where it has one."""
    import torch

    times = []
    for turn in range(repeat + 2):
        if device.type == "cuda":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            work()
            end.record()
            torch.cuda.synchronize(device)
            taken = begin.elapsed_time(end) / 1000
        else:
            began = time.perf_counter()
            work()
            taken = time.perf_counter() - began
        if turn >= 2:  # the first ones compile and record
            times.append(taken)
    return statistics.median(times)


def memory_rate(device: torch.device) -> float:
    """Bytes a second that a copy reads and writes."""
    import torch

    size = COPIED if device.type == "cuda" else 2**24
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / seconds_of(lambda: target.copy_(source), 5, device)


def bytes_of_step(opened: Build, batch: int, context: int) -> int:
    """Bytes that a step must read: every matrix that fires, once, and the keys and values.

    Of the experts as many as `batch` tokens that choose evenly hit on average.
    """
    a = opened.architecture
    missed = (1 - a.num_experts_per_tok / a.num_local_experts) ** batch
    total = 0.0
    for name, shape in opened.shapes().items():
        digits = len(opened.manifest.matrices[name].digits)
        size = shape.rows * (digits * shape.columns // 32 * 17 + 1 + 2 * shape.has_bias)
        total += size * (shape.count * (1 - missed) if shape.role == "experts" else 1)
    seen = sum(min(context, a.window(layer) or context) for layer in range(a.num_hidden_layers))
    return int(total + batch * seen * 2 * 4 * a.num_key_value_heads * a.head_dim)


def ours(opened: Build, device: torch.device, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds of one decode step, from token ids to logits, by batch."""
    import torch

    from hnlpu.run.kernels.gpu import Inputs, Places, Steps

    a, parts = opened.architecture, split_off_logits(opened.network)
    assert parts.matrix is not None
    loaded = load_network(parts.body, parts.matrix, HardwiredConstants(opened), device)
    network, matrix = loaded.network, parts.matrix
    pages = -(-(options.context + 1) // PAGE)
    rate, found = memory_rate(device), []
    for batch in options.batch:
        states = {
            state.name: torch.zeros((batch * pages + 1, *state.shape), device=device)
            for state in layout_of(parts.body).paged
        }
        steps = Steps(network, states, batch * pages)
        positions = np.full(batch, options.context, np.int64)
        tokens = np.random.default_rng(0).integers(0, a.vocab_size, batch)
        values = loaded.values(tokens, positions)
        inputs = Inputs(
            {name: torch.tensor(x, device=device) for name, x in values.items()},
            Places(
                torch.arange(batch * pages, device=device).reshape(batch, pages),
                torch.arange(batch, device=device), torch.tensor(positions, device=device),
            ),
        )  # fmt: skip

        def step(steps: Steps = steps, inputs: Inputs = inputs) -> None:
            network.project(matrix, steps.run(inputs).hidden)

        seconds = seconds_of(step, options.tokens, device)
        least = bytes_of_step(opened, batch, options.context) / rate
        found.append(
            {"batch": batch, "tokens_per_second": batch / seconds, "of_the_bound": least / seconds}
        )
    return [{**row, "copy_gb_per_second": rate / 1e9} for row in found]


def theirs(checkpoint: Path, options: argparse.Namespace) -> dict[int, float] | str:
    """Tokens/s of transformers by batch, its experts in MXFP4; or why it could not be measured."""
    try:
        import torch
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype="auto", device_map="cuda")
        if model.config.quantization_config.dequantize:
            return "transformers found no MXFP4 kernels (package kernels) and unpacked the weights"
        rates = {}
        for batch in options.batch:
            tokens = torch.randint(0, model.config.vocab_size, (batch, options.context))
            with torch.inference_mode():
                past = model(tokens.cuda(), logits_to_keep=1, use_cache=True).past_key_values

                def step(past: Any = past, batch: int = batch) -> None:
                    one = torch.zeros((batch, 1), dtype=torch.int64, device="cuda")
                    model(one, past_key_values=past, use_cache=True)

                rates[batch] = batch / seconds_of(step, options.tokens, torch.device("cuda"))
    except Exception as error:  # whatever a rival says is the answer
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return rates


def main() -> None:
    """Make what is missing, measure, print."""
    parser = argparse.ArgumentParser(description="Decode gpt-oss-20b's shapes on a GPU.")
    parser.add_argument("--work", type=Path, required=True, help="folder for models (40 GB)")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or interpreter")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--context", type=int, default=1024, help="tokens before (default 1024)")
    parser.add_argument("--tokens", type=int, default=50, help="steps measured (default 50)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    add_size_options(parser)
    options = parser.parse_args()
    try:
        device = open_device(options.device)
    except HnlpuError as error:
        print(f"{error}; nothing was measured", file=sys.stderr)
        sys.exit(2)
    import torch

    options.work.mkdir(parents=True, exist_ok=True)
    checkpoint, made = options.work / "checkpoint", options.work / "build"
    if not checkpoint.exists():
        write_checkpoint(checkpoint, config_of(options), 0)
    if not made.exists():
        build(checkpoint, made)
    rows = ours(open_build(made), device, options)
    rival: dict[int, float] | str = "not asked: no GPU"
    if device.type == "cuda":
        torch.cuda.empty_cache()
        rival = theirs(checkpoint, options)
    name = torch.cuda.get_device_name(device) if options.device != INTERPRETER else INTERPRETER
    if options.json:
        print(json.dumps({"device": name, "hnlpu": rows, "transformers": rival}, indent=1))
        return
    print(f"{name}; copy {rows[0]['copy_gb_per_second']:.0f} GB/s; context {options.context}")
    print("| batch | tokens/s | of the memory's bound | transformers, MXFP4 | times |")
    print("|---|---|---|---|---|")
    for row in rows:
        peer = rival.get(row["batch"]) if isinstance(rival, dict) else None
        beside = f"{peer:.1f} | {row['tokens_per_second'] / peer:.2f}" if peer else "- | -"
        print(
            f"| {row['batch']} | {row['tokens_per_second']:.1f} | {row['of_the_bound']:.0%} | "
            f"{beside} |"
        )
    if isinstance(rival, str):
        print(f"transformers: {rival}")


if __name__ == "__main__":
    main()
