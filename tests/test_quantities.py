"""Data files: units are checked and converted, and a mistake is named with its line."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from hnlpu._units import factor
from hnlpu.errors import InvalidData
from hnlpu.quantities import DataTable, Identifier, Quantity, Title, Unit, line_of, read_data


class Layer(DataTable):
    name: Identifier
    pitch: Annotated[Quantity, Unit("nm", 10, 9_000)]


class File(DataTable):
    price: Annotated[Quantity, Unit("USD/GB", 0.5, 400, zero=True)]
    density: Annotated[Quantity, Unit("1/mm^2", 0.0001, 0.05)]
    layer: list[Layer]


GOOD = """
price = { value = 15, low = 10, high = 20, unit = "USD/GB", source = "table 5" }
density = { value = 0.11, unit = "1/cm^2", source = "table 5" }  # per square centimetre

[[layer]]
name = "M8"
pitch = { value = 0.084, unit = "um", source = "study" }

[[layer]]
name = "M10"
pitch = { value = 120, unit = "nm", source = "study", note = "single exposure" }
"""


def read(folder: Path, text: str) -> File:
    path = folder / "data.toml"
    path.write_text(text)
    return read_data(path, File)


def test_units_are_converted(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD)
    assert found.layer[0].pitch.value == pytest.approx(84)
    assert found.density.value == pytest.approx(0.0011)
    assert (found.price.low, found.price.value, found.price.high) == (10, 15, 20)
    assert found.price.uncertain
    assert not found.density.uncertain
    assert found.layer[1].pitch.note == "single exposure"


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ('unit = "um"', 'unit = "kg"', 7, "layer.0.pitch: unit 'kg' is not one of nm"),
        ('unit = "um"', 'unit = "parsnip"', 7, "parsnip"),
        ("value = 120", "value = -3", 11, "layer.1.pitch: value -3 nm is out of range (at least 10, at most 9000)"),
        ("value = 120", "value = 1e9", 11, "at most 9000"),
        ("value = 0.084", "value = 84", 7, "value 84 um = 84000 nm is out of range"),
        ("value = 120", "value = 1" + "0" * 400, 11, "not a finite number"),
        ("value = 120", "value = []", 11, "value a list is not a finite number"),
        ("value = 120", "value = 2026-01-01", 11, "is not a finite number"),
        ("low = 10", "low = 0.1", 2, "price: low 0.1 USD/GB is out of range (0, or at least 0.5"),
        ("value = 15, low = 10, high = 20", "value = 300, low = 1", 2, "less than a hundredth of"),
        ("value = 15, low = 10, high = 20", "value = 1, high = 200", 2, "more than a hundred times"),
        ('unit = "um"', "unit = 3", 7, "unit 3 is no text; write 'nm'"),
        ('unit = "um"', 'unit = ""', 7, "unit '' is not one of nm (write 'nm')"),
        ('note = "single exposure"', "note = 5", 11, "note must be a text, not 5"),
        ('"single exposure"', '"single\\nexposure"', 11, "is no text of one line"),
        ('source = "study", note', "source = 1, note", 11, "source must say"),
        ('name = "M10"', 'name = "M 10"', 10, "layer.1.name: 'M 10' is no name for GDS"),
        ('name = "M10"', 'name = "mét"', 10, "give 1 to 32 letters, digits and underscores"),
        ('name = "M10"', 'name = "1M"', 10, "a letter first"),
        ('name = "M10"', 'name = ""', 10, "'' is no name for GDS"),
        ('name = "M10"', f'name = "{"M" * 33}"', 10, "is no name for GDS"),
        ('name = "M10"', 'name = "M10"\nname = "M11"', 11, "is not valid TOML: Cannot overwrite a value in name (column"),
        ('name = "M10"', 'name = "', 10, "is not valid TOML"),
        ("[[layer]]", "[layer]", 9, "is not valid TOML"),
        ("[[layer]]\nname = \"M8\"", "[price.x]\n[[layer]]\nname = \"M8\"", 5, "is not valid TOML"),
        ("price = {", "price = {,", 2, "is not valid TOML"),
        ("value = 120", "value = nan", 11, "not a finite number"),
        ("value = 120", 'value = "120"', 11, "not a finite number"),
        ("value = 120", "value = true", 11, "not a finite number"),
        ("low = 10", "low = 16", 2, "price: low 16, value 15, high 20 are not in order"),
        (', source = "table 5" }\n', " }\n", 2, "lacks 'source'"),
        ('source = "study", note', 'source = " ", note', 11, "source must say"),
        ("note =", "nota =", 11, "unknown key 'nota'"),
        ('name = "M10"', "name = 10", 10, "layer.1.name"),
        ('name = "M10"', 'nome = "M10"', 9, "layer.1.name: Field required"),
        ('name = "M10"', 'name = "M10"\nwidth = 4', 11, "layer.1.width: unknown key"),
        ('pitch = { value = 120, unit = "nm", source = "study", note = "single exposure" }',
         "pitch = 120", 11, "give a table such as"),
        ("[[layer]]", "[[layer]", 5, "is not valid TOML"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, says: str
) -> None:
    assert old in GOOD
    with pytest.raises(InvalidData) as caught:
        read(tmp_path, GOOD.replace(old, new, 1))
    message = str(caught.value)
    assert says in message
    assert "\n" not in message
    assert f"data.toml:{line}:" in message or f"at line {line}" in message


def test_zero_is_taken_only_where_a_field_says_so(tmp_path: Path) -> None:
    free = GOOD.replace("value = 15, low = 10, high = 20", "value = 0")
    assert read(tmp_path, free).price.value == 0
    with pytest.raises(InvalidData, match="pitch: value 0 nm is out of range"):
        read(tmp_path, GOOD.replace("value = 120", "value = 0"))


def test_a_unit_without_bounds_that_notice_a_slip_is_no_unit() -> None:
    with pytest.raises(TypeError):
        Unit("nm")  # type: ignore[call-arg]  # what this test is about
    for least, most in ((0, 10), (-1, 5), (5, 5), (9, 1), (1, math.inf), (1, math.nan)):
        with pytest.raises(TypeError, match="not above 0, in order"):
            Unit("nm", least, most)
    with pytest.raises(TypeError, match="does not notice a value 1000 times off"):
        Unit("nm", 1, 1000)
    assert Unit("nm", 1, 1000, wide="a reason").most == 1000


@pytest.mark.parametrize(
    "declared",
    [
        Quantity, int, float, str, list[int], int | None, dict[str, Title],
        Annotated[int, Field(ge=1)], Annotated[float, Field(lt=5)], Annotated[str, Field(max_length=9)],
        list[Annotated[int, Field(ge=1)]], Annotated[list[Quantity], Field(min_length=1)],
    ],
)  # fmt: skip
def test_no_field_of_a_table_is_without_bounds(declared: Any) -> None:
    with pytest.raises(TypeError, match=r"^Table\.field: a "):
        type(
            "Table", (DataTable,), {"__annotations__": {"field": declared}, "__module__": __name__}
        )


SILICON = ["nm", "um^2", "mm^2", "um^2/bit", "transistor/mm^2", "W/mm^2", "fF/um", "1/cm^2"]
MACHINE = ["GB/s", "GB", "ns", "GHz", "bit/weight", "token/s", "pJ/bit", "J/token", "W"]
MONEY = ["USD", "MUSD", "USD/GB", "USD/kWh", "kg*CO2e/kWh", "USD/year", "dimensionless", "percent"]


@pytest.mark.parametrize(
    ("given", "wanted", "times"),
    [
        ("um", "nm", 1000), ("µm", "nm", 1000), ("\u03bcm", "nm", 1000), (" um ", "nm", 1000),
        ("um2", "um^2", 1), ("um**2", "um^2", 1), ("µm²", "um^2", 1), ("mm2", "um^2", 1e6),
        ("MTr/mm2", "transistor/mm^2", 1e6), ("transistors/um2", "transistor/mm^2", 1e6),
        ("W/cm2", "W/mm^2", 0.01), ("cm^-2", "1/cm^2", 1), ("1/mm2", "1/cm^2", 100),
        ("Gbit/s", "GB/s", 0.125), ("Gbps", "GB/s", 0.125), ("GBps", "GB/s", 1),
        ("TB/s", "GB/s", 1000), ("GiB", "GB", 1.073741824), ("MB", "GB", 0.001), ("mm", "nm", 1e6),
        ("pJ/B", "pJ/bit", 0.125), ("mW/MHz", "nJ", 1), ("tokens/s", "token/s", 1), ("kW", "W", 1e3),
        ("$/GB", "USD/GB", 1), ("M$", "MUSD", 1), ("%", "dimensionless", 0.01), ("fF/µm", "fF/um", 1),
        ("aF/um", "fF/um", 0.001), ("kg CO2e/kWh", "kg*CO2e/kWh", 1), ("month", "year", 1 / 12),
    ],
)  # fmt: skip
def test_common_forms_of_units_are_read(given: str, wanted: str, times: float) -> None:
    assert factor(given, wanted) == pytest.approx(times, rel=1e-12)


@pytest.mark.parametrize(
    ("given", "wanted", "says"),
    [
        ("Gb/s", "GB/s", "b may be bits or bytes; write 'Gbit/s' or 'GB/s'"),
        ("Gb / s", "GB/s", "b may be bits or bytes"),
        ("Mb", "MB", "b may be bits or bytes; write 'Mbit' or 'MB'"),
        ("Kb", "kB", "b may be bits or bytes; write 'kbit' or 'kB'"),
        ("Gib", "GB", "b may be bits or bytes; write 'Gibit' or 'GiB'"),
        ("b/s", "GB/s", "b may be bits or bytes; write 'bit/s' or 'B/s'"),
        ("pJ/b", "pJ/bit", "b may be bits or bytes; write 'pJ/bit' or 'pJ/B'"),
        ("KB", "kB", "write 'kB'"),
        ("KiB/ss", "GB/s", "unknown"),
        ("GT/s", "GB/s", "transfers are no data; write GB/s"),
        ("GB", "GB/s", "it is [information], not [information] / [time]"),
        ("um^2", "um^2/bit", "it is [length]^2, not [length]^2 / [information]"),
        ("pJ", "pJ/bit", "not [mass] * [length]^2 / [time]^2 / [information]"),
        ("mW/MHz", "W", "it is [mass] * [length]^2 / [time]^2"),
        ("°C", "nm", "temperatures are in K"),
        ("degC", "nm", "temperatures are in K"),
        ("Ghz", "GHz", "write 'GHz'"),
        ("mhz", "GHz", "write 'MHz'"),
        ("NM", "nm", "write 'nm'"),
        ("Nm", "nm", "write 'nm'"),
        ("tok/s", "token/s", "write 'token/s'"),
        ("EUR/kWh", "USD/kWh", "prices are in USD"),
        ("€", "USD", "prices are in USD"),
        ("rad", "dimensionless", "'rad' is unknown"),
        ("nm^99", "nm", "write 'nm'"),
        ("2*nm", "nm", "write 'nm'"),
        ("nm" * 90, "nm", "write 'nm'"),
        ("nm;import os", "nm", "write 'nm'"),
        ("transistor", "token/s", "it is [transistor], not [token] / [time]"),
        ("", "nm", "write 'nm'"),
        ("kg", "nm", "it is [mass], not [length]"),
    ],
)  # fmt: skip
def test_traps_of_units_are_told_with_what_to_write(given: str, wanted: str, says: str) -> None:
    with pytest.raises(
        ValueError, match=rf"^unit .* is not one of {re.escape(wanted)} \("
    ) as caught:
        factor(given, wanted)
    assert says in str(caught.value)
    assert "gilbert" not in str(caught.value)


@given(st.text(max_size=20), st.sampled_from(SILICON + MACHINE + MONEY))
@settings(max_examples=300)
def test_no_text_breaks_the_reader_of_units(text: str, wanted: str) -> None:
    found, said = math.nan, ""
    try:
        found = factor(text, wanted)
    except ValueError as error:
        said = str(error)
    assert "is not one of" in said if said else 0 < found < math.inf


@pytest.mark.parametrize("unit", SILICON + MACHINE + MONEY)
def test_every_unit_that_fields_are_in_is_known(unit: str) -> None:
    assert factor(f" {unit}", unit) == 1  # with a space, so that the registry is asked


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", r":1: holds nothing"),
        (b"# only a remark\n", r":1: holds nothing"),
        (b"a = 1\nb = '\xff'", r":2: is not UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00", r":1: is not UTF-8"),
        (b"\x00\x01\x02", r":1: is not valid TOML"),
        (b"\xef\xbb\xbf" + GOOD.encode(), r":1: begins with a byte order mark"),
        (GOOD.encode("utf-16"), r":1: is not UTF-8 text but UTF-16"),
        (b"a = " + b"[" * 5000, r": is not valid TOML"),
        (b"a = 1" + b"0" * 5000, r": is not valid TOML|unknown key|price: Field"),
        (b"a" * (2**22 + 1), r"bytes; a data file has a few kilobytes"),
        (b'"a\\u001b" = 1\n' + GOOD.encode(), r":1: 'a\\x1b': unknown key"),
    ],
)
def test_what_is_no_data_file_is_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "data.toml"
    path.write_bytes(content)
    with pytest.raises(InvalidData, match=rf"data\.toml.*{says}|data\.toml{says}") as caught:
        read_data(path, File)
    assert str(caught.value).isprintable()


def test_files_of_windows_are_read_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "data.toml"
    path.write_bytes(GOOD.replace("\n", "\r\n").encode())
    assert read_data(path, File).layer[1].pitch.value == 120
    path.write_bytes(GOOD.replace("value = 120", "value = 1e9").replace("\n", "\r\n").encode())
    with pytest.raises(InvalidData, match=r"data\.toml:11: layer\.1\.pitch"):
        read_data(path, File)


def test_folders_and_devices_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="it is a folder"):
        read_data(tmp_path, File)
    if Path("/dev/zero").exists():
        with pytest.raises(InvalidData, match="no regular file"):
            read_data(Path("/dev/zero"), File)
    with pytest.raises(InvalidData, match="cannot be read"):
        read_data(Path("a\0b.toml"), File)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="cannot be read"):
        read_data(tmp_path / "none.toml", File)
    (tmp_path / "latin.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(InvalidData, match="UTF-8"):
        read_data(tmp_path / "latin.toml", File)


def test_line_of_dotted_and_quoted_keys() -> None:
    text = '[a."b.c"]\nx.y = 1\n[a]\nz = 2\n'
    assert line_of(text, ("a", "b.c", "x", "y")) == 2
    assert line_of(text, ("a", "z")) == 4
    assert line_of(text, ("a", "missing")) == 3
