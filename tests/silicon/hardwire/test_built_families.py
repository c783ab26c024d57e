"""A build of any family: proved, placed, and its metal says what the checkpoint says, rounded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import hnlpu
from family_builds import EVERY, FAMILIES, made
from hnlpu.errors import DamagedBuild, InvalidInput
from hnlpu.insight.verify import verify
from hnlpu.model.checkpoint import read_model
from hnlpu.model.families import Family, find_family, open_family
from hnlpu.model.network import restore
from hnlpu.model.policy import Policy
from hnlpu.run.emulate import (
    FloatConstants,
    HardwiredConstants,
    Interpreter,
    open_language_model,
)
from hnlpu.silicon.hardwire import build, open_build
from hnlpu.silicon.place import make_target
from readers import sample, write_sample

PLAIN = {"granitemoehybrid", "mamba", "rwkv7"}
"""Whose matrices are of kinds that others have: the metal of all their weights is drawn for those."""


@pytest.mark.parametrize("family", EVERY)
def test_all_of_it_is_proved(family: str) -> None:
    of = made(family)
    for folder, masks in ((of.one, family not in PLAIN), (of.two, False)):
        found = verify(folder, masks=masks, workers=1)
        assert found.passed, found.problems
        assert found.checkpoint == of.checkpoint
        assert not set(found.skipped) - {"mask rules", "mask borders", "mask proof", "mask pairs"}


@pytest.mark.parametrize("family", EVERY)
def test_metal_says_what_the_checkpoint_says(family: str) -> None:
    """The metal's values, put where the checkpoint has its own, make the same network to the bit."""
    of = made(family)
    opened = open_build(of.one)
    tensors = {name: np.array(value) for name, value in of.sample.tensors.items()}
    if of.sample.config["tie_word_embeddings"]:  # metal is rounded, the embedding is not
        like = next(v for n, v in tensors.items() if "embed" in n)
        tensors["lm_head.weight"] = np.zeros_like(like)
    for matrix in opened.network.matrices:
        stack = opened.stack(opened.shapes()[matrix.name])
        values = np.stack([stack[n].values()[:, : matrix.columns] for n in range(matrix.count)])
        restore(matrix.source, values.reshape(matrix.shape), tensors)
    plain = Interpreter(opened.network, FloatConstants(opened.network, tensors))
    metal = Interpreter(opened.network, HardwiredConstants(opened, float_activations=True))
    (expected,), _ = plain.run(of.tokens, plain.start())
    (found,), _ = metal.run(of.tokens, metal.start())
    assert expected.tobytes() == found.tobytes()
    untouched = Interpreter(opened.network, FloatConstants(opened.network, of.sample.tensors))
    assert untouched.run(of.tokens, plain.start())[0][0].tobytes() != found.tobytes()


