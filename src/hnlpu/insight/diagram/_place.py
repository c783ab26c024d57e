"""A panel -> marks with places: boxes in their layers, wires between them, texts on the wires."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hnlpu.insight.diagram._box import ADD_RADIUS, Drawn, drawn_box
from hnlpu.insight.diagram._columns import LayerNode, columns
from hnlpu.insight.diagram._layers import Hop, Layers, layered
from hnlpu.insight.diagram._marks import Mark, TextMark, moved, text_width
from hnlpu.insight.diagram._model import Panel
from hnlpu.insight.diagram._spread import spread
from hnlpu.insight.diagram._wires import ARROW, TRACK, DrawnWire, tracks, wire_marks

LABEL_BAND = 18.0
LABEL_GAP = 5.0
PORT_GAP = 14.0
SIDE = 16.0  # from a sum to the wire that comes to its side


def placed(panel: Panel, *, label_takes: bool = True) -> Drawn:
    """The drawing of a panel; `label_takes`: whether what comes from outside has its text."""
    layers = layered(panel)
    nodes = _nodes(panel, layers, label_takes)
    x = columns(panel, layers, nodes)
    left = min((x[n] - node.left for n, node in nodes.items()), default=0.0)
    x = {n: at - left for n, at in x.items()}
    width = max((x[n] + node.right for n, node in nodes.items()), default=0.0)
    marks, height = _rows_of(panel, layers, nodes, x)
    ins = {value: x[n] for n, values in layers.takes.items() for value in values}
    outs = {value: x[n] for n, values in layers.gives.items() for value in values}
    return Drawn(width, height, marks, ins, outs)


def label_of(panel: Panel, values: Sequence[str]) -> str:
    """The text on a wire that carries these values."""
    texts = [panel.labels[value] for value in values]
    if len(texts) > 1 and len(set(texts)) == 1:
        return f"{len(texts)} of {texts[0]}"
    return ", ".join(texts)


def _nodes(panel: Panel, layers: Layers, label_takes: bool) -> dict[int, LayerNode]:
    """All nodes with their sizes."""
    order = {n: k for layer in layers.layers for k, n in enumerate(layer)}
    leaving: dict[int, list[int]] = {}
    for number, net in enumerate(layers.nets):
        leaving.setdefault(net.source, []).append(number)
    found: dict[int, LayerNode] = {}
    for number, box in enumerate(panel.boxes):
        nets = sorted(
            leaving.get(number, ()), key=lambda k: min(order[t] for t in layers.nets[k].targets)
        )
        single = len(box.panels) == 1
        labels = [0.0 if single else _label_width(panel, layers, net) for net in nets]
        inner = [placed(p, label_takes=len(box.panels) > 1) for p in box.panels]
        drawn = drawn_box(box, inner, 0.0 if box.shape == "add" else sum(labels[:-1]) + 24)
        half = drawn.width / 2
        if single:
            ports = {net: drawn.outs[layers.nets[net].values[0]] - half for net in nets}
        else:
            ports = _ports(nets, labels)
        reach = max((ports[n] + w for n, w in zip(nets, labels, strict=True)), default=0.0)
        side = ADD_RADIUS + SIDE + 4 if box.shape == "add" else 0.0
        found[number] = LayerNode(drawn, half, max(half, reach, side), ports)
    for node in layers.takes:
        nets = leaving.get(node, [])
        reach = _label_width(panel, layers, nets[0]) if nets and label_takes else 4.0
        found[node] = LayerNode(None, 4.0, reach, dict.fromkeys(nets, 0.0))
    for node in (*layers.gives, *layers.passes):
        found[node] = LayerNode(None, 4.0, 4.0, {})
    return found


def _label_width(panel: Panel, layers: Layers, net: int) -> float:
    return LABEL_GAP + text_width(label_of(panel, layers.nets[net].values), "wire") + 6


def _ports(nets: Sequence[int], labels: Sequence[float]) -> dict[int, float]:
    """Where nets leave below a box: beside each other, with room for their texts."""
    total = sum(labels[:-1])
    found, at = {}, -total / 2
    for net, width in zip(nets, labels, strict=True):
        found[net] = at
        at += width
    return found


def _rows_of(
    panel: Panel, layers: Layers, nodes: Mapping[int, LayerNode], x: Mapping[int, float]
) -> tuple[list[Mark], float]:
    """All marks, and the height."""
    boxes: list[Mark] = []
    wires: list[Mark] = []
    y, tops = 0.0, dict[int, float]()
    for i, layer in enumerate(layers.layers):
        height = max((_height(nodes[n]) for n in layer), default=0.0)
        for n in layer:
            tops[n] = y
            drawn = nodes[n].drawn
            if drawn is not None:
                boxes += moved(drawn.marks, x[n] - drawn.width / 2, y)
        bottom = y + height
        hops = layers.hops[i] if i < len(layers.hops) else ()
        if not hops:
            y = bottom
            continue
        boxes += _labels(panel, layers, nodes, x, hops, tops)
        found = _wires(panel, layers, nodes, x, i)
        rows = tracks(found)
        labelled = any(_has_label(panel, layers, nodes, hop) for hop in hops)
        band = bottom + (LABEL_BAND if labelled else 4.0)
        y = band + TRACK * (max(rows.values(), default=-1) + 1) + ARROW
        for number, wire in enumerate(found):
            start = tops[wire.source] + _height(nodes[wire.source])
            wires += wire_marks(wire, start, band + TRACK * (rows.get(number, 0) + 0.5), y)
    return [*wires, *boxes], y


def _has_label(panel: Panel, layers: Layers, nodes: Mapping[int, LayerNode], hop: Hop) -> bool:
    """Whether a wire's text stands below this layer: where it leaves, once."""
    if hop.source in layers.passes:
        return False
    if hop.source in layers.takes:
        return nodes[hop.source].right > 4.0
    return len(panel.boxes[hop.source].panels) != 1  # the frame has it inside


