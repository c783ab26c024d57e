"""The models that decode.py measures: checkpoints, builds and GGUF files of the same weights.

shape ─► random checkpoint ─► build, every matrix MXFP4 ─► GGUF
         trained checkpoint ─► build ─► GGUF                     (agreement is checked there)
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf_writer import write_gguf
from hnlpu.silicon.hardwire import open_build
from synthetic import GPT_OSS_20B, write_checkpoint, write_random

CHECKPOINTS = Path(__file__).parent.parent / "checkpoints"
FORMATS = [f"--{role}=mxfp4" for role in ("attention", "router", "experts", "unembedding")]
WIDTHS = (12, 8)  # activation bits: the default, and what llama.cpp rounds activations to
DECODER = {
    "vocab_size": 8192, "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 64,
    "hidden_size": 1024, "rms_norm_eps": 1e-5, "max_position_embeddings": 4096, "rope_theta": 10000.0,
    "tie_word_embeddings": False,
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """A model's config.json, and the bundled checkpoint of its kind."""

    config: dict[str, Any]
    trained: str


SHAPES = {
    "gpt-oss": Shape(
        GPT_OSS_20B | {
            "hidden_size": 1024, "intermediate_size": 1024, "num_hidden_layers": 12,
            "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 64, "vocab_size": 8192,
            "eos_token_id": 8191,
        },
        "stdlib-8m",
    ),
    "llama": Shape(
        DECODER | {
            "model_type": "llama", "hidden_size": 1536, "intermediate_size": 4096,
            "num_attention_heads": 24, "num_key_value_heads": 6, "num_hidden_layers": 8,
        },
        "llama-90k",
    ),
    "qwen3-moe": Shape(
        DECODER | {
            "model_type": "qwen3_moe", "intermediate_size": 2048, "num_experts": 32,
            "num_experts_per_tok": 8, "moe_intermediate_size": 512, "norm_topk_prob": True,
            "num_hidden_layers": 12,
        },
        "qwen3-90k",
    ),
}  # fmt: skip
"""191, 203 and 190 M weights a token.  There is no trained Qwen3 with experts here; Qwen3 without
shares all but these, and the random model is compared as well."""


def make_build(checkpoint: Path, build: Path, bits: int = WIDTHS[0]) -> Path:
    """A build with one digit for every weight, where it is missing."""
    if not build.exists():
        words = ["build", str(checkpoint), "-o", str(build), *FORMATS, f"--activation-bits={bits}"]
        subprocess.run([sys.executable, "-m", "hnlpu", *words], stdout=sys.stderr, check=True)
    return build


def make_models(work: Path, name: str) -> dict[int, Path]:
    """The random model's builds, by activation bits, where they are missing."""
    config, checkpoint = SHAPES[name].config, work / f"{name}-checkpoint"
    if not checkpoint.exists():
        if config["model_type"] == "gpt_oss":
            write_checkpoint(checkpoint, config, 0)
        else:
            write_random(checkpoint, config, 0)
    return {bits: make_build(checkpoint, work / f"{name}-{bits}", bits) for bits in WIDTHS}


def make_trained(work: Path, name: str) -> Path:
    """The build of the trained model of a kind, where it is missing."""
    trained = SHAPES[name].trained
    return make_build(CHECKPOINTS / trained, work / trained)


def make_gguf(build: Path, checkpoint: Path) -> Path:
    """The same weights as a GGUF file beside the build, where it is missing."""
    path = build.with_suffix(".gguf")
    if not path.exists():
        config = json.loads((checkpoint / "config.json").read_text())
        write_gguf(open_build(build), config, path)
    return path


def active_weights(build: Path, config: dict[str, Any]) -> int:
    """Weights that one token meets."""
    share = {"experts": config.get("num_experts_per_tok")}
    return sum(
        s.rows * s.columns * (share.get(s.role) or s.count) for s in open_build(build).matrices()
    )


def packed_bytes(build: Path) -> int:
    """Bytes of the build's tensors."""
    return sum(path.stat().st_size for path in (build / "weights").glob("*.safetensors"))
