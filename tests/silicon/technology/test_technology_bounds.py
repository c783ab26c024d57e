"""A technology file with one value a thousand times off, of another kind, or contradicting others."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

from hnlpu.errors import InvalidData
from hnlpu.silicon.technology import load_technology
from leaves import Leaf, leaves

NAMES = ("asap7", "n5", "sky130")
TEXTS = {
    name: (resources.files("hnlpu.silicon.technology") / f"{name}.toml").read_text()
    for name in NAMES
}
Cli = Callable[..., tuple[int, str, str]]

PLAUSIBLE = {
    "die.block.area.value": "parts of a die differ by as much: a controller has 0.02 mm2, a buffer 136",
    ".drawing.": "a kit may number its layers and datatypes as it likes, up to 32,767",
}
"""What may be a thousand times as large or as small, and why."""

MAY_BE_NOTHING = ("enclosure_below", "enclosure_above", "landing.low", ".drawing.")
"""Where 0 is a value: a cut as wide as its wire, no area for landings."""


def refused(path: Path, text: str, leaf: Leaf, new: str) -> str:
    """The one line that refuses a file; fails where the file is taken."""
    path.write_text(text)
    said = ""
    try:
        load_technology(str(path))
    except InvalidData as error:
        said = str(error)
    assert said, f"line {leaf.line}: {leaf.key} = {new} instead of {leaf.token} is taken"
    assert said.startswith(f"{path}:"), said
    assert said.isprintable(), said
    return said


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("factor", [1000, 0.001])
def test_a_number_a_thousand_times_off_is_refused(tmp_path: Path, name: str, factor: float) -> None:
    text, path = TEXTS[name], tmp_path / "mine.toml"
    numbers = [leaf for leaf in leaves(text) if leaf.number and float(leaf.token)]
    assert len(numbers) > 60
    for leaf in numbers:
        if not any(part in leaf.key for part in PLAUSIBLE):
            new = leaf.times(factor)
            refused(path, leaf.put(text, new), leaf, new)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_number_is_refused_at_its_line(tmp_path: Path, name: str) -> None:
    text, path = TEXTS[name], tmp_path / "mine.toml"
    for leaf in leaves(text):
        if not leaf.number:
            continue
        for new in ("nan", "-inf", "-1", "true", '"x"', "[]"):
            said = refused(path, leaf.put(text, new), leaf, new)
            assert said.startswith(f"{path}:{leaf.line}: {leaf.key.split('.')[0]}"), said
        if not any(key in leaf.key for key in MAY_BE_NOTHING):
            refused(path, leaf.put(text, "0"), leaf, "0")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_text_is_refused_at_its_line(tmp_path: Path, name: str) -> None:
    text, path = TEXTS[name], tmp_path / "mine.toml"
    for leaf in leaves(text):
        if leaf.number:
            continue
        for new in ("1", "nan", "{}", '""', '"a\\nb"', '"\\u001b[31m"'):
            said = refused(path, leaf.put(text, new), leaf, new)
            assert said.startswith(f"{path}:{leaf.line}: "), said


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_unit_or_source_or_line_is_refused(tmp_path: Path, name: str) -> None:
    text, path = TEXTS[name], tmp_path / "mine.toml"
    optional = (
        "schemes", "end_space", "track", "height", "array_area_per_weight", "area_capacitance",
        "sheet_resistance", "thickness", "antenna_ratio", "resistance", "port_gate_area",
        "driver_diffusion_area",
    )  # fmt: skip
    for number, line in enumerate(lines := text.splitlines(), 1):
        if " = " not in line or line.startswith(("#", *optional)):
            continue
        rest = "\n".join([*lines[: number - 1], *lines[number:]])
        path.write_text(rest)
        with pytest.raises(
            InvalidData, match=rf"mine\.toml:\d+: .*(Field required|{line.split()[0]})"
        ):
            load_technology(str(path))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("grid = { value = 1,", "grid = { value = 0.5,", "grid: value 0.5 nm is out of range"),
        ("grid = { value = 1,", "grid = { value = 1e-9,", "grid: value 1e-09 nm is out of range"),
        ("grid = { value = 1,", "grid = { value = 2.5,", "grid: value 2.5 nm is no whole number"),
        ('unit = "transistor/mm^2"', 'unit = "transistor/um^2"',
         "silicon.density: value 138000000 transistor/um^2 = 1.38e+14 transistor/mm^2 is out of range"),
        ('name = "M8"', 'name = "mét2"', "lower.name: 'mét2' is no name for GDS, LEF, DEF, Verilog"),
        ('name = "M8"', 'name = "met 2"', "lower.name: 'met 2' is no name"),
        ('name = "M8"', 'name = "M8;"', "lower.name: 'M8;' is no name"),
        ('name = "M8"', 'name = "M$8"', "lower.name: 'M$8' is no name"),
        ('name = "M8"', 'name = "M[8]"', "lower.name: 'M[8]' is no name"),
        ('name = "M8"', 'name = "8M"', "lower.name: '8M' is no name"),
        ('name = "M8"', 'name = "END"', "lower.name: 'END' is a word of LEF and DEF"),
        ('name = "VIA8"', 'name = "m8"', "lower_cut.name: 'm8' is that of lower too"),
        ('name = "n5"', 'name = "n 5"', "name: 'n 5' is no name"),
        ('name = "n5"', 'name = "5n"', "name: '5n' is no name"),
        ('name = "n5"', 'name = "../n5"', "name: '../n5' is no name"),
        ('["M8 mandrel", "M8 cut"]', '["M8 mandrel", "M8 mandrel"]', "lower.masks.1: 'M8 mandrel' is a mask"),
        ('["M10"]', '["VIA8"]', "'VIA8' is a mask of"),
        ("gds_layer = 90", "gds_layer = -1", "stub.gds_layer: Input should be greater"),
        ("gds_layer = 90", "gds_layer = 40000", "32767, not 40000"),
        ("gds_layer = 90", "gds_layer = 85", "lower_cut.gds_layer: 85 is that of stub too"),
        ("mask_set = { value = 70,", "mask_set = { value = 7,", "mask_set: 7 masks, but the six layers have 8"),
        ("length = { value = 52,", "length = { value = 38,", "lower.length: 38 nm is less than the width"),
        ("size = { value = 40,", "size = { value = 400,", "port_cut.size: a cut of 400 nm is more than 4"),
        ("enclosure_below = { value = 0,", "enclosure_below = { value = 9,",
         "port_cut.end_enclosure_below: 6 nm is less than the 9 nm of enclosure_below"),
        ("space = { value = 40,", "space = { value = 0,", "lower.space: value 0 nm is out of range"),
        ("value = 0.0785,", "value = 30,", "die.array_area_per_weight: 30 um2 at"),
        ('unit = "fF/um", low = 0.15', 'unit = "Gb", low = 0.15', "b may be bits or bytes"),
    ],
)  # fmt: skip
def test_a_contradiction_or_a_wrong_name_is_told(
    tmp_path: Path, cli: Cli, tiny_checkpoint: Path, old: str, new: str, says: str
) -> None:
    """By the commands: one line, exit code 2, and no folder begun."""
    assert old in TEXTS["n5"]
    path, out = tmp_path / "mine.toml", tmp_path / "out"
    path.write_text(TEXTS["n5"].replace(old, new, 1), encoding="utf-8")
    code, printed, error = cli("build", tiny_checkpoint, "-o", out, "--technology", path)
    assert (code, printed) == (2, "")
    assert error.count("\n") == 1
    assert says in error
    assert f"{path}:" in error
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["mine.toml"]


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 99, b"\xef\xbb\xbfname = 1", b"\xff\xfe1", b"= 1"]
)
def test_what_is_no_technology_is_one_line_of_the_command(
    tmp_path: Path, cli: Cli, tiny_checkpoint: Path, content: bytes
) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    for what in (path, tmp_path / "none.toml", tmp_path / "folder.toml"):
        (tmp_path / "folder.toml").mkdir(exist_ok=True)
        code, printed, error = cli(
            "build", tiny_checkpoint, "-o", tmp_path / "out", "--technology", what
        )
        assert (code, printed) == (2, "")
        assert error.count("\n") == 1
        assert str(what) in error
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("title", ["Mét 2, 5 nm", "x" * 200, "<b>&"])
def test_a_title_is_free_text(tmp_path: Path, title: str) -> None:
    path = tmp_path / "mine.toml"
    text = TEXTS["n5"].replace("5 nm, by the paper's public figures", title, 1)
    path.write_text(text, encoding="utf-8")
    assert load_technology(str(path)).title == title
