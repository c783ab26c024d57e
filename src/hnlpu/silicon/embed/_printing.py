"""A scheme's programmable layers -> where weights may put their shapes, and the masks that print them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hnlpu.arithmetic.mx import BLOCK
from hnlpu.errors import DoesNotFit
from hnlpu.silicon.embed._exposures import (
    CutGrid,
    Limit,
    Pitches,
    Way,
    WireGrid,
    cheapest_first,
    cut_ways,
    mask_names,
    wire_ways,
    worst_of,
)
from hnlpu.silicon.embed._regions import Regions
from hnlpu.silicon.embed._scheme import Scheme, TileShape
from hnlpu.silicon.embed._taps import Taps
from hnlpu.silicon.technology import Lithography, Metal, Technology, ViaLayer


@dataclass(frozen=True)
class LayerExposures:
    """A programmable layer: the pitches that weights may demand, and ways to print it, cheapest first.

    `masks` names the programmable masks of the cheapest way.
    """

    layer: str
    pitches: Pitches
    ways: tuple[Way, ...]
    masks: tuple[str, ...]

    @property
    def way(self) -> Way:
        """The cheapest way."""
        return self.ways[0]


def scheme_grids(scheme: Scheme, shape: TileShape | None = None) -> dict[str, CutGrid | WireGrid]:
    """Where weights may put shapes of each programmable layer, by the layer's name.

    `shape` is that of a tile (default: the largest), which the height of regions' rows depends on.
    """
    tiling = scheme.technology.array
    return _GRIDS[scheme.name](scheme, shape or TileShape(tiling.rows, tiling.blocks))


def _taps_grids(taps: Taps, _shape: TileShape) -> dict[str, CutGrid | WireGrid]:
    """A block: stub `n` of cell n, stub BLOCK + j of column j of the scale cell."""
    lower: list[tuple[int, bool, int]] = []
    upper: list[tuple[int, bool, int]] = []
    for n in range(BLOCK):
        for code, x in taps.site_x.items():
            (upper if code in taps.upper_codes else lower).append((n * taps.cell + x, False, n))
        lower.append((n * taps.cell + taps.port_x, True, n))
    start = BLOCK * taps.cell
    for j, stub in enumerate(taps.scale_stubs):
        lower += [(start + x, False, BLOCK + j) for x in stub.candidates.values()]
        lower.append((start + stub.port, True, BLOCK + j))
        upper.append((start + stub.ground, False, BLOCK + j))
    grids: dict[str, CutGrid | WireGrid] = {}
    for cut, columns in ((taps.technology.lower_cut, lower), (taps.technology.upper_cut, upper)):
        columns.sort()
        grids[cut.name] = CutGrid(
            x=tuple(x for x, _, _ in columns),
            width=taps.block_cells * taps.cell,
            fixed=tuple(fixed for _, fixed, _ in columns),
            stub=tuple(stub for _, _, stub in columns),
            y=(0,),
            height=taps.pitch,
        )
    return grids


def _regions_grids(regions: Regions, shape: TileShape) -> dict[str, CutGrid | WireGrid]:
    """Columns by their least pitch, as tiles of some shapes have them; every track of a row.

    A port or an input has one cut a row; those of a ground or PWR trunk lie on the ties' tracks.
    """
    t, rules = regions.technology, regions.rules
    tracks = max(regions.kind.tracks, regions.least_tracks)
    y = tuple(rules.margin + n * rules.track_pitch for n in range(tracks))
    height = regions.row_pitch_nm(shape)

    def cuts(pitch: int, apart: int) -> CutGrid:
        return CutGrid((0,), pitch, (False,), (0,), y, height, apart)

    gap = rules.clear - 2 * rules.stub_end
    return {
        t.lower_cut.name: cuts(rules.lower_pitch, rules.tie_step),
        t.stub.name: WireGrid(rules.track_pitch, gap, rules.clear),
        t.upper_cut.name: cuts(rules.upper_pitch, tracks),
    }


_GRIDS: dict[str, Callable[[Any, TileShape], dict[str, CutGrid | WireGrid]]] = {
    "taps": _taps_grids,
    "regions": _regions_grids,
}


def layer_exposures(
    schemes: Sequence[tuple[Scheme, TileShape | None]], limit: Limit = "value"
) -> tuple[LayerExposures, ...]:
    """The masks of a chip's programmable layers, from the silicon up; the worst kind of array decides.

    `schemes` are those of all its array kinds, in one technology with lithography, each with the shape of
    its tiles.  `limit` takes the low or the high end of the least k1.  Raises DoesNotFit where no scanner
    prints a layer.
    """
    technology = schemes[0][0].technology
    assert technology.lithography
    grids = [scheme_grids(scheme, shape) for scheme, shape in schemes]
    found = []
    for layer in technology.layers:
        of_layer = [grid[layer.name] for grid in grids if layer.name in grid]
        if of_layer:
            found.append(_exposures_of(technology, layer, of_layer, limit))
    return tuple(found)


def _exposures_of(
    technology: Technology,
    layer: Metal | ViaLayer,
    grids: Sequence[CutGrid | WireGrid],
    limit: Limit,
) -> LayerExposures:
    assert technology.lithography
    ways = [cheapest_first(_ways(technology.lithography, grid, limit)) for grid in grids]
    served = ways[0] if len(ways) == 1 else worst_of(ways)
    every = [grid.pitches() for grid in grids]
    pitches = Pitches(
        *(min(getattr(one, key) for one in every) for key in ("across", "along", "diagonal"))
    )
    if not served:
        raise DoesNotFit(
            f"technology {technology.name}: no scanner prints {layer.name}, whose shapes stand "
            f"{pitches.least:g} nm apart; add one to lithography.scanner"
        )
    return LayerExposures(layer.name, pitches, served, mask_names(layer, served[0]))


def _ways(lithography: Lithography, grid: CutGrid | WireGrid, limit: Limit) -> list[Way]:
    if isinstance(grid, CutGrid):
        return list(cut_ways(lithography, grid, limit))
    return list(wire_ways(lithography, grid, limit))


def programmable_masks(
    technology: Technology, scheme: Scheme, shape: TileShape | None = None
) -> list[str]:
    """Names of the masks that differ between models, for arrays of one kind.

    As many as print any weights with the technology's scanners; where its file names none, those that
    it states for the layers.  Raises DoesNotFit where no scanner prints a layer.
    """
    if technology.lithography is None:
        layers = (layer for layer in technology.layers if layer.name in scheme.programmable)
        return [mask for layer in layers for mask in layer.masks]
    return [mask for layer in layer_exposures([(scheme, shape)]) for mask in layer.masks]


@dataclass(frozen=True)
class MasksNeeded:
    """Masks of a chip's programmable layers; `stated` is how many the technology's file names for them.

    `programmable_units` and `shared_units` are their prices in DUV masks.
    """

    programmable: int
    shared: int
    stated: int
    programmable_units: float
    shared_units: float


def masks_needed(
    schemes: Sequence[tuple[Scheme, TileShape | None]], limit: Limit = "value"
) -> MasksNeeded:
    """Masks of all programmable layers of a chip with arrays of these kinds (see `layer_exposures`).

    Where the technology names no scanners, they are those that it states, all of them programmable.
    """
    technology = schemes[0][0].technology
    names = {name for scheme, _ in schemes for name in scheme.programmable}
    stated = sum(len(layer.masks) for layer in technology.layers if layer.name in names)
    if technology.lithography is None:
        return MasksNeeded(stated, 0, stated, stated, 0)
    ways = [layer.way for layer in layer_exposures(schemes, limit)]
    return MasksNeeded(
        programmable=sum(way.programmable for way in ways),
        shared=sum(way.shared for way in ways),
        stated=stated,
        programmable_units=sum(way.programmable * way.mask_weight for way in ways),
        shared_units=sum(way.shared * way.mask_weight for way in ways),
    )
