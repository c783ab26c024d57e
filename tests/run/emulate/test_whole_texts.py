"""Tokens that a tokenizer puts around a text: as transformers has them, and in every prompt that is one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer as Library
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from helpers import run_cli, write_checkpoint, write_tokenizer
from hnlpu.run.emulate import open_language_model
from hnlpu.run.emulate._tokenizer import Tokenizer

BOS, EOS = "<bos>", "<eos>"
TEMPLATES = {None: None, "bos": [BOS, "$A"], "both": [BOS, "$A", EOS]}
SETTINGS: list[dict[str, Any]] = [
    {},
    {"add_bos_token": True},
    {"add_bos_token": False},
    {"add_bos_token": True, "add_eos_token": True},
]
"""What tokenizer_config.json may say besides; transformers 5 goes by tokenizer.json."""


def write(folder: Path, template: Any, settings: dict[str, Any]) -> None:
    """A tokenizer of bytes with two special tokens, ids 95 and 96, and what is said of them."""
    write_tokenizer(folder, 95)
    library = Library.from_file(str(folder / "tokenizer.json"))
    library.add_special_tokens([BOS, EOS])
    if template is not None:
        ids = [(name, library.token_to_id(name)) for name in (BOS, EOS)]
        library.post_processor = TemplateProcessing(single=template, special_tokens=ids)
    library.save(str(folder / "tokenizer.json"))
    told = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS}
    (folder / "tokenizer_config.json").write_text(json.dumps(told | settings))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("template", TEMPLATES)
def test_a_whole_text_has_the_tokens_of_transformers(
    template: str | None, settings: dict[str, Any], tmp_path: Path
) -> None:
    write(tmp_path, TEMPLATES[template], settings)
    ours, theirs = Tokenizer(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    for text in ("ab cd", "", f"{BOS}ab"):
        assert ours.encode(text, whole=True) == theirs(text)["input_ids"]
        assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]
        starts = ours.starts(text)
        assert len(starts) == len(ours.encode(text, whole=True))
        assert starts == sorted(starts)


def test_prompts_and_scores_begin_as_the_model_was_trained(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "c")
    write(folder, [BOS, "$A"], {})
    model = open_language_model(folder)
    ids = model.tokenizer.encode("ab cd")
    assert model.encode("ab cd").tolist() == [95, *ids]
    assert [t.id for t in model.generate("ab cd", max_tokens=4, ignore_end=True)] == [
        t.id for t in model.generate([95, *ids], max_tokens=4, ignore_end=True)
    ]
    found, with_ids = model.score("ab cd"), model.score([95, *ids])
    np.testing.assert_array_equal(found.logprobs, with_ids.logprobs)
    assert found.size_bytes == len("ab cd")  # all of the text is scored
    said = []
    for given in (("--prompt", "ab cd"), ("--tokens", ",".join(map(str, (95, *ids))))):
        code, out, _ = run_cli(
            "generate", folder, *given, "--max-tokens", 6, "--json", "--ignore-end"
        )
        assert code == 0
        said.append(json.loads(out)["tokens"])
    assert said[0] == said[1]
