"""Write a random checkpoint with the shapes of gpt-oss-20b, a piece at a time.

    architecture ──► names and shapes ──► shards ──► pieces of random bytes

The numbers mean nothing, the format is exact: MXFP4 experts whose scales lie
within six powers of two, everything else bfloat16 and normal.  Equal options
give equal bytes.  The whole model has 13.8 GB and takes a minute or two; memory
stays below 300 MB.

    python benchmarks/synthetic.py /tmp/20b --layers 2
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.model.checkpoint import Architecture, matrix_shapes, read_architecture, vector_shapes
from hnlpu.model.checkpoint._writer import SafetensorsWriter
from hnlpu.model.families import network_of
from hnlpu.model.network import chosen_leaves, leaf_tensors

Tensors = dict[str, tuple[str, tuple[int, ...]]]

PIECE = 2**22  # elements made and written at a time
SHARD_BYTES = 5 * 10**9  # the published checkpoint is cut into pieces of this size
LOWEST_SCALE, HIGHEST_SCALE = 118, 123  # E8M0: expert weights of at most 6/16
WEIGHT_DEVIATION = 0.02
ITEM_BYTES = {"BF16": 2, "U8": 1}

GPT_OSS_20B: dict[str, Any] = {
    "architectures": ["GptOssForCausalLM"],
    "model_type": "gpt_oss",
    "hidden_size": 2880,
    "intermediate_size": 2880,
    "num_hidden_layers": 24,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "num_local_experts": 32,
    "num_experts_per_tok": 4,
    "vocab_size": 201088,
    "sliding_window": 128,
    "max_position_embeddings": 131072,
    "initial_context_length": 4096,
    "rms_norm_eps": 1e-5,
    "attention_bias": True,
    "swiglu_limit": 7.0,
    "tie_word_embeddings": False,
    "eos_token_id": 200002,
    "hidden_act": "silu",
    "rope_theta": 150000,
    "rope_scaling": {
        "rope_type": "yarn",
        "factor": 32.0,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "original_max_position_embeddings": 4096,
        "truncate": False,
    },
    "quantization_config": {"quant_method": "mxfp4"},
}


def tensors_of(a: Architecture) -> Tensors:
    """Every tensor of an MXFP4 checkpoint: name -> (dtype, shape)."""
    tensors: Tensors = {name: ("BF16", shape) for name, shape in vector_shapes(a).items()}
    for s in matrix_shapes(a):
        if s.role == "experts":
            blocks = (s.count, s.rows, s.columns // BLOCK)
            tensors[f"{s.name}_blocks"] = ("U8", (*blocks, BLOCK // 2))
            tensors[f"{s.name}_scales"] = ("U8", blocks)
            tensors[f"{s.name}_bias"] = ("BF16", (s.count, s.rows))
            continue
        tensors[f"{s.name}.weight"] = ("BF16", (s.rows, s.columns))
        if s.has_bias:
            tensors[f"{s.name}.bias"] = ("BF16", (s.rows,))
    return tensors


def size_of(tensor: tuple[str, tuple[int, ...]]) -> int:
    """Bytes of a tensor given as (dtype, shape)."""
    return ITEM_BYTES[tensor[0]] * math.prod(tensor[1])


def shards_of(tensors: Tensors, limit: int) -> list[Tensors]:
    """The tensors in order, cut where a file would exceed `limit` bytes."""
    shards: list[Tensors] = [{}]
    size = 0
    for name, tensor in tensors.items():
        if shards[-1] and size + size_of(tensor) > limit:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += size_of(tensor)
    return shards


def pieces(name: str, dtype: str, elements: int, seed: int) -> Iterator[npt.NDArray[Any]]:
    """The values of a tensor, `PIECE` elements at a time; they depend on name and seed only."""
    random = np.random.Generator(np.random.SFC64([seed, zlib.crc32(name.encode())]))
    for start in range(0, elements, PIECE):
        count = min(PIECE, elements - start)
        if name.endswith("_blocks"):
            yield np.frombuffer(random.bytes(count), np.uint8)
        elif name.endswith("_scales"):
            yield random.integers(LOWEST_SCALE, HIGHEST_SCALE, count, np.uint8, endpoint=True)
        else:
            values = random.standard_normal(count, np.float32)
            if name.endswith(("norm.weight", "layernorm.weight")):
                values *= np.float32(0.1)
                values += np.float32(1)
            else:
                values *= np.float32(WEIGHT_DEVIATION)
            yield (values.view(np.uint32) >> 16).astype(np.uint16)


def write_checkpoint(directory: Path, config: dict[str, Any], seed: int) -> int:
    """Write config, shards and index into the new folder `directory`; returns bytes of tensors."""
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    shards = shards_of(tensors_of(read_architecture(directory)), SHARD_BYTES)
    names = [f"model-{i:05d}-of-{len(shards):05d}.safetensors" for i in range(1, len(shards) + 1)]
    where = {tensor: file for file, shard in zip(names, shards, strict=True) for tensor in shard}
    total = sum(size_of(tensor) for shard in shards for tensor in shard.values())
    index = {"metadata": {"total_size": total}, "weight_map": where}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")

    def fill(writer: SafetensorsWriter, name: str, tensor: tuple[str, tuple[int, ...]]) -> None:
        first = 0
        for piece in pieces(name, tensor[0], math.prod(tensor[1]), seed):
            writer.put(name, piece, first)
            first += len(piece)

    with ExitStack() as stack:
        writers = [
            stack.enter_context(SafetensorsWriter(directory / name, shard))
            for name, shard in zip(names, shards, strict=True)
        ]
        pool = stack.enter_context(ThreadPoolExecutor(os.cpu_count() or 1))
        jobs = [
            pool.submit(fill, writer, name, tensor)
            for writer, shard in zip(writers, shards, strict=True)
            for name, tensor in shard.items()
        ]
        for job in jobs:
            job.result()
    return total


def write_random(directory: Path, config: dict[str, Any], seed: int) -> None:
    """Write a checkpoint of any family, float16 and normal, into the new folder `directory`."""
    network, random = network_of(config), np.random.default_rng(seed)
    sources = [of.source for of in (*network.parameters, *network.matrices)]
    sources += [m.bias for m in network.matrices if m.bias is not None]
    shapes = {
        name: shape
        for source in sources
        for leaf in chosen_leaves(source, lambda name: "lm_head" in name)
        for name, shape in leaf_tensors(leaf).items()
    }
    tensors = {
        name: random.normal(1.0 if "norm" in name else 0.0, 0.05, shape).astype(np.float16)
        for name, shape in shapes.items()
    }
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config))
    save_file(tensors, directory / "model.safetensors")


def add_size_options(parser: argparse.ArgumentParser) -> None:
    """The options that make the model smaller."""
    parser.add_argument("--layers", type=int, default=24, help="layers (default 24)")
    parser.add_argument("--experts", type=int, default=32, help="experts a layer (default 32)")
    parser.add_argument("--vocab", type=int, default=201088, help="token ids (default 201088)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all values (default 0)")


def config_of(options: argparse.Namespace) -> dict[str, Any]:
    """config.json of gpt-oss-20b, cut to the sizes in `options`."""
    return GPT_OSS_20B | {
        "num_hidden_layers": options.layers,
        "num_local_experts": options.experts,
        "num_experts_per_tok": min(4, options.experts),
        "vocab_size": options.vocab,
        "eos_token_id": min(200002, options.vocab - 1),
    }


def main() -> None:
    """Write one checkpoint and say how large it is."""
    parser = argparse.ArgumentParser(description="Write a random gpt-oss checkpoint.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--force", action="store_true", help="replace an existing folder")
    add_size_options(parser)
    options = parser.parse_args()
    if options.directory.exists():
        if not options.force:
            sys.exit(f"{options.directory}: exists; --force replaces it")
        shutil.rmtree(options.directory)
    began = time.perf_counter()
    total = write_checkpoint(options.directory, config_of(options), options.seed)
    seconds = time.perf_counter() - began
    print(f"{options.directory}: {total / 1e9:.2f} GB in {seconds:.1f} s")


if __name__ == "__main__":
    main()
