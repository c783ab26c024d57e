"""Technologies: what comes with hnlpu is sound, and a malformed file is refused with its line."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from hnlpu.errors import InvalidData, InvalidInput
from hnlpu.silicon.embed import ArrayKind, Taps, open_scheme
from hnlpu.silicon.masks import choose_layers
from hnlpu.silicon.technology import load_technology, technology_names

NAMES = ("asap7", "gf180", "ihp_sg13g2", "n3", "n5", "n7", "sky130")
WITH_MASKS = ("asap7", "n5", "sky130")
"""Processes in which masks are drawn; the others have areas and prices."""


def text_of(name: str) -> str:
    return (resources.files("hnlpu.silicon.technology") / f"{name}.toml").read_text()


def changed(folder: Path, old: str, new: str, name: str = "n5") -> str:
    """Path of a technology file with the first `old` replaced."""
    text = text_of(name)
    assert old in text
    path = folder / "mine.toml"
    path.write_text(text.replace(old, new, 1))
    return str(path)


def test_these_come_with_hnlpu() -> None:
    assert technology_names() == list(NAMES)
    assert [load_technology(name).name for name in NAMES] == list(NAMES)


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(
        InvalidInput, match="'n4' is unknown; there are asap7, gf180, ihp_sg13g2, n3"
    ):
        load_technology("n4")
    assert load_technology("ihp-sg13g2").name == "ihp_sg13g2"  # as its foundry writes it


@pytest.mark.parametrize("factor", [1000, 0.001])
def test_a_price_a_thousand_times_off_is_refused(tmp_path: Path, factor: float) -> None:
    for name in ("gf180", "n3"):
        economy = load_technology(name).economy
        assert economy
        for key, price in (("wafer", economy.wafer), ("mask_set", economy.mask_set)):
            text = text_of(name)
            head, tail = text.split("[economy]")
            old = f"{key} = {{ value = {price.value:g},"
            assert old in tail
            path = tmp_path / "mine.toml"
            new = tail.replace(old, f"{key} = {{ value = {price.value * factor:g},")
            path.write_text(f"{head}[economy]{new}")
            with pytest.raises(InvalidData, match=rf"economy\.{key}"):
                load_technology(str(path))


@pytest.mark.parametrize("name", NAMES)
def test_masks_are_refused_by_name_where_none_are_drawn(name: str) -> None:
    technology = load_technology(name)
    if name in WITH_MASKS:
        technology.require_drawn()
        choose_layers(technology, None)
        return
    for refused in (technology.require_drawn, lambda: choose_layers(technology, "mask")):
        with pytest.raises(InvalidInput, match=f"technology {name}: no masks are drawn in it"):
            refused()


def test_a_file_of_ones_own_works_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(tmp_path, 'name = "n5"', 'name = "mine"')
    monkeypatch.chdir(tmp_path)
    assert load_technology("mine.toml").name == "mine"
    assert load_technology(str(tmp_path / "mine.toml")) == load_technology("mine.toml")
    (tmp_path / "mine.toml").rename(tmp_path / "Mine.TOML")
    assert load_technology("Mine.TOML").name == "mine"


def test_a_path_without_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match=r"nowhere\.toml: cannot be read"):
        load_technology(str(tmp_path / "nowhere.toml"))


def test_units_are_converted(tmp_path: Path) -> None:
    path = changed(
        tmp_path, 'width = { value = 40, unit = "nm"', 'width = { value = 0.04, unit = "um"'
    )
    assert load_technology(path).lower.width.value == pytest.approx(40)
    path = changed(tmp_path, 'value = 0.2, unit = "fF/um", low = 0.15, high = 0.25',
                   'value = 0.2, unit = "pF/mm", low = 0.15, high = 0.25')  # fmt: skip
    assert load_technology(path).lower.capacitance.value == pytest.approx(0.2)


WIDTH = 'width = { value = 40, unit = "nm", source = "HNLPU paper: half pitch of M4 to M9 about 40 nm" }'
SIZE = 'size = { value = 40, unit = "nm", source = "own rule: as wide as the narrower wire" }'


@pytest.mark.parametrize(
    ("old", "new", "at", "says"),
    [
        (WIDTH, WIDTH.replace("nm", "kg"), '"kg"', "lower.width: unit 'kg' is not one of nm"),
        (WIDTH, WIDTH.replace("40", "0"), "value = 0,", "lower.width: value 0 nm is out of range"),
        (WIDTH, WIDTH.replace("40", "-40"), "-40", "lower.width: value -40 nm is out of range"),
        (WIDTH, WIDTH.replace("40", "inf"), "inf,", "lower.width: value inf is not a finite number"),
        (WIDTH, "width = 40", "width = 40", "lower.width: give a table such as"),
        (WIDTH, 'width = { value = 40, unit = "nm" }', "width = {", "lower.width: lacks 'source'"),
        (WIDTH, "", "[lower]", "lower.width: Field required"),
        (WIDTH, WIDTH + "\nwitdh = 1", "witdh", "lower.witdh: unknown key"),
        (WIDTH, WIDTH.replace("40", "40.5"), "40.5", "lower.width: 40.5 nm is off the 1 nm grid"),
        (SIZE, SIZE.replace("40", "41"), "41", "port_cut.size: 41 nm is an odd number of 1 nm steps"),
        ("gds_layer = 90", "gds_layer = 80 #", "80 #", "stub.gds_layer: 80 is that of lower too"),
        ('"VIA8"', '"M8" #', '"M8" #', "lower_cut.name: 'M8' is that of lower too"),
        ("gds_layer = 90", "gds_layer = 70000", "70000", "stub.gds_layer: Input should be less"),
        ('masks = ["M10"]', "masks = []", "masks = []", "upper.masks: List should have at least 1"),
        ("value = 827.08", "value = 900", "value = 900", "die.area: 900 mm2 is beyond the reticle's"),
        ("value = 136.11", "value = 800", "[[die.block]]", "die.block.0: the blocks leave no area"),
        ("[silicon]", "[silicium]\n\n[silicon]", "[silicium]", "silicium: unknown key"),
        ("[silicon]", "", "density", "electrical.density: unknown key"),
        ("title =", 'schemes = ["cells"]\ntitle =', "schemes", "schemes.0: Input should be"),
        (WIDTH, WIDTH + '\ntrack = { value = 60, unit = "nm", source = "x" }', "track",
         "lower.track: is less than width and space together"),
        (WIDTH, WIDTH + '\nend_space = { value = 30, unit = "nm", source = "x" }', "end_space",
         "lower.end_space: is less than space"),
        ("sheet_resistance = { value = 0.4", "sheet_resistance = { value = 0", "value = 0, unit",
         "lower.sheet_resistance: value 0 ohm is out of range"),
        ("thickness = { value = 0.08", "thickness = { value = -1", "value = -1",
         "lower.thickness: value -1 um is out of range"),
        ("resistance = { value = 8,", "resistance = { value = 8e9,", "8e9",
         "port_cut.resistance: value 8000000000 ohm is out of range"),
        ("port_gate_area = { value = 0.003", "port_gate_area = { value = 0", "port_gate_area",
         "electrical.port_gate_area: value 0 um^2 is out of range"),
        (WIDTH, WIDTH + '\nantenna_ratio = { value = 0, unit = "dimensionless", source = "x" }',
         "antenna_ratio", "lower.antenna_ratio: value 0 dimensionless is out of range"),
        (WIDTH, WIDTH + '\narea_capacitance = { value = 6, unit = "fF/um^2", source = "x" }',
         "area_capacitance", "lower.area_capacitance: gives a wire of least width 0.24 fF/um"),
        ("least_k1_cuts = { value = 0.38", "least_k1_cuts = { value = 0.2", "least_k1_cuts",
         "lithography.least_k1_cuts: value 0.2 dimensionless is out of range"),
        ("low = 0.35, high = 0.4,", "low = 0.24, high = 0.4,", "low = 0.24",
         "lithography.least_k1_cuts: low 0.24 dimensionless is out of range"),
        ("low = 0.28, high = 0.35,", "low = 0.28, high = 1.1,", "high = 1.1",
         "lithography.least_k1_lines: high 1.1 dimensionless is out of range"),
        ("wavelength = { value = 13.5", "wavelength = { value = 4.9", "value = 4.9",
         "lithography.scanner.2.wavelength: value 4.9 nm is out of range"),
        ("wavelength = { value = 193", "wavelength = { value = 501", "value = 501",
         "lithography.scanner.0.wavelength: value 501 nm is out of range"),
        ("aperture = { value = 1.35", "aperture = { value = 1.41", "value = 1.41",
         "lithography.scanner.1.aperture: value 1.41 dimensionless is out of range"),
        ("aperture = { value = 0.93", "aperture = { value = 0.05", "value = 0.05",
         "lithography.scanner.0.aperture: value 0.05 dimensionless is out of range"),
        ("aperture = { value = 0.33", "aperture = { value = 0.61", "value = 0.61",
         "lithography.scanner.2.aperture: 0.61 is out of range at 13.5 nm (at most 0.6)"),
        ('name = "ArF dry"', 'name = "EUV" #', 'name = "EUV"\n',
         "lithography.scanner.2.name: 'EUV' is there twice"),
        ("[lower]", "[lower", "[lower", "is not valid TOML"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, at: str, says: str
) -> None:
    path = changed(tmp_path, old, new)
    lines = Path(path).read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if at in f"{text}\n")
    with pytest.raises(InvalidData) as raised:
        load_technology(path)
    message = str(raised.value)
    assert says in message
    assert "\n" not in message
    assert message.startswith(f"{path}:{line}: ") or "TOML" in says, message


DRAWN = 'drawing = { gds_layer = 70, datatype = 20, pin = 16, label = 5, source = "SKY130 PDK'


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (DRAWN, DRAWN.replace("20", "44"), "70/44 is stub.drawing.datatype too"),
        (DRAWN, DRAWN.replace("label = 5", "label = 16"), "70/16 is stub.drawing.pin too"),
        (DRAWN, DRAWN.replace("pin = 16, ", ""), "stub.drawing.pin: Field required"),
        (DRAWN, "# ", "stub: lacks 'drawing', which lower has: give it for all layers or none"),
        (DRAWN, DRAWN.replace('"SKY130 PDK', '"" } #'), "stub.drawing.source: is empty"),
        ('name = "met3"', 'name = "metal 3"', "stub.name: 'metal 3' is no name"),
        ('name = "via2"', 'name = "via\\"2"', "is no name for GDS"),
    ],
)
def test_drawing_layers_that_make_no_sense_are_told(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    path = changed(tmp_path, old, new, "sky130")
    with pytest.raises(InvalidData) as raised:
        load_technology(path)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_technology_without_drawing_layers_is_written_as_ever() -> None:
    """Manifests of builds from before have no such key, and their digests hold."""
    assert "drawing" not in load_technology("n5").model_dump(mode="json")["lower"]
    sky = load_technology("sky130")
    assert type(sky).model_validate(sky.model_dump(mode="json")) == sky


@pytest.mark.parametrize("name", NAMES)
def test_every_value_has_a_source_and_every_wire_a_metal_that_can_hold_its_vias(name: str) -> None:
    technology = load_technology(name)
    for layer in technology.layers:
        for key, value in layer:
            if hasattr(value, "source"):
                assert len(value.source) > 3, (layer.name, key)
    taps = Taps(technology, ArrayKind("taps", 1, 1, 2))
    for cut, width in (
        (technology.port_cut, taps.lower_width),
        (technology.lower_cut, taps.lower_width),
        (technology.upper_cut, taps.upper_width),
    ):
        assert cut.size_nm[0] <= width


def test_what_routers_are_told_is_as_published() -> None:
    """SKY130 by its PDK; ASAP7's resistances are those of OpenROAD's wires, per um."""
    sky130, asap7 = load_technology("sky130"), load_technology("asap7")
    metals, cuts = ("lower", "stub", "upper"), ("port_cut", "lower_cut", "upper_cut")
    squares = {
        name: [getattr(load_technology(name), metal).sheet_resistance.value for metal in metals]
        for name in ("sky130", "asap7")
    }
    assert squares["sky130"] == [0.125, 0.047, 0.047]
    per_um = [
        square / getattr(asap7, metal).width.value * 1000
        for square, metal in zip(squares["asap7"], metals, strict=True)
    ]
    assert per_um == pytest.approx([18.99, 11.88, 12.51], rel=2e-3)
    assert [getattr(sky130, cut).resistance.value for cut in cuts] == [4.5, 3.41, 3.41]
    assert [getattr(asap7, cut).resistance.value for cut in cuts] == [11.8, 11.8, 8.2]
    assert {getattr(sky130, metal).antenna_ratio.value for metal in metals} == {400}
    for name in ("n5", "asap7"):  # no public figure
        assert not any(getattr(load_technology(name), layer).antenna_ratio for layer in metals)


@pytest.mark.parametrize("name", NAMES)
def test_scanners_and_least_k1_have_sources_and_bounds(name: str) -> None:
    lithography = load_technology(name).lithography
    assert lithography
    for least in (lithography.least_k1_lines, lithography.least_k1_cuts):
        assert 0.25 < least.low < least.value < least.high < 0.5
        assert len(least.source) > 20
    # what ends in two directions is harder to print than lines
    assert lithography.least_k1_cuts.value > lithography.least_k1_lines.value
    for scanner in lithography.scanner:
        for key in ("wavelength", "aperture", "mask_weight"):
            assert len(getattr(scanner, key).source) > 3, (scanner.name, key)


def test_a_file_may_leave_lithography_out(tmp_path: Path) -> None:
    text = text_of("n5")
    start, end = text.index("[lithography]"), text.index("[electrical]")
    path = tmp_path / "mine.toml"
    path.write_text(text[:start] + text[end:])
    assert load_technology(str(path)).lithography is None


def test_n5_cells_are_as_published() -> None:
    taps = Taps(load_technology("n5"), ArrayKind("taps", 1, 1, 0))
    assert (taps.cell, taps.metal_pitch) == (840, 92)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale_range", [0, 1, 2, 4, 8, 12, 16, 20])
@pytest.mark.parametrize(("digits", "bank"), [(1, 1), (2, 1), (1, 8)])
def test_cells_are_on_grid_and_tracks(name: str, scale_range: int, digits: int, bank: int) -> None:
    technology = load_technology(name)
    taps = Taps(technology, ArrayKind("taps", digits, bank, scale_range))
    grid = round(technology.grid.value)
    scale = [x for stub in taps.scale_stubs for x in (*stub.pads, stub.ground)]
    places = [*taps.site_x.values(), taps.power_x, taps.port_x, *scale]
    ends = [*taps.stub_span, *(x for stub in taps.scale_stubs for x in stub.span(taps.scale_end))]
    sizes = [taps.cell, taps.pitch // 2, taps.lower_width // 2, taps.stub_width // 2,
             taps.upper_width // 2, taps.pad_length // 2]  # fmt: skip
    assert not [x for x in (*places, *ends, *sizes) if x % grid]
    assert 0 <= taps.stub_span[0] < taps.stub_span[1] <= taps.cell
    assert all(0 < x < taps.scale_cells * taps.cell for x in scale)
    for metal, centres in (
        (technology.lower, [taps.power_x, taps.port_x, *(taps.site_x[c] for c in range(8)),
                            *(x for stub in taps.scale_stubs for x in stub.pads)]),
        (technology.upper, [*(taps.site_x[c] for c in range(9, 16)),
                            *(stub.ground for stub in taps.scale_stubs)]),
    ):  # fmt: skip
        if metal.track:
            track = round(metal.track.value)
            assert taps.cell % track == 0
            assert {(x - round(metal.width.value) // 2) % track for x in centres} == {0}
    if technology.stub.track:
        assert taps.pitch % round(technology.stub.track.value) == 0


def test_a_scheme_that_the_rules_are_not_enough_for_is_refused() -> None:
    technology = load_technology("asap7").model_copy(update={"schemes": ["regions"]})
    with pytest.raises(InvalidInput, match="asap7 are not enough for scheme taps"):
        open_scheme(technology, ArrayKind("taps", 1, 1, 0))
