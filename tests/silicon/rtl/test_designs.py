"""Designs of builds: silicon that no weight changes, refusals, whole folders or none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rtl_arrays import build_small, shape_of

from hnlpu.arithmetic import golden
from hnlpu.errors import DoesNotFit, InvalidInput, OutputExists
from hnlpu.silicon.embed import ArrayKind
from hnlpu.silicon.hardwire import Build, TileReader
from hnlpu.silicon.rtl import LANES, ArrayShape, find_units, make_batches, write_rtl


def texts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_silicon_is_the_same_for_other_weights(small: Build, tmp_path: Path) -> None:
    other = build_small(tmp_path, 1)
    kinds = []
    for name, build in (("a", small), ("b", other)):
        units = find_units(build)
        kinds.append([unit.shape for unit in units])
        write_rtl(build, tmp_path / name, units, vectors=0)
    assert kinds[0] == kinds[1]
    assert {shape.kind.bank for shape in kinds[0]} == {1, 3}
    assert {shape.kind.digits for shape in kinds[0]} == {1, 2}
    a, b = tmp_path / "a", tmp_path / "b"
    assert texts(a / "silicon") == texts(b / "silicon")
    assert texts(a / "top") == texts(b / "top")
    wiring = texts(a / "wiring"), texts(b / "wiring")
    assert wiring[0].keys() == wiring[1].keys()
    assert all(wiring[0][name] != wiring[1][name] for name in wiring[0])


def test_the_same_build_gives_the_same_bytes(small: Build, tmp_path: Path) -> None:
    units = find_units(small, matrices=["*router"])
    for name in "ab":
        write_rtl(small, tmp_path / name, units, vectors=64)
    for folder in ("silicon", "wiring", "top", "bench"):
        assert texts(tmp_path / "a" / folder) == texts(tmp_path / "b" / folder)


def test_a_folder_with_something_in_it_is_left_alone(small: Build, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(OutputExists):
        write_rtl(small, tmp_path, find_units(small), vectors=0)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_batches_hold_what_the_definition_gives(small: Build) -> None:
    unit = find_units(small, matrices=["*gate_up_proj"], neurons=2)[0]
    weights = TileReader(small).weights(unit.whole)
    batches = make_batches(unit.shape, weights, 200, seed=3)
    words = batches.words(unit.shape)
    bits, total = unit.shape.activation_bits, unit.shape.total_bits
    rng = np.random.default_rng(0)
    for batch in range(len(words)):
        member, lane = int(words[batch, 0]), int(rng.integers(LANES))
        alone = (words[batch, 1:] >> np.uint64(lane) & np.uint64(1)).astype(int)
        planes = alone[: bits * unit.shape.inputs].reshape(bits, -1)
        x = [int(v) for v in _signed(planes.T)]
        y = _signed(alone[bits * unit.shape.inputs :].reshape(-1, total))
        rows = [weights[neuron, member].tolist() for neuron in range(2)]
        assert y == [golden.neuron(row, x) for row in rows]
    assert set(words[:, 0].tolist()) == {0, 1, 2}


def _signed(bits: np.ndarray) -> list[int]:
    """Integers from rows of bits, two's complement, lowest first."""
    values = [sum(int(bit) << n for n, bit in enumerate(row)) for row in bits]
    return [v - (1 << len(bits[0])) if v >> len(bits[0]) - 1 else v for v in values]


def test_what_has_no_rtl_is_refused() -> None:
    with pytest.raises(InvalidInput, match="regions"):
        ArrayShape(ArrayKind("regions", 1, 1, 2, 4, 20), 2, 2, 8)
    with pytest.raises(InvalidInput, match="17 bits"):
        shape_of(activation_bits=17)
    with pytest.raises(DoesNotFit, match="totals of"):
        shape_of(scale_range=20, blocks=1 << 20, activation_bits=16)


def test_names_that_match_nothing_are_told(small: Build) -> None:
    with pytest.raises(InvalidInput, match="no matrix is named 'nothing'"):
        find_units(small, matrices=["nothing"])
    with pytest.raises(InvalidInput, match="no tile is named 'nothing'"):
        find_units(small, tiles=["nothing"])
