"""A router works with our LEF: qrouter routes a design about a tile, KLayout judges what it did."""

from __future__ import annotations

import re
import shutil

import klayout.db as db
import pytest
from layouts import scheme_of
from routed import Stub, route, routed_regions, routes_layout, stub_of, tile_layout

import regions_tiles
from hnlpu.silicon.embed import Scheme, TileShape
from hnlpu.silicon.masks._klayout import check_rules, extract_netlist

pytestmark = pytest.mark.skipif(
    shutil.which("qrouter") is None, reason="needs qrouter: apt-get install qrouter"
)
DESIGNS = [("sky130", "plain"), ("sky130", "scales"), ("n5", "plain"), ("n5", "regions")]


def scheme_for(technology: str, kind: str) -> Scheme:
    if kind == "regions":
        digits = regions_tiles.random_digits(4, 1, 2, seed=1)
        return regions_tiles.regions_for(digits, technology=technology)
    return scheme_of(kind, technology)


@pytest.fixture(scope="module", params=DESIGNS, ids="-".join)
def routed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Stub, str, dict[str, db.Region]]:
    """A design, what qrouter said, and the metal of its routes."""
    stub = stub_of(scheme_for(*request.param), TileShape(4, 1))
    folder = tmp_path_factory.mktemp("routed")
    said, _ = route(stub, folder)
    return stub, said, routed_regions(stub, folder)


def test_all_nets_are_routed(routed: tuple[Stub, str, dict[str, db.Region]]) -> None:
    stub, said, _ = routed
    assert f"unrouted: 0 of {len(stub.nets)}" in said
    assert "Final: No failed routes!" in said
    assert re.findall(r"encountered [1-9]\d* errors", said) == []


def test_no_route_touches_what_is_not_its_own(
    routed: tuple[Stub, str, dict[str, db.Region]],
) -> None:
    """Tile and routes together keep all rules, and hang together as the design says."""
    stub, _, routes = routed
    t, tile, metal = stub.scheme.technology, tile_layout(stub), routes_layout(stub, routes)
    both = metal.merged(tile)
    assert check_rules(t, both) == []
    nets = extract_netlist(t, both).nets
    for name, trunk in stub.nets.items():
        assert {name, trunk} in nets


def test_a_route_elsewhere_is_found(routed: tuple[Stub, str, dict[str, db.Region]]) -> None:
    stub, _, routes = routed
    t = stub.scheme.technology
    step = round(t.lower.width.value + t.lower.space.value)
    moved = {name: region.moved(step, 0) for name, region in routes.items()}
    both = routes_layout(stub, moved).merged(tile_layout(stub))
    assert check_rules(t, both) != []
