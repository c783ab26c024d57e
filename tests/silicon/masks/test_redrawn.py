"""Files of a folder that are not read back are drawn again: whatever is altered in them is found."""

from __future__ import annotations

import io
import random
import shutil
import zipfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from builds import Builds
from hypothesis import given, settings
from hypothesis import strategies as st
from resealed import check, problems, replace_cells, reseal

from hnlpu.insight.verify import Check
from hnlpu.insight.verify._masks import check_masks
from hnlpu.silicon.embed import Label, LabelTable, Layout
from hnlpu.silicon.hardwire import Build, TileReader
from hnlpu.silicon.masks import BY_DIGEST, TileSource, open_workers, write_masks
from hnlpu.silicon.masks._cells import shared_payloads, tile_payload, used_names
from hnlpu.silicon.masks._oasis_bytes import layout_payload
from hnlpu.silicon.masks._oasis_names import NameTables, Strings
from hnlpu.silicon.masks._oasis_texts import TextNumbers
from hnlpu.silicon.masks._oasis_write import CellName, LayerName, OasisWriter, cell_record
from hnlpu.silicon.masks._output import PIECE_BYTES, NewFiles, SameFiles
from hnlpu.silicon.masks._record import encode_cells, encode_record, read_cells, read_record
from hnlpu.silicon.place import Tile, find_tiles

ROUTER = "model.layers.0.mlp.router.n0.b0"
ALL = ("oasis", "gds", "via-map", "def", "tcl")
READ = (".oas", ".cells.json", "masks.json")
"""Ends of names of files that are read back."""


def tiles_of(build: Build, *names: str) -> list[Tile]:
    tiling = build.manifest.technology.array
    return find_tiles(build.manifest.placement, tiling, (), names)


