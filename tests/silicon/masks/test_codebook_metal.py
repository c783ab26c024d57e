"""Arrays of other codebooks: their own trunks, drawn, read, judged by KLayout and damaged as E2M1's are."""

from __future__ import annotations

from pathlib import Path

import klayout.db as db
import numpy as np
import pytest
from layouts import difference, random_digits, read_regions, regions
from taps_damage import FIXED_DAMAGES, PROGRAMMABLE_DAMAGES, damaged

import hnlpu
from helpers import write_checkpoint
from hnlpu.arithmetic.codebooks import open_codebook
from hnlpu.arithmetic.mx import TWICE_E2M1, pack, unpack
from hnlpu.errors import InvalidInput
from hnlpu.insight.verify import verify
from hnlpu.model.policy import array_codebook_of, codebook_of, make_policy
from hnlpu.silicon.embed import (
    ArrayKind,
    Taps,
    TileDigits,
    TileShape,
    array_kind,
    masks_needed,
)
from hnlpu.silicon.hardwire import open_build
from hnlpu.silicon.masks._decode import decode_taps
from hnlpu.silicon.masks._extract import extract_netlist
from hnlpu.silicon.masks._klayout import check_rules
from hnlpu.silicon.masks._klayout import extract_netlist as klayout_netlist
from hnlpu.silicon.masks._named_weights import weights_of_names
from hnlpu.silicon.masks._nets_taps import taps_nets
from hnlpu.silicon.masks._oasis_bytes import layout_payload
from hnlpu.silicon.masks._oasis_read import flatten, parse_cell, read_oasis
from hnlpu.silicon.masks._oasis_taps import pattern_cells, taps_payload
from hnlpu.silicon.masks._oasis_write import OasisWriter, cell_record
from hnlpu.silicon.masks._pairs import NEIGHBOURS, pairs_of
from hnlpu.silicon.masks._proof import proof_tile
from hnlpu.silicon.masks._via_map import via_sites
from hnlpu.silicon.masks._wires import check_wires
from hnlpu.silicon.place import make_target
from hnlpu.silicon.technology import load_technology

BOOKS = ("ternary2", "int3", "nf4")
SMALLER = ("ternary", "int3")
NAMES = ("n5", "sky130", "asap7")
SHAPE = TileShape(4, 2)


def taps_of(book: str, technology: str = "n5", scale_range: int = 2, bank: int = 1) -> Taps:
    kind = ArrayKind("taps", 1, bank, scale_range, codebook=book)
    return Taps(load_technology(technology), kind)


