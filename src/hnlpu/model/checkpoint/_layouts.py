"""Layouts of whole models that others write -> the names and shapes that families know.

experts.gate_up_projs.3.weight            a linear layer per expert (Unsloth)  ─► one stack
experts.gate_up_proj [experts, 2 n, m]    two stacks in one (transformers 5 in memory) ─► each alone
block.0.attn.qkv.weight                   OpenAI's original gpt-oss            ─► q, k and v
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.errors import InvalidConfig, TensorMismatch
from hnlpu.model.checkpoint._part import Stored
from hnlpu.model.checkpoint.packed import Decoded

Array = npt.NDArray[Any]
Tensors = dict[str, Stored]
_UNSTACKED = re.compile(
    r"(model\.layers\.\d+\.mlp\.experts\.)(gate_up|down)_projs\.(\d+)\.(weight|bias)"
)
_FUSED = re.compile(r"(model\.layers\.\d+\.mlp\.experts)\.(gate_up_proj|down_proj)")
_BLOCK = re.compile(r"block\.(\d+)\.(.+)")


def known_layout(tensors: Tensors, config: dict[str, Any]) -> tuple[Tensors, str]:
    """The tensors as the family of a config has them, and what the layout is that they were in.

    Raises TensorMismatch.
    """
    kind = config.get("model_type")
    if kind == "gpt_oss" and any(map(_UNSTACKED.fullmatch, tensors)):
        return _stacked(dict(tensors)), _UNSLOTH
    if kind in ("qwen3_moe", "qwen2_moe"):
        return _parted(dict(tensors)), ""
    return dict(tensors), ""


_UNSLOTH = "Unsloth's layout, a linear layer per expert: gate_up_projs, down_projs"


def part_of(name: str, of: Stored, rows: slice) -> Decoded:
    """Some rows of a tensor under a name of their own."""
    shape = (rows.stop - rows.start, *of.shape[1:])

    def decode(box: tuple[slice, ...]) -> Array:
        first, *rest = (*box, slice(0, shape[-1], 1))
        moved = slice(first.start + rows.start, first.stop + rows.start, first.step)
        return of.read((moved, *rest))

    def decode_vector(_: tuple[slice, ...]) -> Array:
        return of.read((rows,))

    return Decoded(name, shape, of.file, decode if len(shape) > 1 else decode_vector, of.dtype)


def _stacked(tensors: Tensors) -> Tensors:
    """A linear layer per expert becomes the stack of all: weights [experts, inputs, outputs]."""
    groups: dict[tuple[str, str], dict[int, Stored]] = {}
    for name in [n for n in tensors if _UNSTACKED.fullmatch(n)]:
        match = _UNSTACKED.fullmatch(name)
        assert match
        end = "" if match[4] == "weight" else "_bias"
        stack = groups.setdefault((f"{match[1]}{match[2]}_proj{end}", match[4]), {})
        stack[int(match[3])] = tensors.pop(name)
    for (name, kind), parts in groups.items():
        tensors[name] = _stack(name, parts, turned=kind == "weight")
    for name in [n for n in tensors if ".mlp.router.linear." in n]:
        tensors[name.replace(".router.linear.", ".router.")] = tensors.pop(name)
    return tensors


def _stack(name: str, parts: dict[int, Stored], *, turned: bool) -> Decoded:
    of = [parts[n] for n in sorted(parts)]
    one = of[0]
    if sorted(parts) != list(range(len(parts))) or len({(t.shape, t.dtype) for t in of}) > 1:
        raise TensorMismatch(
            f"{one.file}: {one.name} and its like are {len(of)} experts of {name} that do not make "
            "one stack: numbers are missing, or shapes and formats differ"
        )
    shape = (len(of), *(reversed(one.shape) if turned else one.shape))

    def decode(box: tuple[slice, ...]) -> Array:
        experts, *rest = box
        every = tuple(slice(0, length, 1) for length in one.shape[: 1 if turned else None])
        inner = (*every, *rest)
        read = [part.read(inner) for part in of[experts]]
        return np.stack([part.T for part in read] if turned else read)

    return Decoded(name, shape, one.file, decode, one.dtype)


def _parted(tensors: Tensors) -> Tensors:
    """Stacks [experts, 2 n, m] and [experts, m, n] become a tensor for each matrix."""
    for name in [n for n in tensors if _FUSED.fullmatch(n) and len(tensors[n].shape) == 3]:
        match = _FUSED.fullmatch(name)
        assert match
        of = tensors[name]
        count, rows, _ = of.shape
        parts = ("gate_proj", "up_proj") if match[2] == "gate_up_proj" else ("down_proj",)
        size, rest = divmod(rows, len(parts))
        if rest:
            continue  # no two halves: refused under its own name
        del tensors[name]
        for expert in range(count):
            for n, part in enumerate(parts):
                new = f"{match[1]}.{expert}.{part}.weight"
                tensors[new] = _of_stack(new, of, expert, slice(n * size, (n + 1) * size))
    return tensors


def _of_stack(name: str, of: Stored, expert: int, rows: slice) -> Decoded:
    def decode(box: tuple[slice, ...]) -> Array:
        (asked,) = box
        moved = slice(asked.start + rows.start, asked.stop + rows.start, asked.step)
        return np.asarray(
            of.read((slice(expert, expert + 1, 1), moved, slice(0, of.shape[2], 1)))[0]
        )

    return Decoded(name, (rows.stop - rows.start, of.shape[2]), of.file, decode, of.dtype)


# OpenAI's original layout ----------------------------------------------------------------------

_O200K_HARMONY = 201088
_RETURNS = [200002, 199999, 200012]  # <|return|>, <|endoftext|>, <|call|> of o200k_harmony
_KEYS = {
    "vocab_size": "vocab_size", "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size", "num_hidden_layers": "num_hidden_layers",
    "num_attention_heads": "num_attention_heads", "num_key_value_heads": "num_key_value_heads",
    "head_dim": "head_dim", "num_experts": "num_local_experts",
    "experts_per_token": "num_experts_per_tok", "sliding_window": "sliding_window",
    "swiglu_limit": "swiglu_limit",
}  # fmt: skip
_ROPE = {
    "rope_theta": "rope_theta", "rope_scaling_factor": "factor", "rope_ntk_beta": "beta_fast",
    "rope_ntk_alpha": "beta_slow", "initial_context_length": "original_max_position_embeddings",
}  # fmt: skip
_TOP = {
    "embedding.weight": "model.embed_tokens.weight", "unembedding.weight": "lm_head.weight",
    "norm.scale": "model.norm.weight",
}  # fmt: skip
_IN_BLOCK = {
    "attn.norm.scale": "input_layernorm.weight", "attn.sinks": "self_attn.sinks",
    "attn.out.weight": "self_attn.o_proj.weight", "attn.out.bias": "self_attn.o_proj.bias",
    "mlp.norm.scale": "post_attention_layernorm.weight", "mlp.gate.weight": "mlp.router.weight",
    "mlp.gate.bias": "mlp.router.bias", "mlp.mlp1_bias": "mlp.experts.gate_up_proj_bias",
    "mlp.mlp2_bias": "mlp.experts.down_proj_bias",
    "mlp.mlp1_weight.blocks": "mlp.experts.gate_up_proj_blocks",
    "mlp.mlp1_weight.scales": "mlp.experts.gate_up_proj_scales",
    "mlp.mlp2_weight.blocks": "mlp.experts.down_proj_blocks",
    "mlp.mlp2_weight.scales": "mlp.experts.down_proj_scales",
}  # fmt: skip
_TURNED = {
    "mlp.mlp1_weight": "mlp.experts.gate_up_proj", "mlp.mlp2_weight": "mlp.experts.down_proj",
}  # fmt: skip


def is_original(values: dict[str, Any]) -> bool:
    """Whether a config is of OpenAI's original layout of gpt-oss."""
    return "model_type" not in values and {"num_experts", "swiglu_limit"} <= values.keys()


