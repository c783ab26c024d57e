"""Nodes in layers -> places from left to right: near to what they are joined to, none upon another.

Sweeps down and up, each layer spread about where its neighbours pull it; then wires are made
straight where there is room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hnlpu.insight.diagram._box import Drawn
from hnlpu.insight.diagram._layers import Hop, Layers
from hnlpu.insight.diagram._model import Panel
from hnlpu.insight.diagram._spread import spread

BESIDE = 24.0  # between neighbours of a layer
_SWEEPS = 15
_STRAIGHT = 4.0  # how much more the places that wires pass weigh than boxes
_RIGID = 1e6

Pulls = dict[int, list[tuple[int, float]]]
"""For each node its neighbours on one side, and how far from each it would stand."""


@dataclass(frozen=True)
class LayerNode:
    """What stands in a layer: how far it reaches from its place, and where its nets leave it."""

    drawn: Drawn | None
    left: float
    right: float
    ports: Mapping[int, float]  # net to its distance from the place


def columns(panel: Panel, layers: Layers, nodes: Mapping[int, LayerNode]) -> dict[int, float]:
    """The place of every node."""
    up, down = _pulls(panel, layers, nodes)
    x: dict[int, float] = {}
    for layer in layers.layers:
        _settle(layer, dict.fromkeys(layer, 0.0), layers, nodes, x)
    for sweep in range(_SWEEPS):
        falling = sweep % 2 == 0
        for layer in layers.layers if falling else reversed(layers.layers):
            wanted = {}
            for n in layer:
                near = up.get(n, []) if falling else down.get(n, [])
                if sweep >= _SWEEPS - 2 and nodes[n].drawn is not None:
                    near = [*up.get(n, ()), *down.get(n, ())]  # in the end both sides pull
                pulls = [(x[m] + by, _pull(m, layers, nodes)) for m, by in near]
                weight = sum(w for _, w in pulls)
                wanted[n] = sum(at * w for at, w in pulls) / weight if pulls else x[n]
            _settle(layer, wanted, layers, nodes, x)
    _straighten(up, down, layers, nodes, x)
    return x


def _pulls(panel: Panel, layers: Layers, nodes: Mapping[int, LayerNode]) -> tuple[Pulls, Pulls]:
    """From above and from below."""
    up: Pulls = {}
    down: Pulls = {}
    for below in layers.hops:
        for hop in below:
            port = nodes[hop.source].ports.get(hop.net, 0.0)
            for target in hop.targets:
                entry = _entry(panel, layers, nodes, hop, target)
                up.setdefault(target, []).append((hop.source, port - entry))
                down.setdefault(hop.source, []).append((target, entry - port))
    return up, down


def _straighten(
    up: Pulls, down: Pulls, layers: Layers, nodes: Mapping[int, LayerNode], x: dict[int, float]
) -> None:
    """Wires go on where they began, as boxes take them anywhere; only frames have fixed places."""

    def is_frame(n: int) -> bool:
        drawn = nodes[n].drawn
        return drawn is not None and bool(drawn.ins)

    for layer in layers.layers:
        wanted = {n: x[n] for n in layer}
        for n in layer:
            if len(up.get(n, ())) == 1 and (nodes[n].drawn is None or is_frame(n)):
                ((above, by),) = up[n]
                wanted[n] = x[above] + by
        _settle(layer, wanted, layers, nodes, x, _RIGID)
    for layer in reversed(layers.layers):  # what enters a frame comes from straight above
        wanted = {n: x[n] for n in layer}
        for n in layer:
            below = down.get(n, ())
            if len(below) == 1 and is_frame(below[0][0]) and nodes[n].drawn and not is_frame(n):
                wanted[n] = x[below[0][0]] + below[0][1]
        _settle(layer, wanted, layers, nodes, x, _RIGID)


def _pull(node: int, layers: Layers, nodes: Mapping[int, LayerNode]) -> float:
    """How much a neighbour pulls: the stream little, or all would lean to it."""
    if node in layers.stream:
        return 0.02
    return 1.0 if nodes[node].drawn is not None else _STRAIGHT


def _entry(
    panel: Panel, layers: Layers, nodes: Mapping[int, LayerNode], hop: Hop, target: int
) -> float:
    """Distance of where a net meets a node from the node's place, as far as it is fixed."""
    if target < len(panel.boxes) and panel.boxes[target].shape == "frame":
        drawn = nodes[target].drawn
        assert drawn is not None
        fixed = [drawn.ins[v] for v in layers.nets[hop.net].values if v in drawn.ins]
        return sum(fixed) / len(fixed) - drawn.width / 2 if fixed else 0.0
    return 0.0


def _settle(
    layer: Sequence[int], wanted: Mapping[int, float], layers: Layers,
    nodes: Mapping[int, LayerNode], x: dict[int, float], straight: float = _STRAIGHT,
) -> None:  # fmt: skip
    """Put a layer's nodes where they want to be, as far as there is room; the stream stays left."""
    fixed = [n for n in layer if n in layers.stream]
    others = [n for n in layer if n not in layers.stream]
    for k, n in enumerate(fixed):
        x[n] = (k - len(fixed) + 1) * BESIDE
    gaps = [0.0] + [nodes[a].right + BESIDE + nodes[b].left for a, b in pairwise(others)]
    weights = [1.0 if nodes[n].drawn else straight for n in others]
    places = spread([wanted[n] for n in others], gaps, weights)
    if layers.stream and others:
        widest = max(nodes[n].right for n in fixed) if fixed else 0.0
        least, bound = widest + BESIDE + nodes[others[0]].left, 0.0
        for k, gap in enumerate(gaps):
            bound = bound + gap if k else least
            places[k] = max(places[k], bound)
    x.update(zip(others, places, strict=True))
