"""Byte-level BPE tokenizer for the training text, made with `tokenizers`.

A vocabulary too small for all 256 bytes spells ASCII only: the characters that
source code is written in, and "?" in place of every other.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

END_OF_TEXT = "<|endoftext|>"
PADDING = "<|pad|>"
_SPECIAL = [END_OF_TEXT, PADDING]
_ASCII = "\t\n" + "".join(map(chr, range(ord(" "), ord("~") + 1)))


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Byte-level BPE of `vocab_size` entries; `END_OF_TEXT` is id 0, `PADDING` id 1."""
    tokenizer = Tokenizer(models.BPE())
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if vocab_size < len(_SPECIAL) + len(alphabet):
        tokenizer.normalizer = normalizers.Replace(Regex("[^\\t\\n -~]"), "?")
        spelling = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        alphabet = [spelling.pre_tokenize_str(c)[0][0] for c in _ASCII]
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=_SPECIAL,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
