"""LoRA beside the wires: read as PEFT writes it, computed as stated, per request."""

import json
import threading

import numpy as np
import pytest
from safetensors.numpy import save_file

from helpers import bfloat16, write_safetensors
from hnlpu.errors import DamagedAdapter, InvalidInput
from hnlpu.run.emulate import HardwiredConstants, Interpreter
from hnlpu.run.engine import Engine, Limits, Request, Sampling, network_of, read_adapter
from hnlpu.run.engine._adapter import LowRank
from hnlpu.run.engine._beside import add_low_rank, beside
from hnlpu.run.engine._loaded import LoadedAdapters
from hnlpu.silicon.hardwire import open_build

SHAPES = {"q_proj": (128, 64), "k_proj": (64, 64), "v_proj": (64, 64), "o_proj": (64, 128)}
RANK = 4


def tensors(seed=0, *, scale=0.5, projections=tuple(SHAPES), layers=2):
    random = np.random.default_rng(seed)
    found = {}
    for layer in range(layers):
        for name in projections:
            rows, columns = SHAPES[name]
            prefix = f"base_model.model.model.layers.{layer}.self_attn.{name}."
            found[prefix + "lora_A.weight"] = scale * random.standard_normal((RANK, columns))
            found[prefix + "lora_B.weight"] = scale * random.standard_normal((rows, RANK))
    return {name: value.astype(np.float32) for name, value in found.items()}


def write(folder, values, **config):
    folder.mkdir(parents=True)
    settings = {"peft_type": "LORA", "r": RANK, "lora_alpha": 8, "bias": "none"} | config
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    save_file(values, folder / "adapter_model.safetensors")
    return folder


@pytest.fixture(scope="module")
def network(model):
    return network_of(model)


@pytest.fixture(scope="module")
def adapters(tmp_path_factory, network):
    folder = tmp_path_factory.mktemp("adapters")
    one = write(folder / "one", tensors(1))
    two = write(folder / "two", tensors(2, projections=("q_proj", "v_proj")), use_rslora=True)
    return {name: read_adapter(path, network) for name, path in (("one", one), ("two", two))}


def requests(names):
    return [
        Request(
            (5, 6, 7, 8, *range(9, 9 + i % 5)),
            max_tokens=12,
            sampling=Sampling(temperature=0.7, seed=i),
            top_logprobs=1,
            score_prompt=True,
            adapter=name,
        )
        for i, name in enumerate(names)
    ]


def test_each_request_gets_its_own_adapter_in_any_company(model, adapters):
    names = ["one", None, "two", "one", None, "two", "two", None]
    engine = Engine(model, Limits(rows=11), adapters)
    results = engine.run(requests(names))
    for request, result in zip(requests(names), results, strict=True):
        assert Engine(model, adapters=adapters).run([request])[0] == result
        if request.adapter is None:
            assert Engine(model).run([request])[0] == result
        else:
            plain = Request(**vars(request) | {"adapter": None})
            assert Engine(model).run([plain])[0].prompt_scores != result.prompt_scores


def test_pages_of_one_adapter_are_not_reused_for_another(model, adapters):
    prompt = tuple(np.random.default_rng(3).integers(3, 97, 64).tolist())
    engine = Engine(model, adapters=adapters)
    for name in (None, "one", "two", None, "one"):
        request = Request(prompt, max_tokens=5, adapter=name, top_logprobs=0)
        assert engine.run([request])[0] == Engine(model, adapters=adapters).run([request])[0]
    assert engine.counters.reused_tokens == 2 * 48


def test_the_parts_are_what_is_stated(model, network, adapters):
    """Against a float64 sum of scaling * B (A x), within float32's rounding."""
    metal = HardwiredConstants(open_build(model.directory))
    changed, arrays = beside(network, adapters["one"])
    values = {}

    def watch(step, position, results):
        values.update(zip(step.outs, results, strict=True))

    interpreter = Interpreter(changed, metal.beside(arrays))
    interpreter.run([5], interpreter.start(), watch)
    makers = {name: step for step in changed.steps for name in step.outs}
    seen = 0
    for span in changed.spans:
        if span.composite != "low_rank":
            continue
        first, *_, last = changed.steps[span.start : span.stop]
        x, before, after = values[first.args[0]], values[last.args[0]], values[last.outs[0]]
        matrix = makers[last.args[0]].op.matrix
        part = adapters["one"].parts[matrix]
        wide = 2.0 * (x.astype(np.float64) @ part.down[0].astype(np.float64)) @ part.up[0]
        np.testing.assert_allclose(after - before, wide, rtol=1e-4, atol=1e-4)
        seen += 1
    assert seen == len(adapters["one"].parts) == 8


