"""A technology's rules -> a KLayout DRC script that checks the mask file beside it by itself.

    klayout -b -r chip-00.drc      chip-00.oas ──► chip-00.drc.lyrdb    report for KLayout's browser
                                              └─► chip-00.drc.count    number of violations a rule
                                                  exit code 1 where there is any

The rules are those of `masks._klayout`, in KLayout's own language and on whole files.  What a
file without its fixed layers cannot show, enclosures by metal, is left out there, and it says so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from hnlpu.silicon.masks._layers import LayerMap
from hnlpu.silicon.technology import FIXED, PROGRAMMABLE, Metal, Technology, ViaLayer

REPORT_SUFFIX, COUNT_SUFFIX = ".drc.lyrdb", ".drc.count"
"""What a run of the script writes beside it, behind the stem of its name."""


def drc_script(
    layers: LayerMap, file: str, *, with_base: bool, programmable: Collection[str]
) -> str:
    """The script for the mask file `file`.

    With the base all layers are checked, else what `programmable` names.
    """
    t = layers.technology
    stem = file.rpartition(".")[0]
    checked = [layer for layer in t.layers if with_base or layer.name in programmable]
    return "".join([
        _head(t, file, stem),
        *(_input(layers, layer) for layer in checked),
        *(text for layer in checked for text in _rules(t, layer)),
        *_enclosures(t, [layer.name for layer in checked], with_base=with_base),
        _tail(stem),
    ])  # fmt: skip


def _variable(name: str) -> str:
    """A layer's name as Ruby's names are."""
    return "l_" + "".join(letter if letter.isalnum() else "_" for letter in name.lower())


def _um(nm: float) -> str:
    """A length for the script, which takes micrometres."""
    return f"{round(nm) / 1000:.3f}"


def _head(t: Technology, file: str, stem: str) -> str:
    return f"""\
# Design rules of {t.name} for {file}, which lies beside this script:
#
#     klayout -b -r {stem}.drc
#
# writes {stem}{REPORT_SUFFIX} (open it in KLayout's marker browser) and {stem}{COUNT_SUFFIX} beside it,
# and ends with exit code 1 where a rule is broken.  Lengths are in micrometres.

here = File.dirname(File.expand_path(__FILE__))
source(File.join(here, "{file}"))
report("Rules of {t.name} in {file}", File.join(here, "{stem}{REPORT_SUFFIX}"))

# cuts that a metal does not cover once they are grown by dx and dy
def uncovered(cuts, metal, dx, dy)
  cuts.sized(dx, dy).raw.not_inside(metal).raw.sized(-dx, -dy)
end

