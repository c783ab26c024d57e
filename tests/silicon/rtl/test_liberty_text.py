"""Liberty as vendors write it is read to the same cells; what is no number is refused with its line."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from hnlpu.errors import InvalidInput
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.rtl._liberty import LibraryCell, read_cells, read_text

FILE = Path(__file__).parent / "data" / "made_up.lib"
TEXT = FILE.read_text()
CELLS = read_cells(FILE, TEXT)
Cli = Callable[..., tuple[int, str, str]]


def cells_of(folder: Path, content: bytes | str) -> dict[str, LibraryCell]:
    path = folder / "mine.lib"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_cells(path, read_text(path))


def changed(*pairs: tuple[str, str]) -> str:
    """The made-up library with all of each first text replaced."""
    text = TEXT
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


LOAD = "capacitive_load_unit (1, pf);"
AS_VENDORS_WRITE_IT = {
    "a byte order mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "CRLF": TEXT.replace("\n", "\r\n").encode(),
    "packed": gzip.compress(TEXT.encode()),
    "packed, with a mark": gzip.compress(b"\xef\xbb\xbf" + TEXT.encode()),
    "Latin-1 in a comment": b"/* \xa9 2004 \xb5m */\n" + TEXT.encode(),
    "UTF-8 in a comment": "/* © 2004 µm */\n" + TEXT,
    "a quoted unit": changed((LOAD, 'capacitive_load_unit(1, "pf");')),
    "all of the unit quoted": changed((LOAD, 'capacitive_load_unit ("1,pf");')),
    "a unit in capitals": changed((LOAD, "capacitive_load_unit (1.0, PF);")),
    "a unit of 1000 ff": changed((LOAD, "capacitive_load_unit (1000.000, ff) ;")),
    "the unit as a value": changed((LOAD, 'capacitive_load_unit : "1pf";')),
    "a continued unit": changed(('"1ns"', '\\\n "1ns"'), (LOAD, "capacitive_load_unit (1, \\\n pf);")),
    "a unit continued within quotes": changed(('"1ns"', '"1\\\nns"')),
    "a continued unit of Windows": changed(('"1ns"', '\\\r\n "1\\\r\nns"')),
    "a space behind the backslash": changed(('"1ns"', '\\  \n "1ns"')),
    "a unit without quotes": changed(('"1ns"', "1ns")),
    "a unit of 1000 ps": changed(('"1ns"', '"1000 ps"')),
    "no time unit: the manual's 1ns": changed(('time_unit : "1ns";', "")),
    "quoted numbers": changed(("area : 2;", 'area : "2";'), (": 0.001;", ': "0.001" ;')),
    "numbers quoted one by one": changed((", ", '", "')),
    "continued tables": changed(('", "', '", \\\n   "'), ("values (", "values ( \\\n")),
    "tables continued within quotes": changed(('"0.0100, 0.0200', '"0.0100, \\\n 0.0200')),
    "tables of many lines": changed(('"0.0100, 0.0200', '"0.0100,\n 0.0200')),
    "blanks for commas": changed(("0.0100, 0.0200", "0.0100 0.0200")),
    "comments everywhere": changed(
        ("area : 2;", "area /* a { */ : /* ; */ 2 /* \" } */ ;"), ("library (", "/* ( */ library /* ) */ ("),
        ("cell (NAND2)", "cell ( /* A) */ NAND2 ) /* { */"), (LOAD, "capacitive_load_unit (1, /* \" */ pf);"),
        ("values (", "values ( /* \"9\", (9) */ "), ("index_2 (", "index_2 /* ( */ ("),
    ),
    "comments to the end of the line": changed(
        ("area : 2;", "area : 2; // it's } {"), ("cell (NAND2)", "cell (NAND2) // (\n"),
        (LOAD, "capacitive_load_unit (1, // \"\n pf);"),
    ),
    "no blanks": changed((" : ", ":"), (") {", "){"), ("; ", ";")),
    "statements without an end": changed((": 0.001;", ": 0.001")),
    "exponents": changed((": 0.001;", ": 1.0e-03;"), ("0.0100,", "+.1E-1,")),
    "names in quotes": changed(("cell (NAND2)", 'cell ("NAND2")'), ("pin (A)", 'pin ("A")')),
    "a default load": changed(
        ("      capacitance : 0.001;\n", ""),
        ("time_unit :", "default_input_pin_cap : 0.001;\n  time_unit :"),
    ),
    "groups that say nothing here": changed(
        ("cell (NOT1) {", 'operating_conditions ("x") { // }\n process : 1; }\n cell (NOT1) {')
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", AS_VENDORS_WRITE_IT)
def test_the_same_library_in_other_words(tmp_path: Path, how: str) -> None:
    assert cells_of(tmp_path, AS_VENDORS_WRITE_IT[how]) == CELLS


def test_pins_that_share_a_group_are_all_there(tmp_path: Path) -> None:
    two = (
        "    pin (A) {\n      direction : input;\n      capacitance : 0.001;\n    }\n    pin (B) {"
    )
    for names in ("pin (A, B) {", 'pin ("A B") {', 'pin ("A", "B") {'):
        assert cells_of(tmp_path, changed((two, names))) == CELLS


TABLE = '"0.0100, 0.0200, 0.0500"'
REFUSED = {
    "nan in a table": (changed((TABLE, '"0.0100, nan, 0.0500"')),
                       "cell NOT1: pin Y: cell_rise: values 'nan' is no number"),
    "NaN": (changed((TABLE, '"0.0100, NaN, 0.0500"')), "values 'NaN' is no number"),
    "inf": (changed((TABLE, '"0.0100, inf, 0.0500"')), "values 'inf' is no number"),
    "-Infinity": (changed((TABLE, '"0.0100, -Infinity, 0.0500"')), "values '-Infinity' is no number"),
    "beyond all numbers": (changed((TABLE, '"0.0100, 1e999, 0.0500"')), "values '1e999' is no number"),
    "a word in a table": (changed((TABLE, '"0.0100, 0.02x, 0.0500"')), "values '0.02x' is no number"),
    "nan in an index": (changed(('index_2 ("0.0, 0.01', 'index_2 ("0.0, nan')), "index_2 'nan' is no number"),
    "an index that falls": (changed(('("0.0, 0.1, 0.4")', '("0.0, 0.4, 0.1")')), "index_1 does not increase"),
    "nan for an area": (changed(("area : 2;", "area : nan;")), "cell NAND2: area 'nan' is no number"),
    "inf for an area": (changed(("area : 2;", "area : inf;")), "area 'inf' is no number"),
    "less than no area": (changed(("area : 2;", "area : -2;")), "area -2 is negative"),
    "nan for a load": (changed((": 0.001;", ": nan;")), "pin A: capacitance 'nan' is no number"),
    "no load unit": (changed((LOAD, "")), "line 2: the library has no capacitive_load_unit"),
    "an empty load unit": (changed((LOAD, "capacitive_load_unit ();")), "unit '' is unknown"),
    "a load unit of nothing": (changed((LOAD, "capacitive_load_unit (0, pf);")), "unit '0,pf' is unknown"),
    "a load unit of nan": (changed((LOAD, "capacitive_load_unit (nan, pf);")), "unit 'nan,pf' is unknown"),
    "a load unit without a number": (changed((LOAD, "capacitive_load_unit (pf);")), "unit 'pf' is unknown"),
    "a negative time unit": (changed(('"1ns"', '"-1ns"')), "time_unit: unit '-1ns' is unknown"),
    "a unit of another kind": (changed((LOAD, "capacitive_load_unit (1, ns);")), "one of af, ff, pf, nf"),
    "no values": (changed(("values (", "valuez (")), "cell_rise: there are no values"),
    "a table of no template": (changed(("cell_rise (by_slew_and_load)", "cell_rise (other)")),
                               "its lu_table_template other is not in the library"),
    "a table over something else": (changed(("input_net_transition", "input_voltage")),
                                    "variable_1 input_voltage: tables over one slew"),
    "no name of a cell": (changed(("cell (NAND2)", "cell ()")), "a cell has no name"),
    "no name of a pin": (changed(("pin (B)", "pin ()")), "a pin has no name"),
    "a comment without end": (TEXT + "/* and so on", "a comment has no end"),
    "a string without end": (changed(('"1V"', '"1V')), "line "),
    "an included file": (changed((LOAD, LOAD + 'include_file ("more.lib");')), "line 8: include_file is not"),
    "two libraries": (TEXT + TEXT, "a second library begins"),
    "zeros": ("library (x) {\0}", "is no text"),
    "UTF-16": (TEXT.encode("utf-16"), "is no text"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0", "is no text"),
    "half a packed file": (gzip.compress(TEXT.encode())[:200], "Compressed file ended"),
    "a packed file that is none": (b"\x1f\x8bnothing", "mine.lib"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, what: str) -> None:
    content, says = REFUSED[what]
    with pytest.raises(InvalidInput) as caught:
        cells_of(tmp_path, content)
    said = str(caught.value)
    assert said.startswith(f"`liberty` {tmp_path}/mine.lib: ")
    assert says in said
    assert said.isprintable()


def test_the_line_is_that_of_the_cell(tmp_path: Path) -> None:
    line = TEXT[: TEXT.index("cell (NAND2)")].count("\n") + 1
    with pytest.raises(InvalidInput, match=rf"mine\.lib: line {line}: cell NAND2: area"):
        cells_of(tmp_path, changed(("area : 2;", "area : nan;")))


@pytest.mark.parametrize("cut", range(0, len(TEXT), 331))
def test_a_library_cut_anywhere_is_refused(tmp_path: Path, cut: int) -> None:
    with pytest.raises(InvalidInput, match=r"mine\.lib: "):
        cells_of(tmp_path, TEXT[:cut])


def test_the_command_says_it_in_one_line(tmp_path: Path, small: Build, cli: Cli) -> None:
    file, out = tmp_path / "mine.lib", tmp_path / "out"
    file.write_text(changed((TABLE, '"0.0100, nan, 0.0500"')))
    for path in (file, tmp_path):
        code, said, error = cli(
            "rtl", small.directory, "-o", out, "--matrix", "*router", "--synth", "--liberty", path
        )
        assert (code, said, error.count("\n")) == (2, "", 1)
        assert f"--liberty {path}: " in error
        assert not out.exists()
