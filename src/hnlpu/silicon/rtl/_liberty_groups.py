"""A Liberty file -> its groups: text unpacked, comments and continued lines taken away.

    FILE.lib, FILE.lib.gz ──► text ──► LibertyGroup: attributes and groups inside

Liberty: name ( arguments ) { statements }, name : value ;  (Liberty Reference Manual, 2007.03).
Comments stand anywhere, a backslash continues a line anywhere, numbers and units may be in quotes.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hnlpu.errors import InvalidInput

REMEDY = "give a Liberty file (.lib or .lib.gz)"
_COMMENT = r"/\*.*?\*/|//[^\n]*"
_GAP = rf"\s|{_COMMENT}|\\[ \t]*\r?\n"
_STRING = r'"(?:[^"\\]|\\.)*+"'
_SKIP = re.compile(rf"(?:;|{_GAP})*+", re.DOTALL)
_NAME = re.compile(r'[^\s(){}:;,"\\]+')
_VALUE = re.compile(
    rf":(?:{_GAP})*+({_STRING}|(?:{_COMMENT}|\\[ \t]*\r?\n|[^;\n}}/]|/(?![*/]))*+)", re.DOTALL
)
_ARGUMENTS = re.compile(rf'\(((?:{_COMMENT}|{_STRING}|[^()"/]++|/(?![*/]))*+)\)', re.DOTALL)
_ARGUMENT = re.compile(
    rf'{_COMMENT}|\\|"((?:[^"\\]|\\.)*+)"|((?:[^\s,"\\/]|/(?![*/]))+)', re.DOTALL
)
_UNWANTED = re.compile(rf"{_COMMENT}|\\[ \t]*\r?\n", re.DOTALL)
_CONTINUED = re.compile(r"\\[ \t]*\r?\n")
_BRACE = re.compile(r'[{}]|"(?:[^"\\]|\\.)*"|/\*.*?\*/|//[^\n]*', re.DOTALL)
_LARGEST = 2**31  # bytes of a library, unpacked
_IGNORED = {"internal_power", "leakage_power", "pg_pin", "operating_conditions", "wire_load"}


@dataclass
class LibertyGroup:
    """`kind (arguments) { ... }`: simple and complex attributes by name, and groups inside.

    `at` is where in the text it begins.
    """

    kind: str
    arguments: tuple[str, ...]
    at: int = 0
    attributes: dict[str, str] = field(default_factory=dict)
    groups: list[LibertyGroup] = field(default_factory=list)

    def of(self, kind: str) -> Iterator[LibertyGroup]:
        """Groups of a kind."""
        return (group for group in self.groups if group.kind == kind)

    @property
    def name(self) -> str:
        """The first argument; raises ValueError where there is none."""
        if not self.arguments or not self.arguments[0].strip():
            raise ValueError(f"a {self.kind} has no name")
        return self.arguments[0].strip()


def read_text(path: Path) -> str:
    """Text of a Liberty file, unpacked, without a byte order mark.

    Comments may be in Latin-1.  Raises InvalidInput where the file cannot be read or is no text.
    """
    try:
        if path.exists() and not path.is_file():
            raise InvalidInput(f"`liberty` {path}: is no file; {REMEDY}")
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            with gzip.open(path) as packed:
                data = packed.read(_LARGEST)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InvalidInput(f"`liberty` {path}: {reason}; {REMEDY}") from error
    if b"\0" in data:
        raise InvalidInput(
            f"`liberty` {path}: is no text in UTF-8 (it holds a zero byte); {REMEDY}"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def parse(path: Path, text: str) -> LibertyGroup:
    """The outermost group."""
    at, open_groups = 0, [LibertyGroup("", ())]

    def fail(what: str) -> InvalidInput:
        line = text.count("\n", 0, at) + 1
        return InvalidInput(f"`liberty` {path}: line {line}: {what}; {REMEDY}")

    while True:
        at = _end(_SKIP, text, at)
        if at == len(text):
            break
        if text[at] == "}":
            if len(open_groups) == 1:
                raise fail("} closes nothing")
            open_groups.pop()
            at += 1
            continue
        name = _NAME.match(text, at)
        if name is None:
            raise fail(f"{text[at]!r} where a name was expected")
        if name[0].startswith("/*"):
            raise fail("a comment has no end")
        begin = at
        at = _end(_SKIP, text, name.end())
        value = _VALUE.match(text, at)
        if value:
            open_groups[-1].attributes[name[0]] = _plain(value[1])
            at = value.end()
            continue
        if name[0] == "include_file":
            raise fail("include_file is not followed; give the library in one file")
        found = _ARGUMENTS.match(text, at)
        if found is None:
            raise fail(f"{name[0]} is followed by neither : nor arguments")
        at = _end(_SKIP, text, found.end())
        arguments = tuple(a if a is not None else b for a, b in _split(found[1]))
        if text[at : at + 1] == "{" and name[0] in _IGNORED:
            at = _past(text, at)
            if not at:
                raise fail(f"{name[0]} has no end")
        elif text[at : at + 1] == "{":
            group = LibertyGroup(name[0], arguments, begin)
            open_groups[-1].groups.append(group)
            open_groups.append(group)
            at += 1
        else:
            open_groups[-1].attributes[name[0]] = ",".join(arguments)
    if len(open_groups) > 1:
        raise fail(f"the end of the file within {open_groups[-1].kind}")
    if not open_groups[0].groups:
        raise fail("there is no group")
    if len(open_groups[0].groups) > 1:
        at = open_groups[0].groups[1].at
        raise fail(f"a second {open_groups[0].groups[1].kind} begins; give one library a file")
    return open_groups[0].groups[0]


def _plain(value: str) -> str:
    """The text of a value: without quotes, or without comments where it has none."""
    if value.startswith('"'):
        return _CONTINUED.sub("", value[1:-1]).strip()
    return _UNWANTED.sub(" ", value).strip()


def _past(text: str, at: int) -> int:
    """The place behind the group that opens at `at`; 0 where it does not end."""
    depth = 0
    for found in _BRACE.finditer(text, at):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if not depth:
            return found.end()
    return 0


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _split(arguments: str) -> Iterator[tuple[str | None, str]]:
    for found in _ARGUMENT.finditer(arguments):
        if found[1] is not None:
            yield _CONTINUED.sub("", found[1]), ""
        elif found[2]:
            yield None, found[2]
