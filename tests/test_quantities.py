"""Data files: units are checked and converted, and a mistake is named with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest

from hnlpu.errors import InvalidData
from hnlpu.quantities import DataTable, Quantity, Unit, line_of, read_data


class Layer(DataTable):
    name: str
    pitch: Annotated[Quantity, Unit("nm", above=0, most=1e6)]


class File(DataTable):
    price: Annotated[Quantity, Unit("USD/GB", least=0)]
    density: Annotated[Quantity, Unit("1/mm^2", least=0)]
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
        ("value = 120", "value = -3", 11, "layer.1.pitch: value -3 nm is out of range (above 0"),
        ("value = 120", "value = 1e9", 11, "at most 1e+06"),
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
