"""The OASIS reader on damaged files: it reads or raises DamagedMasks, soon and in little memory."""

from __future__ import annotations

import contextlib
import io
import random
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import random_digits, scheme_of

from hnlpu.errors import DamagedMasks
from hnlpu.silicon.embed import Taps, TileShape
from hnlpu.silicon.masks import _oasis_read
from hnlpu.silicon.masks._cells import base_payload, shared_payloads, tile_payload
from hnlpu.silicon.masks._oasis_bytes import MAGIC, placement_record, signed, string, unsigned
from hnlpu.silicon.masks._oasis_read import parse_cell, parse_oasis
from hnlpu.silicon.masks._oasis_write import OasisWriter, cell_record

SHAPE = TileShape(4, 2)
LARGE = [2**31 - 1, 2**31, 2**32 + 5, 2**40, 2**48, 2**56, 2**62, 2**63 - 1, 2**63, 2**70]


def file_of(compress: bool) -> bytes:
    """A tile, its base and what they place, with all that our writer writes."""
    scheme = scheme_of("scales")
    assert isinstance(scheme, Taps)
    raw = io.BytesIO()
    writer = OasisWriter(raw, {"made": "for a test"})
    cells = {
        "base": base_payload(scheme, TileShape(1, 1)),
        "tile": tile_payload(scheme, random_digits(scheme, SHAPE)),
        **shared_payloads(scheme),
        "top": placement_record("tile", 5, 7) + placement_record("base", -5, 7),
    }
    for name, payload in cells.items():
        writer.put_cell(cell_record(name, payload, compress=compress))
    writer.end()
    return raw.getvalue()


PLAIN, PACKED = file_of(False), file_of(True)


def read(data: bytes) -> bool:
    """Read a whole file and flatten its cells; whether it was damaged."""
    said = ""
    try:
        found = parse_oasis(data, "file.oas")
        for name in found.cells:
            assert all(shapes is not None for shapes in found.flat(name).shapes.values())
    except DamagedMasks as error:
        said = str(error)
    assert len(said) < 300
    return bool(said)


def test_sound_files_are_read() -> None:
    for data in (PLAIN, PACKED):
        assert not read(data)
        assert set(parse_oasis(data, "x").cells) > {"tile", "base", "top"}


@pytest.mark.parametrize("data", [PLAIN, PACKED], ids=["plain", "packed"])
def test_a_file_cut_at_any_byte_is_damaged(data: bytes) -> None:
    ends = range(len(data)) if len(data) < 3000 else random.Random(1).sample(range(len(data)), 3000)
    for end in ends:
        # of the END record only padding may be cut
        assert read(data[:end]) or end > len(data) - 256, end


def test_a_cell_cut_at_any_byte_is_damaged_or_has_less() -> None:
    scheme = scheme_of("scales")
    digits = random_digits(scheme, SHAPE)
    whole = parse_cell(cell_record("tile", tile_payload(scheme, digits)), "x")
    for compress in (False, True):
        record = cell_record("tile", tile_payload(scheme, digits), compress=compress)
        for end in range(len(record)):
            try:
                cell = parse_cell(record[:end], "file.oas: tile")
            except DamagedMasks:
                continue
            assert not compress or end <= len("tile") + 2
            assert sum(map(_count, cell.shapes.values())) <= sum(map(_count, whole.shapes.values()))


def _count(parts: list[np.ndarray]) -> int:
    return sum(len(part) for part in parts)


@pytest.mark.parametrize("data", [PLAIN, PACKED], ids=["plain", "packed"])
def test_files_with_changed_bytes_are_read_or_damaged(data: bytes) -> None:
    rng, damaged = random.Random(2), 0
    for _ in range(1500):
        raw = bytearray(data)
        for _ in range(rng.choice([1, 1, 2, 5])):
            at = rng.randrange(len(raw))
            raw[at] = rng.choice([raw[at] ^ 1 << rng.randrange(8), rng.randrange(256), 255, 128, 0])
        damaged += read(bytes(raw))
    assert damaged > 300


def test_files_with_changed_records_are_read_or_damaged() -> None:
    """Runs of bytes left out, doubled, moved; numbers made very large, records made others."""
    rng = random.Random(3)
    for _ in range(3000):
        raw = bytearray(PLAIN)
        for _ in range(rng.choice([1, 1, 3])):
            at, size = rng.randrange(14, len(raw)), rng.choice([1, 2, 5, 40])
            part = raw[at : at + size]
            what = rng.randrange(5)
            if what == 0:
                del raw[at : at + size]
            elif what == 1:
                raw[at:at] = part
            elif what == 2:
                raw[at : at + size] = unsigned(rng.choice(LARGE))
            elif what == 3:
                raw[at:at] = bytes(
                    [rng.choice([2, 13, 14, 15, 16, 17, 18, 19, 20, 21, 28, 29, 34])]
                )
            else:
                to = rng.randrange(14, len(raw))
                raw[to:to] = part
        read(bytes(raw))