@pytest.mark.parametrize("book", BOOKS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale_range", [0, 2, 12])
def test_what_is_drawn_is_read(book: str, name: str, scale_range: int, tmp_path: Path) -> None:
    """By the bulk reader and by the extractor that knows labels alone, through a file's bytes."""
    taps = taps_of(book, name, scale_range)
    digits = random_digits(taps, SHAPE)
    drawn = taps.draw(digits)
    integers, faults = taps.read(SHAPE, drawn.shapes())
    assert faults == []
    np.testing.assert_array_equal(integers, digits.integers())
    path = tmp_path / "tile.oas"
    with path.open("wb") as file:
        writer = OasisWriter(file, {})
        for cell, payload in pattern_cells(taps).items():
            writer.put_cell(cell_record(cell, payload))
        writer.put_cell(cell_record("tile", taps_payload(taps, digits)))
        writer.put_cell(cell_record("base", layout_payload(taps.base(SHAPE))))
        writer.end()
    layout = db.Layout()
    layout.read(str(path))
    assert difference(read_regions(layout, layout.cell("tile")), regions(drawn)) == {}
    found, faults = taps.read(SHAPE, flatten(read_oasis(path).cells, "tile").shapes)
    assert faults == []
    np.testing.assert_array_equal(found, digits.integers())
    whole = layout_payload(taps.base(SHAPE).merged(drawn))
    cell = parse_cell(cell_record("tile", whole, compress=False), "tile")
    netlist = extract_netlist(taps.technology, cell)
    found, faults = decode_taps(netlist, SHAPE.rows, SHAPE.blocks)
    assert [*netlist.faults, *faults] == []
    np.testing.assert_array_equal(found, digits.integers())


@pytest.mark.parametrize("book", BOOKS)
@pytest.mark.parametrize(("name", "scale_range", "bank"), [
    ("n5", 2, 8), ("n5", 0, 1), ("sky130", 2, 1), ("sky130", 0, 8), ("asap7", 2, 8),
])  # fmt: skip
def test_the_proof_tile_is_legal_and_has_all_neighbours(
    book: str, name: str, scale_range: int, bank: int
) -> None:
    taps = taps_of(book, name, scale_range, bank)
    _, digits = proof_tile(taps)
    layout = taps.base(TileShape(digits.rows, digits.blocks)).merged(taps.draw(digits))
    assert check_rules(taps.technology, layout) == []
    assert check_wires(taps.technology, layout) == []
    codes, count = unpack(digits.codes), len(open_codebook(book).codes)
    for step in NEIGHBOURS:
        assert len(pairs_of(codes, *step)) == count**2


@pytest.mark.parametrize("book", BOOKS)
def test_klayouts_nets_say_the_weights(book: str) -> None:
    taps = taps_of(book, "n5", 2, 8)
    digits = random_digits(taps, SHAPE, 3)
    nets = klayout_netlist(taps.technology, taps.base(SHAPE).merged(taps.draw(digits)))
    integers, faults = weights_of_names(nets, SHAPE)
    assert faults == []
    np.testing.assert_array_equal(integers, digits.integers())


@pytest.mark.parametrize("book", BOOKS)
@pytest.mark.parametrize("name", PROGRAMMABLE_DAMAGES | FIXED_DAMAGES)
def test_every_fault_is_found(book: str, name: str) -> None:
    """By the extractor, at fifteen random places each; those of vias by the bulk reader too."""
    taps, damages = taps_of(book), PROGRAMMABLE_DAMAGES | FIXED_DAMAGES
    for seed in range(15):
        digits = random_digits(taps, SHAPE, seed)
        layout, drawn, place = damaged(taps, digits, damages[name], seed)
        cell = parse_cell(cell_record("tile", layout_payload(layout), compress=False), "tile")
        netlist = extract_netlist(taps.technology, cell)
        found, faults = decode_taps(netlist, SHAPE.rows, SHAPE.blocks)
        told = [*netlist.faults, *faults]
        assert told or (found != digits.integers()).any(), seed
        if name in PROGRAMMABLE_DAMAGES:
            found, faults = taps.read(SHAPE, drawn.shapes())
            places = {(f.row, f.column) for f in faults}
            places |= set(map(tuple, np.argwhere(found != digits.integers()).tolist()))
            assert place in places, seed


@pytest.mark.parametrize("book", SMALLER)
@pytest.mark.parametrize("name", NAMES)
def test_it_takes_no_more_of_anything(book: str, name: str) -> None:
    """Trunks are those of the values; neither area nor masks nor transistors are more than E2M1's."""
    for bank in (1, 8):
        small, full = taps_of(book, name, bank=bank), taps_of("e2m1", name, bank=bank)
        values = set(open_codebook(book).values)
        labels = {label.text for label in small.base(TileShape(1, 1)).labels if label.y == 0}
        assert {int(t[3:]) for t in labels if t.startswith("x0.")} == values - {0}
        assert small.cell < full.cell
        # where silicon decides the area, a row's height is rounded up to the grid
        assert small.area_um2() <= full.area_um2() * 1.005
        assert small.transistors(1024, 1024) < full.transistors(1024, 1024)
        assert (
            masks_needed([(small, None)]).programmable <= masks_needed([(full, None)]).programmable
        )


def test_names_of_e2m1_are_as_before_and_others_say_theirs() -> None:
    assert array_kind("taps", 1, 8, 2).name == "taps-d1-b8-r2"
    assert array_kind("taps", 1, 8, 2, codebook="int3").name == "taps-d1-b8-r2-int3"
    # silicon of regions takes any value that a code has, and others as the two codes that are stored
    assert array_kind("regions", 1, 1, 2, codebook="int3") == array_kind("regions", 1, 1, 2)
    assert array_kind("regions", 1, 1, 2, codebook="int4") == array_kind("regions", 2, 1, 2)
    assert array_kind("taps", 2, 1, 4, codebook="int4").name == "taps-d2-b1-r4-int4"


@pytest.mark.parametrize("book", BOOKS)
def test_a_value_without_a_trunk_is_never_drawn(book: str) -> None:
    taps = taps_of(book)
    codes = np.zeros((4, 64), np.uint8)
    codes[2, 5] = 7
    digits = TileDigits(pack(codes), np.zeros((4, 2), np.uint8))
    said = rf"\+{int(TWICE_E2M1[7])} half units.*{book}"
    for use in (taps.draw, redraw_of(taps)):
        with pytest.raises(InvalidInput, match=said):
            use(digits)


def redraw_of(taps: Taps):
    from hnlpu.silicon.masks._schemes import MASK_SCHEMES

    masks = MASK_SCHEMES["taps"]
    return lambda digits: masks.payload(taps, digits)


@pytest.mark.parametrize("book", BOOKS)
def test_via_maps_number_the_trunks_that_there_are(book: str) -> None:
    taps = taps_of(book)
    digits = random_digits(taps, SHAPE, 2)
    sites = via_sites(taps, digits)
    assert sites.max() == len(open_codebook(book).codes) - 1
    x = np.array(sorted(taps.site_x.values()))
    expected = np.vectorize(taps.site_x.__getitem__)(unpack(digits.codes))
    np.testing.assert_array_equal(x[sites], expected)
    assert sum(len(net.vias) for net in taps_nets(taps, digits)) > digits.weights


@pytest.mark.parametrize(
    ("fmt", "scheme"),
    [("ternary", "taps"), ("ternary2", "taps"), ("int3", "regions"), ("nf4", "taps"), ("int8", "taps"), ("int4", "regions")],
)  # fmt: skip
def test_a_build_is_proved_with_its_masks(fmt: str, scheme: str, tmp_path: Path) -> None:
    """Experts and router in E2M1, all else in the format: kinds side by side on one die.

    Silicon of regions is that of E2M1, whose values these are: there the weights are proved alone.
    """
    sizes = {"layers": 1, "hidden": 64, "intermediate": 32, "heads": 2, "vocab": 40}
    checkpoint = write_checkpoint(tmp_path / "c", **sizes)
    policy = make_policy(attention=fmt, unembedding=fmt)
    build = hnlpu.build(checkpoint, tmp_path / "b", policy, make_target(scheme=scheme), workers=1)
    found = verify(build, masks=scheme == "taps", workers=1)
    assert found.passed, [c.problems for c in found.checks]
    assert not found.skipped
    manifest = open_build(build).manifest
    book, record = codebook_of(fmt), manifest.matrices["lm_head"]
    arrays = array_codebook_of(fmt)
    kinds = {(kind.codebook, kind.digits) for kind in manifest.placement.kinds()}
    in_e2m1 = {("e2m1", 1), ("e2m1", 2)}  # the router has two digits
    own = {(arrays.name, 2 if fmt == "int8" else 1)}
    assert kinds == (in_e2m1 | own if scheme == "taps" else in_e2m1)
    assert record.format == fmt
    assert len(record.digits) == record.metal_digits * book.stored
    if book.of_e2m1:
        assert {code for code, n in enumerate(record.digits[0].codes) if n} <= set(book.codes)
