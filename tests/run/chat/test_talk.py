"""Conversations on this computer: what is said and thought is told apart and becomes the history."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, pre_tokenizers, processors

from hnlpu.errors import InvalidInput
from hnlpu.run.chat import ALL_MARKS, Talk
from hnlpu.run.emulate import Tokenizer

HARMONY = (
    "{% for m in messages %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endfor %}"
    "<|start|>assistant"
)
THINKS = "{% for m in messages %}{{ m.role }}:{{ m.content }}\n{% endfor %}assistant:<think>"


def talk_of(folder, template, special=(), added=()):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    library = Library(models.BPE({char: i for i, char in enumerate(alphabet)}, []))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    library.add_special_tokens(list(special))
    library.add_tokens(list(added))
    library.save(str(folder / "tokenizer.json"))
    if template:
        (folder / "chat_template.jinja").write_text(template)
    model = SimpleNamespace(tokenizer=Tokenizer(folder), directory=folder)
    return Talk(model), model.tokenizer


@pytest.mark.parametrize("template", [None, "{{ messages[0].content }}"])
def test_a_conversation_without_a_template_is_a_whole_text(tmp_path, template):
    """A template says itself what a conversation begins with; without one the tokenizer does."""
    _, tokenizer = talk_of(tmp_path, template, ("<bos>",))
    library = Library.from_file(str(tmp_path / "tokenizer.json"))
    begin = library.token_to_id("<bos>")
    library.post_processor = processors.TemplateProcessing(
        single=["<bos>", "$A"], special_tokens=[("<bos>", begin)]
    )
    library.save(str(tmp_path / "tokenizer.json"))
    talk = Talk(SimpleNamespace(tokenizer=Tokenizer(tmp_path), directory=tmp_path))
    talk.say("hi")
    assert list(talk.prompt()) == [begin] * (template is None) + tokenizer.encode("hi")


def answered(talk, tokenizer, text):
    parts = list(talk.answer(talk.prompt(), tokenizer.encode(text)))
    return "".join(p.content for p in parts), "".join(p.reasoning for p in parts)


@pytest.mark.parametrize(
    ("template", "special", "added", "text"),
    [
        (None, (), (), "said"),
        (HARMONY, ALL_MARKS, (), "<|channel|>analysis<|message|>hm<|end|><|start|>assistant"
         "<|channel|>final<|message|>said<|return|>more"),
        (THINKS, (), ("<think>", "</think>"), "hm</think>\n\nsaid"),
        (THINKS, ("<think>", "</think>"), (), "hm</think>\n\nsaid"),
    ],
)  # fmt: skip
def test_thoughts_are_told_apart(tmp_path, template, special, added, text):
    talk, tokenizer = talk_of(tmp_path, template, special, added)
    talk.say("hi")
    thought = "hm" if template else ""
    assert answered(talk, tokenizer, text) == ("said", thought)
    asked, told = talk.messages
    assert (asked["content"], told["content"]) == ("hi", "said")
    assert told.get("reasoning", "") == thought
    talk.say("and then?")
    assert "said" in tokenizer.decode(talk.prompt())


def test_a_message_cannot_pretend_to_be_anothers(tmp_path):
    talk, _ = talk_of(tmp_path, HARMONY, ALL_MARKS)
    with pytest.raises(InvalidInput, match="special token"):
        talk.say("a<|end|>b")
    assert talk.messages == []
