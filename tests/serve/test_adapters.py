"""Adapters served: loaded side by side, chosen by the request's model, checked before."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from hnlpu.run.engine import Engine, Request, network_of, read_adapter

RANK = 2


@pytest.fixture(scope="module")
def folders(tmp_path_factory, model):
    """Two adapters for the bundled model."""
    root, a = tmp_path_factory.mktemp("adapters"), model.transformer.architecture
    found = {}
    for seed, name in enumerate(("first", "second")):
        random = np.random.default_rng(seed)
        tensors = {}
        for layer in range(a.num_hidden_layers):
            prefix = f"base_model.model.model.layers.{layer}.self_attn.q_proj."
            for key, shape in (("A", (RANK, a.hidden_size)), ("B", (a.attention_width, RANK))):
                values = 0.3 * random.standard_normal(shape)
                tensors[f"{prefix}lora_{key}.weight"] = values.astype(np.float32)
        folder = root / name
        folder.mkdir()
        save_file(tensors, folder / "adapter_model.safetensors")
        config = {"peft_type": "LORA", "r": RANK, "lora_alpha": 4}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        found[name] = folder
    return found


def test_requests_choose_their_adapter(start, bundled, folders, model):
    options = ("--adapter", str(folders["first"]), "--adapter", f"other={folders['second']}")
    with start(bundled, *options) as server:
        names = [m["id"] for m in server.get("/v1/models").json()["data"]]
        assert names == ["build", "first", "other"]
        network = network_of(model)
        engine = Engine(
            model,
            adapters={
                "first": read_adapter(folders["first"], network),
                "other": read_adapter(folders["second"], network),
            },
        )
        prompt = tuple(model.encode("import os\n").tolist())
        texts = set()
        for name, adapter in (("build", None), ("first", "first"), ("other", "other")):
            (expected,) = engine.run([Request(prompt, max_tokens=20, adapter=adapter)])
            answer = server.complete("import os\n", model=name, max_tokens=20)
            assert answer["choices"][0]["text"] == expected.text
            assert answer["model"] == name
            texts.add(expected.text)
            embedding = {"model": name, "input": "a", "pooling": "last", "normalize": False}
            vector = server.post("/v1/embeddings", embedding).json()["data"][0]["embedding"]
            (last,) = engine.run([Request(tuple(model.encode("a").tolist()), pooling="last", adapter=adapter)])  # fmt: skip
            assert vector == last.embedding.tolist()
        assert len(texts) == 3
        assert server.post("/v1/completions", {"model": "second", "prompt": "a"}).status_code == 404


def test_the_check_counts_neurons_against_the_budget(cli, bundled, folders):
    code, out, _ = cli("adapter", "check", folders["first"], bundled, "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["neurons"] == 4 * (256 + RANK)
    assert facts["weights"] == 4 * RANK * (256 + 256)
    assert facts["share"] == facts["weights"] / facts["hardwired_weights"]
    code, out, _ = cli("adapter", "check", folders["first"], bundled, "--budget", "0.0001")
    assert code == 1
    assert "MORE than the budget" in out


def test_what_does_not_fit_is_refused(cli, tiny_build, bundled, folders, tmp_path):
    code, out, err = cli("adapter", "check", folders["first"], tiny_build)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "the model needs" in err or "the model has no" in err
    for option, words in (
        (str(tmp_path), "file is missing"),
        (f"build={folders['first']}", "is the model's own id"),
        (f"={folders['first']}", "a name of its own"),
    ):
        code, out, err = cli("serve", bundled, "--adapter", option)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert words in err
    assert cli("adapter", "check", folders["first"], bundled, "--budget", "2")[0] == 2
