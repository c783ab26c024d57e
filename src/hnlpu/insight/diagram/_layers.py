"""Boxes of a panel -> layers from top to bottom, each with an order from left to right.

K. Sugiyama, S. Tagawa, M. Toda, "Methods for visual understanding of hierarchical system
structures" (1981): layers by the longest way, long wires cut by places that hold nothing, order by
the mean place of neighbours.  What belongs to the residual stream stands leftmost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hnlpu.insight.diagram._model import Panel

_SWEEPS = 8


@dataclass(frozen=True)
class LayerNet:
    """Values that go from one node to the same others; nodes are numbered."""

    values: tuple[str, ...]
    source: int
    targets: tuple[int, ...]


@dataclass(frozen=True)
class Hop:
    """A net's way from one layer to the next: from a node, or the place that it passes, to others."""

    net: int
    source: int
    targets: tuple[int, ...]


@dataclass(frozen=True)
class Layers:
    """Nodes in layers.  The first `len(panel.boxes)` nodes are the boxes, then come what the panel
    takes, what it gives, and the places at which nets pass a layer.
    """

    layers: tuple[tuple[int, ...], ...]
    nets: tuple[LayerNet, ...]
    hops: tuple[tuple[Hop, ...], ...]  # below each layer
    takes: Mapping[int, tuple[str, ...]]
    gives: Mapping[int, tuple[str, ...]]
    passes: Mapping[int, int]  # places to their nets
    stream: frozenset[int]


def layered(panel: Panel) -> Layers:
    """The layers of a panel."""
    nets, takes, gives, count = _nets(panel)
    level = _levels(nets, count, takes, gives)
    passes: dict[int, int] = {}
    hops: list[list[Hop]] = [[] for _ in range(max(level.values()) + 1)]
    for number, net in enumerate(nets):
        at, last = net.source, max(level[t] for t in net.targets)
        for layer in range(level[net.source], last):
            here = [t for t in net.targets if level[t] == layer + 1]
            if layer + 1 < last:
                place = count + len(passes)
                passes[place] = number
                level[place] = layer + 1
                here.append(place)
            hops[layer].append(Hop(number, at, tuple(here)))
            at = count + len(passes) - 1
    on_stream = _stream(panel, nets, takes, gives, passes)
    layers = [[n for n in level if level[n] == layer] for layer in range(len(hops))]
    ordered = _ordered(layers, hops, on_stream)
    return Layers(
        tuple(map(tuple, ordered)), tuple(nets), tuple(map(tuple, hops)), takes, gives, passes,
        on_stream,
    )  # fmt: skip


def _nets(
    panel: Panel,
) -> tuple[list[LayerNet], dict[int, tuple[str, ...]], dict[int, tuple[str, ...]], int]:
    """Nets; the nodes of what the panel takes and gives, with their values; how many nodes."""
    used: dict[str, list[int]] = {}
    for number, box in enumerate(panel.boxes):
        for value in box.takes:
            used.setdefault(value, []).append(number)
    count = len(panel.boxes)
    takes: dict[int, tuple[str, ...]] = {}
    for together in _alike(panel.takes, used, panel.stream):
        takes[count] = together
        count += 1
    made = {value: n for n, box in enumerate(panel.boxes) for value in box.gives}
    gives: dict[int, tuple[str, ...]] = {}
    for value in panel.gives:
        gives[count] = (value,)
        used.setdefault(value, []).append(count)
        count += 1
    nets = [LayerNet(values, node, tuple(used[values[0]])) for node, values in takes.items()]
    for number, box in enumerate(panel.boxes):
        given = [v for v in box.gives if v in used and made[v] == number]
        nets += [
            LayerNet(together, number, tuple(used[together[0]]))
            for together in _alike(given, used, panel.stream)
        ]
    return nets, takes, gives, count


def _alike(
    values: Iterable[str], used: Mapping[str, Sequence[int]], stream: frozenset[str]
) -> list[tuple[str, ...]]:
    """Values that go to the same nodes share a wire; those of the stream have one of their own."""
    groups: dict[object, list[str]] = {}
    for value in values:
        key = (tuple(used.get(value, ())), value if value in stream else None)
        groups.setdefault(key, []).append(value)
    return [tuple(group) for group in groups.values()]


