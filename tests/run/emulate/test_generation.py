"""How a model's makers mean it to be sampled, and what ends its answers."""

from __future__ import annotations

import json

import pytest

import hnlpu
from helpers import write_checkpoint
from hnlpu.errors import InvalidInput
from hnlpu.run.emulate import Defaults, read_defaults


def stated(folder, **settings):
    (folder / "generation_config.json").write_text(json.dumps(settings))
    return read_defaults(folder)


def test_what_is_stated_is_read(tmp_path):
    assert read_defaults(tmp_path) == Defaults()
    settings = {"temperature": 0.6, "top_k": 20, "top_p": 1, "min_p": None, "do_sample": False,
                "max_new_tokens": 7, "bos_token_id": 1}  # fmt: skip
    assert stated(tmp_path, **settings) == Defaults(0.6, 1.0, 20, None, None, 7)


@pytest.mark.parametrize(
    "settings", [{"temperature": "hot"}, {"top_k": 1.5}, {"top_p": 2}, {"min_p": True}]
)
def test_what_makes_no_sense_is_refused_by_file_and_name(tmp_path, settings):
    (name,) = settings
    with pytest.raises(InvalidInput, match=rf"generation_config\.json: {name} must be"):
        stated(tmp_path, **settings)
    (tmp_path / "generation_config.json").write_text("{")
    with pytest.raises(InvalidInput, match=r"generation_config\.json"):
        read_defaults(tmp_path)


def test_every_file_may_name_end_tokens(tmp_path):
    from tokenizers import Tokenizer, models

    folder = write_checkpoint(tmp_path / "checkpoint")
    names = {"a": 0, "<|im_end|>": 5, "<|eot|>": 6}
    Tokenizer(models.WordLevel(names, "a")).save(str(folder / "tokenizer.json"))
    own = set(hnlpu.open(folder).end_tokens)
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"eos_token": {"content": "<|im_end|>"}})
    )
    assert set(hnlpu.open(folder).end_tokens) == own | {5}
    stated(folder, eos_token_id=[6, 5])
    build = hnlpu.build(folder, tmp_path / "build")
    assert {5, 6} <= set(hnlpu.open(build).end_tokens)
    # the chip knows those of its own settings alone
    chip = hnlpu.open(build, numerics="chip")
    assert chip.end_tokens == chip.transformer.architecture.eos_token_ids
