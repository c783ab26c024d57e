"""GGUF files as llama.cpp itself reads them: the same next token, of every architecture.

This is what holds the names, the order of rows and the norms of `gguf_samples` to the program whose
format it is.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from tokenizers import pre_tokenizers

from gguf_samples import CONFIGS, GgufSample, make
from hnlpu.model.families import families
from hnlpu.run.emulate import open_language_model

PLAIN = {"rope_type": "default", "rope_theta": 10000.0}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    name: (name, {}) for name, c in CONFIGS.items() if c["model_type"] in families()
} | {
    # gpt-oss's YaRN is not cut to whole pairs, as it was trained; llama.cpp cuts it
    "gpt-oss": ("gpt-oss", {"rope_parameters": PLAIN}),
    "linear": ("llama", {"rope_parameters": PLAIN | {"rope_type": "linear", "factor": 4.0}}),
    "yarn": (
        "llama",
        {
            "rope_parameters": PLAIN
            | {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
        },
    ),
    "llama3": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0,
                "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            }
        },
    ),
}  # fmt: skip
TOKENS = np.random.default_rng(0).integers(1, 96, 12).tolist()
SAYS = Path(__file__).parents[2] / "llama_cpp_says.py"
TOLERANCE = 0.02  # llama.cpp attends in half precision


def with_vocabulary(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    """Tokens that llama.cpp asks for."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<e>", *alphabet[: config["vocab_size"] - 1]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3] + [1] * (len(tokens) - 1))
    writer.add_token_merges([f"{tokens[1]} {tokens[2]}"])
    writer.add_eos_token_id(0)
    writer.add_bos_token_id(0)
    writer.add_add_bos_token(False)


@pytest.fixture(scope="module")
def said(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, tuple[GgufSample, dict[int, float]]]:
    """Each variant's sample, and what llama.cpp says of it."""
    pytest.importorskip("xllamacpp")
    folder = tmp_path_factory.mktemp("llama.cpp")
    samples = {
        name: make(architecture, folder / name, 1, ["F32"], more=with_vocabulary, **changes)
        for name, (architecture, changes) in VARIANTS.items()
    }
    files = [str(sample.file) for sample in samples.values()]
    command = [sys.executable, str(SAYS), json.dumps(TOKENS), *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return {name: (of, dict(found[str(of.file)])) for name, of in samples.items()}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_next_token_is_llama_cpps(
    name: str, said: dict[str, tuple[GgufSample, dict[int, float]]]
) -> None:
    sample, theirs = said[name]
    assert len(theirs) == sample.config["vocab_size"]
    transformer = open_language_model(sample.file).transformer
    logits = transformer.logits(transformer.forward(np.array(TOKENS), transformer.new_cache()))
    last = np.asarray(logits[-1], np.float64)
    ours = last - last.max() - np.log(np.exp(last - last.max()).sum())
    assert ours.std() > 0.2
    for token, logprob in theirs.items():
        assert abs(ours[token] - logprob) < TOLERANCE
