"""A link between two chips: words pass whole, once and in order, or the link says what is wrong."""

from __future__ import annotations

import json
import subprocess
import zlib
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from rtl_arrays import needs

from hnlpu.errors import InvalidInput
from hnlpu.silicon.rtl._compiler import verilate
from hnlpu.silicon.rtl.links import LINK_FILES, LinkShape, link_for

BENCH = Path(__file__).with_name("link_pair.cpp")
SILICON = files("hnlpu.silicon.rtl") / "links" / "silicon"
SHAPE = LinkShape(bits=96, lanes=4, window=8, depth=8, replay=420, pulse=64, limit=8192)
NONE, GONE, ZEROS, ONES = range(4)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled bench."""
    folder = tmp_path_factory.mktemp("link")
    for name in LINK_FILES:
        text = (SILICON / f"hnlpu_{name}.sv").read_text(encoding="utf-8")
        (folder / f"hnlpu_{name}.sv").write_text(text)
    (folder / "link.cpp").write_text(BENCH.read_text(encoding="utf-8"))
    given = " ".join(f"-G{name}={value}" for name, value in SHAPE.parameters().items())
    (folder / "link.f").write_text(
        "--cc --exe --build -j 1 -Wall --assert --language 1800-2017 -O3\n"
        "--x-assign unique --x-initial unique --top-module hnlpu_link --prefix Vlink\n"
        f"{given}\n"
        f'-CFLAGS "-std=c++20 -DBITS={SHAPE.bits} -DLANES={SHAPE.lanes} -O1"\n'
        '-MAKEFLAGS "OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O1"\n'
        "--Mdir obj -o link\n" + "".join(f"hnlpu_{name}.sv\n" for name in LINK_FILES) + "link.cpp\n"
    )
    built = verilate("link.f", folder, 300, plain=True)
    assert built is not None
    assert built.returncode == 0, built.stderr[:3000]
    assert "%Warning" not in built.stderr
    return folder


def run(
    pair: Path, words: int, *, stall: int = 0, errors: int = 0, latency: int = 3, fault: int = NONE,
    at: int = 0, seed: int = 1, limit: int = 4_000_000, symbols: str = "",
) -> dict[str, Any]:  # fmt: skip
    """What the bench says; `errors` of 10^9 bits are inverted."""
    numbers = [words, stall, errors, latency, fault, at, seed, limit]
    command = ["./obj/link", *map(str, numbers), *([symbols] if symbols else [])]
    ran = subprocess.run(command, cwd=pair, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


@needs("verilator", "c++")
def test_words_pass_at_full_speed(pair: Path) -> None:
    told = run(pair, 1000)
    assert told["taken"] == [1000, 1000]
    assert told["replays"] == [0, 0]
    assert told["peer_status"] == [0x15, 0x2A]
    # a frame behind the other, but for the start
    assert told["cycles"] < 1000 * SHAPE.data_symbols + 200


@needs("verilator", "c++")
@pytest.mark.parametrize(
    ("errors", "stall", "latency"), [(0, 40, 9), (100_000, 30, 12), (10**6, 0, 5)]
)
def test_damaged_words_are_sent_anew(pair: Path, errors: int, stall: int, latency: int) -> None:
    told = run(pair, 1000, stall=stall, errors=errors, latency=latency)
    assert told["taken"] == [1000, 1000]
    assert told["fault"] == [0, 0]
    if errors:
        # the damage is there, is seen, and is the rate that was asked for
        assert min(told["discarded"]) > 0
        assert min(told["replays"]) > 0
        wanted = told["bits"] * errors / 1e9
        assert abs(told["flipped"] - wanted) < 6 * wanted**0.5
    else:
        assert told["discarded"] == [0, 0]


@needs("verilator", "c++")
@pytest.mark.parametrize(("fault", "said"), [(GONE, [1, 0]), (ZEROS, [2, 1]), (ONES, [2, 1])])
@pytest.mark.parametrize("errors", [0, 100_000])
def test_a_broken_link_is_named_in_time(
    pair: Path, fault: int, said: list[int], errors: int
) -> None:
    at = 5000
    told = run(pair, 100_000, fault=fault, at=at, errors=errors)
    assert told["fault"] == said
    # what was on its way may still have come
    latest = at + 3 + 2 * SHAPE.data_symbols + SHAPE.replay + SHAPE.given_up_after
    for when in told["fault_at"]:
        assert when == 0 or at < when <= latest
    assert told["fault_at"][0] > 0


@needs("verilator", "c++")
def test_frames_are_those_of_the_page(pair: Path) -> None:
    told = run(pair, 40, symbols="symbols.bin")
    assert told["taken"] == [40, 40]
    symbols = (pair / "symbols.bin").read_bytes()
    place, numbers = 0, []
    while place < len(symbols):
        if symbols[place] != 15:  # no start: the line rests
            assert symbols[place] == 0
            place += 1
            continue
        size = SHAPE.data_symbols if symbols[place + 1] & 1 else SHAPE.control_symbols
        if place + size > len(symbols):
            break
        low, high = symbols[place + 1 : place + size : 2], symbols[place + 2 : place + size : 2]
        frame = bytes(a | b << 4 for a, b in zip(low, high, strict=True))
        # Python's own CRC over header and payload, the lowest byte first
        assert zlib.crc32(frame[:-4]) == int.from_bytes(frame[-4:], "little")
        assert frame[0] >> 1 == 0x2A
        if frame[0] & 1:
            numbers.append(frame[1])
        place += size
    assert numbers == list(range(40))


def test_the_published_check_value() -> None:
    # of "123456789"; catalogues of CRCs call it CRC-32/ISO-HDLC
    crc = 0xFFFFFFFF
    for byte in b"123456789":
        for n in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if (crc ^ byte >> n) & 1 else 0)
    assert crc ^ 0xFFFFFFFF == zlib.crc32(b"123456789") == 0xCBF43926


@pytest.mark.parametrize(
    "changes",
    [{"bits": 0}, {"lanes": 3}, {"window": 12}, {"depth": 64}, {"replay": 100}, {"limit": 999}],
)
def test_what_is_no_link_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match="link"):
        LinkShape(**{"bits": 96, "replay": 420, **changes})


def test_timers_follow_the_wire() -> None:
    near, far = link_for(1000, 16, 4), link_for(1000, 16, 400)
    assert near.window < far.window
    assert near.replay < far.replay
    assert link_for(1000, 16, 4, stall=50).replay == 2 * near.replay
