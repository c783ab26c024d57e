"""The engine with its layers in Triton kernels: the bits of the C kernels, in the interpreter."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("triton")

from helpers import run_cli, write_checkpoint
from hnlpu.errors import InvalidInput, NotFinite
from hnlpu.run.emulate import open_language_model
from hnlpu.run.engine import Adapter, Engine, Limits, Request
from hnlpu.silicon.hardwire import build

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

    from hnlpu.run.engine._device import load_gpu_model
    from hnlpu.run.engine._forward import Turns
    from hnlpu.run.kernels.gpu import Cache, Inputs, Places, Recording, Steps

    made = []

    def record(run, inputs):
        run()
        made.append(len(inputs.tokens))
        return Recording(inputs, run)

    a = small.transformer.architecture
    model = load_gpu_model(small.transformer.weights, torch.device("cpu"))
    turns = Turns(a)

    def steps(recorder):
        shape = (a.num_hidden_layers, 5, a.num_key_value_heads)
        cache = Cache(torch.zeros((*shape, a.head_dim, 16)), torch.zeros((*shape, 16, a.head_dim)))
        return Steps(model, cache, 4, recorder)

    def inputs(tokens, sequences, positions):
        places = Places(
            torch.tensor([[2], [0], [3], [1]])[: max(sequences) + 1], torch.tensor(sequences),
            torch.tensor(positions),
        )  # fmt: skip
        angles = (torch.tensor(x) for x in turns.at(np.array(positions)))
        return Inputs(torch.tensor(tokens), places, *angles)

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
