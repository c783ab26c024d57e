"""`stdlib-140k`'s configuration, a few steps of it: its shape, its alphabet, its grid."""

import json
from dataclasses import replace

import numpy as np
import pytest

import hnlpu
from hnlpu.silicon.hardwire import open_build

torch = pytest.importorskip("torch")

from configurations import CONFIGURATIONS  # noqa: E402 (needs torch)
from export import export  # noqa: E402
from model import GptOss, mxfp4_grid  # noqa: E402
from train import train  # noqa: E402
from vocabulary import train_tokenizer  # noqa: E402

SMALL = CONFIGURATIONS["stdlib-140k"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    recipe = replace(SMALL.recipe, steps=4, batch_tokens=512, warmup_steps=1)
    train(folder / "run", SMALL.shape, recipe, minutes=None, text_bytes=60_000)
    export(folder / "run", folder / "checkpoint")
    return folder / "checkpoint"


def test_every_matrix_is_one_digit_and_exact(checkpoint, tmp_path):
    hnlpu.build(checkpoint, tmp_path / "build")
    matrices = open_build(tmp_path / "build").manifest.matrices
    assert {m.role for m in matrices.values()} == {"attention", "router", "experts", "unembedding"}
    for name, matrix in matrices.items():
        assert len(matrix.digits) == 1, name
        assert matrix.relative_error == 0, name
    assert sum(m.weights for m in matrices.values()) == 139_776
    assert hnlpu.verify(tmp_path / "build").passed


def test_the_shape_is_written_down(checkpoint):
    config = json.loads((checkpoint / "config.json").read_text())
    assert config["layer_types"] == ["sliding_attention", "full_attention"]
    assert config["max_position_embeddings"] == 256
    assert config["rope_scaling"]["original_max_position_embeddings"] == 64
    assert config["vocab_size"] == len(
        json.loads((checkpoint / "tokenizer.json").read_text())["model"]["vocab"]
    )


def test_a_small_vocabulary_spells_ascii(checkpoint):
    model = hnlpu.open(checkpoint)
    every = "\t\n" + "".join(map(chr, range(32, 127)))
    text = f"def f(x):\n\treturn {every}\n"
    assert model.tokenizer.decode(model.encode(text).tolist()) == text
    assert model.tokenizer.decode(model.encode("a\u2019b \u65e5\r\n").tolist()) == "a?b ??\n"
    assert model.encode(text).max() < 256
    assert model.tokenizer.special_tokens() == {"<|endoftext|>": 0, "<|pad|>": 1}


def test_a_large_vocabulary_spells_every_byte():
    tokenizer = train_tokenizer(["a small text"], 300)
    text = "caf\u00e9 \u65e5\r\n"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_router_and_unembedding_learn_on_the_grid():
    """What the training code computes with is what the chip will hold."""
    model = GptOss(SMALL.shape)
    model.set_quantize(True)
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 40)))
    with torch.no_grad():
        on_grid = model(tokens)[0]
        for module in (model.lm_head, *(layer.mlp.router for layer in model.layers)):
            module.weight.copy_(mxfp4_grid(module.weight))
            module.quantize = False
        assert torch.equal(model(tokens)[0], on_grid)
    plain = GptOss(replace(SMALL.shape, grid_everywhere=False))
    plain.set_quantize(True)
    assert not plain.lm_head.quantize