@pytest.fixture(scope="module")
def masks(builds: Builds, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Masks of a router in all formats; do not alter them."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp("masks") / "m"
            build = builds(name)
            write_masks(
                build, made[name], tiles_of(build, "*router*"), ALL, open_workers(1),
                with_base=name != "taps on 4 chips",
            )  # fmt: skip
        return made[name]

    return folder


def files_check(build: Build, folder: Path) -> Check:
    """What is said of the files alone."""
    (found,) = islice(check_masks(build, folder, 0, 1, None, None), 1)
    return found


@pytest.mark.parametrize("name", ["taps", "regions", "taps on 4 chips"])
def test_a_byte_altered_in_any_file_is_told_with_the_file(
    name: str, builds: Builds, masks: Callable[[str], Path], tmp_path: Path
) -> None:
    """Flipped, added, or cut off at the end, and sealed again."""
    build, folder = builds(name), shutil.copytree(masks(name), tmp_path / "m")
    sound = files_check(build, folder)
    assert sound.passed
    assert sound.problems == ()
    assert sound.skipped == f"by its digest alone: {BY_DIGEST}"
    rng, suffixes = random.Random(name), set()
    drawn = [path for path in sorted(folder.iterdir()) if not path.name.endswith(READ)]
    altered = [*{path.suffix: path for path in drawn}.values()]  # of several chips the last
    for n, path in enumerate(altered):
        suffixes.add(path.suffix)
        whole, at = path.read_bytes(), rng.randrange(path.stat().st_size)
        flipped = bytes([whole[at] ^ 1 << rng.randrange(8)])
        damaged, first = (
            (whole[:at] + flipped + whole[at + 1 :], at),
            (whole + b"\n", len(whole)),
            (whole[:-1], len(whole) - 1),
        )[n % 3]
        path.write_bytes(damaged)
        reseal(folder)
        (problem,) = files_check(build, folder).problems
        assert f"{path}: is not what the build gives, from byte {first} on;" in problem
        path.write_bytes(whole)
    assert suffixes == {".gds", ".json", ".npz", ".def", ".lef", ".tcl", ".lyp", ".map", ".drc"}
    reseal(folder)
    assert files_check(build, folder).passed


def test_files_that_are_listed_and_not_drawn_are_told_and_those_that_lack(
    builds: Builds, masks: Callable[[str], Path], tmp_path: Path
) -> None:
    build, folder = builds("taps"), shutil.copytree(masks("taps"), tmp_path / "m")
    (folder / "chip-01.gds").write_bytes(b"")
    (folder / "chip-00.names.json").unlink()
    reseal(folder)
    assert files_check(build, folder).problems == (
        f"{folder / 'chip-00.names.json'}: oasis, gds, via-map, def, tcl have this file; it cannot "
        "be read (No such file or directory)",
    )
    shutil.copy(masks("taps") / "chip-00.names.json", folder)
    reseal(folder)
    assert files_check(build, folder).problems == (
        f"{folder / 'chip-01.gds'}: is no file of the formats {', '.join(ALL)} of these tiles",
    )
    (folder / "chip-01.gds").unlink()
    reseal(folder)
    record = read_record(folder)
    fewer = record.model_copy(update={"formats": ("oasis", "gds")})
    (folder / "masks.json").write_bytes(encode_record(fewer))
    assert len(files_check(build, folder).problems) == sum(
        name.endswith((".npz", ".def", ".lef", ".tcl")) for name in record.files
    )
    older = record.model_copy(update={"generator": "hnlpu 0.0.1"})
    (folder / "chip-00.drc").write_text("# nothing\n")
    (folder / "masks.json").write_bytes(encode_record(older))
    reseal(folder)
    assert "(hnlpu 0.0.1 wrote it, this is hnlpu " in files_check(build, folder).problems[0]


def test_a_record_that_denies_the_fixed_metal_of_its_file_is_told(
    builds: Builds, tmp_path: Path
) -> None:
    """Also where there is nothing but OASIS, whose rules would be left unchecked by the script."""
    build, folder = builds("taps"), tmp_path / "m"
    tiles = tiles_of(build, "*router*")
    write_masks(build, folder, tiles, ["oasis"], open_workers(1), with_base=True)
    assert files_check(build, folder).passed
    record = read_record(folder).model_copy(update={"with_base": False})
    (folder / "masks.json").write_bytes(encode_record(record))
    assert files_check(build, folder).problems == (
        f"{folder / 'chip-00.oas'}: has fixed metal below its tiles, masks.json says that it has none",
    )


def with_cell(folder: Path, name: str, number: int, record: bytes) -> None:
    """Write the file of chip 0 anew with one more cell."""
    path = folder / "chip-00.oas"
    raw, places = path.read_bytes(), read_cells(path.with_suffix(".cells.json"))
    with path.open("rb") as file:
        tables = NameTables(file.fileno(), "file")
        names = {each.name: each for each, _ in tables.places()}
    rows = [line.split() for line in (folder / "layers.map").read_text().splitlines()[1:]]
    layers = [LayerName(f"{layer}.{what}", int(n), int(d)) for layer, what, n, d in rows]
    new = io.BytesIO()
    writer = OasisWriter(new, {"made": "anew"}, top="chip-00", layers=layers)
    put = {
        each: writer.put_cell(raw[at.offset : at.offset + at.bytes], names[each])
        for each, at in places.items()
    }
    put[name] = writer.put_cell(record, CellName(name, number, None))
    writer.end()
    path.write_bytes(new.getvalue())
    path.with_suffix(".cells.json").write_bytes(encode_cells(put))
    reseal(folder)


def test_a_shared_cell_that_no_tile_places_is_told(builds: Builds, tmp_path: Path) -> None:
    """It has the metal of its shift, and lies beside the tiles: a reader takes it for a top cell."""
    build, folder = builds("taps"), tmp_path / "m"
    source = TileSource(build)

    def unused(tile: Tile) -> set[str]:
        scheme, digits = source.scheme(tile.kind), source.read.digits(tile)
        return shared_payloads(scheme).keys() - used_names(scheme, digits)

    tile = next(tile for tile in tiles_of(build) if unused(tile))
    write_masks(build, folder, [tile], ["oasis"], open_workers(1))
    name = min(unused(tile))
    number, payload = source.numbers(0)[name], shared_payloads(source.scheme(tile.kind))[name]
    with_cell(folder, name, number, cell_record(number, payload))
    assert problems(build, folder) == (
        f"{folder / 'chip-00.oas'}: cell {name}, which no tile places, is beside them"
    )


@pytest.mark.parametrize("by_number", [False, True])
def test_a_label_in_a_tile_is_told(
    by_number: bool, builds: Builds, masks: Callable[[str], Path], tmp_path: Path
) -> None:
    """Also one whose text the file calls by number, as those of fixed metal are."""
    build, folder = builds("taps"), shutil.copytree(masks("taps"), tmp_path / "m")
    (tile,) = tiles_of(build, "*router*")
    scheme = TileSource(build).scheme(tile.kind)
    label = Label((80, 10), "x0.+1", 100, 100)
    if by_number:
        with (folder / "chip-00.oas").open("rb") as file:
            texts = NameTables(file.fileno(), "file").texts()
        numbers = TextNumbers()
        numbers.of(LabelTable(np.zeros((len(texts.numbers), 3), np.int64), *all_of(texts)))
        payload = layout_payload(Layout(labels=[label]), numbers)
    else:
        payload = layout_payload(Layout(labels=[label]))
    drawn = tile_payload(scheme, TileReader(build).digits(tile))
    replace_cells(folder, {ROUTER: cell_record(ROUTER, drawn + payload)})
    (told,) = {problem for done in check(build, folder) for problem in done.problems}
    assert told == (
        f"chip-00 {ROUTER}: has a label, which only fixed metal has; write the masks again"
    )


def all_of(texts: Strings) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    return texts.gather(texts.numbers) or pytest.fail("texts are lacking")


def test_places_of_cells_that_are_told_twice_are_told(
    builds: Builds, masks: Callable[[str], Path], tmp_path: Path
) -> None:
    build, folder = builds("taps"), shutil.copytree(masks("taps"), tmp_path / "m")
    path = folder / "chip-00.cells.json"
    path.write_text(path.read_text().replace("{", f'{{"{ROUTER}": [0, 1],', 1))
    reseal(folder)
    assert f"{path}: holds more than cells and their places" in problems(build, folder)


# -- what compares ---------------------------------------------------------------------------


@given(
    pieces=st.lists(st.binary(max_size=40), max_size=6),
    again=st.integers(0, 200),
    change=st.one_of(st.none(), st.tuples(st.integers(0, 199), st.integers(1, 255))),
    cut=st.integers(-3, 3),
)
@settings(max_examples=200, deadline=None)
def test_the_first_byte_that_differs_is_told(
    tmp_path_factory: pytest.TempPathFactory,
    pieces: list[bytes], again: int, change: tuple[int, int] | None, cut: int,
) -> None:  # fmt: skip
    """Whatever pieces a file comes in, and where a piece is first written wrong and then again."""
    folder = tmp_path_factory.mktemp("same")
    whole = b"".join(pieces)
    found = whole + b"x" * cut if cut > 0 else whole[: len(whole) + cut]
    if change and change[0] < len(found):
        at, bits = change
        found = found[:at] + bytes([found[at] ^ bits]) + found[at + 1 :]
    (folder / "f").write_bytes(found)
    output = SameFiles(folder)
    with output.open("f") as file:
        for n, piece in enumerate(pieces):
            begin = file.tell()
            if n == again % 7:
                file.write(bytes(b ^ 1 for b in piece))
                file.seek(begin)
            file.write(piece)
    both = zip(whole, found, strict=False)
    first = next((n for n, (a, b) in enumerate(both) if a != b), min(len(whole), len(found)))
    assert output.differing == ([] if found == whole else [("f", first)])


def test_archives_and_large_pieces_compare_as_they_are_written(tmp_path: Path) -> None:
    """A head of a ZIP file is written again behind its data; a piece is compared in parts."""
    random_bytes = np.random.default_rng(1).bytes(2 * PIECE_BYTES + 12345)

    def write(output: NewFiles | SameFiles) -> None:
        with (
            output.open("a.npz") as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive,
        ):
            for name in ("a", "b"):
                archive.writestr(zipfile.ZipInfo(name), random_bytes)

    write(NewFiles(tmp_path))
    same = SameFiles(tmp_path)
    write(same)
    assert same.differing == []
    whole = bytearray((tmp_path / "a.npz").read_bytes())
    for at in (14, PIECE_BYTES + 5, len(whole) - 1):  # a checksum in a head, data, the end
        whole[at] ^= 1
        (tmp_path / "a.npz").write_bytes(whole)
        other = SameFiles(tmp_path)
        write(other)
        assert other.differing == [("a.npz", at)]
        whole[at] ^= 1
