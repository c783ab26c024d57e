"""A build's weights as a GGUF file, so that llama.cpp runs the very same model.

    digits, exponents ──► blocks of 17 bytes (exponent, then 32 codes) ──► MXFP4 tensors

Format: the GGUF specification, version 3, of ggml (github.com/ggml-org/ggml,
docs/gguf.md) and its `block_mxfp4`: the low nibbles hold a block's first 16
codes, the high nibbles its last 16.  Only one-digit matrices have such a form.

gpt-oss is here, Llama and Qwen3 are in gguf_decoders.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import unpack
from hnlpu.model.checkpoint import EMBEDDING, FINAL_NORM, UNEMBEDDING, layer_prefix
from hnlpu.silicon.hardwire import Build, HardwiredMatrix

ALIGNMENT = 32
F32, F16, BF16, MXFP4 = 0, 1, 30, 39  # ggml_type
PLAIN = {"F32": F32, "F16": F16, "BF16": BF16}  # by what safetensors calls them
UINT32, INT32, FLOAT32, STRING, ARRAY = 4, 5, 6, 8, 9  # gguf_metadata_value_type
Value = int | float | str
Metadata = Mapping[str, Value | list[int] | list[str]]
NORMAL, CONTROL = 1, 3  # llama_token_type


class Tensor(NamedTuple):
    """Name, ggml type, dimensions (rows first) and the bytes."""

    name: str
    kind: int
    shape: tuple[int, ...]
    data: npt.NDArray[Any]


def blocks_of(matrix: HardwiredMatrix) -> npt.NDArray[np.uint8]:
    """A one-digit matrix as MXFP4 blocks: uint8 [rows, blocks, 17]."""
    (digit,) = matrix.digits
    codes = unpack(digit.codes).reshape(*digit.exponents.shape, 32)
    packed = codes[..., :16] | codes[..., 16:] << 4
    return np.concatenate([digit.exponents[..., None], packed], axis=-1).astype(np.uint8)


def embedding_of(build: Build) -> Tensor:
    """The embedding table as it is stored."""
    stored = build.tensors[EMBEDDING]
    return Tensor("token_embd.weight", PLAIN[stored.dtype], stored.shape, np.asarray(stored.map()))


def vector_of(build: Build, to: str, name: str) -> Tensor:
    """What stays in memory, as float32, under another name."""
    values = build.vector(name)
    return Tensor(to, F32, values.shape, values)


def tensors_of(build: Build) -> Iterator[Tensor]:
    """Every tensor of gpt-oss under llama.cpp's names, one at a time."""
    a, shapes = build.architecture, build.shapes()

    def matrix(name: str) -> HardwiredMatrix:
        return build.matrix(shapes[name])

    def vector(to: str, name: str) -> Tensor:
        return vector_of(build, to, name)

    def digits(to: str, name: str) -> Iterator[Tensor]:
        metal = matrix(name)
        yield Tensor(to + ".weight", MXFP4, (metal.rows, metal.columns), blocks_of(metal))
        if metal.bias is not None:
            yield Tensor(to + ".bias", F32, (metal.rows,), metal.bias)

    yield embedding_of(build)
    yield from digits("output", UNEMBEDDING)
    yield vector("output_norm.weight", FINAL_NORM)
    for layer in range(a.num_hidden_layers):
        to, prefix = f"blk.{layer}.", layer_prefix(layer)
        attention, mlp = prefix + ".self_attn.", prefix + ".mlp."
        yield vector(to + "attn_norm.weight", prefix + ".input_layernorm.weight")
        yield vector(to + "post_attention_norm.weight", prefix + ".post_attention_layernorm.weight")
        yield vector(to + "attn_sinks.weight", attention + "sinks")
        for ours, theirs in (("q", "q"), ("k", "k"), ("v", "v"), ("o", "output")):
            yield from digits(to + "attn_" + theirs, attention + ours + "_proj")
        router = matrix(mlp + "router")
        values = router.values()
        yield Tensor(to + "ffn_gate_inp.weight", F32, values.shape, values)
        assert router.bias is not None
        yield Tensor(to + "ffn_gate_inp.bias", F32, router.bias.shape, router.bias)
        yield from experts_of(build, to, mlp)


