"""What the wires of a regions tile use: tracks, wire, fan-out and load, ports and ties."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hnlpu.silicon.embed._kind import ArrayKind
from hnlpu.silicon.embed._regions_frame import Frame
from hnlpu.silicon.embed._regions_route import Routes, wires_um
from hnlpu.silicon.embed._regions_values import tie_count
from hnlpu.silicon.technology import Technology


def needs_of(
    technology: Technology, kind: ArrayKind, frame: Frame, routes: Routes, height: int
) -> dict[str, Any]:
    """Needs of a tile `height` nm high."""
    t, rows = technology, len(routes.needed)
    weights = rows * frame.inputs
    column, sideways = wires_um(routes, frame)
    end_um = 2 * frame.rules.stub_end * 1e-3
    wire_um = np.zeros(weights)
    wire_um[: len(sideways)] = sideways + end_um  # a zero needs none
    fan_out = np.bincount(column, minlength=frame.inputs)
    port_um = (frame.rules.height(kind.tracks) - 2 * frame.rules.half_space) * 1e-3
    sink = t.electrical.port_capacitance.value + port_um * t.lower.capacitance.value
    load = height * 1e-3 * t.upper.capacitance.value + fan_out * sink
    load += np.bincount(column, (sideways + end_um) * t.stub.capacitance.value, frame.inputs)
    largest = t.electrical.largest_load.value
    needed, ties = int(routes.needed.max(initial=0)), tie_count(kind.scale_range)
    ports = rows * frame.groups * frame.group
    of_value = int(np.count_nonzero(routes.used))
    return {
        "fits": needed <= kind.tracks,
        "tracks_of_row": {
            "there": kind.tracks,
            "mean": float(routes.needed.mean()),
            "worst": needed,
            "missing": max(0, needed - kind.tracks),
            "rows_that_do_not_fit": int((routes.needed > kind.tracks).sum()),
        },
        "tracks": _track_use(technology, kind, frame, float(wire_um.sum()), rows, height),
        "wire_um_per_weight": {"mean": float(wire_um.mean()), "worst": float(wire_um.max())},
        "fan_out": _spread(fan_out),
        "load_ff": _spread(load),
        "trunks": frame.inputs,
        "trunks_over_load": int((load > largest).sum()),
        "repeaters": int((np.ceil(load / largest) - 1).clip(0).sum()),
        "ports": ports,
        "ports_per_weight": ports / weights,
        "ports_grounded": ports - len(column),
        "ports_slack": ports / len(column) - 1 if len(column) else None,
        "groups": rows * frame.groups,
        "groups_in_use": of_value,
        "ties": rows * frame.groups * ties,
        "ties_at_power": int(np.bitwise_count(routes.word).sum()),
    }  # fmt: skip


def _track_use(
    technology: Technology, kind: ArrayKind, frame: Frame, wire_um: float, rows: int, height: int
) -> dict[str, dict[str, float]]:
    """Wire tracks of a tile and how many are in use, by layer.

    A track is a strip of the layer's own pitch: upright ones over the tile's width, those across
    over a row's height; a wire across uses its share of one.
    """
    t, r = technology, frame.rules
    port_share = rows * (r.height(kind.tracks) - 2 * r.half_space) / height
    tie_share = rows * tie_count(kind.scale_range) * r.pad_length / height
    lower = frame.groups * (frame.group * port_share + tie_share + 1) + frame.pairs
    layers = {
        t.lower.name: (frame.width / r.lower_pitch, lower),
        t.stub.name: (height / rows / r.track_pitch, wire_um * 1e3 / frame.width / rows),
        t.upper.name: (frame.width / r.upper_pitch, float(frame.inputs)),
    }
    return {
        name: {"tracks": tracks, "used": used, "use": used / tracks}
        for name, (tracks, used) in layers.items()
    }


def _spread(values: npt.NDArray[Any]) -> dict[str, float]:
    return {"mean": float(values.mean()), "worst": float(values.max())}
