"""Token ids -> the bytes that each spells -> text as it comes, whatever bytes come.

    ids ─► bytes of each token ─► UTF-8, character by character ─► text

A model may say any bytes.  Those that are no UTF-8 become U+FFFD, one for each longest beginning
of a character (the Unicode Standard's recommended practice), as soon as they cannot become one.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Collection, Sequence
from typing import Any

Step = Callable[[int], str]
"""Takes the tokens of one text in turn and says what text each of them completes."""

WINDOW = 8  # tokens that may wait for the end of a character, where bytes are not known


class Spelling:
    """What the tokens of one tokenizer spell, by the decoder that its file states."""

    def __init__(self, library: Any):
        self._library = library
        self._known: dict[int, bytes] = {}
        added = library.get_added_tokens_decoder()
        self.special = {ident: token.content for ident, token in added.items() if token.special}
        self._bytes_of, self.strip = _rules(library.decoder)

    @property
    def by_bytes(self) -> bool:
        """Whether the bytes of a token do not depend on its neighbours."""
        return self._bytes_of is not None

    def token(self, ident: int) -> bytes:
        """The bytes of a token inside a text; a special token's are its name's."""
        found = self._known.get(ident)
        if found is None:
            name = self.special.get(ident)
            found = self._known[ident] = name.encode() if name is not None else self._spell(ident)
        return found

    def _spell(self, ident: int) -> bytes:
        piece = self._library.id_to_token(ident)
        if piece is None:
            return b""
        if self._bytes_of is None:
            text: str = self._library.decode([ident], skip_special_tokens=False)
            return text.encode()
        return self._bytes_of(piece)

    def steps(self, before: Sequence[int], show_special: bool, shown: Collection[int] = ()) -> Step:
        """A decoder for what follows the tokens `before`; special tokens by name or left out."""
        hidden = frozenset() if show_special else frozenset(self.special) - frozenset(shown)
        if self._bytes_of is None:
            return _Window(self._library, hidden, before)
        starts = all(ident in self.special or not self.token(ident) for ident in before)
        return _Bytes(self, hidden, self.strip if starts else 0)


class _Bytes:
    """The decoder of tokenizers whose tokens spell bytes."""

    def __init__(self, spelling: Spelling, hidden: frozenset[int], strip: int):
        self._spelling = spelling
        self._hidden = hidden
        self._strip = strip
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def __call__(self, token: int) -> str:
        if token in self._hidden:
            return ""
        raw = self._spelling.token(token)
        while self._strip and raw:  # spaces that the tokenizer puts before a text's first word
            self._strip = self._strip - 1 if raw[:1] == b" " else 0
            raw = raw[raw[:1] == b" " :]
        return self._utf8.decode(raw)


class _Window:
    """The decoder of all others: the library decodes a few tokens, and what is new is told."""

    def __init__(self, library: Any, hidden: frozenset[int], before: Sequence[int]):
        self._library = library
        self._hidden = hidden
        # a word that follows another may begin with a space
        self._ids = [token for token in before if token not in hidden][-WINDOW:]
        self._told = len(self._ids)  # of the ids, those whose text has been told

    def __call__(self, token: int) -> str:
        if token in self._hidden:
            return ""
        self._ids.append(token)
        old, new = self._text(self._told), self._text(len(self._ids))
        if new.endswith("\ufffd") and len(self._ids) - self._told < WINDOW:
            return ""
        text = new[len(old) :] if new.startswith(old) else self._text(len(self._ids), self._told)
        del self._ids[: self._told]
        self._told = len(self._ids)
        return text

    def _text(self, end: int, start: int = 0) -> str:
        text: str = self._library.decode(self._ids[start:end], skip_special_tokens=False)
        return text


def _rules(decoder: Any) -> tuple[Callable[[str], bytes] | None, int]:
    """What a vocabulary's entry spells, and spaces to strip from a text's beginning.

    None for decoders whose result depends on neighbours in other ways than these.
    """
    if decoder is None:
        return None, 0
    state = json.loads(decoder.__getstate__())
    steps = state["decoders"] if state["type"] == "Sequence" else [state]
    if [step["type"] for step in steps] == ["ByteLevel"]:
        return _byte_level, 0
    strip, changes, by_byte = 0, [], False
    for step in steps:
        match step:
            case {"type": "Replace", "pattern": {"String": str(old)}, "content": str(new)}:
                changes.append((old, new))
            case {"type": "Metaspace", "replacement": str(old), "prepend_scheme": scheme}:
                changes.append((old, " "))
                strip = 0 if scheme == "never" else 1
            case {"type": "ByteFallback"}:
                by_byte = True
            case {"type": "Fuse"}:
                pass
            case {"type": "Strip", "content": " ", "start": int(start), "stop": 0}:
                strip = start
            case _:
                return None, 0

    def spell(piece: str) -> bytes:
        if by_byte and len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
            try:
                return bytes([int(piece[3:5], 16)])
            except ValueError:
                pass
        for old, new in changes:
            piece = piece.replace(old, new)
        return piece.encode()

    return spell, strip


def _alphabet() -> dict[str, int]:
    """The byte that each character of a byte-level vocabulary stands for (GPT-2's table)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + i): b for i, b in enumerate(others)}


_ALPHABET = _alphabet()


def _byte_level(piece: str) -> bytes:
    if all(char in _ALPHABET for char in piece):
        return bytes(_ALPHABET[char] for char in piece)
    return piece.encode()  # an added token, which is text as it stands
