"""How fast, and in how much memory, is a build from each format of a checkpoint?

    synthetic checkpoint, some of its layers ──► hnlpu build ──► hnlpu verify     a process each
                                            └──► one matrix decoded, and made digits, in one thread

Shapes are those of Llama-3.1-8B, or of Qwen3-30B-A3B; layers lie in files of their own in a build, so memory does not
grow with their number.  Numbers are random, blocks of GGUF random bytes under sane scales.

    python benchmarks/formats.py --work /data/bench --layers 2
    python benchmarks/formats.py --work /data/bench --layers 1 --model qwen3-30b-a3b --formats BF16
    python benchmarks/formats.py --work /data/bench --layers 1 --alone    no builds: one matrix alone
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
from hnlpu.model.checkpoint import StoredMatrix, read_model
from hnlpu.model.checkpoint._writer import SafetensorsWriter
from hnlpu.model.policy import Policy
from hnlpu.silicon.hardwire import machine
from hnlpu.silicon.hardwire._convert import convert

LLAMA_8B: dict[str, Any] = {
    "model_type": "llama", "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 8192, "rope_theta": 500000.0, "tie_word_embeddings": False,
}  # fmt: skip
QWEN3_30B: dict[str, Any] = {
    "model_type": "qwen3_moe", "vocab_size": 151936, "hidden_size": 2048,
    "intermediate_size": 6144, "moe_intermediate_size": 768, "num_experts": 128,
    "num_experts_per_tok": 8, "norm_topk_prob": True, "decoder_sparse_step": 1,
    "mlp_only_layers": [], "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128,
    "rms_norm_eps": 1e-6, "max_position_embeddings": 40960, "rope_theta": 1000000.0,
    "tie_word_embeddings": False,
}  # fmt: skip
MODELS = {
    "llama-3.1-8b": (LLAMA_8B, "mlp.down_proj"),
    "qwen3-30b-a3b": (QWEN3_30B, "mlp.experts.down_proj"),
}
"""Configs, and the matrix of a layer that is measured alone."""
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
        ):  # fmt: skip
            found[f"{prefix}{name}.weight"] = shape
        if "num_experts" in config:
            inner = config["moe_intermediate_size"]
            found |= {f"{prefix}self_attn.{n}_norm.weight": (size,) for n in "qk"}
            found[f"{prefix}mlp.gate.weight"] = (config["num_experts"], width)
        experts = range(config.get("num_experts", 0))
        for part in [f"mlp.experts.{n}." for n in experts] or ["mlp."]:
            for name in ("gate_proj", "up_proj"):
                found[f"{prefix}{part}{name}.weight"] = (inner, width)
            found[f"{prefix}{part}down_proj.weight"] = (width, inner)
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


def decoding(matrix: StoredMatrix) -> float:
    """Weights per processor second that the reader gives of a matrix, a thousand rows at a time."""
    matrix.dense(0, slice(0, 8))  # compiled before
    began, rows = time.process_time(), matrix.shape.rows
    for index in range(matrix.shape.count):
        for start in range(0, rows, PIECE_ROWS):
            matrix.dense(index, slice(start, min(start + PIECE_ROWS, rows)))
    return matrix.shape.weights / (time.process_time() - began)


def converting(matrix: StoredMatrix) -> float:
    """Weights of a matrix per processor second that become two digits and are counted; nothing is written."""
    rates = []
    for _ in range(4):  # the first compiles
        began = time.process_time()
        convert(matrix, "mxfp4x2", Policy(), None, "")
        rates.append(matrix.shape.weights / (time.process_time() - began))
    return max(rates[1:])


def alone(checkpoint: Path, name: str) -> dict[str, Any]:
    """One matrix in this process."""
    matrix = read_model(checkpoint).matrices[f"model.layers.0.{name}"]
    return {
        "decoded_per_second": decoding(matrix), "converted_per_second": converting(matrix),
    }  # fmt: skip


def measure(checkpoint: Path, out: Path, repeat: int, workers: int) -> dict[str, Any]:
    """Build and verify a checkpoint some times."""
    builds, verifications = [], []
    for _ in range(repeat):
        shutil.rmtree(out, ignore_errors=True)
        more = ("--workers", str(workers))
        builds.append(run("build", str(checkpoint), "-o", str(out), *more))
        verifications.append(run("verify", str(out), *more))
    weights = builds[-1].output["weights"]
    phases = [phase("build", builds, weights), phase("verify", verifications, weights)]
    return {"weights": weights, "phases": {p.name: asdict(p) for p in phases}}


def print_text(facts: dict[str, Any]) -> None:
    """A table for people."""
    print(f"{facts['machine']}, load average {facts['load_average'][0]} at the end")
    print(
        f"{'':6}{'':8}{'seconds':>9}{'CPU s':>7}{'M weights/s':>13}{'per CPU s':>11}{'peak GB':>9}"
    )
    for name, found in facts["formats"].items():
        for p in (Phase(**values) for values in found.get("phases", {}).values()):
            per_cpu = found["weights"] / p.processor_seconds / 1e6
            print(
                f"{name:6}{p.name:8}{p.seconds:>9.1f}{p.processor_seconds:>7.1f}"
                f"{p.weights_per_second / 1e6:>13.0f}{per_cpu:>11.0f}{p.peak_memory_gb:>9.2f}"
            )
        print(
            f"{name:6}one matrix, M weights/CPU s: decoded {found['decoded_per_second'] / 1e6:.0f}, "
            f"decoded and made two digits {found['converted_per_second'] / 1e6:.0f}"
        )
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
    parser.add_argument("--model", choices=list(MODELS), default="llama-3.1-8b")
    parser.add_argument("--layers", type=int, default=2, help="of 32 or 48 (default 2)")
    parser.add_argument("--vocab", type=int, help="tokens (default: the model's)")
    parser.add_argument("--alone", action="store_true", help="build nothing")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--repeat", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--workers", type=int, default=2, help="threads (default 2)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    config, matrix = MODELS[options.model]
    config = config | {"num_hidden_layers": options.layers}
    config |= {"vocab_size": options.vocab or config["vocab_size"]}
    if config["model_type"] != "llama" and options.formats != [SAFETENSORS]:
        parser.error(f"{options.model} is made in {SAFETENSORS} alone: add --formats {SAFETENSORS}")
    facts: dict[str, Any] = {"machine": f"{machine()}, {os.cpu_count()} cores", "formats": {}}
    for kind in options.formats:
        if kind == SAFETENSORS:
            checkpoint = write_bfloat16(options.work / "checkpoint", config)
        else:
            checkpoint = write_gguf(options.work / "checkpoint" / "model.gguf", config, kind)
        found = alone(checkpoint, matrix)
        if not options.alone:
            found |= measure(checkpoint, options.work / "build", options.repeat, options.workers)
        facts["formats"][kind] = found
        for part in ("checkpoint", "build"):
            shutil.rmtree(options.work / part, ignore_errors=options.alone)
        (options.work / "build.log.json").unlink(missing_ok=True)
    facts["load_average"] = [round(value, 2) for value in os.getloadavg()]
    print(json.dumps(facts, indent=1)) if options.json else print_text(facts)


if __name__ == "__main__":
    main()