@settings(max_examples=300)
@given(st.binary(max_size=200), st.booleans(), st.booleans())
def test_any_bytes_are_read_or_damaged(data: bytes, whole: bool, started: bool) -> None:
    head = PLAIN[: PLAIN.index(b"\x0e\x04base")] if started else b""
    if whole:
        read((head or MAGIC) + data)
        return
    with contextlib.suppress(DamagedMasks):
        parse_cell(cell_record("x", b"") + data, "file.oas: x")


records = st.builds(
    lambda record, info, fields: bytes([record, info]) + b"".join(fields),
    st.sampled_from([17, 19, 20, 20, 20, 28]),
    st.integers(0, 255),
    st.lists(
        st.one_of(
            st.integers(0, 300).map(unsigned), st.integers(-300, 300).map(signed),
            st.sampled_from(LARGE).map(unsigned), st.sampled_from(["tile", "x", ""]).map(string),
        ),
        max_size=12,
    ),
)  # fmt: skip


@settings(max_examples=500)
@given(st.lists(records, max_size=12))
def test_any_records_are_read_or_damaged(parts: list[bytes]) -> None:
    try:
        cell = parse_cell(cell_record("x", b"".join(parts)), "file.oas: x")
    except DamagedMasks:
        return
    for boxes in (part for found in cell.shapes.values() for part in found):
        assert (boxes[:, 2] >= boxes[:, 0]).all(), "coordinates overflowed"
        assert (boxes[:, 3] >= boxes[:, 1]).all()


def packed(payload: bytes, size: int | None = None) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    raw = deflate.compress(payload) + deflate.flush()
    return b"\x22\x00" + unsigned(len(payload) if size is None else size) + unsigned(len(raw)) + raw


def in_file(*cells: bytes) -> bytes:
    raw = io.BytesIO()
    writer = OasisWriter(raw, {})
    for cell in cells:
        writer.put_cell(cell)
    writer.end()
    return raw.getvalue()


def nested(depth: int) -> bytes:
    record = b"\x14\x7b\x01\x01\x05\x05\x02\x02"
    for _ in range(depth):
        record = packed(record)
    return in_file(cell_record("x", record, compress=False))


def chain(cells: int, times: int) -> bytes:
    """Every cell places the next one `times` times in a row; the last has a rectangle."""
    made = [
        cell_record(f"c{n}", (bytes([17, 0b10111000]) + string(f"c{n + 1}") + b"\x00\x00"
                              + b"\x02" + unsigned(times - 2) + b"\x0a"))
        for n in range(cells)
    ]  # fmt: skip
    return in_file(*made, cell_record(f"c{cells}", b"\x14\x7b\x01\x01\x05\x05\x02\x02"))


BOMBS: dict[str, Callable[[], bytes]] = {
    "zeros a thousand times as long": lambda: in_file(
        cell_record("x", packed(b"\x00" * 2**24, 2**62), compress=False)
    ),
    "a block that says it is short": lambda: in_file(
        cell_record("x", packed(b"\x00" * 2**24, 10), compress=False)
    ),
    "blocks in blocks": lambda: nested(3),
    "blocks in blocks, deep": lambda: nested(2000),
    "a grid of 2^40": lambda: in_file(
        cell_record("x", b"\x14\x7f\x01\x01\x05\x05\x02\x02\x01" + unsigned(2**20) * 2 + b"\x09\x09")
    ),
    "a row of 2^47": lambda: in_file(
        cell_record("x", b"\x14\x7f\x01\x01\x05\x05\x02\x02\x02" + unsigned(2**47) + b"\x09")
    ),
    "the same grid over and over": lambda: in_file(
        cell_record(
            "x",
            b"\x14\x7f\x01\x01\x05\x05\x02\x02\x01" + unsigned(400) * 2 + b"\x09\x09"
            + b"\x14\x04\x00" * 500,
        )
    ),
    "a cell that places itself": lambda: in_file(cell_record("x", placement_record("x", 1, 1))),
    "cells that place each other": lambda: in_file(
        cell_record("a", placement_record("b", 1, 1)), cell_record("b", placement_record("a", 1, 1))
    ),
    "placed ten times ten times ten ...": lambda: chain(12, 1000),
    "a thousand cells deep": lambda: chain(1000, 2),
    "a unit that divides by zero": lambda: PLAIN.replace(b"\x00\xe8\x07", b"\x02\x00\x00", 1),
    "a text of 2^48": lambda: in_file(cell_record("x", b"\x13\x5b" + unsigned(2**48) + b"a")),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_small_files_that_claim_much_are_damaged(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_oasis_read, "MOST_SHAPES", 2**20)  # that a test soon reaches it
    data = BOMBS[name]()
    assert len(data) < 300_000
    assert read(data)
