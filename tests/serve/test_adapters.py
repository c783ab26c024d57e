"""Adapters served: loaded side by side, chosen by the request's model, checked before."""

from __future__ import annotations

import concurrent.futures
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


def test_adapters_come_and_go_while_the_server_runs(start, bundled, folders, model):
    root = folders["first"].parent
    engine = Engine(
        model,
        adapters={n: read_adapter(f, network_of(model)) for n, f in folders.items()},
    )
    prompt = tuple(model.encode("import os\n").tolist())

    def expected(adapter, count=20):
        (result,) = engine.run([Request(prompt, max_tokens=count, adapter=adapter)])
        return result.text

    def asked(server, path, **body):
        response = server.post(f"/v1/{path}", body)
        return response.status_code, response.text

    with start(bundled, "--adapter-folder", str(root)) as server:

        def text(name, count=20):
            return server.complete("import os\n", model=name, max_tokens=count)["choices"][0][
                "text"
            ]

        load = {"lora_name": "a", "lora_path": "first"}
        assert asked(server, "load_lora_adapter", **load)[0] == 200
        assert text("a") == expected("first") != expected(None)
        assert asked(server, "load_lora_adapter", **load)[0] == 400
        # another of that name, while requests of the first run on with theirs
        with concurrent.futures.ThreadPoolExecutor(9) as pool:
            early = [pool.submit(text, "a", 150) for _ in range(4)]
            plain = [pool.submit(text, "build", 150) for _ in range(4)]
            while "hnlpu_running_sequences 8.0" not in server.get("/metrics").text:
                assert not all(f.done() for f in early)
            second = load | {"lora_path": str(root / "second"), "load_inplace": True}
            assert asked(server, "load_lora_adapter", **second)[0] == 200
            assert text("a") == expected("second")
            assert asked(server, "unload_lora_adapter", lora_name="a")[0] == 200
            assert {f.result() for f in early} == {expected("first", 150)}
            assert {f.result() for f in plain} == {expected(None, 150)}
        assert asked(server, "completions", model="a", prompt="a")[0] == 404
        assert [m["id"] for m in server.get("/v1/models").json()["data"]] == ["build"]
        assert asked(server, "load_lora_adapter", **load)[0] == 200
        assert text("a") == expected("first")
        for path in ("..", "/etc", "first/adapter_config.json", "nothing", "a\0b", "x" * 1000):
            code, told = asked(server, "load_lora_adapter", lora_name="b", lora_path=path)
            assert (code, "within the server's adapter folder" in told) == (404, True)
        code, told = asked(server, "load_lora_adapter", lora_name="b", lora_path=".")
        assert (code, "file is missing" in told) == (400, True)
        assert asked(server, "load_lora_adapter", lora_name="build", lora_path="first")[0] == 400
        assert asked(server, "unload_lora_adapter", lora_name="build")[0] == 400
        assert asked(server, "unload_lora_adapter", lora_name="b")[0] == 404


def test_no_adapter_is_loaded_unless_a_folder_is_named(server, folders):
    body = {"lora_name": "a", "lora_path": str(folders["first"])}
    response = server.post("/v1/load_lora_adapter", body)
    assert (response.status_code, "`adapter_folder`" in response.text) == (403, True)
    assert server.post("/v1/unload_lora_adapter", {"lora_name": "a"}).status_code == 403
