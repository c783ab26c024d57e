"""Data files: TOML in which every number has a unit, a source, bounds and, where uncertain, a range.

    [metal.M8]
    pitch = { value = 84, unit = "nm", source = "physical study", low = 80, high = 90 }

A schema is a pydantic model whose fields say the unit that the code computes in and the least and
the most that the value may be:

    class Metal(DataTable):
        name: Identifier
        pitch: Annotated[Quantity, Unit("nm", 10, 9_000)]

Bounds lie less than 1,000 times apart, so that a value in a wrong unit is out of them; a field that
has to reach further says why (`wide`).  A number or a text without bounds is no schema: TypeError.

Whatever unit the file uses is converted; one of another dimension is refused, as is an unknown
key, a number without a source, or a value out of range: always with file, line and key.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from hnlpu._units import factor
from hnlpu.errors import InvalidData

_KEYS = {"value", "unit", "source", "low", "high", "note"}
_FILE_LIMIT = 2**22
_SLIP = 1000
"""Bounds of a field lie less than this apart: a wrong prefix of a unit is out of them."""
_DOUBT = 100
"""A value's low and high are at most this many times from it."""


def printable(text: str) -> str:
    """`text` if it can be shown on one line; raises ValueError."""
    if not text.strip():
        raise ValueError("is empty; give a text")
    if bad := next((c for c in text if not c.isprintable()), ""):
        raise ValueError(f"holds {bad!r}, which cannot be printed; give text of one line")
    return text


Title = Annotated[str, Field(max_length=200), AfterValidator(printable)]
"""Free text of one line, for people."""
SourceText = Annotated[str, Field(max_length=2000), AfterValidator(printable)]
"""Where a number comes from."""


def _identifier(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,31}", text):
        raise ValueError(
            f"{text!r} is no name for GDS, LEF, DEF, Verilog and Tcl; give 1 to 32 letters, digits "
            "and underscores, a letter first"
        )
    return text


Identifier = Annotated[str, AfterValidator(_identifier)]
"""A name that goes into files of other tools: GDS, LEF, DEF, Verilog and Tcl all take it."""


