"""Tensors of a GGUF file -> tensors by the names and in the order that families know.

    blk.0.attn_q.weight [rows, columns] in blocks ─► model.layers.0.self_attn.q_proj.weight

What llama.cpp's converter moved is moved back: rows of Llama's queries and keys, whose halves it
interleaves; experts, which it stacks; Gemma's norms, to which it adds one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import BLOCK, pack
from hnlpu.model.checkpoint._part import Stored
from hnlpu.model.checkpoint._tensors import StoredTensor
from hnlpu.model.checkpoint.gguf._file import Gguf, GgufTensor
from hnlpu.model.checkpoint.packed import Decoded

Array = npt.NDArray[Any]
Numbers = npt.NDArray[np.int64]

_TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_LAYER = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}  # fmt: skip
_LAYER_OF: dict[str, dict[str, str]] = {
    "qwen3moe": {"ffn_gate_inp": "mlp.gate"},
    "qwen2moe": {
        "ffn_gate_inp": "mlp.gate", "ffn_gate_inp_shexp": "mlp.shared_expert_gate",
        "ffn_gate_shexp": "mlp.shared_expert.gate_proj",
        "ffn_up_shexp": "mlp.shared_expert.up_proj",
        "ffn_down_shexp": "mlp.shared_expert.down_proj",
    },
    "phi3": {"attn_qkv": "self_attn.qkv_proj", "ffn_up": "mlp.gate_up_proj"},
    "gpt-oss": {
        "ffn_gate_inp": "mlp.router", "post_attention_norm": "post_attention_layernorm",
        "attn_sinks": "self_attn.sinks", "ffn_down_exps": "mlp.experts.down_proj",
    },
    "gemma2": {
        "ffn_norm": "pre_feedforward_layernorm", "post_attention_norm": "post_attention_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    },
}  # fmt: skip
_LAYER_OF["gemma3"] = _LAYER_OF["gemma2"]
_LAYER_OF["olmo2"] = {
    "post_attention_norm": "post_attention_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_LAYER_OF["llama"] = {"ffn_gate_inp": "block_sparse_moe.gate"}
_EXPERTS = {
    "qwen3moe": ("mlp.experts", {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}),
    "llama": ("block_sparse_moe.experts", {"gate": "w1", "up": "w3", "down": "w2"}),
}
"""Where experts that lie in stacks are looked for, by architecture."""
_EXPERTS["qwen2moe"] = _EXPERTS["qwen3moe"]
_INTERLEAVED = ("llama", "granite", "smollm3")
_PLUS_ONE = ("gemma2", "gemma3")
_NAME = re.compile(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)")
_PLAIN = {"F32": "F32", "F16": "F16", "BF16": "BF16"}
_LEFT_OUT = ("rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight")
"""Tables that the config says."""


def named_tensors(gguf: Gguf, config: dict[str, Any]) -> dict[str, Stored]:
    """Every tensor by the name that its family knows; one that is unknown keeps its own."""
    architecture = str(gguf.metadata["general.architecture"])
    names = _LAYER | _LAYER_OF.get(architecture, {})
    found: dict[str, Stored] = {}
    for name, tensor in gguf.tensors.items():
        match = _NAME.fullmatch(name)
        if name in _LEFT_OUT:
            continue
        if match is None:
            found[name] = stored(name, tensor)
            continue
        layer, part, kind = match[1], match[2], match[3]
        base = (_TOP if layer is None else names).get(part)
        if base is None:
            found[name] = stored(name, tensor)
            continue
        new = f"{base}.{kind}" if layer is None else f"model.layers.{layer}.{base}.{kind}"
        if architecture in _INTERLEAVED and part in ("attn_q", "attn_k"):
            of_part = "num_attention_heads" if part == "attn_q" else "num_key_value_heads"
            found[new] = _halves_together(new, tensor, config[of_part])
        elif architecture in _PLUS_ONE and part.endswith("norm"):
            found[new] = _less_one(new, tensor)
        elif part == "ffn_gate_inp_shexp" and len(tensor.shape) == 1:  # a matrix of one row
            found[new] = stored(new, replace(tensor, shape=(1, *tensor.shape)))
        else:
            found[new] = stored(new, tensor)
    if architecture in _EXPERTS:
        _unstack_experts(gguf, found, *_EXPERTS[architecture])
    if architecture == "gpt-oss":
        _gpt_oss_experts(gguf, found)
    return found


def stored(name: str, tensor: GgufTensor) -> Stored:
    """A tensor as it lies; in blocks, decoded when it is read."""
    if tensor.blocks.name in _PLAIN:
        kind = _PLAIN[tensor.blocks.name]
        return StoredTensor(name, kind, tensor.shape, tensor.file, tensor.offset)
    return decoded(name, tensor, tensor.shape, lambda rows: rows)


def decoded(
    name: str, tensor: GgufTensor, shape: tuple[int, ...], place: Callable[[Numbers], Numbers],
    after: Callable[[Array], Array] = lambda values: values,
) -> Decoded:  # fmt: skip
    """Rows of a tensor in another order: `place` says where a row lies in the file."""

    def decode(box: tuple[slice, ...]) -> Array:
        numbers = _rows(shape[:-1], box)
        values = rows_of(tensor, place(numbers.reshape(-1)))
        return after(values).reshape(*numbers.shape, shape[-1])

    return Decoded(name, shape, tensor.file, decode)


def _rows(lead: tuple[int, ...], box: tuple[slice, ...]) -> Numbers:
    """Numbers of the rows in a box, in the shape of the box."""
    numbers = np.zeros((), np.int64)
    for length, part in zip(lead, box, strict=True):
        numbers = numbers[..., None] * length + np.arange(length)[part]
    return numbers


def rows_of(tensor: GgufTensor, numbers: Numbers) -> Array:
    """Some rows of a tensor as float32 [n, columns]."""
    raw = tensor.rows()
    first, count = int(numbers[0]) if len(numbers) else 0, len(numbers)
    together = np.array_equal(numbers, np.arange(first, first + count))
    chosen = raw[first : first + count] if together else raw[numbers]
    blocks = tensor.blocks
    with np.errstate(invalid="ignore", over="ignore"):  # NaN is found where the numbers are used
        values = blocks.decode(chosen.reshape(-1, blocks.bytes))
    return values.reshape(count, tensor.shape[-1])


def _halves_together(name: str, tensor: GgufTensor, heads: int) -> Decoded:
    """Row b * half + i of a head lies at 2 i + b."""
    if len(tensor.shape) == 1:  # a bias: every number is a row
        return _vector(name, tensor, lambda values: values[_place(len(values), heads)])
    place = _place(tensor.shape[0], heads)
    return decoded(name, tensor, tensor.shape, lambda rows: place[rows])


def _place(count: int, heads: int) -> Numbers:
    rows = np.arange(count, dtype=np.int64)
    if count % (2 * heads):
        return rows  # of no model; the shape will be refused
    return rows.reshape(heads, -1, 2).swapaxes(1, 2).reshape(-1)


def _vector(name: str, tensor: GgufTensor, change: Callable[[Array], Array]) -> Decoded:
    def decode(_: tuple[slice, ...]) -> Array:
        return change(rows_of(tensor, np.zeros(1, np.int64)).reshape(tensor.shape))

    return Decoded(name, tensor.shape, tensor.file, decode)


def _less_one(name: str, tensor: GgufTensor) -> Decoded:
    return _vector(name, tensor, lambda values: values - np.float32(1))


def _unstack_experts(
    gguf: Gguf, found: dict[str, Stored], experts: str, parts: dict[str, str]
) -> None:
    for name in [n for n in found if re.fullmatch(r"blk\.\d+\.ffn_(gate|up|down)_exps\.weight", n)]:
        tensor = gguf.tensors[name]
        layer, part = name.split(".")[1], name.split("_")[1]
        del found[name]
        if len(tensor.shape) != 3:
            continue
        count, rows, columns = tensor.shape
        for expert in range(count):
            new = f"model.layers.{layer}.{experts}.{expert}.{parts[part]}.weight"
            start = expert * rows
            found[new] = decoded(new, tensor, (rows, columns), partial(np.add, start))


def _gpt_oss_experts(gguf: Gguf, found: dict[str, Stored]) -> None:
    """Gate and up of a layer become one stack whose rows alternate; MXFP4 stays what it is."""
    layers = {m[1] for n in gguf.tensors if (m := re.match(r"blk\.(\d+)\.ffn_down_exps", n))}
    for layer in sorted(layers, key=int):
        prefix, base = f"blk.{layer}.ffn_", f"model.layers.{layer}.mlp.experts."
        found.update(_stack(base + "down_proj", [gguf.tensors.get(prefix + "down_exps.weight")]))
        pair = [gguf.tensors.get(f"{prefix}{part}_exps.weight") for part in ("gate", "up")]
        found.update(_stack(base + "gate_up_proj", pair))
        biases = [gguf.tensors.get(f"{prefix}{part}_exps.bias") for part in ("gate", "up")]
        if None not in biases:
            name = base + "gate_up_proj_bias"
            found[name] = _alternating_bias(name, [b for b in biases if b is not None])
        for part in ("gate", "up"):
            for kind in ("weight", "bias"):
                found.pop(f"{prefix}{part}_exps.{kind}", None)
        found.pop(base + "down_proj.weight", None)
        bias = found.pop(base + "down_proj.bias", None)
        if bias is not None:
            tensor = gguf.tensors[f"{prefix}down_exps.bias"]
            found[base + "down_proj_bias"] = stored(base + "down_proj_bias", tensor)
    for name in [n for n in found if n.endswith("sinks.weight")]:
        tensor = gguf.tensors[f"blk.{name.split('.')[2]}.attn_sinks.weight"]
        del found[name]
        found[name.removesuffix(".weight")] = stored(name.removesuffix(".weight"), tensor)


def _stack(name: str, parts: list[GgufTensor | None]) -> dict[str, Stored]:
    """A stack [experts, rows, columns] of one tensor, or of two whose rows alternate."""
    of = [part for part in parts if part is not None]
    shapes = {part.shape for part in of}
    if len(of) < len(parts) or len(shapes) != 1 or len(of[0].shape) != 3:
        return {}  # what is missing is told by the name that the family knows
    count, rows, columns = shapes.pop()
    shape = (count, rows * len(of), columns)
    if all(part.blocks.name == "MXFP4" for part in of):
        return _packed(name, of, shape)

    def decode(box: tuple[slice, ...]) -> Array:
        experts, some = box  # of [experts, columns, rows]
        values = _alternate(of, shape, (experts, slice(0, shape[1], 1)), rows_of)
        return values.swapaxes(1, 2)[:, some]

    return {name: Decoded(name, (count, columns, shape[1]), of[0].file, decode)}


def _alternate(
    of: list[GgufTensor], shape: tuple[int, ...], box: tuple[slice, ...],
    read: Callable[[GgufTensor, Numbers], Array],
) -> Array:  # fmt: skip
    """Rows of a stack in a box [experts, rows]: row r is of tensor r modulo their number."""
    numbers = _rows(shape[:-1], box)
    flat = numbers.reshape(-1)
    which, place = flat % len(of), flat // len(of)  # the rows of a stack are a multiple
    parts = [read(tensor, place[which == n]) for n, tensor in enumerate(of)]
    values = np.empty((len(flat), *parts[0].shape[1:]), parts[0].dtype)
    for n, part in enumerate(parts):
        values[which == n] = part
    return values.reshape(*numbers.shape, *values.shape[1:])


def _packed(name: str, of: list[GgufTensor], shape: tuple[int, ...]) -> dict[str, Stored]:
    """MXFP4 blocks and scales in the order of transformers: input 2 j in a byte's low half."""
    file, blocks = of[0].file, shape[-1] // BLOCK

    def raw(tensor: GgufTensor, numbers: Numbers) -> Array:
        return tensor.rows()[numbers].reshape(len(numbers), blocks, 17)

    def scales(tensor: GgufTensor, numbers: Numbers) -> Array:
        return raw(tensor, numbers)[..., 0]

    def codes(tensor: GgufTensor, numbers: Numbers) -> Array:
        halves = raw(tensor, numbers)[..., 1:]
        ordered = np.concatenate([halves & np.uint8(15), halves >> np.uint8(4)], axis=-1)
        return pack(ordered.reshape(len(numbers), -1))

    def of_blocks(box: tuple[slice, ...]) -> Array:
        return _alternate(of, shape, box[:2], codes)[:, :, box[2]]

    def of_scales(box: tuple[slice, ...]) -> Array:
        return _alternate(of, shape, box, scales)

    size = (*shape[:-1], blocks)
    return {
        f"{name}_blocks": Decoded(f"{name}_blocks", (*size, BLOCK // 2), file, of_blocks, "U8"),
        f"{name}_scales": Decoded(f"{name}_scales", size, file, of_scales, "U8"),
    }


def _alternating_bias(name: str, of: list[GgufTensor]) -> Decoded:
    count, width = of[0].shape
    file: Path = of[0].file

    def decode(box: tuple[slice, ...]) -> Array:
        experts = np.arange(count)[box[0]]
        pair = [rows_of(tensor, experts) for tensor in of]
        return np.stack(pair, axis=-1).reshape(len(experts), -1)

    return Decoded(name, (count, len(of) * width), file, decode)
