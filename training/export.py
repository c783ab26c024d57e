"""A trained state -> a gpt-oss checkpoint:  python training/export.py --run RUN --out DIR

Experts become MXFP4 blocks and scales, everything else bfloat16, under the
tensor names and in the layout of the Hugging Face gpt-oss checkpoints.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from hnlpu.arithmetic.mx import quantize_mxfp4
from model import Shape, mxfp4_grid
from vocabulary import END_OF_TEXT, PADDING


def pack_mxfp4(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Blocks [out, in/32, 16] and scales [out, in/32] of a matrix; exact for grid values."""
    codes, exponents = quantize_mxfp4(mxfp4_grid(weight).numpy())
    return torch.from_numpy(codes), torch.from_numpy(exponents)


def checkpoint_tensors(state: dict[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """The tensors of a gpt-oss checkpoint from those of `model.GptOss`."""
    tensors: dict[str, Tensor] = {}

    def put(name: str, value: Tensor) -> None:
        tensors[name] = value.bfloat16().contiguous()

    def plain(name: str) -> Tensor:
        return mxfp4_grid(state[name]) if shape.grid_everywhere else state[name]

    put("model.embed_tokens.weight", state["embed_tokens.weight"])
    put("model.norm.weight", state["norm.weight"])
    put("lm_head.weight", plain("lm_head.weight"))
    for i in range(shape.num_hidden_layers):
        source, target = f"layers.{i}.", f"model.layers.{i}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            put(f"{target}{norm}.weight", state[f"{source}{norm}.weight"])
        for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
            name = f"self_attn.{part}"
            put(f"{target}{name}.weight", mxfp4_grid(state[f"{source}{name}.weight"]))
            put(f"{target}{name}.bias", state[f"{source}{name}.bias"])
        put(f"{target}self_attn.sinks", state[f"{source}self_attn.sinks"])
        put(f"{target}mlp.router.weight", plain(f"{source}mlp.router.weight"))
        put(f"{target}mlp.router.bias", state[f"{source}mlp.router.bias"])
        for ours, theirs in (("gate_up", "gate_up_proj"), ("down", "down_proj")):
            parts = [f"{source}mlp.{ours}.{e}." for e in range(shape.num_local_experts)]
            packed = [pack_mxfp4(state[p + "weight"]) for p in parts]
            name = f"{target}mlp.experts.{theirs}"
            tensors[f"{name}_blocks"] = torch.stack([blocks for blocks, _ in packed])
            tensors[f"{name}_scales"] = torch.stack([scales for _, scales in packed])
            put(f"{name}_bias", torch.stack([state[p + "bias"] for p in parts]))
    return tensors


def config(shape: Shape, context: int) -> dict[str, Any]:
    """config.json, in the form of the original gpt-oss checkpoints."""
    return {
        "architectures": ["GptOssForCausalLM"],
        "attention_bias": True,
        "eos_token_id": 0,
        "experts_per_token": shape.num_experts_per_tok,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "hidden_size": shape.hidden_size,
        "initial_context_length": shape.initial_context_length,
        "intermediate_size": shape.intermediate_size,
        "layer_types": [
            "full_attention" if i % 2 else "sliding_attention"
            for i in range(shape.num_hidden_layers)
        ],
        "max_position_embeddings": context,
        "model_type": "gpt_oss",
        "num_attention_heads": shape.num_attention_heads,
        "num_experts_per_tok": shape.num_experts_per_tok,
        "num_hidden_layers": shape.num_hidden_layers,
        "num_key_value_heads": shape.num_key_value_heads,
        "num_local_experts": shape.num_local_experts,
        "pad_token_id": 1,
        "quantization_config": {
            "modules_to_not_convert": [
                "model.layers.*.self_attn", "model.layers.*.mlp.router",
                "model.embed_tokens", "lm_head",
            ],
            "quant_method": "mxfp4",
        },
        "rms_norm_eps": shape.rms_norm_eps,
        "rope_scaling": {
            "beta_fast": shape.beta_fast,
            "beta_slow": shape.beta_slow,
            "factor": shape.rope_factor,
            "original_max_position_embeddings": shape.initial_context_length,
            "rope_type": "yarn",
            "truncate": False,
        },
        "rope_theta": shape.rope_theta,
        "sliding_window": shape.sliding_window,
        "swiglu_limit": shape.swiglu_limit,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "vocab_size": shape.vocab_size,
    }  # fmt: skip


def export(run: Path, out: Path) -> None:
    """Write the checkpoint of the training run `run` into the folder `out`."""
    state = torch.load(run / "state.pt", weights_only=True)
    shape, recipe = Shape(**state["shape"]), state["recipe"]
    out.mkdir(parents=True, exist_ok=True)
    save_file(
        checkpoint_tensors(state["model"], shape),
        out / "model.safetensors",
        metadata={"format": "pt"},
    )
    (out / "model.safetensors").chmod(0o644)  # the library writes files for their owner only
    text = json.dumps(config(shape, recipe["long_sequence"]), indent=2) + "\n"
    (out / "config.json").write_text(text)
    shutil.copyfile(run / "tokenizer.json", out / "tokenizer.json")
    settings = {
        "clean_up_tokenization_spaces": False, "eos_token": END_OF_TEXT,
        "model_max_length": recipe["long_sequence"], "pad_token": PADDING,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }  # fmt: skip
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    history = {key: state[key] for key in ("step", "seconds", "threads", "recipe", "facts")}
    history["loss"] = state["history"][:: max(1, len(state["history"]) // 200)]
    (out / "training.json").write_text(json.dumps(history, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Export a training run as a checkpoint.")
    parser.add_argument("--run", type=Path, required=True, help="folder that train.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    args = parser.parse_args()
    export(args.run, args.out)
    size = sum(p.stat().st_size for p in args.out.iterdir())
    print(f"{args.out}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
