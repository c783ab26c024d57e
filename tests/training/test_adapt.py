"""The recipe for adapters, at smoke size: the text it learns gets likelier, the wires stay."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import write_checkpoint, write_tokenizer
from hnlpu.run.emulate import open_language_model
from hnlpu.run.engine import Engine, Request, network_of, read_adapter

pytest.importorskip("torch")
pytest.importorskip("transformers")

ADAPT = Path(__file__).parents[2] / "training" / "adapt.py"


def test_what_is_learnt_gets_likelier(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    write_tokenizer(checkpoint)
    text = tmp_path / "text"
    text.write_text("abcabcabd " * 400)
    out = tmp_path / "adapter"
    command = [sys.executable, ADAPT, checkpoint, "--out", out, "--text", text]
    command += ["--steps", "25", "--batch", "2", "--rate", "0.02", "--scored", "300"]
    subprocess.run(command, check=True, timeout=300)
    facts = json.loads((out / "adaptation.json").read_text())
    assert facts["after"] < 0.8 * facts["before"]
    model = open_language_model(tmp_path / "adapter.build")
    adapter = read_adapter(out, network_of(model))
    engine = Engine(model, adapters={"learnt": adapter})
    prompt = tuple(model.encode("abcabcabd abcabcabd ").tolist())
    plain, learnt = engine.run(
        Request(prompt, max_tokens=0, score_prompt=True, adapter=name) for name in (None, "learnt")
    )
    # without the adapter the wires say what they always said
    assert [s.logprob for s in plain.prompt_scores] == model.score(list(prompt)).logprobs
    assert sum(s.logprob for s in learnt.prompt_scores) > sum(
        s.logprob for s in plain.prompt_scores
    )
