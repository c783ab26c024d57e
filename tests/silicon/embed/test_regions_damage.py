"""Reading finds what is wrong in a regions tile, and where."""

from __future__ import annotations

import numpy as np
import pytest

from hnlpu.silicon.embed import Regions, TileDigits
from hnlpu.silicon.technology import PROGRAMMABLE
from regions_damage import DAMAGES, damaged, keys
from regions_tiles import digits_of, random_digits, regions_for, shape_of


@pytest.fixture(scope="module")
def tile() -> tuple[Regions, TileDigits]:
    digits = random_digits(4, 3, 2, seed=1)
    return regions_for(digits), digits


@pytest.mark.parametrize("name", DAMAGES)
def test_every_fault_is_found_in_its_row(name: str, tile: tuple[Regions, TileDigits]) -> None:
    scheme, digits = tile
    for seed in range(100):
        shapes, row = damaged(scheme, digits, name, seed)
        found = {key: [of] for key, of in shapes.items()}
        integers, faults = scheme.read(shape_of(digits), found)
        wrong = set(np.nonzero(integers != digits.integers())[0].tolist())
        assert wrong | {fault.row for fault in faults} == {row}, seed


@pytest.mark.parametrize("technology", ["n5", "sky130"])
def test_any_change_of_any_shape_is_found(technology: str) -> None:
    """Also those that leave everything joined as it was, as a wire that is a little too long."""
    digits = random_digits(2, 2, 2, seed=2)
    scheme, random = regions_for(digits, technology=technology), np.random.default_rng(3)
    sound = scheme.draw(digits)
    for _ in range(600):
        shapes = {key: of.copy() for key, of in sound.rectangles.items()}
        key = list(shapes)[random.integers(3)]
        by = random.integers(-60, 61, 4) * scheme.rules.grid * (random.random(4) < 0.4)
        if random.random() < 0.5:
            by[2:] = by[:2]
        shapes[key][random.integers(len(shapes[key]))] += by.astype(np.int32)
        integers, faults = scheme.read(shape_of(digits), {k: [of] for k, of in shapes.items()})
        assert faults or (integers != digits.integers()).any() or not by.any(), (key, by)


def test_a_shape_on_another_programmable_layer_is_a_fault(tile: tuple[Regions, TileDigits]) -> None:
    scheme, digits = tile
    shapes = scheme.draw(digits).shapes()
    upper = scheme.technology.upper.gds_layer, PROGRAMMABLE
    _, faults = scheme.read(shape_of(digits), shapes | {upper: [np.int32([[0, 0, 60, 60]])]})
    assert [fault.what for fault in faults] == ["layer 100/1 has programmable shapes"]


def test_faults_are_told_in_words(tile: tuple[Regions, TileDigits]) -> None:
    scheme, digits = tile
    said = set()
    for name in DAMAGES:
        for seed in range(20):
            shapes, _ = damaged(scheme, digits, name, seed)
            _, faults = scheme.read(shape_of(digits), {key: [of] for key, of in shapes.items()})
            said |= {fault.what.split(" nm ")[-1] for fault in faults}
    for words in (
        "is not on a wire", "stands on no trunk, port or tie", "is a second via at its place",
        "is on no track of any row", "is too close to the wire before it", "leads nowhere",
        "reaches further than its vias ask for",
    ):  # fmt: skip
        assert words in said
    assert any(what.startswith("port ") and what.endswith("floats") for what in said)
    assert any(what.startswith("ties of group ") and what.endswith("float") for what in said)


def test_a_second_wire_of_an_input_is_told_with_row_and_input() -> None:
    """The wire of input 0 is copied for another port of its group, which was unused."""
    digits = digits_of(np.where(np.arange(32) == 0, 7, 0)[None])
    scheme = regions_for(digits, 0)
    frame, (lower, stub, upper) = scheme.frame(shape_of(digits)), keys(scheme)
    shapes = {key: of.copy() for key, of in scheme.draw(digits).rectangles.items()}
    via = shapes[upper][0]
    on = shapes[stub][shapes[stub][:, 1] < via[1] + 20]
    assert len(shapes[upper]) == 1
    track = (int(via[1]) + 20 - scheme.rules.margin) // scheme.rules.track_pitch
    free = track + 1 if (track + 1) % scheme.rules.tie_step else track + 2
    assert free < scheme.kind.tracks
    assert len(on)
    up = (free - track) * scheme.rules.track_pitch
    port = int(scheme.routes(digits).port[0, 0])
    other = int(frame.port_x.reshape(-1)[port + (1 if port % 2 == 0 else -1)])
    # ground no longer has the other port
    x = (shapes[lower][:, 0] + shapes[lower][:, 2]) // 2
    shapes[lower] = shapes[lower][x != other]
    box = via + np.int32([0, up, 0, up])
    wire = np.int32(
        [
            [
                min(int(frame.trunk_x[0]), other) - 26,
                box[1],
                max(int(frame.trunk_x[0]), other) + 26,
                box[3],
            ]
        ]
    )
    low = np.int32([[other - 20, box[1], other + 20, box[3]]])
    for key, extra in ((lower, low), (stub, wire), (upper, box[None])):
        shapes[key] = np.concatenate([shapes[key], extra])
    _, faults = scheme.read(shape_of(digits), {key: [of] for key, of in shapes.items()})
    assert (0, 0, "is wired to more than one port") in [(f.row, f.column, f.what) for f in faults]
