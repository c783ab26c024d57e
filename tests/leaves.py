"""Values of a data file's text, each with its place, to put others in their stead."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"#[^\n]*"
    r'|"(?:[^"\\]|\\.)*"\s*='
    r"|^\[+(?P<header>[^\]\n]+)\]"
    r'|(?P<text>"(?:[^"\\]|\\.)*")'
    r"|(?P<key>[A-Za-z_]\w*)\s*=\s*(?P<open>\{)?"
    r"|(?P<close>\})"
    r"|(?<![\w.+-])(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Leaf:
    """A number or a text of a file: dotted key without list indices, line from 1, span."""

    key: str
    line: int
    start: int
    end: int
    token: str

    @property
    def number(self) -> bool:
        return not self.token.startswith('"')

    def put(self, text: str, new: str) -> str:
        """The file with `new` in this place."""
        return text[: self.start] + new + text[self.end :]

    def times(self, factor: float) -> str:
        """The number, `factor` times as large; a whole one stays whole where it can."""
        scaled = float(self.token) * factor
        if re.fullmatch(r"-?\d+", self.token) and abs(scaled - round(scaled)) < 1e-9:
            return str(round(scaled))
        return repr(float(f"{scaled:.12g}"))


def leaves(text: str) -> Iterator[Leaf]:
    """All numbers and texts that are values."""
    tomllib.loads(text)
    table, key, inside = "", "", ""
    for found in _TOKEN.finditer(text):
        if found["header"]:
            table, inside = f"{found['header']}.", ""
        elif found["key"]:
            if found["open"]:
                inside = f"{inside}{found['key']}."
            key = found["key"]
        elif found["close"]:
            inside = ".".join(inside.split(".")[:-2]) + "." * (inside.count(".") > 1)
        elif token := found["text"] or found["number"]:
            line = text.count("\n", 0, found.start()) + 1
            yield Leaf(f"{table}{inside}{key}", line, found.start(), found.end(), token)
