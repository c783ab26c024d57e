"""A model whose tokenizer puts <bos> before a text: completions, scores and conversations have it once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from helpers import write_checkpoint, write_tokenizer
from hnlpu import build
from hnlpu.run.emulate import open_language_model

TEMPLATE = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"


def written(folder: Path, template: str | None) -> Path:
    """A build of a small model of bytes; <bos> is token 95."""
    checkpoint = write_checkpoint(folder / "c")
    write_tokenizer(checkpoint, 95)
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    tokenizer.add_special_tokens(["<bos>", "<eos>"])
    tokenizer.post_processor = TemplateProcessing(
        single=["<bos>", "$A"], special_tokens=[("<bos>", tokenizer.token_to_id("<bos>"))]
    )
    tokenizer.save(str(checkpoint / "tokenizer.json"))
    told = {"bos_token": "<bos>", "eos_token": "<eos>"}
    (checkpoint / "tokenizer_config.json").write_text(json.dumps(told))
    if template is not None:
        (checkpoint / "chat_template.jinja").write_text(template)
    build(checkpoint, folder / "build", workers=1)
    return folder / "build"


def test_the_first_window_alone_begins_with_bos(tmp_path: Path) -> None:
    """The windows of transformers' "Perplexity of fixed-length models": ids once, then windows of them."""
    model = open_language_model(written(tmp_path, None))
    ids = [95, *model.tokenizer.encode("ab cd ef gh ij kl m")]
    length, stride = 10, 5
    expected: list[float] = []
    before = 0
    for begin in range(0, len(ids), stride):
        end = min(begin + length, len(ids))
        new = end - before  # tokens that no window has scored yet
        expected += model.score(ids[begin:end]).logprobs[-new if begin else 0 :]
        before = end
        if end == len(ids):
            break
    assert end - begin == length  # so is the last
    assert model.score("ab cd ef gh ij kl m", context=length).logprobs == expected


@pytest.mark.parametrize("template", [None, TEMPLATE], ids=["plain", "template"])
def test_a_prompt_begins_once(template: str | None, tmp_path: Path, start: Any) -> None:
    directory = written(tmp_path, template)
    model = open_language_model(directory)
    inside = model.tokenizer.encode("ab cd")
    scored = model.score([95, *inside]).logprobs
    with start(directory) as server:
        asked = {"max_tokens": 0, "echo": True, "logprobs": 0, "prompt_logprobs": 0}
        (choice,) = server.complete("ab cd", **asked)["choices"]
        assert choice["logprobs"]["token_logprobs"] == [None, *scored]
        assert choice["logprobs"]["text_offset"] == [0, 0, 1, 2, 3, 4]
        assert len(choice["prompt_logprobs"]) == 1 + len(inside)
        assert choice["text"] == "ab cd"
        said = {"messages": [{"role": "user", "content": "ab cd"}]}
        assert server.post("/tokenize", said).json()["tokens"] == [95, *inside]
        chat = server.post("/v1/chat/completions", {"model": "build", "max_tokens": 1} | said)
        assert chat.json()["usage"]["prompt_tokens"] == 1 + len(inside)
        for special, expected in ((True, [95, *inside]), (False, inside)):
            told = {"prompt": "ab cd", "add_special_tokens": special}
            assert server.post("/tokenize", told).json()["tokens"] == expected
