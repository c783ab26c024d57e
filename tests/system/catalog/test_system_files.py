"""Systems of the catalog: the paper's totals, and mistakes named with their line."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
from catalog_files import changed, line_of

from hnlpu.errors import InvalidData, InvalidInput
from hnlpu.quantities import DataTable, Quantity
from hnlpu.silicon.technology import load_technology
from hnlpu.system.catalog import find_quantity, load_model, load_system, system_names

NAMES = (
    "h100",
    "hgx-h100",
    "hnlpu-asplos26",
    "roma",
    "sky130-one",
    "spinnaker2",
    "taalas-hc1",
    "wse-3",
)


def test_these_come_with_hnlpu() -> None:
    assert system_names() == list(NAMES)
    assert [load_system(name).name for name in NAMES] == list(NAMES)


def test_the_paper_s_machine() -> None:
    system = load_system("hnlpu-asplos26")
    assert system.machine
    assert system.prices
    assert system.machine.slots(load_model("gpt-oss-120b").layers) == 216
    assert system.prices.masks.units() == 130
    assert system.prices.masks.units(programmable=True) == 10
    assert sum(layer.masks for layer in system.prices.masks.layer) == 70
    rate = system.published("gpt-oss-120b")
    assert rate
    assert rate.per_user == pytest.approx(1157, abs=0.5)
    assert system.published("qwq-32b") is None


def test_what_the_paper_s_masks_print_is_what_its_technology_has() -> None:
    system, technology = load_system("hnlpu-asplos26"), load_technology("n5")
    assert system.prices
    assert technology.lithography
    masks = system.prices.masks
    extreme = next(s for s in technology.lithography.scanner if s.name == "EUV")
    assert extreme.mask_weight.value == masks.euv_weight.value
    halves = {layer.name.partition(" ")[0]: layer.half_pitches for layer in masks.layer}
    for metal in (technology.lower, technology.stub, technology.upper):
        (half,) = halves[metal.name]
        assert half.value == metal.width.value == metal.space.value
    for layer in masks.layer:
        assert bool(layer.feature) == layer.programmable


def test_a_layer_with_too_few_half_pitches_is_named(tmp_path: Path) -> None:
    text = (resources.files("hnlpu.system.catalog") / "systems" / "hnlpu-asplos26.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('feature = "cuts"', 'feature = "lines"', 1))
    with pytest.raises(InvalidData, match=r"half_pitches: 2 given; lines have one"):
        load_system(str(path))


def test_die_and_masks_are_those_of_its_technology() -> None:
    system = load_system("hnlpu-asplos26")
    technology = load_technology(system.technology or "")
    assert system.prices
    assert system.die.area.value == technology.die.area.value
    assert system.die.reticle
    assert system.die.reticle.value == technology.die_outline_mm2
    assert sum(layer.masks for layer in system.prices.masks.layer) == technology.mask_set.value
    ours = {b.name.lower(): b.area.value for b in system.block if b.purpose != "neuron arrays"}
    theirs = [b.area.value for b in technology.die.block]
    assert sorted(ours.values()) == sorted(theirs)


def quantities(table: DataTable) -> list[Quantity]:
    found: list[Quantity] = []
    for _, value in table:
        parts = value if isinstance(value, list) else [value]
        for part in parts:
            if isinstance(part, Quantity):
                found.append(part)
            elif isinstance(part, DataTable):
                found.extend(quantities(part))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_number_says_where_it_is_from(name: str) -> None:
    found = quantities(load_system(name))
    assert len(found) >= 5
    assert all(len(quantity.source) > 8 for quantity in found)


def test_a_key_leads_to_its_quantity() -> None:
    system = load_system("hnlpu-asplos26")
    found = find_quantity(system, "prices.wafer.defect_density")
    assert found
    assert found.value == 0.11
    for key in ("prices.wafer", "prices.wafer.colour", "die.area.value", "prices.masks.layer"):
        assert find_quantity(system, key) is None, key


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(InvalidInput, match=r"system 'tpu' is unknown; there are h100, .*or give"):
        load_system("tpu")


@pytest.mark.parametrize(
    ("old", "new", "at", "says"),
    [
        ("area = { value = 827.08", "area = { value = 900", "value = 900", "die.area: 900 mm2 is beyond"),
        ("area = { value = 827.08", "area = { value = 800", "value = 800", "blocks sum to 827.08"),
        ("rows = 4", "rows = 3", "rows = 3", "machine.rows: a grid of 3 x 4 has no place for"),
        ("rows = 4", "rows = 0", "rows = 0", "machine.rows: Input should be greater"),
        ("banks = 20000", "banks = 200", "capacity = { value = 320", "200 banks of 16 kB make 3.2 MB"),
        ("value = 80, unit", "value = 800, unit", "value = 800, unit", "more than the 80 TB/s of"),
        ("value = 128, unit", "value = -128, unit", "-128", "machine.link.bandwidth: value -128 GB/s"),
        ("value = 0.829", "value = 0.929", "[[machine.breakdown]]", "shares sum to more than one"),
        ('unit = "GB/s"', 'unit = "GB"', 'unit = "GB",', "machine.link.bandwidth: unit 'GB' is not"),
        ('unit = "token/s"', 'unit = "chip/s"', 'unit = "chip/s"', "rate.0.tokens: unit 'chip/s' is not"),
        ('unit = "kg*CO2e/kWh"', 'unit = "kg/kWh"', 'unit = "kg/kWh"', "ownership.grid_carbon: unit 'kg/kWh'"),
        ("value = 6.9, unit", "value = 0.69, unit", "0.69", "power.system: 690 W is less than 16"),
        ("overhead = { value = 1.4", "overhead = { value = 0.4", "value = 0.4, ", "power.overhead: value 0.4"),
        ('yield_model = "murphy"', 'yield_model = "luck"', "luck", "prices.wafer.yield_model: Input"),
        ('purpose = "neuron arrays"', 'purpose = "control unit"', "[[block]]", "no block of the die has purpose"),
        ('purpose = "links"', 'purpose = "lynx"', "lynx", "block.4.purpose: Input should be"),
        ('key = "prices.wafer.price"', 'key = "prices.wafer.cost"', "prices.wafer.cost", "no quantity"),
        ("low = 13000", "low = 17000", "low = 17000", "17000 to 20000 USD does not hold the value"),
        ("low = 1.1", "low = 0.5", "low = 0.5", "value 0.5 dimensionless is out of range (at least 1"),
        ("high = 0.7", "high = 1e300", "high = 1e300", "kg*CO2e/kWh is out of range"),
        ('unit = "1/cm^2"\nsource', 'unit = "cm"\nsource', "low = 0.07", "unit 'cm' is not one of 1/cm^2"),
        ('technology = "n5"\n', "", "kind =", "kind: a hardwired system needs 'technology'"),
        ("[machine.buffer]", "[machine.bufer]", "[machine]", "machine.buffer: Field required"),
        ("stacks = 8", 'stacks = "8"', "stacks", "machine.hbm.stacks: Input should be a valid integer"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, at: str, says: str
) -> None:
    path = changed(tmp_path, "systems", "hnlpu-asplos26", old, new)
    with pytest.raises(InvalidData) as raised:
        load_system(path)
    assert str(raised.value).startswith(f"{path}:{line_of(path, at)}: "), raised.value
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
