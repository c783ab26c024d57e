"""Faults in mask files: each is reported with the file, or with tile, row and input."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from builds import Builds
from resealed import cell, check, names_of, problems, replace_cells, reseal, swap_names
from taps_damage import FIXED_DAMAGES, PROGRAMMABLE_DAMAGES, damaged

import hnlpu
from helpers import write_checkpoint
from hnlpu.errors import DamagedMasks, InvalidInput
from hnlpu.silicon.embed import Layout, Scheme, Taps
from hnlpu.silicon.hardwire import Build, TileReader, open_build
from hnlpu.silicon.masks import open_masks, open_workers, write_masks
from hnlpu.silicon.masks._cells import base_name, tile_payload
from hnlpu.silicon.masks._oasis_bytes import layout_payload, placement_record
from hnlpu.silicon.masks._oasis_read import parse_cell
from hnlpu.silicon.masks._oasis_write import cell_record
from hnlpu.silicon.place import Tile, find_tiles
from regions_damage import DAMAGES
from regions_damage import damaged as damaged_regions

ROUTER, K = "model.layers.0.mlp.router.n0.b0", "model.layers.0.self_attn.k_proj.n0.b0"
SCHEMES = ("taps", "regions")
PLACES = 100


@pytest.fixture(scope="module")
def masks(builds: Builds, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Masks of a few tiles of a build, with their base; do not alter them."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp("masks") / name
            build = builds(name)
            write_masks(build, made[name], few(build), ["oasis"], open_workers(1), with_base=True)
        return made[name]

    return folder


def few(build: Build) -> list[Tile]:
    tiling = build.manifest.technology.array
    return find_tiles(build.manifest.placement, tiling, [0], ["*router*", "*k_proj*", "*v_proj*"])


def tile_of(build: Build, name: str) -> Tile:
    (tile,) = find_tiles(build.manifest.placement, build.manifest.technology.array, [0], [name])
    return tile


def scheme_of(build: Build, tile: Tile) -> Scheme:
    from hnlpu.silicon.masks import TileSource

    return TileSource(build).scheme(tile.kind)


def words(tile: Tile, row: int | None, column: int | None) -> str:
    """How a place of a tile must be told."""
    text = f"chip-00 {tile.name}"
    if row is not None:
        neuron, _, digit = tile.place_of(row)
        text += f": row {row} (neuron {neuron}, digit {digit})"
    return text if column is None else f"{text}, input {column}"


@pytest.mark.parametrize("name", SCHEMES)
def test_sound_masks_have_no_problem(
    name: str, builds: Builds, masks: Callable[[str], Path], tmp_path: Path
) -> None:
    """Also when they were written anew cell by cell, as the tests below do."""
    build, folder = builds(name), shutil.copytree(masks(name), tmp_path / "m")
    assert problems(build, folder) == ""
    replace_cells(folder, {})
    assert problems(build, folder) == ""
    digits = sum(tile.shape.weights for tile in few(build))
    assert [done.covered for done in check(build, folder)] == [5, digits, digits, 3]


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("how", ["flipped", "cut"])
def test_files_damaged_at_any_byte_are_named(
    how: str, name: str, builds: Builds, masks: Callable[[str], Path], tmp_path: Path
) -> None:
    build, folder = builds(name), shutil.copytree(masks(name), tmp_path / "m")
    rng = random.Random(7)
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        small = len(whole) < 5000
        for n in range(25 if small else PLACES):
            at = rng.randrange(len(whole)) if n else len(whole) - 1
            raw = bytearray(whole if how == "flipped" else whole[:at])
            if how == "flipped":
                raw[at] ^= 1 << rng.randrange(8)
            path.write_bytes(raw)
            try:
                _, _, found = open_masks(build, folder)
            except DamagedMasks as error:
                found = [str(error)]
            assert str(path) in "\n".join(found), at
            if n < 12:  # and no reader behind it crashes on what is in the file
                assert str(path) in problems(build, folder), at
        path.write_bytes(whole)
    assert problems(build, folder) == ""


@pytest.mark.parametrize("name", SCHEMES)
def test_a_damaged_file_under_a_right_digest_is_read_or_damaged(
    name: str, builds: Builds, masks: Callable[[str], Path], tmp_path: Path
) -> None:
    """Bytes of a packed cell changed: found by what the metal says, if it is no longer the same."""
    build, folder = builds(name), shutil.copytree(masks(name), tmp_path / "m")
    record, rng = cell(folder, ROUTER), random.Random(8)
    names = names_of(folder)
    sound = parse_cell(record, "x", names).shapes
    for seed in range(40 if name == "taps" else 15):
        raw = bytearray(record)
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        replace_cells(folder, {ROUTER: bytes(raw)})
        found = problems(build, folder)
        if not found:  # a bit that means nothing
            same = parse_cell(bytes(raw), "x", names).shapes
            assert all(
                np.array_equal(np.concatenate(same[k]), np.concatenate(sound[k])) for k in sound
            )
        else:
            assert ROUTER in found, (seed, found)


@pytest.mark.parametrize("damage", PROGRAMMABLE_DAMAGES)
def test_faults_of_vias_in_files_are_told_with_tile_row_and_input(
    damage: str, builds: Builds, masks: Callable[[str], Path], tmp_path: Path
) -> None:
    build, folder = builds("taps"), shutil.copytree(masks("taps"), tmp_path / "m")
    tile = tile_of(build, ROUTER)
    taps, digits = scheme_of(build, tile), TileReader(build).digits(tile)
    assert isinstance(taps, Taps)
    for seed in range(12):
        _, drawn, (row, column) = damaged(taps, digits, PROGRAMMABLE_DAMAGES[damage], seed)
        replace_cells(folder, {ROUTER: cell_record(ROUTER, layout_payload(drawn))})
        files, bulk, nets, _ = check(build, folder)
        assert files.passed, "the digests are right"
        for done in (bulk, nets):
            assert not done.passed, done.name
            place = row if damage != "via of a scale missing" else None
            assert any(words(tile, place, column) in p for p in done.problems) or place is None


@pytest.mark.parametrize("damage", DAMAGES)
def test_faults_of_wires_in_files_are_told_with_tile_and_row(
    damage: str, builds: Builds, masks: Callable[[str], Path], tmp_path: Path
) -> None:
    build, folder = builds("regions"), shutil.copytree(masks("regions"), tmp_path / "m")
    tile = tile_of(build, ROUTER)
    scheme, digits = scheme_of(build, tile), TileReader(build).digits(tile)
    for seed in range(6):
        shapes, row = damaged_regions(scheme, digits, damage, seed)
        drawn = Layout(rectangles=shapes)
        replace_cells(folder, {ROUTER: cell_record(ROUTER, layout_payload(drawn))})
        files, bulk, nets, _ = check(build, folder)
        assert files.passed
        assert any(words(tile, row, None) in problem for problem in bulk.problems)
        assert any(f"chip-00 {ROUTER}: row {row} " in problem for problem in nets.problems)


@pytest.mark.parametrize("damage", FIXED_DAMAGES)
def test_faults_of_the_base_in_files_are_told_with_tile_and_row(
    damage: str, builds: Builds, masks: Callable[[str], Path], tmp_path: Path
) -> None:
    build, folder = builds("taps"), shutil.copytree(masks("taps"), tmp_path / "m")
    tile = tile_of(build, ROUTER)
    taps, digits = scheme_of(build, tile), TileReader(build).digits(tile)
    assert isinstance(taps, Taps)
    name = base_name(taps, tile.shape)
    own = set(taps.draw(digits).rectangles)
    for seed in range(10):
        layout, _, (row, column) = damaged(taps, digits, FIXED_DAMAGES[damage], seed)
        fixed = {key: found for key, found in layout.rectangles.items() if key not in own}
        base = Layout(rectangles=fixed, labels=layout.labels)
        replace_cells(folder, {name: cell_record(name, layout_payload(base))})
        files, bulk, nets, _ = check(build, folder)
        assert files.passed
        # the bulk reader says that it is not the fixed metal of its kind, the nets what is wrong
        assert all("the fixed metal below, base-" in problem for problem in bulk.problems)
        assert bulk.problems
        assert not nets.passed
        if row is not None:
            assert any(words(tile, row, column) in problem for problem in nets.problems)
        else:
            assert any(f"chip-00 {ROUTER}: row " in problem for problem in nets.problems)


@pytest.mark.parametrize("name", SCHEMES)
def test_wrong_and_swapped_tiles_are_told(
    name: str, builds: Builds, masks: Callable[[str], Path], tmp_path: Path
) -> None:
    build, folder = builds(name), masks(name)
    v = K.replace("k_proj", "v_proj")
    payload = {t: tile_payload(scheme_of(build, tile_of(build, t)), TileReader(build).digits(tile_of(build, t)))
               for t in (K, v)}  # fmt: skip
    here = shutil.copytree(folder, tmp_path / "wrong")
    replace_cells(here, {K: cell_record(K, payload[v])})
    found = problems(build, here)
    assert f"chip-00 {K}: row 0 (neuron 0, digit 0), input " in found
    assert v not in found
    here = shutil.copytree(folder, tmp_path / "swapped")
    replace_cells(here, {K: cell_record(K, payload[v]), v: cell_record(v, payload[K])})
    found = problems(build, here)
    assert f"chip-00 {K}: row 0 " in found
    assert f"chip-00 {v}: row 0 " in found
    here = shutil.copytree(folder, tmp_path / "swapped with names")
    swap_names(here, K, v)
    found = problems(build, here)
    assert f"chip-00 {K}: its place in the file holds tile {v}" in found
    assert f"chip-00 {v}: its place in the file holds tile {K}" in found
    here = shutil.copytree(folder, tmp_path / "swapped on the die")
    places = parse_cell(cell(here, "chip-00"), "x", names_of(here)).placements
    swapped = {**places, K: places[v], v: places[K]}
    top = b"".join(
        placement_record(n, *at) for n, found_ in swapped.items() for at in found_.tolist()
    )
    replace_cells(here, {"chip-00": cell_record("chip-00", top)})
    found = problems(build, here)
    assert f"chip-00.oas: tile {K} lies at [{tuple(places[v][0].tolist())}], not at" in found
    assert f"chip-00.oas: tile {v} lies at" in found


def test_cells_that_are_missing_or_too_many_are_told(
    builds: Builds, masks: Callable[[str], Path], tmp_path: Path
) -> None:
    build = builds("taps")
    here = shutil.copytree(masks("taps"), tmp_path / "m")
    top = cell(here, "chip-00")
    placed = parse_cell(top, "x", names_of(here)).placements
    some = b"".join(
        placement_record(n, *at) for n, f in placed.items() for at in f.tolist() if n != K
    )
    extra = some + placement_record(K, *placed[K][0].tolist()) + placement_record("stranger", 0, 0)
    boxes = layout_payload(Layout(rectangles={(90, 1): np.int32([[0, 0, 50, 50]])}))
    for record, expected in (
        (some, f"chip-00.oas: tile {K} lies at no place"),
        (extra, "chip-00.oas: cell stranger, which is no tile of this chip, is placed"),
        (some + 2 * placement_record(K, *placed[K][0].tolist()), f"tile {K} lies at [("),
        (some + placement_record(K, *placed[K][0].tolist()) + boxes, "has shapes outside of tiles"),
    ):
        replace_cells(here, {"chip-00": cell_record("chip-00", record)})
        assert expected in problems(build, here)
    own = parse_cell(cell(here, K), "x", names_of(here))
    metal = scheme_of(build, tile_of(build, K)).draw(TileReader(build).digits(tile_of(build, K)))
    metal.rectangles[90, 0] = np.int32([[0, 0, 500, 50]])
    assert own.name == K
    replace_cells(here, {K: cell_record(K, layout_payload(metal)), "chip-00": top})
    assert f"chip-00 {K}: has shapes on layer 90/0, where no weight has any" in problems(
        build, here
    )


@pytest.mark.parametrize("name", SCHEMES)
def test_stale_masks_are_told(
    name: str, builds: Builds, masks: Callable[[str], Path], tmp_path: Path
) -> None:
    """A folder, and a file, of another checkpoint's build of the same shapes."""
    build, folder = builds(name), masks(name)
    checkpoint = write_checkpoint(
        tmp_path / "other", seed=1, layers=1, intermediate=64, heads=2, vocab=40
    )
    target = hnlpu.silicon.place.make_target(bank=3, scheme=name)
    other = open_build(hnlpu.build(checkpoint, tmp_path / "build", target=target))
    stale = tmp_path / "stale"
    write_masks(other, stale, few(other), ["oasis"], open_workers(1))
    (first,) = check(build, stale)
    assert f"{stale}: masks of another build than {build.directory}" in first.problems[0]
    mixed = shutil.copytree(folder, tmp_path / "mixed")
    for file in ("chip-00.oas", "chip-00.cells.json"):
        shutil.copy(stale / file, mixed / file)
    assert f"{mixed / 'chip-00.oas'}: altered (its digest" in problems(build, mixed)
    reseal(mixed)
    assert f"chip-00 {K}: row 0 (neuron 0, digit 0), input " in problems(build, mixed)
    left = shutil.copytree(folder, tmp_path / "left")
    shutil.copy(stale / "chip-00.oas", left / "chip-07.oas")
    assert f"{left / 'chip-07.oas'}: is not part of the masks" in problems(build, left)