def original_config(values: dict[str, Any], where: str) -> dict[str, Any]:
    """config.json of transformers for OpenAI's original one; raises InvalidConfig."""
    for key in [*_KEYS, *_ROPE]:
        if key not in values:
            raise InvalidConfig(f"{where}: {key} is missing from OpenAI's original layout")
    config: dict[str, Any] = {"model_type": "gpt_oss", "attention_bias": True}
    config |= {new: values[old] for old, new in _KEYS.items()}
    rope = {new: values[old] for old, new in _ROPE.items()}
    config["rope_parameters"] = {"rope_type": "yarn", "truncate": False, **rope}
    factor, context = values["rope_scaling_factor"], values["initial_context_length"]
    if type(context) is int and isinstance(factor, int | float):
        config["max_position_embeddings"] = int(context * factor)
    if values["vocab_size"] == _O200K_HARMONY:
        config["eos_token_id"] = _RETURNS
    unknown = sorted(values.keys() - _KEYS.keys() - _ROPE.keys())
    return config | {key: values[key] for key in unknown}  # refused by name, as any other


def original_tensors(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    """Tensors of OpenAI's original layout by the names of transformers."""
    found: Tensors = {}
    for name, tensor in tensors.items():
        match = _BLOCK.fullmatch(name)
        if match is None:
            found[_TOP.get(name, name)] = _named(tensor, _TOP.get(name, name))
            continue
        prefix, part = f"model.layers.{match[1]}.", match[2]
        if part in _IN_BLOCK:
            found[prefix + _IN_BLOCK[part]] = _named(tensor, prefix + _IN_BLOCK[part])
        elif part in _TURNED and len(tensor.shape) == 3:
            found[prefix + _TURNED[part]] = _turned(prefix + _TURNED[part], tensor)
        elif part in ("attn.qkv.weight", "attn.qkv.bias"):
            found |= _query_key_value(prefix, part.rpartition(".")[2], tensor, config)
        else:
            found[name] = tensor
    return found


def _named(tensor: Stored, name: str) -> Decoded:
    def decode(box: tuple[slice, ...]) -> Array:
        return tensor.read((*box, slice(0, tensor.shape[-1], 1)))

    return Decoded(name, tensor.shape, tensor.file, decode, tensor.dtype)


def _turned(name: str, tensor: Stored) -> Decoded:
    count, rows, columns = tensor.shape

    def decode(box: tuple[slice, ...]) -> Array:
        experts, some = box
        return tensor.read((experts, slice(0, rows, 1), some)).swapaxes(1, 2)

    return Decoded(name, (count, columns, rows), tensor.file, decode, tensor.dtype)


def _query_key_value(prefix: str, kind: str, tensor: Stored, config: dict[str, Any]) -> Tensors:
    size, heads = config["head_dim"], config["num_attention_heads"]
    found: Tensors = {}
    start = 0
    for part, count in (("q", heads), *((p, config["num_key_value_heads"]) for p in "kv")):
        name = f"{prefix}self_attn.{part}_proj.{kind}"
        stop = start + count * size
        if stop > tensor.shape[0]:
            raise TensorMismatch(
                f"{tensor.file}: {tensor.name} {list(tensor.shape)} has no {stop} rows for queries, "
                "keys and values"
            )
        found[name] = part_of(name, tensor, slice(start, stop, 1))
        start = stop
    return found