def _levels(
    nets: Sequence[LayerNet], count: int, takes: Iterable[int], gives: Iterable[int]
) -> dict[int, int]:
    """A layer for every node: below all that it takes from, sources close to what uses them."""
    below: dict[int, list[int]] = {n: [] for n in range(count)}
    above: dict[int, list[int]] = {n: [] for n in range(count)}
    for net in nets:
        for target in net.targets:
            below[net.source].append(target)
            above[target].append(net.source)
    top = set(takes)
    level = dict.fromkeys(top, 0)
    for n in range(count):  # boxes stand behind what they take from, and what is given behind them
        if n not in top:
            level[n] = max((level[m] + 1 for m in above[n]), default=1 if top else 0)
    for n in sorted(range(count), key=lambda n: -level[n]):
        if not above[n] and n not in top and below[n]:
            level[n] = min(level[m] for m in below[n]) - 1
    bottom = max((level[n] for n in range(count) if n not in set(gives)), default=0) + 1
    for n in gives:
        level[n] = bottom
    return level


def _stream(
    panel: Panel, nets: Sequence[LayerNet], takes: Mapping[int, tuple[str, ...]],
    gives: Mapping[int, tuple[str, ...]], passes: Mapping[int, int],
) -> frozenset[int]:  # fmt: skip
    """Nodes that hold the residual stream at its place; none where nothing is added to it."""
    sums = {n for n, box in enumerate(panel.boxes) if box.shape == "add"}
    if not sums:
        return frozenset()
    ends = {n for of in (takes, gives) for n, values in of.items() if values[0] in panel.stream}
    kept = {
        place for place, net in passes.items()
        if nets[net].values[0] in panel.stream
        and any(t in sums or t in gives for t in nets[net].targets)
    }  # fmt: skip
    return frozenset(sums | ends | kept)


def _ordered(
    layers: Sequence[Sequence[int]], hops: Sequence[Sequence[Hop]], stream: frozenset[int]
) -> list[list[int]]:
    """The order with the fewest crossings among those that sweeps down and up come by."""
    order = [sorted(layer, key=lambda n: (n not in stream, n)) for layer in layers]
    up: dict[int, list[int]] = {}
    down: dict[int, list[int]] = {}
    for layer in hops:
        for hop in layer:
            for target in hop.targets:
                down.setdefault(hop.source, []).append(target)
                up.setdefault(target, []).append(hop.source)
    best, fewest = [list(layer) for layer in order], _crossings(order, down)
    for sweep in range(_SWEEPS):
        neighbours = up if sweep % 2 == 0 else down
        indices = range(1, len(order)) if sweep % 2 == 0 else range(len(order) - 2, -1, -1)
        for i in indices:
            beside = order[i - 1] if sweep % 2 == 0 else order[i + 1]
            place = {n: k / max(1, len(beside) - 1) for k, n in enumerate(beside)}
            here = {n: k / max(1, len(order[i]) - 1) for k, n in enumerate(order[i])}

            def key(
                n: int, place: Mapping[int, float] = place, here: Mapping[int, float] = here,
                neighbours: Mapping[int, list[int]] = neighbours,
            ) -> tuple[bool, float]:  # fmt: skip
                near = [place[m] for m in neighbours.get(n, ()) if m in place]
                return n not in stream, sum(near) / len(near) if near else here[n]

            order[i] = sorted(order[i], key=key)
        _swapped(order, down, stream)
        crossings = _crossings(order, down)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in order], crossings
    return best


def _swapped(
    order: list[list[int]], down: Mapping[int, Sequence[int]], stream: frozenset[int]
) -> None:
    """Exchange neighbours wherever that leaves fewer crossings."""
    better = True
    while better:
        better = False
        for i, layer in enumerate(order):
            around = order[max(0, i - 1) : i + 2]
            for k in range(len(layer) - 1):
                if layer[k] in stream:
                    continue
                before = _crossings(around, down)
                layer[k], layer[k + 1] = layer[k + 1], layer[k]
                if _crossings(around, down) < before:
                    better = True
                else:
                    layer[k], layer[k + 1] = layer[k + 1], layer[k]


def _crossings(order: Sequence[Sequence[int]], down: Mapping[int, Sequence[int]]) -> int:
    """How many pairs of wires between neighbouring layers cross."""
    total = 0
    for layer, below in pairwise(order):
        place = {n: k for k, n in enumerate(below)}
        wires = [(k, place[m]) for k, n in enumerate(layer) for m in down.get(n, ()) if m in place]
        total += sum(
            (a[0] - b[0]) * (a[1] - b[1]) < 0 for i, a in enumerate(wires) for b in wires[:i]
        )
    return total