def experts_of(build: Build, to: str, mlp: str) -> Iterator[Tensor]:
    """A layer's experts; rows of gate and up alternate in a build and lie apart in GGUF."""
    for name, parts in (
        ("gate_up", (("gate", slice(0, None, 2)), ("up", slice(1, None, 2)))),
        ("down", (("down", slice(None)),)),
    ):
        shape = build.shapes()[f"{mlp}experts.{name}_proj"]
        stack = build.stack(shape)
        matrices = [stack[expert] for expert in range(shape.count)]
        for part, rows in parts:
            blocks = np.stack([blocks_of(m)[rows] for m in matrices])
            biases = np.stack([m.bias[rows] for m in matrices if m.bias is not None])
            dims = (shape.count, blocks.shape[1], shape.columns)
            yield Tensor(f"{to}ffn_{part}_exps.weight", MXFP4, dims, blocks)
            yield Tensor(f"{to}ffn_{part}_exps.bias", F32, biases.shape, biases)


def metadata_of(build: Build) -> dict[str, Any]:
    """What llama.cpp must know of a gpt-oss model."""
    a = build.architecture
    rope = a.rope
    own: dict[str, int | float | str] = {
        "context_length": a.max_position_embeddings,
        "embedding_length": a.hidden_size,
        "block_count": a.num_hidden_layers,
        "feed_forward_length": a.intermediate_size,
        "expert_feed_forward_length": a.intermediate_size,
        "attention.head_count": a.num_attention_heads,
        "attention.head_count_kv": a.num_key_value_heads,
        "attention.key_length": a.head_dim,
        "attention.value_length": a.head_dim,
        "attention.layer_norm_rms_epsilon": float(a.rms_norm_eps),
        "attention.sliding_window": int(a.window(0) or 0),
        "expert_count": a.num_local_experts,
        "expert_used_count": a.num_experts_per_tok,
        "vocab_size": a.vocab_size,
        "rope.freq_base": float(rope.rope_theta),
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": float(rope.factor),
        "rope.scaling.original_context_length": int(rope.original_max_position_embeddings),
    }
    return {
        "general.architecture": "gpt-oss",
        "general.name": "synthetic",
        **{f"gpt-oss.{key}": value for key, value in own.items()},
        "tokenizer.ggml.model": "none",
    }


def vocabulary(count: int) -> Metadata:
    """A made-up vocabulary of `count` tokens, of which the last ends a text: a server wants one."""
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [f"t{token}." for token in range(count)],
        "tokenizer.ggml.token_type": [NORMAL] * (count - 1) + [CONTROL],
        "tokenizer.ggml.merges": ["t 0"],
        "tokenizer.ggml.bos_token_id": count - 1,
        "tokenizer.ggml.eos_token_id": count - 1,
    }


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def _entry(key: str, value: Value | list[int] | list[str]) -> bytes:
    if isinstance(value, list):
        kind = STRING if isinstance(value[0], str) else INT32
        entries = [_text(v) if isinstance(v, str) else struct.pack("<i", v) for v in value]
        head = struct.pack("<IIQ", ARRAY, kind, len(value))
        return _text(key) + head + b"".join(entries)
    if isinstance(value, str):
        return _text(key) + struct.pack("<I", STRING) + _text(value)
    if isinstance(value, float):
        return _text(key) + struct.pack("<If", FLOAT32, value)
    return _text(key) + struct.pack("<II", UINT32, value)


def _pad(file: BinaryIO) -> None:
    file.write(bytes(-file.tell() % ALIGNMENT))


def write_gguf(
    build: Build, config: Mapping[str, Any], path: Path, more: Metadata | None = None
) -> None:
    """Write a build's weights to `path`; `config` is its checkpoint's config.json.

    `more` is metadata beside what the weights need.  Raises KeyError for a family that has no such form here.
    """
    from gguf_decoders import DECODERS, decoder_metadata, decoder_tensors

    if build.manifest.family == "gpt_oss":
        write_file(metadata_of(build) | (more or {}), lambda: tensors_of(build), path)
    else:
        architecture = DECODERS[build.manifest.family]
        metadata = decoder_metadata(architecture, config) | (more or {})
        write_file(metadata, lambda: decoder_tensors(build, architecture, config), path)


def write_file(metadata: Metadata, tensors: Callable[[], Iterator[Tensor]], path: Path) -> None:
    """A GGUF file; tensors are made twice, so that memory stays small."""
    entries = [_entry(key, value) for key, value in metadata.items()]
    infos, offset = [], 0
    for name, kind, shape, data in tensors():
        dims = shape[::-1]
        infos.append(_text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset))
        offset += data.nbytes + -data.nbytes % ALIGNMENT
    with path.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(entries)))
        file.write(b"".join(entries) + b"".join(infos))
        _pad(file)
        for tensor in tensors():
            np.ascontiguousarray(tensor.data).tofile(file)
            _pad(file)
