"""How fast, and in how much memory, is a build from each format of a checkpoint?

    synthetic Llama-3.1-8B, some of its layers ──► hnlpu build ──► hnlpu verify     a process each
                                              └──► decoding alone, one thread

Shapes are Llama-3.1-8B's; layers lie in files of their own in a build, so memory does not grow with
their number.  Numbers are random, blocks of GGUF random bytes under sane scales.

    python benchmarks/formats.py --work /data/bench --layers 2
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import struct
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from build_verify import Phase, phase, run
from hnlpu.model.checkpoint import read_model
from hnlpu.silicon.hardwire import machine
from hnlpu.silicon.hardwire._writer import SafetensorsWriter

LLAMA_8B: dict[str, Any] = {
    "model_type": "llama", "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 8192, "rope_theta": 500000.0, "tie_word_embeddings": False,
}  # fmt: skip
PIECE_ROWS = 1024
BLOCKS = {"Q4_K": (12, 256, 144), "Q6_K": (14, 256, 210), "Q8_0": (8, 32, 34)}
"""ggml's number, numbers and bytes of a block."""
SAFETENSORS = "BF16"
FORMATS = (SAFETENSORS, *BLOCKS)
TARGET_RATE, TARGET_MEMORY_GB = 400e6, 3.0
F32, STRING, UINT32, FLOAT32 = 0, 8, 4, 6

Shapes = dict[str, tuple[int, ...]]


def shapes_of(config: dict[str, Any]) -> Shapes:
    """Tensors by transformers' names."""
    width, inner, size = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    heads, kv = config["num_attention_heads"] * size, config["num_key_value_heads"] * size
    found: Shapes = {
        "model.embed_tokens.weight": (config["vocab_size"], width),
        "lm_head.weight": (config["vocab_size"], width),
        "model.norm.weight": (width,),
    }
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        for name, shape in (
            ("input_layernorm", (width,)), ("post_attention_layernorm", (width,)),
            ("self_attn.q_proj", (heads, width)), ("self_attn.k_proj", (kv, width)),
            ("self_attn.v_proj", (kv, width)), ("self_attn.o_proj", (width, heads)),
            ("mlp.gate_proj", (inner, width)), ("mlp.up_proj", (inner, width)),
            ("mlp.down_proj", (width, inner)),
        ):  # fmt: skip
            found[f"{prefix}{name}.weight"] = shape
    return found