def test_what_it_adds_to_logits_is_what_is_stated():
    random = np.random.default_rng(0)
    y, x = (random.standard_normal(shape).astype(np.float32) for shape in ((5, 97), (5, 64)))
    down, up = (random.standard_normal(s).astype(np.float32) for s in ((1, 64, 4), (1, 4, 97)))
    expected = y + 2.0 * (x.astype(np.float64) @ down[0]) @ up[0]
    alone = y[2:3].copy()
    part = LowRank(down, up, 2.0)
    add_low_rank(y, x, part)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)
    add_low_rank(alone, x[2:3], part)
    assert np.array_equal(alone[0], y[2])  # whatever rows are beside it


def test_an_adapter_of_zeros_changes_no_bit(model, network, tmp_path):
    zeros = {name: np.zeros_like(value) for name, value in tensors().items()}
    nothing = read_adapter(write(tmp_path / "zeros", zeros), network)
    (request,) = requests(["zeros"])
    plain = Request(**vars(request) | {"adapter": None})
    (changed,) = Engine(model, adapters={"zeros": nothing}).run([request])
    assert changed == Engine(model).run([plain])[0]


@pytest.mark.parametrize("kind", ["F16", "BF16"])
def test_half_precision_is_read_exactly(network, tmp_path, kind):
    values = tensors()
    if kind == "F16":
        halves = {name: value.astype(np.float16) for name, value in values.items()}
        folder = write(tmp_path / "half", halves)
        expected = {name: value.astype(np.float32) for name, value in halves.items()}
    else:
        folder = write(tmp_path / "half", values)
        raw = {name: bfloat16(value) for name, value in values.items()}
        write_safetensors(folder / "adapter_model.safetensors", raw)
        expected = {n: (r.astype(np.uint32) << 16).view(np.float32) for n, r in raw.items()}
    adapter = read_adapter(folder, network)
    for name, part in adapter.parts.items():
        prefix = f"base_model.model.{name}."
        assert np.array_equal(part.down[0].T, expected[prefix + "lora_A.weight"])
        assert np.array_equal(part.up[0].T, expected[prefix + "lora_B.weight"])


def test_what_it_needs_is_counted(adapters):
    one = adapters["one"]
    assert one.weights == 2 * RANK * sum(rows + columns for rows, columns in SHAPES.values())
    assert one.neurons == 2 * sum(rows + RANK for rows, _ in SHAPES.values())
    assert {part.scaling for part in one.parts.values()} == {8 / RANK}
    assert {part.scaling for part in adapters["two"].parts.values()} == {8 / RANK**0.5}


def damaged(change):
    """Tensors with one change."""
    values = tensors()
    change(values)
    return values


FIRST = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.mark.parametrize(
    ("values", "config", "words"),
    [
        (tensors(), {"peft_type": "IA3"}, "peft_type"),
        (tensors(), {"r": 0}, "r is 0"),
        (tensors(), {"r": 8}, "says 8 for it"),
        (tensors(), {"lora_alpha": None}, "lora_alpha"),
        (tensors(), {"use_dora": True}, "use_dora"),
        (tensors(), {"modules_to_save": ["lm_head"]}, "modules_to_save"),
        (tensors(), {"bias": "all"}, "bias"),
        (tensors(layers=3), {}, "the model has no model.layers.2"),
        (damaged(lambda v: v.pop(FIRST)), {}, "lacks lora_A"),
        (damaged(lambda v: v.update({FIRST: v[FIRST][:, :32].copy()})), {}, "the model needs"),
        (damaged(lambda v: v.update({FIRST: v[FIRST][0].copy()})), {}, "the model needs"),
        (damaged(lambda v: v.update({FIRST: np.full_like(v[FIRST], np.nan)})), {}, "NaN"),
        (damaged(lambda v: v.update({FIRST: v[FIRST].astype(np.int32)})), {}, "I32"),
        (damaged(lambda v: v.update({"lm_head.lora_A.weight": v[FIRST]})), {}, "lm_head"),
        ({}, {}, "no tensors"),
        (tensors(), {"rank_pattern": {"q_proj": 0}}, "q_proj is 0"),
        (tensors(), {"rank_pattern": {"q_(": 4}}, "is none"),
        (tensors(), {"alpha_pattern": {"q_proj": "x"}}, "q_proj is 'x'"),
        (tensors(), {"alpha_pattern": [1]}, "must be objects"),
        (tensors(), {"target_modules": ["q_proj", "k_proj", "v_proj"]}, "would drop them"),
        (tensors(), {"target_modules": [*SHAPES, "lm_head"]}, "means lm_head, and there are no"),
        (tensors(), {"target_modules": ".*_proj", "exclude_modules": ["o_proj"]}, "drop them"),
        (tensors(), {"target_modules": list(SHAPES), "layers_to_transform": [1]}, "drop them"),
        (tensors(layers=1), {"target_modules": "all-linear"}, "layers.1.self_attn.q_proj, and"),
        (tensors(), {"target_modules": "("}, "no expression"),
        (tensors(), {"layers_to_transform": ["x"]}, "numbers of layers"),
        (tensors(), {"sings": True}, "sings = True is no key"),
    ],
    ids=range(27),
)
def test_what_does_not_fit_is_refused_by_name(network, tmp_path, values, config, words):
    with pytest.raises(DamagedAdapter, match=words):
        read_adapter(write(tmp_path / "bad", values, **config), network)