def _slug(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", text):
        raise ValueError(
            f"{text!r} is no name; give 1 to 64 of a-z, 0-9, '.', '_' and '-', a letter or digit first"
        )
    return text


Slug = Annotated[str, AfterValidator(_slug)]
"""The name of a model or a system, as in commands and file names."""


class DataTable(BaseModel):
    """Base of all tables of a data file: frozen, strict about names and types, all fields bounded."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_serializer(mode="wrap")
    def _as_given(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without fields that were not given and have no value: a new field changes no old text."""
        values: dict[str, Any] = write(self)
        return {
            name: value
            for name, value in values.items()
            if value is not None or name in self.model_fields_set
        }

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Raise TypeError where a field takes any number or any text."""
        super().__pydantic_init_subclass__(**options)
        for name, field in cls.model_fields.items():
            if problem := _unbounded(field.annotation, field.metadata):
                raise TypeError(f"{cls.__name__}.{name}: {problem}")


def _unbounded(annotation: Any, metadata: Sequence[Any]) -> str:
    """What is wrong with a field's declaration: a kind of value without bounds; empty if nothing."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return _unbounded(inner, [*metadata, *more])
    flat = list(_flat(metadata))
    if annotation is Quantity:
        return "" if any(isinstance(m, Unit) for m in flat) else "a Quantity needs a Unit"
    if annotation in (int, float):
        ends = {end for m in flat for end in ("ge", "gt", "le", "lt") if hasattr(m, end)}
        bounded = ends & {"ge", "gt"} and ends & {"le", "lt"}
        return "" if bounded else "a number needs a least and a most (Field(ge=..., le=...))"
    if annotation is str:
        checked = any(hasattr(m, "pattern") or isinstance(m, AfterValidator) for m in flat)
        return "" if checked else "a text needs a kind: Identifier, Slug, Title or a pattern"
    return next(filter(None, (_unbounded(part, ()) for part in get_args(annotation))), "")


def _flat(metadata: Sequence[Any]) -> Iterator[Any]:
    for entry in metadata:
        if isinstance(entry, FieldInfo):
            yield from _flat(entry.metadata)
        else:
            yield entry


@dataclass(frozen=True)
class Quantity:
    """A number of a data file in the unit of its field; `low` and `high` equal it where certain."""

    value: float
    low: float
    high: float
    unit: str
    source: str
    note: str = ""

    @property
    def uncertain(self) -> bool:
        """Whether the file gives bounds."""
        return self.low < self.high


@dataclass(frozen=True)
class Unit:
    """The unit of a field, and the least and the most that its value, low and high may be.

    `zero`: or nothing at all.  `whole`: whole numbers only.  `wide`: why the bounds lie further
    apart than 1,000 times; such a field is held to others of its table.
    """

    name: str
    least: float
    most: float
    zero: bool = False
    whole: bool = False
    wide: str = ""

    def __post_init__(self) -> None:
        """Raise TypeError where the bounds would let a slip of 1,000 pass."""
        if not 0 < self.least < self.most < math.inf:
            raise TypeError(
                f"bounds {self.least} and {self.most} of a unit are not above 0, in order"
            )
        if self.most >= _SLIP * self.least and not self.wide:
            raise TypeError(
                f"{self.least} to {self.most} {self.name} does not notice a value {_SLIP} times off; "
                "narrow it, or say in `wide` why it cannot be"
            )

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Pydantic's hook: read the table {value, unit, source, ...} of a quantity."""
        write = core_schema.plain_serializer_function_ser_schema(_dump)
        return core_schema.no_info_plain_validator_function(self.read, serialization=write)

    def read(self, given: Any) -> Quantity:
        """A quantity from its table; raises ValueError with what is wrong."""
        if isinstance(given, Quantity):
            return given
        if not isinstance(given, dict):
            raise ValueError(
                f'give a table such as {{ value = 1, unit = "{self.name}", source = "..." }}, '
                f"not {shown(given)}"
            )
        if unknown := sorted(given.keys() - _KEYS):
            raise ValueError(f"unknown key {unknown[0]!r}; allowed: {', '.join(sorted(_KEYS))}")
        if missing := sorted({"value", "unit", "source"} - given.keys()):
            raise ValueError(f"lacks {missing[0]!r}")
        source, note = given["source"], given.get("note", "")
        if not isinstance(source, str) or not source.strip():
            raise ValueError(f"source must say where the number comes from, not {shown(source)}")
        if not isinstance(note, str):
            raise ValueError(f"note must be a text, not {shown(note)}")
        for key, text in (("source", source), ("note", note)):
            if not text.isprintable():
                raise ValueError(f"{key} {shown(text)} is no text of one line")
        value, low, high = self._numbers(given)
        return Quantity(value, low, high, self.name, source.strip(), note)

    def _numbers(self, given: dict[str, Any]) -> tuple[float, float, float]:
        """Value, low and high in this unit."""
        unit = given["unit"]
        if not isinstance(unit, str):
            raise ValueError(f"unit {shown(unit)} is no text; write {self.name!r}")
        scale = factor(unit, self.name)
        value, low, high = (
            self._number(key, given.get(key, given["value"]), scale, unit.strip())
            for key in ("value", "low", "high")
        )
        if not low <= value <= high:
            raise ValueError(f"low {low:g}, value {value:g}, high {high:g} are not in order")
        if low and value > _DOUBT * low:
            raise ValueError(f"low {low:g} is less than a hundredth of the value {value:g}")
        if value and high > _DOUBT * value:
            raise ValueError(f"high {high:g} is more than a hundred times the value {value:g}")
        return value, low, high

    def _number(self, key: str, given: Any, scale: float, unit: str) -> float:
        try:
            number = float(given) * scale if isinstance(given, int | float) else math.nan
        except OverflowError:
            number = math.inf
        if isinstance(given, bool) or not math.isfinite(number):
            raise ValueError(f"{key} {shown(given)} is not a finite number")
        said = f"{number:.10g} {self.name}"
        if unit != self.name:
            said = f"{given:.10g} {unit} = {said}"
        if not (self.least <= number <= self.most or (self.zero and number == 0)):
            raise ValueError(f"{key} {said} is out of range ({self._range()})")
        if self.whole and number != round(number):
            raise ValueError(f"{key} {said} is no whole number")
        return number

    def _range(self) -> str:
        zero = "0, or " if self.zero else ""
        return f"{zero}at least {self.least:g}, at most {self.most:g}"


def shown(given: Any) -> str:
    """A value as an error names it: on one line, and not all of a long one."""
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, int) and abs(given) >= 10**30:
        return "a number of more than 30 digits"
    if isinstance(given, dict):
        return "a table"
    if isinstance(given, list):
        return "a list"
    text = ascii(given) if isinstance(given, str) and not given.isprintable() else repr(given)
    return text if len(text) <= 60 else f"{text[:60]}..."


class Contradiction(ValueError):
    """What a table's own validator raises where one key contradicts others: `path` leads to it."""

    def __init__(self, path: tuple[int | str, ...], what: str):
        super().__init__(what)
        self.path = path