"""


def _input(layers: LayerMap, layer: Metal | ViaLayer) -> str:
    keys = [layers.key((layer.gds_layer, purpose)) for purpose in (FIXED, PROGRAMMABLE)]
    given = " + ".join(f"input({n}, {datatype})" for n, datatype in dict.fromkeys(keys))
    return f"{_variable(layer.name)} = ({given}).merged\n"


def _output(layer: Metal | ViaLayer, found: str, rule: str, says: str) -> str:
    return f'{found}.output("{layer.name} {rule}", "{layer.name}: {says}")\n'


def _rules(t: Technology, layer: Metal | ViaLayer) -> Iterator[str]:
    """What a layer must keep by itself."""
    own = _variable(layer.name)
    grid = t.grid.value
    yield "\n" + _output(
        layer, f"{own}.ongrid({_um(grid)})", "grid", f"corners on multiples of {grid:g} nm"
    )
    if isinstance(layer, Metal):
        yield from _metal_rules(t, layer, own)
        return
    wide, high = layer.size_nm
    size = f"{wide} x {high} nm"
    yield _output(layer, f"{own}.non_rectangles", "size", size)
    yield _output(layer, f"{own}.without_bbox_width({_um(wide)})", "size", size)
    yield _output(layer, f"{own}.without_bbox_height({_um(high)})", "size", size)
    yield _space(layer, own)


def _space(layer: Metal | ViaLayer, own: str) -> str:
    space = layer.space.value
    return _output(layer, f"{own}.space({_um(space)})", "space", f"at least {space:g} nm")


def _metal_rules(t: Technology, metal: Metal, own: str) -> Iterator[str]:
    upright = metal is not t.stub
    width, length = metal.width.value, metal.length.value
    yield _output(metal, f"{own}.width({_um(width)})", "width", f"at least {width:g} nm")
    yield _space(metal, own)
    short = f"{own}.with_bbox_max(nil, {_um(length)})"
    yield _output(metal, short, "length", f"at least {length:g} nm")
    if metal.end_space:
        end = metal.end_space.value
        found = f"{own}.space({_um(end)}).with_angle({0 if upright else 90}, both)"
        yield _output(metal, found, "end space", f"at least {end:g} nm where both edges end wires")
    if metal.track:
        yield from _track_rule(metal, own, upright=upright)


def _track_rule(metal: Metal, own: str, *, upright: bool) -> Iterator[str]:
    """Wires lie within strips: upright ones at multiples of the pitch, those across from the lowest."""
    assert metal.track is not None
    step, width = round(metal.track.value), round(metal.width.value)
    tracks, area = f"{own}_tracks", f"{own}_area"
    first = f"{area}.left / {step} * {step}" if upright else f"{area}.bottom"
    last = f"{area}.right" if upright else f"{area}.top"
    strip = (
        f"RBA::Box.new(at, {area}.bottom, at + {width}, {area}.top)"
        if upright
        else f"RBA::Box.new({area}.left, at, {area}.right, at + {width})"
    )
    yield (
        f"{tracks} = polygon_layer\n"
        f"{area} = {own}.data.bbox\n"
        f"{area}.empty? || ({first}).step({last}, {step}) {{ |at| {tracks}.data.insert({strip}) }}\n"
    )
    where = "multiples of the pitch" if upright else "the pitch from the lowest wire"
    yield _output(
        metal, f"{own}.not_inside({tracks})", "track",
        f"on tracks of {width} nm every {step} nm, at {where}",
    )  # fmt: skip


def _enclosures(t: Technology, checked: Collection[str], *, with_base: bool) -> Iterator[str]:
    if not with_base:
        yield (
            '\nputs "the file has no fixed layers: enclosures by their metal are not checked '
            '(hnlpu masks --with-base)"\n'
        )
    for cut, metal, below, upright in (
        (t.port_cut, t.lower, False, True),
        (t.lower_cut, t.lower, True, True),
        (t.lower_cut, t.stub, False, False),
        (t.upper_cut, t.stub, True, False),
        (t.upper_cut, t.upper, False, True),
    ):
        if cut.name in checked and metal.name in checked:
            yield from _enclosure(cut, metal, below=below, upright=upright)


def _enclosure(cut: ViaLayer, metal: Metal, *, below: bool, upright: bool) -> Iterator[str]:
    """On all sides, and on two opposite ones; most cuts have their ends along the wire and are fine."""
    sides = (cut.enclosure_below if below else cut.enclosure_above).value
    ends = (cut.end_enclosure_below if below else cut.end_enclosure_above).value
    along = max(sides, ends)
    own, wires = _variable(cut.name), _variable(metal.name)
    left = f"{own}_{wires}"
    dx, dy = (sides, along) if upright else (along, sides)
    yield f"\n{left} = uncovered({own}, {wires}, {_um(dx)}, {_um(dy)})\n"
    rule = f"enclosure by {metal.name}"
    says = f"by {metal.name}, at least {sides:g} nm on all sides"
    yield _output(cut, f"{left}.not_inside({wires})", rule, says)
    if sides:
        yield _output(cut, f"{left}.enclosed({wires}, {_um(sides)})", rule, says)
    if ends:
        short = (
            f"(uncovered({left}, {wires}, {_um(ends)}, 0.0) & "
            f"uncovered({left}, {wires}, 0.0, {_um(ends)}))"
        )
        yield _output(
            cut,
            short,
            f"end {rule}",
            f"by {metal.name}, at least {ends:g} nm on two opposite sides",
        )


def _tail(stem: str) -> str:
    return f"""
counts = Hash.new(0)
@output_rdb.each_category {{ |rule| counts[rule.name] += rule.num_items }}
total = counts.values.sum
lines = counts.map {{ |rule, count| "#{{count}} #{{rule}}\\n" }} + ["#{{total}} violations\\n"]
puts lines
@output_rdb.save(File.join(here, "{stem}{REPORT_SUFFIX}"))
File.write(File.join(here, "{stem}{COUNT_SUFFIX}"), lines.join)
exit(1) if total > 0
"""
