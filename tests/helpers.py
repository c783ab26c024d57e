"""What tests share: small random gpt-oss checkpoints, directory snapshots, the command line."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

Tensors = dict[str, np.ndarray]
"""Tensors by name; uint16 stands for the bits of bfloat16."""

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


def bfloat16(values: Any) -> np.ndarray:
    """Bits of `values` cut to bfloat16."""
    return (np.asarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def make_config(
    *,
    new_config: bool = False,
    hidden: int = 64,
    intermediate: int = 96,
    layers: int = 2,
    heads: int = 4,
    kv_heads: int = 2,
    head_dim: int = 32,
    experts: int = 4,
    active: int = 2,
    vocab: int = 97,
    **changes: Any,
) -> dict[str, Any]:
    """config.json of a small gpt-oss model, of the original generation or of transformers 5."""
    config: dict[str, Any] = {
        "architectures": ["GptOssForCausalLM"],
        "model_type": "gpt_oss",
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "num_local_experts": experts,
        "layer_types": ["full_attention" if i % 2 else "sliding_attention" for i in range(layers)],
        "sliding_window": 8,
        "max_position_embeddings": 4096,
        "vocab_size": vocab,
        "rms_norm_eps": 1e-5,
        "attention_bias": True,
        "hidden_act": "silu",
        "swiglu_limit": 7.0,
        "tie_word_embeddings": False,
        "eos_token_id": 2,
        "pad_token_id": 1,
    }
    yarn = {"factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False}
    if new_config:
        config |= {
            "num_experts_per_tok": active,
            "dtype": "bfloat16",
            "rope_parameters": {
                "rope_type": "yarn", "rope_theta": 150000.0,
                "original_max_position_embeddings": 128, **yarn,
            },
        }  # fmt: skip
    else:
        config |= {
            "experts_per_token": active,
            "torch_dtype": "bfloat16",
            "initial_context_length": 128,
            "rope_theta": 150000.0,
            "rope_scaling": {
                "rope_type": "yarn", "original_max_position_embeddings": 128, **yarn,
            },
            "quantization_config": {"quant_method": "mxfp4"},
        }  # fmt: skip
    return config | changes


def random_tensors(config: dict[str, Any], seed: int = 0, *, packed: bool = True) -> Tensors:
    """Random weights for `config`; experts as MXFP4 (`packed`) or as transposed bfloat16."""
    random = np.random.default_rng(seed)

    def normal(*shape: int, around: float = 0.0, sigma: float = 0.05) -> np.ndarray:
        return bfloat16(around + sigma * random.standard_normal(shape))

    hidden, inner = config["hidden_size"], config["intermediate_size"]
    experts, vocab = config["num_local_experts"], config["vocab_size"]
    heads, size = config["num_attention_heads"], config["head_dim"]
    kv_width = config["num_key_value_heads"] * size
    tensors = {
        "model.embed_tokens.weight": normal(vocab, hidden, sigma=1.0),
        "model.norm.weight": normal(hidden, around=1.0),
    }
    if not config.get("tie_word_embeddings"):
        tensors["lm_head.weight"] = normal(vocab, hidden)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        tensors[prefix + "input_layernorm.weight"] = normal(hidden, around=1.0)
        tensors[prefix + "post_attention_layernorm.weight"] = normal(hidden, around=1.0)
        tensors[prefix + "self_attn.sinks"] = normal(heads, sigma=1.0)
        for name, rows, columns in (
            ("q", heads * size, hidden), ("k", kv_width, hidden), ("v", kv_width, hidden),
            ("o", hidden, heads * size),
        ):  # fmt: skip
            tensors[f"{prefix}self_attn.{name}_proj.weight"] = normal(rows, columns)
            if config["attention_bias"]:
                tensors[f"{prefix}self_attn.{name}_proj.bias"] = normal(rows)
        tensors[prefix + "mlp.router.weight"] = normal(experts, hidden)
        tensors[prefix + "mlp.router.bias"] = normal(experts)
        for name, rows, columns in (
            ("gate_up_proj", 2 * inner, hidden), ("down_proj", hidden, inner),
        ):  # fmt: skip
            name = f"{prefix}mlp.experts.{name}"
            tensors[name + "_bias"] = normal(experts, rows)
            if packed:
                blocks = (experts, rows, columns // 32)
                tensors[name + "_blocks"] = random.integers(0, 256, (*blocks, 16), np.uint8)
                tensors[name + "_scales"] = random.integers(118, 123, blocks, np.uint8)
            else:
                tensors[name] = normal(experts, columns, rows)
    return tensors


def write_safetensors(path: Path, tensors: Tensors) -> None:
    """Write with the safetensors library, which knows no bfloat16 in NumPy: uint16, renamed."""
    raw = save({name: np.ascontiguousarray(array) for name, array in tensors.items()})
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    for info in header.values():
        info["dtype"] = info["dtype"].replace("U16", "BF16")
    path.write_bytes(encode_header(header) + raw[8 + length :])


def encode_header(header: Any) -> bytes:
    """The first bytes of a safetensors file with this header."""
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def write_tensors(folder: Path, tensors: Tensors, shards: int = 1) -> None:
    """One safetensors file, or `shards` of them with an index."""
    if shards == 1:
        write_safetensors(folder / SINGLE, tensors)
        return
    names = sorted(tensors)
    where: dict[str, str] = {}
    for i in range(shards):
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        part = names[i::shards]
        write_safetensors(folder / file, {name: tensors[name] for name in part})
        where |= dict.fromkeys(part, file)
    size = sum(array.nbytes for array in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": where}
    (folder / INDEX).write_text(json.dumps(index))


def write_checkpoint(
    folder: Path,
    *,
    seed: int = 0,
    packed: bool = True,
    shards: int = 1,
    new_config: bool = False,
    tensors: Tensors | None = None,
    **config_changes: Any,
) -> Path:
    """A random gpt-oss checkpoint in `folder`; `tensors` replace (or add to) the random ones."""
    config = make_config(new_config=new_config, **config_changes)
    if not packed:
        config.pop("quantization_config", None)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    found = random_tensors(config, seed, packed=packed)
    write_tensors(folder, found | (tensors or {}), shards)
    return folder


def write_tokenizer(folder: Path, tokens: int = 97) -> None:
    """A tokenizer of byte tokens; all 97 of the tiny checkpoint are printable ASCII, newline, tab."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet(), key=lambda c: (not c.isascii(), c))
    vocab = {char: i for i, char in enumerate(["Ġ", "Ċ", "ĉ", *alphabet[: tokens - 3]])}
    tokenizer = Tokenizer(models.BPE(vocab, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))


def snapshot(folder: Path) -> dict[str, str]:
    """Every path under `folder`: the SHA-256 of a file, "folder" for a folder."""
    return {
        path.relative_to(folder).as_posix(): (
            "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        )
        for path in sorted(folder.rglob("*"))
    }


def run_cli(*args: str | Path, **options: Any) -> tuple[int, str, str]:
    """`python -m hnlpu ARGS` in a process of its own: exit code, stdout, stderr."""
    result = subprocess.run(
        [sys.executable, "-m", "hnlpu", *map(str, args)],
        capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
        **options,
    )  # fmt: skip
    return result.returncode, result.stdout, result.stderr


def environment(**changes: str) -> dict[str, str]:
    """This process's environment with some variables changed."""
    return {**os.environ, **changes}