@pytest.mark.parametrize("family", FAMILIES)
def test_two_chips_hold_every_weight_once(family: str) -> None:
    opened = open_build(made(family).two)
    placement = opened.manifest.placement
    assert placement.chips == 2
    for placed in placement.matrices:
        shape = opened.shapes()[placed.name]
        held = np.zeros((shape.count, shape.rows, shape.columns // 32), int)
        for part in placed.slices:
            held[tuple(slice(*s) for s in (part.members, part.neurons, part.blocks))] += 1
        assert (held == (2 if shape.cut.how == "copy" else 1)).all(), placed.name


@pytest.mark.parametrize("family", ["llama", "qwen3_moe"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_other_formats_of_numbers(family: str, dtype: torch.dtype, tmp_path: Path) -> None:
    of = write_sample(sample(family, 1, tmp_path / "w"), tmp_path / "c", dtype)
    assert verify(hnlpu.build(of, tmp_path / "b", workers=1), workers=1).passed
    model, opened = read_model(of), open_build(tmp_path / "b")
    for name in model.vectors:
        np.testing.assert_array_equal(model.vector(name), opened.vector(name))
        assert opened.tensors[name].dtype == {torch.bfloat16: "BF16", torch.float16: "F16"}[dtype]


def test_a_build_says_all_of_its_model(tmp_path: Path) -> None:
    """Family, config and network are its own: the folder is moved, the checkpoint gone."""
    of = made("mamba2")
    moved = shutil.copytree(of.one, tmp_path / "b")
    opened = open_build(moved)
    assert opened.manifest.family == "mamba2"
    assert opened.network == read_model(of.checkpoint).network
    assert opened.facts == read_model(of.checkpoint).architecture
    values = json.loads((moved / "manifest.json").read_text())
    assert values["schema_version"] == 3
    assert values["architecture"]["config"]["state_size"] == of.sample.config["state_size"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"silu"', '"tanh"'),
        ('"format": 1', '"format": 2'),
        ('"step', ""),
        ('"outputs"', '"output"'),
    ],
)
def test_a_damaged_network_is_named(old: str, new: str, tmp_path: Path) -> None:
    folder = shutil.copytree(made("mistral").one, tmp_path / "b")
    path = folder / "network.json"
    text = path.read_text()
    old = old if old in text else '"sigmoid"'
    path.write_text(text.replace(old, new or '"', 1))
    assert not verify(folder, workers=1).passed
    assert any("network.json" in problem for problem in verify(folder, workers=1).problems)


def test_a_network_that_is_none(tmp_path: Path) -> None:
    folder = shutil.copytree(made("gru").one, tmp_path / "b")
    size = (folder / "network.json").stat().st_size
    (folder / "network.json").write_bytes(b"{" + b" " * (size - 1))
    with pytest.raises(DamagedBuild, match=r"network\.json: is no sound network"):
        open_build(folder)


def test_the_same_checkpoint_gives_the_same_bytes(tmp_path: Path) -> None:
    of = made("qwen3")
    again = build(
        of.checkpoint, tmp_path / "b", open_build(of.one).manifest.policy, make_target(chips=1),
        workers=2,
    )  # fmt: skip
    for path in sorted(of.one.rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (again / path.relative_to(of.one)).read_bytes(), path


def test_policy_of_other_roles() -> None:
    assert Policy().format_of("feed_forward") == "auto"
    assert Policy(attention="mxfp4").format_of("recurrence") == "mxfp4"
    assert Policy(attention="mxfp4", dense="mxfp4x2").format_of("mixer") == "mxfp4x2"
    assert "dense" not in Policy().model_dump(mode="json")  # builds of before have no such key
    given = Policy(dense="mxfp4")
    assert Policy.model_validate(given.model_dump(mode="json")) == given


SCALED = """
from hnlpu.model.families import Config, Family, embed, unembed
from hnlpu.model.network import Builder, Tensor

def network(c):
    {trouble}
    b = Builder("scaled")
    x = embed(b, "embedding", c.vocab_size, c.hidden_size)
    return b.finish(unembed(x * b.parameter("by", (), Tensor("by", ())), c.vocab_size))

FAMILY = Family(("scaled",), Config, network)
"""


def scaled(folder: Path, trouble: str = "") -> tuple[Path, Family[Any]]:
    """A checkpoint with a parameter that is a single number, and its family."""
    folder.mkdir()
    config = {"model_type": "scaled", "vocab_size": 9, "hidden_size": 5, "num_hidden_layers": 1}
    random = np.random.default_rng(0)
    table, head = (random.normal(size=(9, 5)).astype(np.float32) for _ in range(2))
    by = np.array(0.5, np.float32)
    tensors = {"embedding.weight": table, "lm_head.weight": head, "by": by}
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "family.py").write_text(SCALED.format(trouble=trouble))
    return folder, open_family(folder / "family.py")


def test_a_single_number_is_kept(tmp_path: Path) -> None:
    checkpoint, family = scaled(tmp_path / "c")
    folder = build(checkpoint, tmp_path / "b", family=family)
    assert verify(folder, workers=1).passed
    assert open_build(folder).vector("by") == 0.5
    model = open_language_model(checkpoint, family=family)
    assert len(list(model.generate([1], max_tokens=3))) == 3


def test_a_family_that_fails_is_told_in_a_line(tmp_path: Path) -> None:
    checkpoint, family = scaled(tmp_path / "c", "c.no_such_thing")
    with pytest.raises(
        InvalidInput, match=r"config\.json: the family of scaled fails on it .Attrib"
    ):
        build(checkpoint, tmp_path / "b", family=family)


def test_a_family_of_the_user_is_kept_apart_from_ours(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="model_type is 'gru'; the family given is of llama"):
        build(made("gru").checkpoint, tmp_path / "b", family=find_family("llama"))
    assert not (tmp_path / "b").exists()
