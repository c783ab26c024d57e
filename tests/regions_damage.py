"""Faults of a regions tile, injected into its programmable shapes at random places."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hnlpu.silicon.embed import LayerKey, Rectangles, Regions, TileDigits, TileShape
from hnlpu.silicon.technology import PROGRAMMABLE

Drawn = dict[LayerKey, Rectangles]
Damage = Callable[[Regions, TileShape, Drawn, np.random.Generator], int]
"""Changes the shapes; returns the row of metal that it hits."""


def keys(scheme: Regions) -> tuple[LayerKey, LayerKey, LayerKey]:
    """Layers of lower cuts, wires and upper cuts."""
    t = scheme.technology
    lower, stub, upper = (
        (layer.gds_layer, PROGRAMMABLE) for layer in (t.lower_cut, t.stub, t.upper_cut)
    )
    return lower, stub, upper


def _pick(shapes: Drawn, key: LayerKey, random: np.random.Generator) -> int:
    return int(random.integers(len(shapes[key])))


def _row(scheme: Regions, shape: TileShape, box: Rectangles) -> int:
    return int(box[1]) // scheme.row_pitch_nm(shape)


def _upright_x(scheme: Regions, shape: TileShape, level: int) -> np.ndarray:
    """Centres of what a via of a level may stand on."""
    frame = scheme.frame(shape)
    if level == 2:
        return frame.trunk_x
    parts = frame.port_x.reshape(-1), frame.tie_x, frame.ground_x, frame.power_x
    return np.sort(np.concatenate(parts))


def one_upright_on(level: int) -> Damage:
    """A via moves to the trunk or port beside its own."""

    def damage(
        scheme: Regions, shape: TileShape, shapes: Drawn, random: np.random.Generator
    ) -> int:
        key = keys(scheme)[level]
        n = _pick(shapes, key, random)
        box, x = shapes[key][n], _upright_x(scheme, shape, level)
        at = int(np.searchsorted(x, (box[0] + box[2]) // 2))
        to = at + 1 if at == 0 or (at + 1 < len(x) and random.random() < 0.5) else at - 1
        box[[0, 2]] += x[to] - x[at]
        return _row(scheme, shape, box)

    return damage


def half_a_pitch(level: int) -> Damage:
    def damage(
        scheme: Regions, shape: TileShape, shapes: Drawn, random: np.random.Generator
    ) -> int:
        key = keys(scheme)[level]
        box = shapes[key][_pick(shapes, key, random)]
        row, side = _row(scheme, shape, box), int(random.integers(2))  # across or along
        pitch = (scheme.rules.lower_pitch, scheme.rules.track_pitch)[side]
        box[[side, side + 2]] += int(random.choice([-1, 1])) * (pitch // 2)
        return row

    return damage


def missing(level: int) -> Damage:
    def damage(
        scheme: Regions, shape: TileShape, shapes: Drawn, random: np.random.Generator
    ) -> int:
        key = keys(scheme)[level]
        n = _pick(shapes, key, random)
        row = _row(scheme, shape, shapes[key][n])
        shapes[key] = np.delete(shapes[key], n, 0)
        return row

    return damage


def doubled(level: int) -> Damage:
    def damage(
        scheme: Regions, shape: TileShape, shapes: Drawn, random: np.random.Generator
    ) -> int:
        key = keys(scheme)[level]
        box = shapes[key][_pick(shapes, key, random)]
        shapes[key] = np.concatenate([shapes[key], box[None]])
        return _row(scheme, shape, box)

    return damage


def wire_cut(scheme: Regions, shape: TileShape, shapes: Drawn, random: np.random.Generator) -> int:
    """A wire in two, between its outermost vias."""
    key = keys(scheme)[1]
    long = np.flatnonzero(
        shapes[key][:, 2] - shapes[key][:, 0] > 2 * scheme.rules.stub_end + 2 * scheme.rules.grid
    )
    n = int(random.choice(long))
    x0, y0, x1, y1 = shapes[key][n].tolist()
    steps = (x1 - x0 - 2 * scheme.rules.stub_end) // scheme.rules.grid
    x = x0 + scheme.rules.stub_end + int(random.integers(1, steps)) * scheme.rules.grid
    space = (scheme.rules.clear - 2 * scheme.rules.stub_end) // 2
    halves = np.int32([[x0, y0, max(x - space, x0 + 1), y1], [min(x + space, x1 - 1), y0, x1, y1]])
    shapes[key] = np.concatenate([np.delete(shapes[key], n, 0), halves])
    return _row(scheme, shape, halves[0])


def wires_shorted(
    scheme: Regions, shape: TileShape, shapes: Drawn, random: np.random.Generator
) -> int:
    """An input's wire reaches to the next one on its track."""
    _, stub, upper = keys(scheme)
    wires = shapes[stub]
    of_input = _touch(wires[:-1], shapes[upper]).any(1)
    n = int(random.choice(np.flatnonzero(of_input & (wires[1:, 1] == wires[:-1, 1]))))
    wires[n, 2] = wires[n + 1, 0]
    return _row(scheme, shape, wires[n])


def port_not_grounded(
    scheme: Regions, shape: TileShape, shapes: Drawn, random: np.random.Generator
) -> int:
    """The via of an unused port is gone."""
    cuts, stub, upper = keys(scheme)
    lower, wires = shapes[cuts], shapes[stub]
    by_input = wires[_touch(wires, shapes[upper]).any(1)]
    x = (lower[:, 0] + lower[:, 2]) // 2
    at_port = np.isin(x, scheme.frame(shape).port_x)
    n = int(random.choice(np.flatnonzero(at_port & ~_touch(lower, by_input).any(1))))
    shapes[cuts] = np.delete(lower, n, 0)
    return _row(scheme, shape, lower[n])


def _touch(a: Rectangles, b: Rectangles) -> np.ndarray:
    """Which of `a` [n, 4] overlap which of `b` [m, 4]: bool [n, m]."""
    low, high = np.maximum(a[:, None, :2], b[:, :2]), np.minimum(a[:, None, 2:], b[:, 2:])
    return (low < high).all(-1)


DAMAGES: dict[str, Damage] = {
    "lower via one port on": one_upright_on(0),
    "upper via one trunk on": one_upright_on(2),
    "lower via half a pitch on": half_a_pitch(0),
    "wire half a pitch on": half_a_pitch(1),
    "upper via half a pitch on": half_a_pitch(2),
    "lower via missing": missing(0),
    "wire missing": missing(1),
    "upper via missing": missing(2),
    "lower via doubled": doubled(0),
    "upper via doubled": doubled(2),
    "wire cut": wire_cut,
    "wires shorted": wires_shorted,
    "port not grounded": port_not_grounded,
}


def damaged(scheme: Regions, digits: TileDigits, name: str, seed: int) -> tuple[Drawn, int]:
    """The drawn shapes of `digits` with one fault, and the row that it is in."""
    shapes = {key: found.copy() for key, found in scheme.draw(digits).rectangles.items()}
    shape = TileShape(digits.rows, digits.blocks)
    row = DAMAGES[name](scheme, shape, shapes, np.random.default_rng(seed))
    return shapes, row
