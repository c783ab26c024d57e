"""Faults of a taps tile, injected into its metal at random places: what is drawn and what is fixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hnlpu.arithmetic.mx import unpack
from hnlpu.silicon.embed import LayerKey, Layout, Rectangles, Taps, TileDigits, TileShape
from hnlpu.silicon.technology import FIXED, PROGRAMMABLE, ViaLayer


@dataclass
class Metal:
    """A tile's rectangles by layer, which damages change, and what they were drawn for."""

    taps: Taps
    digits: TileDigits
    layers: dict[LayerKey, Rectangles]
    random: np.random.Generator

    @property
    def codes(self) -> np.ndarray:
        """Codes [rows, inputs]."""
        return unpack(self.digits.codes)

    def pick(self, where: np.ndarray) -> tuple[int, int]:
        """A random place of a mask [rows, inputs]."""
        row, column = self.random.choice(np.argwhere(where))
        return int(row), int(column)

    def cell_x(self, column: int) -> int:
        block, within = divmod(column, 32)
        return (block * self.taps.block_cells + within) * self.taps.cell

    def y(self, row: int) -> int:
        """Centre of a row."""
        return row * self.taps.pitch + self.taps.pitch // 2

    def cut(self, code: int) -> ViaLayer:
        t = self.taps.technology
        return t.lower_cut if code < 8 else t.upper_cut

    def via(self, row: int, column: int) -> tuple[LayerKey, int]:
        """Layer of a weight's via and its number there."""
        code = int(self.codes[row, column])
        key = (self.cut(code).gds_layer, PROGRAMMABLE)
        x, y = self.cell_x(column) + self.taps.site_x[code], self.y(row)
        return key, self.at(key, x, y)

    def at(self, key: LayerKey, x: int, y: int) -> int:
        """Number of the one rectangle of a layer around a point."""
        r = self.layers[key]
        (found,) = np.flatnonzero((r[:, 0] <= x) & (x <= r[:, 2]) & (r[:, 1] <= y) & (y <= r[:, 3]))
        return int(found)

    def add(self, key: LayerKey, *boxes: tuple[int, int, int, int]) -> None:
        self.layers[key] = np.concatenate([self.layers[key], np.array(boxes, np.int32)])

    def remove(self, key: LayerKey, n: int) -> tuple[int, int, int, int]:
        x0, y0, x1, y1 = self.layers[key][n].tolist()
        self.layers[key] = np.delete(self.layers[key], n, 0)
        return x0, y0, x1, y1

    def trunk(self, column: int, code: int) -> tuple[LayerKey, int]:
        t = self.taps.technology
        key = ((t.lower if code < 8 else t.upper).gds_layer, FIXED)
        return key, self.at(key, self.cell_x(column) + self.taps.site_x[code], 0)


Place = tuple[int | None, int | None]
"""Row of metal and input that a fault must be told with; None where any will do."""
Damage = Callable[[Metal], Place]


def one_trunk_on(m: Metal) -> Place:
    beside = [c for c in m.taps.site_x if c < 8 or len(m.taps.upper_codes) > 1]
    row, column = m.pick(np.isin(m.codes, beside))
    code = int(m.codes[row, column])
    key, n = m.via(row, column)
    sites = sorted(x for c, x in m.taps.site_x.items() if (c < 8) == (code < 8))
    i = sites.index(m.taps.site_x[code])
    to = i + 1 if i == 0 or (i + 1 < len(sites) and m.random.random() < 0.5) else i - 1
    m.layers[key][n, [0, 2]] += sites[to] - sites[i]
    return row, column


def half_a_pitch(m: Metal) -> Place:
    row, column = m.pick(np.ones_like(m.codes, bool))
    key, n = m.via(row, column)
    side = int(m.random.integers(2))
    pitch = (m.taps.lower_pitch if m.codes[row, column] < 8 else m.taps.upper_pitch, m.taps.pitch)
    grid = round(m.taps.technology.grid.value)
    by = pitch[side] // 2 // grid * grid
    m.layers[key][n, [side, side + 2]] += int(m.random.choice([-1, 1])) * by
    return row, column


def missing(m: Metal) -> Place:
    row, column = m.pick(np.ones_like(m.codes, bool))
    m.remove(*m.via(row, column))
    return row, column


def port_not_grounded(m: Metal) -> Place:
    row, column = m.pick(m.codes == 0)
    m.remove(*m.via(row, column))
    return row, column


def doubled(m: Metal) -> Place:
    row, column = m.pick(np.ones_like(m.codes, bool))
    key, n = m.via(row, column)
    m.add(key, tuple(m.layers[key][n].tolist()))
    return row, column


