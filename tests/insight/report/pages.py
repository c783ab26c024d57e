"""Reading a report's page as a browser would, and models whose text is hostile."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from helpers import write_checkpoint

BYTES = 256
TEXT = "def add(a, b):\n    return a + b\n" * 6
TRAP = "<script>document.title='owned'</script>"
SECTIONS = ("summary", "idea", "built", "network", "metal", "machine", "quality", "speech", "values", "errors",
            "matrices", "settings", "making")  # fmt: skip
VOID = {"meta", "link", "br", "wbr", "input", "img", "hr"}
BLOCKS = {"div", "p", "li", "h1", "h2", "h3", "td", "th", "dt", "dd", "figcaption", "pre", "text"}


def write_talker(folder: Path, *, tokenizer: bool = True, traps: int = 0, layers: int = 2) -> Path:
    """A random checkpoint of one token per byte and `traps` tokens that spell `TRAP`."""
    write_checkpoint(
        folder, vocab=BYTES + traps, layers=layers, intermediate=64, max_position_embeddings=128
    )
    if tokenizer:
        write_tokenizer(folder / "tokenizer.json", traps)
    return folder


def write_tokenizer(path: Path, traps: int) -> None:
    """One token per byte, then `traps` tokens that would run if a page did not escape them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {character: i for i, character in enumerate(alphabet)}
    vocab |= {f"{TRAP}{i}": BYTES + i for i in range(traps)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(path))


class Page(HTMLParser):
    """Elements, text and the matrix table of a page; asserts that every tag is closed."""

    def __init__(self, path: Path):
        super().__init__(convert_charrefs=True)
        self.source = path.read_text("utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[dict[str, list[str] | str]] = []
        self.text = ""
        self.preformatted: list[str] = []
        self._open: list[str] = []
        self._cells: list[str] | None = None
        self.feed(self.source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag in BLOCKS:
            self.text += " "
        if tag == "pre":
            self.preformatted.append("")
        if tag == "tr" and "data-name" in dict(attrs):
            self._cells = []
            self.rows.append({"name": dict(attrs)["data-name"] or "", "cells": self._cells})
        elif tag in ("td", "th") and self._cells is not None:
            self._cells.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag
        if tag == "tr":
            self._cells = None

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("script", "style"):
            return
        self.text += data
        if "pre" in self._open:
            self.preformatted[-1] += data
        if self._cells:
            self._cells[-1] += data

    @property
    def words(self) -> str:
        """All text, with single spaces."""
        return " ".join(self.text.split())
