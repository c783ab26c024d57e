"""Sampling that a request leaves out is the model's makers'; answers end where they say."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hnlpu
from hnlpu.run.emulate import Tokenizer as HnlpuTokenizer
from hnlpu.run.emulate._generation import end_tokens

CHECKPOINT = Path(__file__).parents[2] / "checkpoints" / "stdlib-140k"


@pytest.fixture(scope="module")
def stated(tmp_path_factory, start):
    """A server of a build whose generation_config.json says how to sample."""
    folder = tmp_path_factory.mktemp("stated")
    shutil.copytree(CHECKPOINT, folder / "checkpoint")
    settings = {"do_sample": True, "temperature": 0.7, "top_k": 1, "max_new_tokens": 5}
    (folder / "checkpoint" / "generation_config.json").write_text(json.dumps(settings))
    with start(hnlpu.build(folder / "checkpoint", folder / "build")) as server:
        yield server


def text(server, **more):
    body = {"prompt": "import os\n", "max_tokens": 12, "ignore_eos": True} | more
    return server.post("/v1/completions", body).json()["choices"][0]["text"]


def test_defaults_of_the_models_makers(stated):
    greedy = text(stated, temperature=0)
    assert {text(stated, seed=seed) for seed in range(4)} == {greedy}
    # what a request says goes before; 0 and -1 are no limit
    free = {"temperature": 3, "top_k": -1}
    assert len({text(stated, seed=seed, **free) for seed in range(4)}) > 1
    chat = {"messages": [{"role": "user", "content": "import os"}], "ignore_eos": True}
    usage = stated.post("/v1/chat/completions", chat).json()["usage"]
    assert usage["completion_tokens"] == 5
    usage = stated.post("/v1/chat/completions", chat | {"max_tokens": 8}).json()["usage"]
    assert usage["completion_tokens"] == 8


NAMED = {"missing": {}, "null": {"eos_token": None}, "another": {"eos_token": "<|pad|>"}}


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("named", NAMED)
def test_the_end_token_is_transformers(tmp_path, named, listed):
    """Older checkpoints name it in special_tokens_map.json."""
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    shutil.copy(CHECKPOINT / "tokenizer.json", tmp_path)
    library = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    library.add_special_tokens(["<|pad|>", "<|im_end|>"])
    library.save(str(tmp_path / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast"} | NAMED[named]
    if listed:
        added = json.loads(library.to_str())["added_tokens"]
        settings["added_tokens_decoder"] = {str(a.pop("id")): a for a in added}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "special_tokens_map.json").write_text('{"eos_token": "<|im_end|>"}')
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    expected = () if theirs.eos_token is None else (theirs.eos_token_id,)
    assert end_tokens(tmp_path, HnlpuTokenizer(tmp_path)) == expected


def test_a_damaged_file_is_refused_before_anything_is_served(stated, tmp_path):
    shutil.copytree(CHECKPOINT, tmp_path / "checkpoint")
    (tmp_path / "checkpoint" / "generation_config.json").write_text('{"top_p": 7}')
    build = hnlpu.build(tmp_path / "checkpoint", tmp_path / "build")
    command = [sys.executable, "-m", "hnlpu", "serve", str(build), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "generation_config.json: top_p must be a number from 0 to 1" in done.stderr
