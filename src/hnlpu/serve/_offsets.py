"""How many characters of a text stand before each of its tokens."""

from __future__ import annotations

from collections.abc import Sequence

from hnlpu.run.emulate import Tokenizer


class Offsets:
    """Follows one text token by token, behind `length` characters.

    `before` are the tokens that stand before it.  A token that ends a character which another has
    begun stands where that character does.
    """

    def __init__(
        self, tokenizer: Tokenizer, before: Sequence[int], length: int, show_special: bool
    ):
        self._tokenizer = tokenizer if tokenizer.usable else None
        if self._tokenizer:
            self._step = tokenizer.decoder(before, show_special=show_special)
        self._at = length

    def next(self, token: int) -> int:
        """The characters that stand before the next token."""
        if self._tokenizer is None:
            return self._at
        at, text = self._at, self._step(token)
        self._at += len(text)
        own = self._tokenizer.piece(token)
        # what was open before it may have turned out to be no character
        return self._at - len(own) if text.endswith(own) else at
