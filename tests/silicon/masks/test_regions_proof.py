"""Why any routing is legal, in numbers; and the tile that has whatever may stand side by side."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from hnlpu.arithmetic.mx import unpack
from hnlpu.errors import DoesNotFit
from hnlpu.silicon.embed import ArrayKind, Regions, TileDigits, TileShape
from hnlpu.silicon.masks._klayout import check_rules, extract_netlist
from hnlpu.silicon.masks._named_weights import weights_of_names
from hnlpu.silicon.masks._proof import proof_tile
from hnlpu.silicon.masks._proof_regions import require_reach
from hnlpu.silicon.masks._wires import check_wires
from hnlpu.silicon.technology import PROGRAMMABLE, load_technology
from regions_tiles import (
    CODES,
    WEIGHTS,
    adversarial,
    digits_from,
    random_digits,
    regions_for,
    shape_of,
    whole,
)

Configurations = set[tuple[str, ...]]


def proof_of(
    technology: str, scale_range: int, group: int, bank: int = 1
) -> tuple[Regions, TileDigits]:
    kind = ArrayKind("regions", 1, bank, scale_range, group)
    scheme, digits = proof_tile(Regions(load_technology(technology), kind))
    assert isinstance(scheme, Regions)
    return scheme, digits


@pytest.mark.parametrize(
    ("technology", "scale_range", "group", "bank"),
    [("n5", 0, 8, 1), ("n5", 2, 3, 8), ("sky130", 0, 8, 1)],
)
def test_the_proof_tile_is_legal_and_says_its_weights(
    technology: str, scale_range: int, group: int, bank: int
) -> None:
    scheme, digits = proof_of(technology, scale_range, group, bank)
    layout = whole(scheme, digits)
    assert check_rules(scheme.technology, layout) == []
    assert check_wires(scheme.technology, layout) == []
    nets = extract_netlist(scheme.technology, layout)
    integers, faults = weights_of_names(nets, shape_of(digits))
    assert faults == []
    np.testing.assert_array_equal(integers, digits.integers())


@pytest.mark.parametrize("scale_range", [0, 2, 20])
def test_the_proof_tile_has_all_neighbours_and_values(scale_range: int) -> None:
    _, digits = proof_of("n5", scale_range, 8)
    codes = unpack(digits.codes)
    inputs = codes.shape[1]
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        pairs = {
            (int(codes[y, x]), int(codes[y + down, x + right]))
            for y in range(digits.rows - down)
            for x in range(max(0, -right), inputs - max(0, right))
        }
        assert len(pairs) == len(CODES) ** 2
    integers = digits.integers()
    values = {tuple(sorted(set(row.tolist()))) for row in integers}
    alone = {value for of in values if len(of) == 1 for value in of}
    assert alone == set(np.unique(integers).tolist())
    assert len(alone) == 1 + 2 * (2 * scale_range + 7)


def configurations(scheme: Regions, digits: TileDigits) -> Configurations:
    """What stands side by side in a tile, by geometry.

    crossing   an upright's kind and what is on it on two tracks one above the other: nothing, a
               wire that passes, a via
    wire       kinds of its first and last via, and whether there are others between
    gap        kinds of the last via of a wire and of the first of the next on its track
    """
    frame, shape = scheme.frame(shape_of(digits)), shape_of(digits)
    kinds = {
        "port": frame.port_x.reshape(-1), "tie": frame.tie_x, "ground": frame.ground_x,
        "power": frame.power_x, "trunk": frame.trunk_x,
    }  # fmt: skip
    drawn, t = scheme.draw(digits).rectangles, scheme.technology
    lower, stub, upper = (
        drawn[layer.gds_layer, PROGRAMMABLE] for layer in (t.lower_cut, t.stub, t.upper_cut)
    )
    pitch, tracks = scheme.row_pitch_nm(shape), scheme.kind.tracks
    lines = {}
    for row in range(shape.rows):
        for track in range(tracks):
            lines[row * pitch + scheme.rules.margin + track * scheme.rules.track_pitch] = len(lines)
    state = {kind: np.full((len(lines), len(x)), ".") for kind, x in kinds.items()}
    of_line: dict[int, list[tuple[int, int, list[tuple[int, str]]]]] = {}
    for x0, y0, x1, y1 in stub.tolist():
        line = lines[(y0 + y1) // 2]
        of_line.setdefault(line, []).append((x0, x1, []))
        for kind, x in kinds.items():
            state[kind][line, (x > x0) & (x < x1)] = "-"
    for level, cuts in (("lower", lower), ("upper", upper)):
        for x0, y0, x1, y1 in cuts.tolist():
            x, line = (x0 + x1) // 2, lines[(y0 + y1) // 2]
            names = ["trunk"] if level == "upper" else ["port", "tie", "ground", "power"]
            kind = next(name for name in names if x in kinds[name])
            state[kind][line, kinds[kind] == x] = "O"
            wire = next(wire for wire in of_line[line] if wire[0] < x < wire[1])
            wire[2].append((x, kind))
    found: Configurations = set()
    for kind, of in state.items():
        above = zip(of[:-1].flat, of[1:].flat, strict=True)
        found |= {("crossing", kind, str(a), str(b)) for a, b in above}
    for wires in of_line.values():
        ends = [sorted(vias) for _, _, vias in sorted(wires)]
        found |= {("wire", vias[0][1], vias[-1][1], str(len(vias) > 2)) for vias in ends}
        found |= {("gap", a[-1][1], b[0][1]) for a, b in itertools.pairwise(ends)}
    return found


@pytest.mark.parametrize(("scale_range", "group"), [(0, 8), (2, 8), (2, 2), (4, 3), (8, 4)])
def test_no_tile_has_what_the_proof_tile_has_not(scale_range: int, group: int) -> None:
    proven = configurations(*proof_of("n5", scale_range, group))
    tiles = [random_digits(3, 8, scale_range, seed) for seed in range(4)]
    tiles += list(adversarial(4, scale_range).values())
    random = np.random.default_rng(0)
    tiles += [digits_from(of(random, (3, 256)), scale_range) for of in WEIGHTS.values()]
    for digits in tiles:
        scheme = regions_for(digits, scale_range, group)
        assert configurations(scheme, digits) <= proven
    kinds = {of[1] for of in proven if of[0] == "crossing"}
    assert kinds == {"port", "tie", "ground", "power", "trunk"}
    assert len(proven) > 50


# -- reach -----------------------------------------------------------------------------------


@pytest.mark.parametrize("technology", ["n5", "sky130"])
@pytest.mark.parametrize("blocks", [1, 2, 32, 90])
@pytest.mark.parametrize(("scale_range", "group"), [(0, 1), (2, 8), (20, 5)])
def test_the_rules_hold_in_tiles_of_any_shape(
    technology: str, blocks: int, scale_range: int, group: int
) -> None:
    kind = ArrayKind("regions", 1, 1, scale_range, group, 40)
    require_reach(Regions(load_technology(technology), kind), TileShape(2, blocks))


@pytest.mark.parametrize(
    ("rule", "change", "says", "group"),
    [
        ("track_pitch", -1, "tracks of a row, wires leave 39 nm and need 40 nm", 8),
        ("clear", -1, "ends of wires on a track leave 39 nm and need 40 nm", 8),
        ("stub_end", -1, "length of a wire leave 50 nm and need 52 nm", 8),
        ("half_space", -1, "ports of two rows leave 38 nm and need 40 nm", 8),
        ("pad_length", -2, "ends of M8 at VIA7 leave 5 nm and need 6 nm", 8),
        ("lower_width", 2, "uprights below wires leave 38 nm and need 40 nm", 2),
        ("upper_width", 10, "uprights above wires leave 52 nm and need 60 nm", 16),
        ("tie_step", -1, "ties of a group leave 28 nm and need 40 nm", 8),
        ("margin", -10, "tracks of two rows, wires leave 32 nm and need 40 nm", 1),
    ],
)
def test_a_place_that_breaks_a_rule_is_named(rule: str, change: int, says: str, group: int) -> None:
    regions = Regions(load_technology("n5"), ArrayKind("regions", 1, 8, 2, group, 200))
    regions.rules = dataclasses.replace(
        regions.rules, **{rule: getattr(regions.rules, rule) + change}
    )
    with pytest.raises(DoesNotFit, match=says):
        require_reach(regions, TileShape(1, 32))
