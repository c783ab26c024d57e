"""Technologies: what comes with hnlpu is sound, and a malformed file is refused with its line."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from hnlpu.embed import ArrayKind, Taps, open_scheme
from hnlpu.errors import InvalidData, InvalidInput
from hnlpu.technology import load_technology, technology_names

NAMES = ("asap7", "n5", "sky130")


def text_of(name: str) -> str:
    return (resources.files("hnlpu.technology") / f"{name}.toml").read_text()


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
    with pytest.raises(InvalidInput, match="'n3' is unknown; there are asap7, n5, sky130, or give"):
        load_technology("n3")


def test_a_file_of_ones_own_works_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(tmp_path, 'name = "n5"', 'name = "mine"')
    monkeypatch.chdir(tmp_path)
    assert load_technology("mine.toml").name == "mine"
    assert load_technology(str(tmp_path / "mine.toml")) == load_technology("mine.toml")


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
        ("[lower]", "[lower", "[lower", "is not valid TOML"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, at: str, says: str
) -> None:
    path = changed(tmp_path, old, new)
    lines = Path(path).read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if at in text)
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
        (DRAWN, DRAWN.replace('"SKY130 PDK', '"" } #'), "stub.drawing.source: String should have"),
        ('name = "met3"', 'name = "metal 3"', "stub.name: String should match pattern"),
        ('name = "via2"', 'name = "via\\"2"', "lower_cut.name: String should match pattern"),
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
