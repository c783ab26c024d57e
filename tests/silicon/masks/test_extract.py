"""Which metal hangs together: the extractor's union-find against comparing every pair of shapes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hnlpu.silicon.masks import _bins
from hnlpu.silicon.masks._connectivity import BARE_ABOVE, BARE_BELOW, DOUBLED, Fabric

Box = tuple[int, int, int, int]
LAYERS = 3


@dataclass(frozen=True)
class Shapes:
    """Conductors and cuts from the bottom up (cuts[n] below conductors[n]), and places asked for."""

    conductors: list[list[Box]]
    cuts: list[list[Box]]
    places: list[tuple[int, int, int]]

    @property
    def metal(self) -> list[tuple[int, Box]]:
        return [(n, box) for n, layer in enumerate(self.conductors) for box in layer]


def boxes(most: int, sides: st.SearchStrategy[int]) -> st.SearchStrategy[list[Box]]:
    corner = st.integers(-40, 40).map(lambda n: n * 60)
    return st.lists(
        st.builds(lambda x, y, w, h: (x, y, x + w, y + h), corner, corner, sides, sides),
        max_size=most,
    )


SIDES = st.one_of(st.integers(1, 5).map(lambda n: n * 60), st.sampled_from([900, 2400, 4800]))
CUTS = st.sampled_from([40, 60, 60, 180])
SHAPES = st.builds(
    Shapes,
    st.lists(boxes(14, SIDES), min_size=LAYERS, max_size=LAYERS),
    st.lists(boxes(10, CUTS), min_size=LAYERS, max_size=LAYERS),
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(-2500, 2500), st.integers(-2500, 2500)),
        max_size=8,
    ),
)


def touch(a: Box, b: Box) -> bool:
    """Overlap, or share a piece of edge."""
    across = min(a[2], b[2]) - max(a[0], b[0])
    up = min(a[3], b[3]) - max(a[1], b[1])
    return across >= 0 and up >= 0 and across + up > 0


def overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def meet(a: Box, b: Box) -> bool:
    """Overlap or touch, if only at a corner."""
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def covers(a: Box, b: Box) -> bool:
    return a[0] <= b[0] and a[1] <= b[1] and a[2] >= b[2] and a[3] >= b[3]


def brute_nets(shapes: Shapes) -> list[int]:
    """The net of every piece of metal: the smallest number that it hangs together with."""
    metal = shapes.metal
    net = list(range(len(metal)))

    def join(a: int, b: int) -> None:
        low, high = sorted((net[a], net[b]))
        net[:] = [low if n == high else n for n in net]

    for (i, (n, a)), (k, (m, b)) in combinations(enumerate(metal), 2):
        if n == m and touch(a, b):
            join(i, k)
    for n, layer in enumerate(shapes.cuts[1:]):
        for cut in layer:
            touched = [
                i for i, (m, box) in enumerate(metal) if m in (n, n + 1) and overlap(cut, box)
            ]
            for i in touched[1:]:
                join(touched[0], i)
    return net


def brute_marks(shapes: Shapes) -> list[list[int]]:
    found = []
    for n, layer in enumerate(shapes.cuts):
        marks = []
        for i, cut in enumerate(layer):
            mark = 0
            if n and not any(covers(box, cut) for box in shapes.conductors[n - 1]):
                mark |= BARE_BELOW
            if not any(covers(box, cut) for box in shapes.conductors[n]):
                mark |= BARE_ABOVE
            if any(meet(cut, other) for k, other in enumerate(layer) if k != i):
                mark |= DOUBLED
            marks.append(mark)
        found.append(marks)
    return found


def array(found: list[Box]) -> np.ndarray:
    return np.array(found, np.int32).reshape(-1, 4)


def fabric(shapes: Shapes) -> Fabric:
    layer = np.array([n for n, _, _ in shapes.places], np.int64)
    places = np.array([at for _, *at in shapes.places], np.int64).reshape(-1, 2)
    return Fabric(
        [array(layer) for layer in shapes.conductors], [array(layer) for layer in shapes.cuts],
        layer, places,
    )  # fmt: skip


def canonical(numbers: list[int]) -> list[int]:
    """Groups named by where they come first."""
    first: dict[int, int] = {}
    return [first.setdefault(number, at) for at, number in enumerate(numbers)]


@pytest.fixture(params=[2**15, 3], ids=["one strip", "many strips"])
def strips(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bins, "SHAPES_A_STRIP", request.param)


@pytest.mark.usefixtures("strips")
@settings(max_examples=150, deadline=None, derandomize=True)
@given(SHAPES)
def test_nets_and_marks_are_those_of_every_pair(shapes: Shapes) -> None:
    nets = fabric(shapes).nets()
    expected = brute_nets(shapes)
    assert canonical(nets.net.tolist()) == canonical(expected)
    marks = [[mark for _, found in layer for mark in found.tolist()] for layer in nets.cuts]
    assert marks == brute_marks(shapes)
    metal = shapes.metal
    for (n, x, y), under in zip(shapes.places, nets.under.tolist(), strict=True):
        over = {
            canonical(expected)[i]
            for i, (m, box) in enumerate(metal)
            if m == n and box[0] <= x <= box[2] and box[1] <= y <= box[3]
        }
        here = canonical(nets.net.tolist())
        assert (under < 0) == (not over)
        assert under < 0 or here[nets.net.tolist().index(under)] in over


@pytest.mark.usefixtures("strips")
@settings(max_examples=150, deadline=None, derandomize=True)
@given(SHAPES, st.randoms(use_true_random=False))
def test_metal_that_is_added_is_joined_as_if_it_had_been_there(shapes: Shapes, random) -> None:  # type: ignore[no-untyped-def]  # hypothesis' own Random
    """A base joined once gives, with what a tile adds, the nets of both together."""

    def halves(layers: list[list[Box]]) -> tuple[list[list[Box]], list[list[Box]]]:
        kept: list[list[Box]] = []
        added: list[list[Box]] = []
        for layer in layers:
            mixed = list(layer)
            random.shuffle(mixed)
            cut = random.randint(0, len(mixed))
            kept.append(mixed[:cut])
            added.append(mixed[cut:])
        return kept, added

    conductors, more_conductors = halves(shapes.conductors)
    cuts, more_cuts = halves(shapes.cuts)
    base = fabric(Shapes(conductors, cuts, shapes.places))
    added = [array(layer) for layer in more_conductors], [array(layer) for layer in more_cuts]
    once, again = base.nets(*added), base.nets(*added)
    np.testing.assert_array_equal(once.net, again.net)

    whole = Shapes(
        [a + b for a, b in zip(conductors, more_conductors, strict=True)],
        [a + b for a, b in zip(cuts, more_cuts, strict=True)],
        shapes.places,
    )
    net_of = {
        (n, i): net
        for n, layer in enumerate(once.rectangles)
        for i, net in enumerate(
            net
            for first, rectangles in layer
            for net in once.net[first : first + len(rectangles)].tolist()
        )
    }
    order = [(n, i) for n, layer in enumerate(whole.conductors) for i in range(len(layer))]
    assert canonical([net_of[at] for at in order]) == canonical(brute_nets(whole))
    marks = [[mark for _, found in layer for mark in found.tolist()] for layer in once.cuts]
    assert marks == brute_marks(whole)


def test_what_lies_beyond_the_base_is_joined_too() -> None:
    """Strips are laid out over the base; the outermost ones reach on."""
    base = fabric(Shapes([[(0, 0, 100, 100)], [(0, 0, 100, 100)], []], [[], [], []], []))
    nets = base.nets(
        [array([]), array([(9000, 0, 9100, 100), (9100, 0, 9200, 100)]), array([])],
        [array([]), array([(-5000, 10, -4960, 50), (-4960, 50, -4920, 90), (40, 40, 80, 80)]),
         array([])],
    )  # fmt: skip
    (of_added,) = [marks.tolist() for _, marks in nets.cuts[1]]
    assert of_added == [BARE_BELOW | BARE_ABOVE | DOUBLED] * 2 + [0]
    assert canonical(nets.net.tolist()) == [0, 0, 2, 2]
