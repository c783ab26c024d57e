"""Digits of a taps tile -> nets: trunks with the ports of their weights, count bits with columns.

Written apart from the drawing code: tests compare the metal of these nets with what is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import BLOCK, unpack
from hnlpu.silicon.embed import Taps, TileDigits
from hnlpu.silicon.masks._net import LOWER, UPPER, Net, Via


def taps_nets(taps: Taps, digits: TileDigits) -> Iterator[Net]:
    """Every net that reaches a sink: by input and value, then by row, GND last."""
    codes = unpack(digits.codes)
    y = np.arange(digits.rows) * taps.pitch + taps.pitch // 2
    ground = Net("GND")
    for column in range(codes.shape[1]):
        block, within = divmod(column, BLOCK)
        x0 = (block * taps.block_cells + within) * taps.cell
        for code, x in taps.site_x.items():
            rows = np.flatnonzero(codes[:, column] == code)
            if not len(rows):
                continue
            twice = taps.table[code]
            net = Net(f"x{column}.{twice:+d}") if twice else ground
            level = LOWER if code < 8 else UPPER
            net.sinks += [f"p{row}.{column}" for row in rows.tolist()]
            net.vias += [Via(level, x0 + x, at) for at in y[rows].tolist()]
            if twice:
                yield net
    if taps.scale_stubs:
        yield from _counts(taps, digits, y, ground)
    if ground.sinks:
        yield ground


def _counts(taps: Taps, digits: TileDigits, y: npt.NDArray[np.int64], ground: Net) -> Iterator[Net]:
    """Count bits with their columns; columns that take none are entered into `ground`."""
    patterns = [taps.pattern(shift) for shift in range(taps.kind.scale_range + 1)]
    for row in range(digits.rows):
        at = int(y[row])
        for block in range(digits.blocks):
            x0 = (block * taps.block_cells + BLOCK) * taps.cell
            shift = int(digits.shifts[row, block])
            lower, upper = (iter(x) for x in patterns[shift])
            for j, stub in enumerate(taps.scale_stubs):
                sink = f"q{row}.{block}.{j}"
                if shift in stub.candidates:
                    via = Via(LOWER, x0 + next(lower), at)
                    yield Net(f"c{row}.{block}.{j - shift}", [sink], [via])
                else:
                    ground.sinks.append(sink)
                    ground.vias.append(Via(UPPER, x0 + next(upper), at))
