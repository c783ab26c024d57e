"""Whole arrays with metal read from their wiring: right as written, and any wrong connection told."""

from __future__ import annotations

import dataclasses
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from rtl_arrays import build_small, needs, random_digits, shape_of

from hnlpu.arithmetic import golden
from hnlpu.insight.verify._recorded import record_activations
from hnlpu.silicon.embed import TileDigits
from hnlpu.silicon.hardwire import Build, TileReader
from hnlpu.silicon.place import Array, Tile
from hnlpu.silicon.rtl import (
    ArrayProgram,
    ArrayUnit,
    Programs,
    Vectors,
    find_units,
    identifier,
    make_vectors,
    simulate_loaded,
    tile_wiring,
    write_rtl,
)
from hnlpu.silicon.technology import load_technology

N5 = load_technology("n5")
pytestmark = [needs("verilator", "make"), needs("verilator", "c++")]


@dataclasses.dataclass(frozen=True)
class Cut:
    """An array of four tiles, two by two, with its wiring in a folder."""

    unit: ArrayUnit
    program: ArrayProgram
    folder: Path
    digits: TileDigits

    def weights(self) -> np.ndarray:
        shape = self.unit.shape
        rows = self.digits.integers().astype(np.int64)
        return rows.reshape(shape.neurons, shape.kind.bank, shape.kind.digits, -1).sum(2)


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Cut:
    folder = tmp_path_factory.mktemp("cut")
    shape = shape_of(digits=2, bank=2, scale_range=1, neurons=4, blocks=3, activation_bits=4)
    digits, kind = random_digits(shape, 1), shape.kind
    array = Array(0, "m", kind, (0, 2), (0, 4), (0, 3))
    tiles = tuple(
        Tile(0, "m", kind, (0, 2), neurons, blocks)
        for neurons in ((0, 2), (2, 4))
        for blocks in ((0, 1), (1, 3))
    )
    (folder / "wiring").mkdir()
    for tile in tiles:
        rows = slice(*(n * kind.rows_per_neuron for n in tile.neurons))
        blocks = slice(*tile.blocks)
        part = TileDigits(digits.codes[rows, blocks], digits.shifts[rows, blocks])
        name = f"wiring_{identifier(tile)}"
        text = b"".join(tile_wiring(name, part, kind, N5))
        (folder / "wiring" / f"{name}.sv").write_bytes(text)
    unit = ArrayUnit(array, shape, tiles)
    return Cut(unit, Programs(folder, "-O0").find(unit), folder, digits)


def test_tiles_lie_where_the_top_lays_them(cut: Cut) -> None:
    weights = cut.weights()
    vectors = make_vectors(cut.unit.shape, weights, 512, seed=1)
    found = simulate_loaded(cut.program, cut.folder, cut.unit, vectors, weights)
    assert found.fault == ""
    assert found.vectors == 512
    assert found.macs == 512 * 4 * 96


@pytest.mark.parametrize("bus", ["p", "q"])
def test_one_wrong_connection_is_found(cut: Cut, bus: str) -> None:
    weights = cut.weights()
    vectors = make_vectors(cut.unit.shape, weights, 512, seed=1)
    file = cut.folder / "wiring" / f"wiring_{identifier(cut.unit.tiles[3])}.sv"
    text = file.read_text()
    place = {"p": r"assign p\[5\]\[31:0\] = {([^}]*)}", "q": r"assign q\[5\]\[0\] = {([^}]*)}"}[bus]
    statement = re.search(place, text)
    assert statement is not None
    # ports of a block may change places, columns may not
    names = statement[1].split(",")
    first = next(n for n, (a, b) in enumerate(pairwise(names)) if a.strip() != b.strip())
    names[first : first + 2] = names[first + 1], names[first if bus == "q" else first + 1]
    wrong = text.replace(statement[1], ",".join(names), 1)
    assert wrong != text
    file.write_text(wrong)
    try:
        found = simulate_loaded(cut.program, cut.folder, cut.unit, vectors, weights)
    finally:
        file.write_text(text)
    # row 5 of the tile is the second digit of member 0 of its second neuron
    assert "differ from the golden integers, the first in neuron 3, vector" in found.fault


def test_a_program_without_end_tells_its_handshakes(
    cut: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hnlpu.silicon.rtl import _loaded

    run = _loaded.run_tool
    monkeypatch.setattr(_loaded, "run_tool", lambda command, *a, **k: run([*command, "9"], *a, **k))
    weights = cut.weights()
    vectors = make_vectors(cut.unit.shape, weights, 256, seed=1)
    found = simulate_loaded(cut.program, cut.folder, cut.unit, vectors, weights)
    assert "no end after 10 cycles: in_valid" in found.fault


def test_a_regions_array_is_simulated_whole(tmp_path: Path) -> None:
    build = build_small(tmp_path, 0, "regions")
    [unit] = find_units(build, matrices=["*k_proj"], neurons=1)
    write_rtl(build, tmp_path / "out", [unit], vectors=0)
    weights = TileReader(build).weights(unit.whole)
    vectors = make_vectors(unit.shape, weights, 256, seed=2)
    program = Programs(tmp_path, "-O0").find(unit)
    assert simulate_loaded(program, tmp_path / "out", unit, vectors, weights).fault == ""


def test_recorded_activations_are_vectors_of_their_member(small: Build) -> None:
    recorded = record_activations(small, tokens=12, seed=3)
    assert set(recorded) == set(small.shapes())
    of_experts = recorded["model.layers.0.mlp.experts.gate_up_proj"]
    per_token = small.architecture.num_experts_per_tok
    assert sum(map(len, of_experts)) == 12 * per_token
    assert [len(one) for one in recorded["lm_head"]] == [12]
    [unit, *_] = find_units(small, matrices=["*gate_up_proj"])
    weights = TileReader(small).weights(unit.whole)
    own = [of_experts[member] for member in range(*unit.array.members)]
    vectors = make_vectors(unit.shape, weights, 192, 1, own)
    for member, expected in enumerate(own):
        x = vectors.x[vectors.members == member].reshape(-1, unit.shape.inputs)
        assert x[len(x) - len(expected) :].tolist() == expected.tolist()
    y = vectors.products(weights)
    batch, lane = len(y) - 1, 5
    row = weights[2, vectors.members[batch]].tolist()
    assert golden.neuron(row, vectors.x[batch, lane].tolist()) == y[batch, lane, 2]


def test_sums_beyond_float64_are_refused() -> None:
    vectors = Vectors(np.zeros(1, np.int64), np.full((1, 64, 32), -(1 << 15)))
    with pytest.raises(AssertionError):
        vectors.products(np.full((1, 1, 32), 1 << 40))
