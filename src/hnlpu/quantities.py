"""Data files: TOML in which every number has a unit, a source and, where uncertain, bounds.

    [metal.M8]
    pitch = { value = 84, unit = "nm", source = "physical study", low = 80, high = 90 }

A schema is a pydantic model whose fields say the unit that the code computes in:

    class Metal(DataTable):
        pitch: Annotated[Quantity, Unit("nm", above=0)]

Whatever unit the file uses is converted; one of another dimension is refused, as is an unknown
key, a number without a source, or a value out of range: always with file, line and key.
"""

from __future__ import annotations

import functools
import math
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from hnlpu.errors import InvalidData

_KEYS = {"value", "unit", "source", "low", "high", "note"}
_FILE_LIMIT = 2**22


class DataTable(BaseModel):
    """Base of all tables of a data file: frozen, and strict about names and types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


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
    """The unit of a field and the values it may take: at `least`, `above`, at `most`."""

    name: str
    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf

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
                f'give a table such as {{ value = 1, unit = "{self.name}", source = "..." }}'
            )
        if unknown := sorted(given.keys() - _KEYS):
            raise ValueError(f"unknown key {unknown[0]!r}; allowed: {', '.join(sorted(_KEYS))}")
        if missing := sorted({"value", "unit", "source"} - given.keys()):
            raise ValueError(f"lacks {missing[0]!r}")
        source = given["source"]
        if not isinstance(source, str) or not source.strip():
            raise ValueError("source must say where the number comes from")
        factor = _factor(given["unit"], self.name)
        value = self._number("value", given["value"], factor)
        low = self._number("low", given.get("low", given["value"]), factor)
        high = self._number("high", given.get("high", given["value"]), factor)
        if not low <= value <= high:
            raise ValueError(f"low {low:g}, value {value:g}, high {high:g} are not in order")
        return Quantity(value, low, high, self.name, source.strip(), str(given.get("note", "")))

    def _number(self, key: str, given: Any, factor: float) -> float:
        if (
            isinstance(given, bool)
            or not isinstance(given, int | float)
            or not math.isfinite(given)
        ):
            raise ValueError(f"{key} {given!r} is not a finite number")
        number = given * factor
        if not self.least <= number <= self.most or number <= self.above:
            raise ValueError(f"{key} {number:g} {self.name} is out of range ({self._range()})")
        return number

    def _range(self) -> str:
        parts = []
        if self.above > -math.inf:
            parts.append(f"above {self.above:g}")
        if self.least > -math.inf:
            parts.append(f"at least {self.least:g}")
        if self.most < math.inf:
            parts.append(f"at most {self.most:g}")
        return ", ".join(parts)


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


@functools.cache
def _registry() -> Any:
    import pint

    units: Any = pint.UnitRegistry(cache_folder=None)
    units.define("USD = [currency] = dollar")
    # what is counted is a dimension of its own: tokens are no chips, and no bare number
    for counted in ("transistor", "weight", "token", "operation", "CO2e", "mask", "chip", "die"):
        units.define(f"{counted} = [{counted}]")
    return units


@functools.cache
def _factor(given: str, wanted: str) -> float:
    """What to multiply a number in unit `given` by to have it in `wanted`."""
    if given == wanted:
        return 1.0  # as in every manifest, which so needs no registry of units (6 MB) to be read
    units = _registry()
    try:
        return float(units.Quantity(1.0, given).to(wanted).magnitude)
    except Exception as error:  # pint raises many kinds, some not its own
        reason = " ".join(str(error).split())
        raise ValueError(f"unit {given!r} is not one of {wanted} ({reason})") from None


Table = TypeVar("Table", bound=DataTable)


def read_data(path: Path, schema: type[Table]) -> Table:
    """Read a data file; raises InvalidData naming file, line and key."""
    try:
        if path.stat().st_size > _FILE_LIMIT:
            raise InvalidData(
                f"{path}: {path.stat().st_size} bytes; a data file has a few kilobytes"
            )
        text = path.read_bytes().decode("utf-8")
        values = tomllib.loads(text)
    except OSError as error:
        raise InvalidData(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise InvalidData(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidData(f"{path}: is not valid TOML: {error}") from None
    except RecursionError:
        raise InvalidData(f"{path}: is not valid TOML: nested too deeply") from None
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        loc = problem["loc"]
        cause = problem.get("ctx", {}).get("error")
        if isinstance(cause, Contradiction):
            loc = (*loc, *cause.path)
        where = ".".join(str(part) for part in loc)
        what = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            what = "unknown key"
        place = f"{path}:{line_of(text, loc)}"
        raise InvalidData(f"{place}: {where + ': ' if where else ''}{what}") from None


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
    for number, line in enumerate(text.splitlines(), 1):
        key: tuple[str, ...]
        if header := _HEADER.match(line):
            table = key = _split(header[2])
            if header[1] == "[[":
                seen[key] = seen.get(key, -1) + 1
                table = key = (*key, str(seen[key]))
        elif entry := _ENTRY.match(line):
            key = (*table, *_split(entry[1]))
        else:
            continue
        if len(key) > deepest and wanted[: len(key)] == key:
            best, deepest = number, len(key)
    return best


def _split(dotted: str) -> tuple[str, ...]:
    parts = re.findall(r"\"[^\"]*\"|'[^']*'|[\w-]+", dotted)
    return tuple(part.strip("\"'") for part in parts)
