"""Systems, models, options and limits with one value a thousand times off or of another kind."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

from hnlpu.errors import InvalidData
from hnlpu.quantities import DataTable, read_data
from hnlpu.system.audit import _limits
from hnlpu.system.catalog import ModelShape, System, model_names, system_names
from hnlpu.system.explore import _options
from leaves import Leaf, leaves

Cli = Callable[..., tuple[int, str, str]]

PLAUSIBLE = {
    "rate.tokens.value": "one user of a large model and a full batch of a small one differ by more",
    "rate.users": "a machine may have one user or a thousand",
    "scenario.systems": "a volume to compare: from one system to a data centre",
    "scenario.against_chips": "a volume to compare: from one chip to a data centre",
}
"""What may be a thousand times as large or as small, and why."""

PLAUSIBLE_IN_SKY130 = {
    "machine.link.bandwidth.value": "one chip: no link is used, and 50 GB/s would be one of today",
    "machine.vector_unit.heads_per_cycle.value": "32 multipliers are few; large dies have thousands",
    "prices.design.ip.high": "nothing is bought: a price of 0 says nothing of how large it may be",
}

FILES: list[tuple[str, type[DataTable], str]] = [
    *((f"catalog/systems/{name}", System, "") for name in system_names()),
    *((f"catalog/models/{name}", ModelShape, "") for name in model_names()),
    ("explore/options", _options.Options, ""),
    ("audit/limits", _limits.PhysicalLimits, ""),
]
NAMES = [name for name, _, _ in FILES]
SCHEMAS = {name: schema for name, schema, _ in FILES}


def text_of(name: str) -> str:
    return (resources.files("hnlpu.system") / f"{name}.toml").read_text()


def refused(path: Path, name: str, text: str, leaf: Leaf, new: str) -> str:
    """The one line that refuses a file; fails where the file is taken."""
    path.write_text(text)
    said = ""
    try:
        read_data(path, SCHEMAS[name])
    except InvalidData as error:
        said = str(error)
    assert said, f"{name}:{leaf.line}: {leaf.key} = {new} instead of {leaf.token} is taken"
    assert said.startswith(f"{path}:"), said
    assert said.isprintable(), said
    return said


@pytest.mark.parametrize("name", NAMES)
def test_a_number_a_thousand_times_off_is_refused(tmp_path: Path, name: str) -> None:
    text, path = text_of(name), tmp_path / "mine.toml"
    plausible = PLAUSIBLE | (PLAUSIBLE_IN_SKY130 if "sky130" in name else {})
    tried = 0
    for leaf in leaves(text):
        if not leaf.number or not float(leaf.token) or leaf.key in plausible:
            continue
        for factor in (1000, 0.001):
            tried += 1
            new = leaf.times(factor)
            refused(path, name, leaf.put(text, new), leaf, new)
    assert tried >= 14


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_number_is_refused_at_its_line(tmp_path: Path, name: str) -> None:
    text, path = text_of(name), tmp_path / "mine.toml"
    for leaf in leaves(text):
        for new in ("nan", "-1", '"x"') if leaf.number else ("1",):
            said = refused(path, name, leaf.put(text, new), leaf, new)
            assert said.startswith(f"{path}:{leaf.line}: "), said


SPOILT = [
    ("value = 128, unit = \"GB/s\"", "value = 128, unit = \"Gb/s\"", "write 'Gbit/s' or 'GB/s'"),
    ("value = 128, unit = \"GB/s\"", "value = 0.05, unit = \"GB/s\"", "is 0.4 bits a cycle of 1 GHz"),
    ("value = 24, unit = \"GB\"", "value = 24, unit = \"TB\"", "value 24 TB = 24000 GB is out of range"),
    ("value = 308.39, unit = \"W\"", "value = 308.39, unit = \"mW\"", "power.chip: 0.30839 W makes 0.000373 W/mm2; chips take 0.002 to 1.9"),
    ("clock = { value = 1.0", "clock = { value = 1000", "machine.clock: value 1000 GHz is out of range"),
    ("area_per_bit = { value = 0.0179", "area_per_bit = { value = 0.9",
     "array.area_per_bit: 0.9 um^2/bit makes 124 transistors a stored bit"),
    ("good_dies = { value = 27", "good_dies = { value = 87", "87 of 62 dies makes no sense"),
    ("low = 13000", "low = 13", "range.0.low: value 13 USD is out of range"),
    ("users = 216", "users = nan", "rate.0.users: Input should be a valid integer, not nan"),
    ("name = \"hnlpu-asplos26\"", "name = \"hnlpu asplos\"", "name: 'hnlpu asplos' is no name"),
    ("title = \"HNLPU, the", "title = \"\\u0007HNLPU, the", "title: holds '\\x07', which cannot be"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "says"), SPOILT)
@pytest.mark.parametrize("command", ["simulate", "cost", "audit"])
def test_commands_refuse_in_one_line(
    tmp_path: Path, cli: Cli, command: str, old: str, new: str, says: str
) -> None:
    text, path = text_of("catalog/systems/hnlpu-asplos26"), tmp_path / "mine.toml"
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    code, printed, error = cli(command, path)
    assert (code, printed) == (2, "")
    assert error.count("\n") == 1
    assert f"{path}:" in error
    assert says in error


def test_claims_are_in_order(tmp_path: Path) -> None:
    text, path = text_of("catalog/systems/spinnaker2"), tmp_path / "mine.toml"
    path.write_text(text.replace("low = 5\nhigh = 18", "low = 18\nhigh = 5"))
    with pytest.raises(InvalidData, match=r"mine\.toml:\d+: claim\.0\.low: 18 to 5; give low"):
        read_data(path, System)
