"""Text from any tokens: as the tokenizers library decodes them, and never an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from hnlpu.run.emulate._spelling import Spelling

SPACE = "\u2581"


def byte_level() -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    found = Tokenizer(models.BPE({char: i for i, char in enumerate(alphabet)}, []))
    found.decoder = decoders.ByteLevel()
    found.add_tokens(["a word", "é"])
    found.add_special_tokens(["<|end|>"])
    return found


def sentences(decoder: decoders.Decoder, **options: bool) -> Tokenizer:
    names = ["<unk>", SPACE, f"{SPACE}the", "cat", "é", "<0x zz>"]
    names += [f"<0x{byte:02X}>" for byte in range(256)]
    found = Tokenizer(models.BPE({n: i for i, n in enumerate(names)}, [], unk_token="<unk>"))
    found.decoder = decoder
    found.add_special_tokens([AddedToken("<s>", special=True)])
    return found


def llama() -> Tokenizer:
    parts = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    return sentences(decoders.Sequence([*parts, decoders.Strip(" ", 1, 0)]))


def gemma() -> Tokenizer:
    parts = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    return sentences(decoders.Sequence(parts))


def word_piece() -> Tokenizer:
    return sentences(decoders.WordPiece("##"))


MADE = {make.__name__: make() for make in (byte_level, llama, gemma, word_piece)}
SPELLED = {name: Spelling(tokenizer) for name, tokenizer in MADE.items()}
IDS = st.lists(st.integers(0, 262), max_size=20)


def streamed(name: str, ids: list[int], before: tuple[int, ...] = ()) -> str:
    step = SPELLED[name].steps(before, False)
    return "".join(step(token) for token in ids)


@pytest.mark.parametrize("name", MADE)
@given(ids=IDS)
def test_any_tokens_give_text(name, ids):
    assert isinstance(streamed(name, ids), str)


@given(ids=IDS)
def test_byte_level_text_is_the_librarys(ids):
    """But for a character that is still open at the end, which is not told."""
    whole = MADE["byte_level"].decode(ids)
    text = streamed("byte_level", ids)
    assert whole.startswith(text)
    assert set(whole[len(text) :]) <= {"\ufffd"}


@pytest.mark.parametrize("name", ["llama", "gemma"])
@given(text=st.text(), start=st.booleans())
def test_byte_fallback_text_is_the_librarys(name, text, start):
    """Valid bytes in tokens of one byte, beside whole words."""
    ids = [2] * start + [6 + byte for byte in text.encode()] + [3]
    assert streamed(name, ids) == MADE[name].decode(ids)


def test_invalid_runs_are_marked_as_they_come():
    ids = [6 + byte for byte in b"\xe2\x82\xff\xe2\x82\xac\x80"]
    assert streamed("gemma", [3, *ids, 3]) == "cat\ufffd\ufffd€\ufffdcat"


def test_only_a_texts_first_word_loses_its_space():
    end = MADE["llama"].token_to_id("<s>")
    assert streamed("llama", [2, 2]) == "the the"
    assert streamed("llama", [2, 2], (end,)) == "the the"
    assert streamed("llama", [2, 2], (end, 3)) == " the the"


def test_word_pieces_are_joined_as_the_library_does():
    ids = [3, 2, 3]
    assert streamed("word_piece", ids) == MADE["word_piece"].decode(ids)


def pieces() -> Tokenizer:
    found = Tokenizer(
        models.WordPiece({"[UNK]": 0, "a": 1, "##b": 2, "c": 3, "!": 4}, unk_token="[UNK]")
    )
    found.decoder = decoders.WordPiece()
    return found


def words() -> Tokenizer:
    return Tokenizer(
        models.WordLevel({"[UNK]": 0, "a": 1, "b": 2, "c": 3, "d": 4}, unk_token="[UNK]")
    )


def ends_of_words() -> Tokenizer:
    found = Tokenizer(models.BPE({"a</w>": 0, "b": 1, "c</w>": 2, "d": 3, "e</w>": 4}, []))
    found.decoder = decoders.BPEDecoder()
    return found


@pytest.mark.parametrize("make", [pieces, words, ends_of_words])
@given(data=st.data())
def test_what_follows_a_prompt_keeps_its_space(make, data):
    """Decoders that look at a token's neighbours are shown those in the prompt."""
    library = make()
    library.add_special_tokens(["<|end|>"])
    ids = st.lists(st.integers(0, 5), min_size=1, max_size=12)
    prompt, new = data.draw(ids), data.draw(ids)
    step = Spelling(library).steps(prompt, False)
    before, whole = library.decode(prompt), library.decode(prompt + new)
    if whole.startswith(before):  # a word's last part has no space behind it
        assert "".join(map(step, new)) == whole[len(before) :]


def test_special_tokens_are_shown_on_demand():
    end = MADE["byte_level"].token_to_id("<|end|>")
    step = SPELLED["byte_level"].steps((), True)
    assert "".join(map(step, [256, end])) == "a word<|end|>"
    assert SPELLED["byte_level"].token(end) == b"<|end|>"
