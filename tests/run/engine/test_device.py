"""The engine with its layers in Triton kernels: the bits of the C kernels, in the interpreter."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("triton")

from family_builds import ON_A_GPU, made
from helpers import run_cli, write_checkpoint
from hnlpu.errors import InvalidInput, NotFinite
from hnlpu.run.emulate import HardwiredConstants, open_language_model, split_off_logits
from hnlpu.run.engine import Adapter, Engine, Limits, Request
from hnlpu.run.engine._device_load import load_network
from hnlpu.silicon.hardwire import build, open_build

SHAPE = {
    "hidden": 32, "intermediate": 32, "heads": 2, "kv_heads": 1, "head_dim": 16, "experts": 3,
    "vocab": 40, "sliding_window": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A model with one layer of each kind of attention."""
    folder = tmp_path_factory.mktemp("device")
    write_checkpoint(folder / "checkpoint", **SHAPE)
    return open_language_model(build(folder / "checkpoint", folder / "build"))


def test_prompts_in_chunks_and_answers_are_the_same_bits(small):
    """Chunked prefill over two pages, decoding beside it, windows; and experts that fired."""
    random = np.random.default_rng(0)
    requests = [
        Request(
            tuple(random.integers(0, 40, n).tolist()), max_tokens=3, top_logprobs=2,
            score_prompt=n > 3, trace_experts=True, ignore_end=True,
        )
        for n in (3, 18)
    ]  # fmt: skip
    requests.append(Request((4, 5, 6), max_tokens=0, pooling="mean"))
    limits = Limits(rows=14, context=64)
    on_device = Engine(small, limits, device="interpreter")
    found, expected = on_device.run(requests), Engine(small, limits).run(requests)
    assert all(stack.size == 0 for stack in on_device.memory.stacks)
    assert [r.error for r in found] == [None] * 3
    for ours, theirs in zip(found[:2], expected, strict=False):
        assert ours.tokens == theirs.tokens
        assert ours.scores == theirs.scores
        assert ours.prompt_scores == theirs.prompt_scores
        assert np.array_equal(ours.experts, theirs.experts)
    assert np.array_equal(found[2].embedding.view(np.int32), expected[2].embedding.view(np.int32))


@pytest.mark.parametrize("family", ["llama", "qwen3_moe"])
def test_other_families_have_the_same_bits(family):
    """Widths that are no whole blocks, norms of heads, gates of SiLU, a router over all experts."""
    model, random = open_language_model(made(family).one), np.random.default_rng(1)
    requests = [
        Request(
            tuple(random.integers(0, 32, n).tolist()), max_tokens=new, top_logprobs=2,
            trace_experts=True, ignore_end=True,
        )
        for n, new in ((3, 2), (2, 1))
    ]  # fmt: skip
    limits = Limits(rows=8, context=32)
    found = Engine(model, limits, device="interpreter").run(requests)
    for ours, theirs in zip(found, Engine(model, limits).run(requests), strict=True):
        assert ours.error is None
        assert ours.tokens == theirs.tokens
        assert ours.scores == theirs.scores
        assert np.array_equal(ours.experts, theirs.experts)


@pytest.mark.parametrize("family", sorted(ON_A_GPU))
def test_families_have_all_their_operations_on_a_gpu(family):
    import torch

    opened = open_build(made(family).one)
    parts = split_off_logits(opened.network)
    load_network(parts.body, parts.matrix, HardwiredConstants(opened), torch.device("cpu"))


def test_who_overflows_is_told_and_nobody_else(tmp_path):
    huge = {"model.layers.1.post_attention_layernorm.weight": np.full(32, 0x7F7F, np.uint16)}
    write_checkpoint(tmp_path / "checkpoint", tensors=huge, **SHAPE)
    model = open_language_model(build(tmp_path / "checkpoint", tmp_path / "build"))
    (result,) = Engine(model, Limits(context=32), device="interpreter").run([Request((1, 2))])
    assert isinstance(result.error, NotFinite)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "mps", ""])
def test_other_devices_are_refused_by_name(small, device):
    with pytest.raises(InvalidInput, match=r"must be cpu, cuda, cuda:N or interpreter"):
        Engine(small, device=device)


def test_adapters_and_devices_exclude_each_other(small, tmp_path):
    with pytest.raises(InvalidInput, match="adapters run beside the wires on the CPU"):
        Engine(small, Limits(), {"mine": Adapter(tmp_path, {})}, device="interpreter")


def test_generate_on_a_device(small):
    options = ["--tokens", "7,8,9", "--max-tokens", "2", "--ignore-end", "--json"]
    answers = [
        run_cli("generate", small.directory, *options, *more)
        for more in ([], ["--device", "interpreter"])
    ]
    assert [code for code, _, _ in answers] == [0, 0]
    tokens = [
        '"tokens": [' in out and out.split('"tokens": [')[1].split("]")[0] for _, out, _ in answers
    ]
    assert tokens[0] == tokens[1] != ""


def test_recordings_are_played_over_what_their_inputs_hold(small):
    """A stand-in for CUDA graphs: it runs once when recorded, and again over the same tensors."""
    import torch

    from hnlpu.run.kernels.gpu import Inputs, Places, Recording, Steps

    made = []

    def record(run, inputs):
        run()
        made.append(inputs.rows)
        return Recording(inputs, run)

    a = small.transformer.architecture
    parts = split_off_logits(small.transformer.network)
    loaded = load_network(
        parts.body, parts.matrix, small.transformer.constants, torch.device("cpu")
    )

    def steps(recorder):
        kv, size = a.num_key_value_heads, a.head_dim
        shapes = {"keys": (5, kv, size, 16), "values": (5, kv, 16, size)}
        states = {s.name: torch.zeros(shapes[s.name.split(".")[-1]]) for s in parts.body.states}
        return Steps(loaded.network, states, 4, recorder)

    def inputs(tokens, sequences, positions):
        places = Places(
            torch.tensor([[2], [0], [3], [1]])[: max(sequences) + 1], torch.tensor(sequences),
            torch.tensor(positions),
        )  # fmt: skip
        values = loaded.values(np.array(tokens), np.array(positions))
        return Inputs({name: torch.tensor(x) for name, x in values.items()}, places)

    plain, recorded = steps(None), steps(record)
    for rows in (
        ([8, 9, 4, 2], [0, 1, 2, 0], [0, 0, 0, 1]),
        ([3, 1, 7], [0, 2, 3], [2, 1, 0]),  # fewer rows than before in the same recording
    ):
        ours, theirs = recorded.run(inputs(*rows)), plain.run(inputs(*rows))
        assert torch.equal(ours.hidden.view(torch.int32), theirs.hidden.view(torch.int32))
        assert torch.equal(ours.fired, theirs.fired)
    assert made == [4]


def test_the_benchmark_without_a_gpu_ends_in_one_line(tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    script = Path(__file__).parents[3] / "benchmarks" / "gpu.py"
    words = [sys.executable, script, "--work", tmp_path / "work"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "finds no GPU here; nothing was measured" in done.stderr
    assert not (tmp_path / "work").exists()


def test_a_gpu_that_is_not_there_is_told_in_one_line(small):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    code, _, error = run_cli("score", small.directory, "--tokens", "1,2", "--device", "cuda")
    assert code == 2
    assert "finds no GPU" in error
    assert error.count("\n") == 1