def _height(node: LayerNode) -> float:
    return node.drawn.height if node.drawn is not None else 0.0


def _labels(
    panel: Panel, layers: Layers, nodes: Mapping[int, LayerNode], x: Mapping[int, float],
    hops: Sequence[Hop], tops: Mapping[int, float],
) -> list[Mark]:  # fmt: skip
    """Texts beside wires, where they leave a box."""
    found: list[Mark] = []
    for hop in hops:
        node = nodes[hop.source]
        if not _has_label(panel, layers, nodes, hop):
            continue
        at = x[hop.source] + node.ports[hop.net]
        y = tops[hop.source] + _height(node) + 12
        text = label_of(panel, layers.nets[hop.net].values)
        found.append(TextMark(at + LABEL_GAP, y, text, "wire"))
    return found


def _wires(
    panel: Panel, layers: Layers, nodes: Mapping[int, LayerNode], x: Mapping[int, float], layer: int
) -> list[DrawnWire]:
    """The wires below a layer, with the places of their ends."""
    hops = layers.hops[layer]
    starts = [x[hop.source] + nodes[hop.source].ports.get(hop.net, 0.0) for hop in hops]
    ends: list[list[tuple[float, bool, bool]]] = [[] for _ in hops]
    into: dict[int, list[int]] = {}
    for k, hop in enumerate(hops):
        for target in hop.targets:
            into.setdefault(target, []).append(k)
    for target, entering in into.items():
        drawn = nodes[target].drawn
        if drawn is None:
            for k in entering:
                ends[k].append((x[target], False, False))
        elif panel.boxes[target].shape == "add":
            for k in entering:
                aside = not _is_stream(panel, layers, hops[k])
                at = x[target] + (ADD_RADIUS + SIDE if aside else 0.0)
                ends[k].append((at, True, aside))
        elif drawn.ins:
            for k in entering:
                values = [v for v in layers.nets[hops[k].net].values if v in drawn.ins]
                for at in dict.fromkeys(drawn.ins[v] for v in values):
                    ends[k].append((x[target] - drawn.width / 2 + at, False, False))
        else:
            inset = min(12.0, drawn.width / 4)
            low, high = x[target] - drawn.width / 2 + inset, x[target] + drawn.width / 2 - inset
            entering.sort(key=lambda k: starts[k])
            gap = min(PORT_GAP, (high - low) / max(1, len(entering) - 1))
            wanted = [min(max(starts[k], low), high) for k in entering]
            at_top = spread(wanted, [gap] * len(entering))
            shift = max(0.0, low - at_top[0]) - max(0.0, at_top[-1] - high)
            for k, at in zip(entering, at_top, strict=True):
                ends[k].append((at + shift, True, False))
    return [
        DrawnWire(hop.source, start, tuple(end), _is_stream(panel, layers, hop))
        for hop, start, end in zip(hops, starts, ends, strict=True)
    ]


def _is_stream(panel: Panel, layers: Layers, hop: Hop) -> bool:
    return layers.nets[hop.net].values[0] in panel.stream