def second_via(m: Metal) -> Place:
    """One more via on the stub, at another trunk."""
    row, column = m.pick(np.ones_like(m.codes, bool))
    code = int(m.random.choice([c for c in m.taps.site_x if c != m.codes[row, column]]))
    cut = m.cut(code)
    wide, high = cut.size_nm
    x, y = m.cell_x(column) + m.taps.site_x[code] - wide // 2, m.y(row) - high // 2
    m.add((cut.gds_layer, PROGRAMMABLE), (x, y, x + wide, y + high))
    return row, column


def scale_via_missing(m: Metal) -> Place:
    """A via of a scale cell is gone: the block's count enters the next tree one bit short."""
    t = m.taps.technology
    row, block = int(m.random.integers(m.digits.rows)), int(m.random.integers(m.digits.blocks))
    start = m.cell_x(32 * block) + 32 * m.taps.cell
    shift = int(m.digits.shifts[row, block])
    places = [(level, x) for level, found in enumerate(m.taps.pattern(shift)) for x in found]
    level, x = places[m.random.integers(len(places))]
    key = ((t.lower_cut, t.upper_cut)[level].gds_layer, PROGRAMMABLE)
    m.remove(key, m.at(key, start + x, m.y(row)))
    return row, 32 * block


PROGRAMMABLE_DAMAGES: dict[str, Damage] = {
    "via moved by one trunk": one_trunk_on,
    "via moved half a pitch": half_a_pitch,
    "via missing": missing,
    "via doubled": doubled,
    "second via on a stub": second_via,
    "port not grounded": port_not_grounded,
    "via of a scale missing": scale_via_missing,
}
"""In shapes that weights decide: the bulk reader and the extractor must find them."""


def trunks_shorted(m: Metal) -> Place:
    """Metal between two trunks side by side, where no stub crosses."""
    column, upper = int(m.random.integers(m.codes.shape[1])), bool(m.random.integers(2))
    upper &= len(m.taps.upper_codes) > 1
    codes = sorted((c for c in m.taps.site_x if (c >= 8) == upper), key=m.taps.site_x.__getitem__)
    first = int(m.random.integers(len(codes) - 1))
    row = int(m.random.integers(m.digits.rows))
    key, a = m.trunk(column, codes[first])
    _, b = m.trunk(column, codes[first + 1])
    y = m.y(row) + m.taps.pitch // 4
    x0, x1 = int(m.layers[key][a, 0]), int(m.layers[key][b, 2])
    m.add(key, (x0, y, x1, y + 10))
    return None, None


def stubs_shorted(m: Metal) -> Place:
    """Metal between stubs of two rows that carry different products."""
    row, column = m.pick(m.codes[:-1] != m.codes[1:])
    t = m.taps.technology
    x = m.cell_x(column) + m.taps.port_x
    m.add((t.stub.gds_layer, FIXED), (x, m.y(row), x + 10, m.y(row + 1)))
    return None, column


def trunk_cut(m: Metal) -> Place:
    """A trunk in two between the pin at its foot and a row."""
    row, column = m.pick(np.arange(m.digits.rows)[:, None] + 0 * m.codes > 0)
    key, n = m.trunk(column, int(m.random.choice(list(m.taps.site_x))))
    x0, y0, x1, y1 = m.remove(key, n)
    gap = m.y(row) - m.taps.pitch // 2
    m.add(key, (x0, y0, x1, gap - 5), (x0, gap + 5, x1, y1))
    return None, None


def stub_cut(m: Metal) -> Place:
    """A stub in two between its port and its via."""
    row, column = m.pick(np.ones_like(m.codes, bool))
    port = m.cell_x(column) + m.taps.port_x
    via = m.cell_x(column) + m.taps.site_x[int(m.codes[row, column])]
    key = (m.taps.technology.stub.gds_layer, FIXED)
    x0, y0, x1, y1 = m.remove(key, m.at(key, port, m.y(row)))
    middle = (port + via) // 2
    m.add(key, (x0, y0, middle - 5, y1), (middle + 5, y0, x1, y1))
    return row, column


FIXED_DAMAGES: dict[str, Damage] = {
    "two trunks shorted": trunks_shorted,
    "two stubs shorted": stubs_shorted,
    "trunk cut": trunk_cut,
    "stub cut": stub_cut,
}
"""In shapes that are the same for all weights: only the extractor looks at them."""


def damaged(
    taps: Taps, digits: TileDigits, damage: Damage, seed: int
) -> tuple[Layout, Layout, Place]:
    """All metal of a tile with one fault, what of it weights decide, and where the fault is."""
    base, drawn = taps.base(TileShape(digits.rows, digits.blocks)), taps.draw(digits)
    layers = {key: found.copy() for key, found in base.merged(drawn).flat().items()}
    metal = Metal(taps, digits, layers, np.random.default_rng(seed))
    place = damage(metal)
    own = {key: metal.layers[key] for key in drawn.rectangles}
    return Layout(rectangles=metal.layers, labels=base.labels), Layout(rectangles=own), place