def _dump(quantity: Quantity) -> dict[str, Any]:
    table: dict[str, Any] = {
        "value": quantity.value, "unit": quantity.unit, "source": quantity.source
    }  # fmt: skip
    if quantity.uncertain:
        table |= {"low": quantity.low, "high": quantity.high}
    return table | ({"note": quantity.note} if quantity.note else {})


Table = TypeVar("Table", bound=DataTable)


def read_data(path: Path, schema: type[Table]) -> Table:
    """Read a data file; raises InvalidData naming file, line and key."""
    text = _text_of(path)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line, what = _malformed(text, str(error))
        raise InvalidData(f"{path}:{line}: is not valid TOML: {what}") from None
    except RecursionError:
        raise InvalidData(f"{path}: is not valid TOML: nested too deeply") from None
    except (ValueError, OverflowError):
        raise InvalidData(f"{path}: is not valid TOML: a number is too long") from None
    if not values:
        raise InvalidData(f"{path}:1: holds nothing; copy a file that comes with hnlpu")
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        loc, what = _told(error)
        where = ".".join(part if part.isprintable() else ascii(part) for part in map(str, loc))
        place = f"{path}:{line_of(text, loc)}"
        raise InvalidData(f"{place}: {where + ': ' if where else ''}{what}") from None


def _text_of(path: Path) -> str:
    try:
        if path.is_dir():
            raise InvalidData(f"{path}: cannot be read (it is a folder; give a .toml file)")
        size = path.stat().st_size
        if not path.is_file():
            raise InvalidData(f"{path}: cannot be read (it is no regular file)")
        if size > _FILE_LIMIT:
            raise InvalidData(f"{path}: {size} bytes; a data file has a few kilobytes")
        data = path.read_bytes()
    except OSError as error:
        raise InvalidData(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError:  # a NUL in the name
        raise InvalidData(f"{str(path)!r}: cannot be read (no name of a file)") from None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InvalidData(f"{path}:1: is not UTF-8 text but UTF-16; save it as UTF-8")
    if data.startswith(b"\xef\xbb\xbf"):
        raise InvalidData(
            f"{path}:1: begins with a byte order mark (BOM), which TOML has not; save it as UTF-8 "
            "without one"
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidData(f"{path}:{line}: is not UTF-8 text (byte {error.start})") from None


def _malformed(text: str, said: str) -> tuple[int, str]:
    """The line of what tomllib stumbles over, and what it is, with the key of that line."""
    what, _, place = said.rpartition(" (at ")
    found = re.match(r"line (\d+), column (\d+)", place)
    if found is None:
        return text.count("\n") + 1, said
    line = int(found[1])
    entry = _ENTRY.match(text.split("\n")[line - 1])
    key = f" in {entry[1]}" if entry else ""
    return line, f"{what}{key} (column {found[2]})"


def _told(error: ValidationError) -> tuple[tuple[int | str, ...], str]:
    """The path of the first problem, and what it is."""
    problem = error.errors(include_url=False)[0]
    loc = problem["loc"]
    cause = problem.get("ctx", {}).get("error")
    what = problem["msg"].removeprefix("Value error, ")
    if isinstance(cause, Contradiction):
        return (*loc, *cause.path), what
    if problem["type"] == "extra_forbidden":
        return loc, "unknown key"
    if problem["type"] not in ("missing", "value_error"):
        what = f"{what}, not {shown(problem['input'])}"
    return loc, what


_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_ENTRY = re.compile(
    r"^\s*((?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*="
)


def line_of(text: str, path: Sequence[int | str]) -> int:
    """The line (from 1) of a TOML text that comes nearest to the key at `path`."""
    wanted = tuple(str(part) for part in path)
    best, deepest = 1, 0
    table: tuple[str, ...] = ()
    seen: dict[tuple[str, ...], int] = {}
    of_list: tuple[str, ...] = ()
    item = -1
    for number, line in enumerate(text.split("\n"), 1):
        key: tuple[str, ...]
        if header := _HEADER.match(line):
            table = key = _split(header[2])
            if header[1] == "[[":
                seen[key] = seen.get(key, -1) + 1
                table = key = (*key, str(seen[key]))
        elif entry := _ENTRY.match(line):
            of_list = key = (*table, *_split(entry[1]))
            item = -1
        elif line.lstrip().startswith("{"):  # an entry of a list of several lines
            item += 1
            key = (*of_list, str(item))
        else:
            continue
        if len(key) > deepest and wanted[: len(key)] == key:
            best, deepest = number, len(key)
    return best


def _split(dotted: str) -> tuple[str, ...]:
    parts = re.findall(r"\"[^\"]*\"|'[^']*'|[\w-]+", dotted)
    return tuple(part.strip("\"'") for part in parts)
