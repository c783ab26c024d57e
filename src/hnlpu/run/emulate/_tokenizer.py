"""The tokenizer of a checkpoint or build, if it has one; read when text first needs it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hnlpu.errors import InvalidInput, TokenizerMissing
from hnlpu.run.emulate._spelling import Spelling, Step

FILE = "tokenizer.json"


class Tokenizer:
    """Text <-> token ids by `directory`/tokenizer.json.

    Everything but `usable` raises TokenizerMissing where that file is missing
    or unreadable.
    """

    def __init__(self, directory: Path):
        self._path = directory / FILE
        self._tokenizer: Any = None
        self._spelling: Spelling | None = None

    @property
    def usable(self) -> bool:
        """Whether there is a tokenizer and it can be read."""
        try:
            self._loaded()
        except TokenizerMissing:
            return False
        return True

    def encode(self, text: str, *, whole: bool = False) -> list[int]:
        """Token ids of a text, a `whole` one or a part (a rendered template, say); raises InvalidInput.

        A whole one gets the special tokens that tokenizer.json puts around a text, such as <bos> of
        Llama and Gemma.  `add_bos_token` of tokenizer_config.json is not looked at: transformers 5
        does not either where there is a tokenizer.json.
        """
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidInput("the text is not valid Unicode; give it in UTF-8") from None
        ids: list[int] = self._loaded().encode(text, add_special_tokens=whole).ids
        return ids

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of token ids; special tokens are left out."""
        text: str = self._loaded().decode(list(tokens), skip_special_tokens=True)
        return text

    def piece(self, token: int) -> str:
        """What a token spells inside a text: special tokens by name, parts of a character as U+FFFD."""
        return self.bytes_of(token).decode("utf-8", "replace")

    def bytes_of(self, token: int) -> bytes:
        """The bytes that a token spells inside a text, which may be a part of a character."""
        return self._spelled().token(token)

    def starts(self, text: str) -> list[int]:
        """For each token of a whole text, the number of characters of the text that stand before it."""
        found = self._loaded().encode(text, add_special_tokens=True)
        starts = [start for start, _ in found.offsets]
        for n in reversed(range(len(starts))):  # what is put behind a text stands behind all of it
            if not found.special_tokens_mask[n] or starts[n]:
                break
            if any(not special for special in found.special_tokens_mask[:n]):
                starts[n] = len(text)
        return starts

    def token_id(self, name: str) -> int | None:
        """The id of the token that is called `name`, if there is one."""
        ident: int | None = self._loaded().token_to_id(name)
        return ident

    def added_tokens(self) -> dict[str, int]:
        """Tokens that stand beside the vocabulary, special or not, by name."""
        added = self._loaded().get_added_tokens_decoder()
        return {token.content: ident for ident, token in added.items()}

    def special_tokens(self) -> dict[str, int]:
        """Tokens that stand for no text, by the name that `encode` takes for them."""
        added = self._loaded().get_added_tokens_decoder()
        return {token.content: ident for ident, token in added.items() if token.special}

    def stream(
        self, tokens: Iterable[int], before: Sequence[int] = ()
    ) -> Iterator[tuple[int, str]]:
        """Each token with the text it completes ("" while a character is still open)."""
        step = self.decoder(before)
        for token in tokens:
            yield token, step(token)

    def decoder(
        self,
        before: Sequence[int] = (),
        *,
        show_special: bool = False,
        shown: Collection[int] = (),
    ) -> Step:
        """A function that takes the tokens of one text in turn and says what text each completes.

        `before` are the tokens that stand before them.  Any tokens may come, in any order; bytes
        that are no text become U+FFFD.  Special tokens add nothing, or their names: all of them
        with `show_special`, or those `shown`.
        """
        return self._spelled().steps(before, show_special, shown)

    def _spelled(self) -> Spelling:
        if self._spelling is None:
            self._spelling = Spelling(self._loaded())
        return self._spelling

    def _loaded(self) -> Any:
        if self._tokenizer is None:
            from tokenizers import Tokenizer as Library

            if not self._path.is_file():
                raise TokenizerMissing(
                    f"{self._path.parent}: has no {FILE}; give token ids with `tokens` instead"
                )
            try:
                self._tokenizer = Library.from_file(str(self._path))
                # settings of a training run; prompts are taken as they are
                self._tokenizer.no_truncation()
                self._tokenizer.no_padding()
            except Exception as error:  # the library raises bare Exception
                raise TokenizerMissing(
                    f"{self._path}: not a readable tokenizer ({str(error).splitlines()[0]}); "
                    "give token ids with `tokens` instead"
                ) from None
        return self._tokenizer