def test_what_is_no_folder_of_masks_is_bad_input(builds: Builds, tmp_path: Path) -> None:
    build = builds("taps")
    for folder in (tmp_path / "nowhere", tmp_path, build.directory):
        with pytest.raises(InvalidInput, match=r"no folder that 'hnlpu masks' wrote"):
            open_masks(build, folder)
    write_masks(build, tmp_path / "gds", few(build), ["gds"], open_workers(1))
    with pytest.raises(DamagedMasks, match=r"holds no OASIS; .* `format` oasis"):
        open_masks(build, tmp_path / "gds")


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"[1]", b"null", b"3", b"{}", b"\xff", b"{" * 5000, b'{"chip-00": 5}',
     b'{"chip-00": [1e999, 2]}', b'{"chip-00": [NaN, 2]}', b'{"chip-00": [-5, 2]}',
     b'{"chip-00": [1, 99999999999999999999999]}', b'{"chip-00": ["a", "b"]}'],
)  # fmt: skip
@pytest.mark.parametrize("file", ["masks.json", "chip-00.cells.json"])
def test_tables_that_make_no_sense_are_told(
    file: str, content: bytes, builds: Builds, masks: Callable[[str], Path], tmp_path: Path
) -> None:
    build, folder = builds("taps"), shutil.copytree(masks("taps"), tmp_path / "m")
    (folder / file).write_bytes(content)
    assert str(folder / file) in problems(build, folder)
    if file != "masks.json":
        reseal(folder)
        assert str(folder / "chip-00") in problems(build, folder)
