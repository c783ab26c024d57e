"""Digits -> the nets that programmable metal makes, from the digits alone and not from shapes.

taps      a trunk with the ports that its vias tie, a count bit with the column that takes it,
          and GND with the ports and columns of zeros
regions   an input's trunk with the ports that its wires reach; GND and PWR with unused ports
          and with the ties that say a group's value

Names of pins are the labels in the layout.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hnlpu.arithmetic.mx import BLOCK, TWICE_E2M1, unpack
from hnlpu.silicon.embed import Regions, Scheme, Taps, TileDigits
from hnlpu.silicon.masks._net import LOWER, UPPER, Net, Via
from hnlpu.silicon.masks._nets_regions import regions_nets


def wire_width(scheme: Scheme) -> int:
    """Width in nm of the wires of the stub layer."""
    if isinstance(scheme, Taps):
        return scheme.stub_width
    assert isinstance(scheme, Regions)
    return scheme.rules.stub_width


def nets(scheme: Scheme, digits: TileDigits) -> Iterator[Net]:
    """Every net that reaches a sink: by input and value, then by row, GND and PWR last.

    Raises DoesNotFit where the weights do not fit the array.
    """
    if isinstance(scheme, Taps):
        yield from _taps(scheme, digits)
    else:
        assert isinstance(scheme, Regions)
        yield from regions_nets(scheme, digits)


def _taps(taps: Taps, digits: TileDigits) -> Iterator[Net]:
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
            twice = int(TWICE_E2M1[code])
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