GGUF_NAMES = {
    "model.embed_tokens": "token_embd", "lm_head": "output", "model.norm": "output_norm",
    "model.layers": "blk", "post_attention_layernorm": "ffn_norm", "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip


def pieces(shape: tuple[int, ...]) -> Iterator[tuple[int, tuple[int, ...]]]:
    """First rows and shapes of parts of a tensor."""
    step = PIECE_ROWS if len(shape) > 1 else shape[0]
    for start in range(0, shape[0], step):
        yield start, (min(step, shape[0] - start), *shape[1:])


def write_bfloat16(folder: Path, config: dict[str, Any]) -> Path:
    """One safetensors file and its config."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    random, shapes = np.random.default_rng(0), shapes_of(config)
    layout = {name: ("BF16", shape) for name, shape in shapes.items()}
    with SafetensorsWriter(folder / "model.safetensors", layout) as writer:
        for name, shape in shapes.items():
            for start, part in pieces(shape):
                values = random.standard_normal(part, np.float32) * np.float32(0.02)
                values += np.float32(len(shape) == 1)
                bits = (values.view(np.uint32) >> 16).astype(np.uint16)
                writer.put(name, bits, start * math.prod(shape[1:]))
    return folder


def write_gguf(path: Path, config: dict[str, Any], kind: str) -> Path:
    """One GGUF file whose matrices have a format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number, size, width = BLOCKS[kind]
    random, shapes = np.random.default_rng(0), shapes_of(config)
    with path.open("wb") as stream:
        _write_header(stream, config, shapes, number, size, width)
        for shape in shapes.values():
            for _, part in pieces(shape):
                if len(part) == 1:
                    stream.write(np.ones(part, np.float32).tobytes())
                    continue
                raw = random.integers(0, 256, (part[0] * part[1] // size, width), np.uint8)
                at = 208 if kind == "Q6_K" else 0
                scale = np.float16(2e-5 if kind == "Q6_K" else 1e-4)
                raw[:, at : at + 2] = np.frombuffer(scale.tobytes(), np.uint8)
                if kind == "Q4_K":
                    raw[:, 2:4] = np.frombuffer(np.float16(7e-4).tobytes(), np.uint8)
                stream.write(raw.tobytes())
    return path


def _write_header(
    stream: BinaryIO, config: dict[str, Any], shapes: Shapes, number: int, size: int, width: int
) -> None:
    keys: dict[str, Any] = {
        "general.architecture": "llama", "llama.context_length": config["max_position_embeddings"],
        "llama.embedding_length": config["hidden_size"],
        "llama.block_count": config["num_hidden_layers"],
        "llama.feed_forward_length": config["intermediate_size"],
        "llama.attention.head_count": config["num_attention_heads"],
        "llama.attention.head_count_kv": config["num_key_value_heads"],
        "llama.attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        "llama.rope.freq_base": config["rope_theta"],
    }  # fmt: skip
    stream.write(b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(keys)))
    for key, value in keys.items():
        _write_text(stream, key)
        if isinstance(value, str):
            stream.write(struct.pack("<I", STRING))
            _write_text(stream, value)
        else:
            form = (FLOAT32, "<f") if isinstance(value, float) else (UINT32, "<I")
            stream.write(struct.pack("<I", form[0]) + struct.pack(form[1], value))
    offset = 0
    for name, shape in shapes.items():
        for ours, theirs in GGUF_NAMES.items():
            name = name.replace(ours, theirs)
        plain = len(shape) == 1
        _write_text(stream, name)
        stream.write(struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape[::-1]))
        stream.write(struct.pack("<IQ", F32 if plain else number, offset))
        count = math.prod(shape)
        offset += 4 * count if plain else count // size * width
    stream.write(b"\0" * (-stream.tell() % 32))


def _write_text(stream: BinaryIO, text: str) -> None:
    stream.write(struct.pack("<Q", len(text)) + text.encode())


def decoding(checkpoint: Path) -> float:
    """Weights per processor second that the reader gives of one matrix, a thousand rows at a time."""
    matrix = read_model(checkpoint).matrices["model.layers.0.mlp.down_proj"]
    matrix.dense(0, slice(0, 8))  # compiled before
    began, rows = time.process_time(), matrix.shape.rows
    for start in range(0, rows, PIECE_ROWS):
        matrix.dense(0, slice(start, min(start + PIECE_ROWS, rows)))
    return matrix.shape.weights / (time.process_time() - began)


def measure(checkpoint: Path, out: Path, repeat: int, workers: int) -> dict[str, Any]:
    """Build and verify a checkpoint some times, and decode one of its matrices."""
    builds, verifications = [], []
    for _ in range(repeat):
        shutil.rmtree(out, ignore_errors=True)
        more = ("--workers", str(workers))
        builds.append(run("build", str(checkpoint), "-o", str(out), *more))
        verifications.append(run("verify", str(out), *more))
    weights = builds[-1].output["weights"]
    phases = [phase("build", builds, weights), phase("verify", verifications, weights)]
    return {
        "weights": weights, "decoded_per_second": decoding(checkpoint),
        "phases": {p.name: asdict(p) for p in phases},
    }  # fmt: skip


def print_text(facts: dict[str, Any]) -> None:
    """A table for people."""
    print(f"{facts['machine']}, load average {facts['load_average'][0]} at the end")
    print(
        f"{'':6}{'':8}{'seconds':>9}{'CPU s':>7}{'M weights/s':>13}{'per CPU s':>11}{'peak GB':>9}"
    )
    for name, found in facts["formats"].items():
        for p in (Phase(**values) for values in found["phases"].values()):
            per_cpu = found["weights"] / p.processor_seconds / 1e6
            print(
                f"{name:6}{p.name:8}{p.seconds:>9.1f}{p.processor_seconds:>7.1f}"
                f"{p.weights_per_second / 1e6:>13.0f}{per_cpu:>11.0f}{p.peak_memory_gb:>9.2f}"
            )
        print(f"{name:6}decoding alone: {found['decoded_per_second'] / 1e6:.0f} M weights/CPU s")
    print(
        f"targets: {TARGET_RATE / 1e6:.0f} M weights/s on two cores, {TARGET_MEMORY_GB:.0f} GB of "
        "memory"
    )


def main() -> None:
    """Make what is missing, measure, print."""
    parser = argparse.ArgumentParser(description="Measure builds of packed checkpoints.")
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for checkpoints and builds"
    )
    parser.add_argument("--layers", type=int, default=2, help="of 32 (default 2)")
    parser.add_argument("--vocab", type=int, default=LLAMA_8B["vocab_size"], help="tokens")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--repeat", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--workers", type=int, default=2, help="threads (default 2)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    config = LLAMA_8B | {"num_hidden_layers": options.layers, "vocab_size": options.vocab}
    facts: dict[str, Any] = {"machine": f"{machine()}, {os.cpu_count()} cores", "formats": {}}
    for kind in options.formats:
        if kind == SAFETENSORS:
            checkpoint = write_bfloat16(options.work / "checkpoint", config)
        else:
            checkpoint = write_gguf(options.work / "checkpoint" / "model.gguf", config, kind)
        found = measure(checkpoint, options.work / "build", options.repeat, options.workers)
        facts["formats"][kind] = found
        for part in ("checkpoint", "build"):
            shutil.rmtree(options.work / part)
        (options.work / "build.log.json").unlink(missing_ok=True)
    facts["load_average"] = [round(value, 2) for value in os.getloadavg()]
    print(json.dumps(facts, indent=1)) if options.json else print_text(facts)


if __name__ == "__main__":
    main()