def test_missing_and_cut_files_are_refused(network, tmp_path):
    folder = write(tmp_path / "cut", tensors())
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DamagedAdapter, match=r"adapter_model\.safetensors"):
        read_adapter(folder, network)
    path.rename(folder / "adapter_model.bin")
    with pytest.raises(DamagedAdapter, match="pickled"):
        read_adapter(folder, network)
    (folder / "adapter_config.json").write_text("{")
    with pytest.raises(DamagedAdapter, match="JSON"):
        read_adapter(folder, network)
    (folder / "adapter_config.json").unlink()
    with pytest.raises(DamagedAdapter, match="missing"):
        read_adapter(folder, network)


def test_an_adapter_that_is_not_loaded_is_refused(model):
    with pytest.raises(InvalidInput, match="not loaded"):
        Engine(model).submit(Request((1,), adapter="zebra"))


def test_an_adapter_is_not_forgotten_while_it_is_added(adapters):
    """The engine's thread forgets between any two steps of another thread that adds."""
    adapter = next(iter(adapters.values()))
    loaded = LoadedAdapters({"gone": adapter})
    loaded.remove("gone")

    class Names(dict):
        def __setitem__(self, name, key):
            engine = threading.Thread(target=loaded.forget, args=({None},))
            engine.start()
            engine.join(0.2)
            super().__setitem__(name, key)

    loaded._key_of = Names()
    loaded.add("new", adapter)
    loaded.forget({None})
    assert loaded.by_key == {loaded.key("new"): adapter}
    assert set(loaded._roots) == set(loaded.by_key)


def test_generate_and_score_with_an_adapter(cli, model, adapters, tmp_path):
    """The command line against requests of the engine; an adapter of zeros against no adapter."""
    directory, folder = model.directory, adapters["one"].directory
    engine = Engine(model, adapters=adapters)
    prompt = model.encode("def f(x):").tolist()
    sampling = Sampling(temperature=0.6, seed=2)
    request = Request(tuple(prompt), max_tokens=20, sampling=sampling, adapter="one")
    (expected,) = engine.run([request])
    options = ("--max-tokens", "20", "--temperature", "0.6", "--seed", "2", "--json")
    code, out, _ = cli(
        "generate", directory, "--prompt", "def f(x):", "--adapter", folder, *options
    )
    assert code == 0
    ended = expected.reason == "stop"
    assert json.loads(out)["tokens"] == list(expected.tokens[: len(expected.tokens) - ended])
    assert json.loads(out)["text"] == expected.text
    zeros = {name: np.zeros_like(value) for name, value in tensors().items()}
    nothing = write(tmp_path / "zeros", zeros)
    text = "import os, sys, and much more than that\n" * 4
    for extra in ((), ("--context", "32", "--top", "2")):
        plain, changed = (
            json.loads(cli("score", directory, "--text", text, "--json", *extra, *more)[1])
            for more in ((), ("--adapter", nothing))
        )
        assert plain | {"seconds": 0} == changed | {"seconds": 0}


@pytest.mark.parametrize("command", ["generate", "score"])
def test_float_models_take_no_adapter(cli, tiny_checkpoint, adapters, command):
    code, out, err = cli(
        command, tiny_checkpoint, "--tokens", "1,2", "--adapter", adapters["one"].directory
    )
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "float sums depend on the batch" in err
