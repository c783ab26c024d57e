"""What decode.py hands to llama.cpp: the same weights, and so the same logits on trained models."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hnlpu.run.emulate import open_language_model
from hnlpu.silicon.hardwire import open_build

REPOSITORY = Path(__file__).parents[1]
BENCHMARKS = REPOSITORY / "benchmarks"
COUNT = 16


@pytest.fixture(scope="module", params=["llama-90k", "qwen3-90k"])
def written(request, tmp_path_factory):
    """The build of a trained model with one digit a weight, and its GGUF file."""
    checkpoint = REPOSITORY / "checkpoints" / request.param
    folder = tmp_path_factory.mktemp(request.param)
    words = ["build", str(checkpoint), "-o", str(folder / "build")]
    words += [f"--{role}=mxfp4" for role in ("attention", "unembedding")]
    subprocess.run([sys.executable, "-m", "hnlpu", *words], check=True, capture_output=True)
    writer = (
        "import sys, json; from pathlib import Path; from gguf_writer import write_gguf;"
        "from hnlpu.silicon.hardwire import open_build; b, c, to = map(Path, sys.argv[1:]);"
        "write_gguf(open_build(b), json.loads((c / 'config.json').read_text()), to)"
    )
    command = [sys.executable, "-c", writer, folder / "build", checkpoint, folder / "model.gguf"]
    subprocess.run(command, check=True, cwd=BENCHMARKS)
    return folder / "build", folder / "model.gguf"


def test_the_file_holds_the_builds_weights(written):
    gguf = pytest.importorskip("gguf")
    build, path = open_build(written[0]), written[1]
    tensors = {t.name: t for t in gguf.GGUFReader(path).tensors}
    names = {"attn_v": "self_attn.v_proj", "ffn_down": "mlp.down_proj", "ffn_gate": "mlp.gate_proj"}
    for theirs, ours in names.items():
        tensor = tensors[f"blk.1.{theirs}.weight"]
        found = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        matrix = build.matrix(build.shapes()[f"model.layers.1.{ours}"])
        np.testing.assert_array_equal(found, matrix.values())
    assert len([t for t in tensors.values() if t.tensor_type.name == "MXFP4"]) == 15


def test_llama_cpp_makes_the_same_logits_of_it(written):
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed")
    worker = [
        sys.executable,
        str(BENCHMARKS / "decode_llama.py"),
        "xllamacpp",
        str(written[1]),
        "1",
    ]
    asked = f"logits {COUNT}\nprefill {COUNT}\ndecode 2\n"
    done = subprocess.run(worker, input=asked, capture_output=True, text=True, check=True)
    logits, *timed = map(json.loads, done.stdout.splitlines())
    model = open_language_model(written[0])
    tokens = np.random.default_rng(1).integers(3, model.vocab_size, COUNT)
    transformer = model.transformer
    ours = transformer.logits(transformer.forward(tokens, transformer.new_cache(), last=True))[0]
    theirs = np.array(logits["logits"])
    assert np.corrcoef(ours, theirs)[0, 1] > 0.9995
    assert ours.argmax() == theirs.argmax()
    assert [0 < of["seconds"] < 60 for of in timed] == [True, True]
