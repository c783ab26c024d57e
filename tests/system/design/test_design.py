"""Designs: what they hold, why, and what is refused."""

from __future__ import annotations

import json
import math
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import hnlpu
from helpers import write_checkpoint
from hnlpu.cli._app import app
from hnlpu.errors import DoesNotFit, HnlpuError, InvalidInput, OutputExists
from hnlpu.model.policy import make_policy
from hnlpu.quantities import read_data
from hnlpu.silicon.place import make_target
from hnlpu.system.catalog import System, load_system, system_names
from hnlpu.system.cost import OwnershipPlan, cost
from hnlpu.system.design import Design, design, open_machine, open_named, write_design
from hnlpu.system.design._parts import load_parts

CHECKPOINTS = Path(__file__).parents[3] / "checkpoints"
SMALL = str(CHECKPOINTS / "stdlib-140k")


def test_a_small_model_gets_a_small_chip() -> None:
    made = design(SMALL)
    machine = made.system.machine
    assert machine
    assert made.system.die.area.value < 5  # where the paper's is 827 mm2
    assert (machine.link, machine.hbm) == (None, None)
    assert not made.system.area_for("links", "HBM PHY")
    assert made.context == 256  # all that the model has
    assert made.users == machine.slots(made.subject.shape.layers)


def test_in_an_open_process_it_fits_a_shuttle_s_slot() -> None:
    made = design(SMALL, technology="sky130")
    core = made.system.die.area.value - made.system.area_for("pads")
    assert core <= 2.92 * 3.52
    assert made.library == "sky130-one"
    assert made.system.prices
    masks = made.system.prices.masks
    assert sum(layer.masks for layer in masks.layer if layer.programmable) == 2


def test_a_large_model_gets_chips_links_and_memory_under_the_reticle() -> None:
    made = design("gpt-oss-120b")
    machine = made.system.machine
    assert machine
    assert machine.link
    assert machine.hbm
    assert made.system.chips > 8
    assert made.system.die.area.value <= 858
    # the fewest chips are 15: the next smaller grid near a square has not the room
    fewest = design("gpt-oss-120b", chips=15)
    assert fewest.system.array_area_mm2 * 15 / 12 > 858
    assert 15 <= made.system.chips <= 1.5 * 15
    assert made.rate().users == 216


@pytest.mark.parametrize(
    ("model", "technology", "lanes"),
    [
        ("deepseek-v3", "n5", 2),
        ("kimi-k2", "n5", 2),
        ("deepseek-v3", "n3", 1),
        ("kimi-k2", "n7", 4),
    ],
)
def test_the_largest_models_get_narrower_links_where_whole_ones_leave_no_room(
    model: str, technology: str, lanes: int
) -> None:
    made = design(model, technology=technology)
    machine, library = made.system.machine, load_system(made.library)
    assert machine
    assert machine.link
    assert library.machine
    assert library.machine.link
    whole = library.machine.link.bandwidth
    assert machine.link.bandwidth.value == whole.value / lanes
    # each link takes as much less of the die; four axes' links of the library's 4 x 4 grid are six
    ports = machine.rows + machine.columns - 2
    assert made.system.area_for("links") == pytest.approx(
        library.area_for("links") * ports / 6 / lanes
    )
    assert made.system.die.area.value <= 858
    again = load_design(made)
    assert again.rate().tokens_per_second == made.rate().tokens_per_second
    if lanes > 1:
        assert f"1/{lanes} of the lanes" in machine.link.bandwidth.source


def load_design(made: Design) -> Design:
    """The same design from the text of its file."""
    system = System.model_validate(tomllib.loads(made.to_toml()))
    return replace(made, system=system)


@pytest.mark.parametrize(
    ("model", "technology", "fewest", "too_few"),
    [("qwq-32b", "n5", 20, 16), ("qwen3-30b-a3b", "n7", 12, 9)],
)
def test_more_chips_than_the_fewest_are_taken_where_they_are_worth_it(
    model: str, technology: str, fewest: int, too_few: int
) -> None:
    # arrays that fill their die to the edge leave a vector unit and a memory that hold them up
    made = design(model, technology=technology)
    least = design(model, technology=technology, chips=fewest)
    with pytest.raises(DoesNotFit):
        design(model, technology=technology, chips=too_few)

    def per_mm2(found: Design) -> float:
        return found.rate().tokens_per_second / (found.system.die.area.value * found.system.chips)

    assert made.users == least.users
    assert per_mm2(made) > 3 * per_mm2(least)
    for chips in (fewest * 5 // 4, fewest * 3 // 2):
        other = design(model, technology=technology, chips=chips)
        assert per_mm2(made) >= per_mm2(other)
    bills = [cost(d.system, d.subject, OwnershipPlan(), trials=20) for d in (made, least)]
    ours, theirs = (bill.usd_per_mtoken(bill.value) for bill in bills)
    assert ours < theirs / 3


def test_every_value_has_a_reason_and_the_file_is_the_design(tmp_path: Path) -> None:
    for what, process in (
        (SMALL, "n5"),
        (SMALL, "sky130"),
        ("llama-3.1-8b", "n5"),
        (SMALL, "asap7"),
    ):
        made = design(what, technology=process)
        path = write_design(made, tmp_path / f"{Path(what).name}-{process}.toml")
        assert read_data(path, System) == made.system
        values = tomllib.loads(path.read_text())
        for block in values["block"]:
            for key in ("area", "power"):
                assert len(block[key]["source"]) > 10
        again = open_machine(str(path))
        assert again.system == made.system
        assert again.subject.bits == made.subject.bits
        assert again.subject.shape.name == made.subject.shape.name
        parts = sum(block["area"]["value"] for block in values["block"])
        assert parts == pytest.approx(values["die"]["area"]["value"], rel=1e-9)
    with pytest.raises(OutputExists, match="exists already"):
        write_design(made, path)


def test_a_target_moves_the_chip() -> None:
    one, many = design(SMALL, users=1), design(SMALL, users=12)
    assert one.system.machine
    assert many.system.machine
    assert one.system.machine.buffer.banks < many.system.machine.buffer.banks
    assert one.users == 1
    short = design(SMALL, context=32)
    assert short.system.die.area.value < many.system.die.area.value
    assert (short.context, short.rate().context) == (32, 32)
    with pytest.raises(DoesNotFit, match="holds 1,000,000 users"):
        design(SMALL, users=1_000_000, context=200_000)


def test_parts_are_scaled_by_the_density_of_logic_where_the_process_is_another() -> None:
    made = design(SMALL, technology="asap7")
    assert made.library == "hnlpu-asplos26"
    (unit,) = made.system.blocks_for("vector unit")
    assert "for the density of logic" in unit.area.source
    lib = load_system(made.library)
    units = made.system.machine.vector_unit.heads_per_cycle.value / 32  # type: ignore[union-attr]
    assert unit.area.value > 1.2 * units * lib.area_for("vector unit")


def test_pads_ring_the_core() -> None:
    pads = load_parts().pads
    area, number = pads.ring(4.0)
    assert area == pytest.approx((2 + 0.4) ** 2 - 4)
    assert number == 4 * 25
    small, least = pads.ring(0.01)
    assert least == pads.number.value
    assert small == pytest.approx((64 / 4 * 0.08 + 0.4) ** 2 - 0.01)
    assert math.isclose(sum(pads.ring(1e4)[:1]), (100 + 0.4) ** 2 - 1e4)


@pytest.mark.parametrize("scheme", ["taps", "regions"])
def test_schemes_have_their_own_masks(scheme: str) -> None:
    made = design("llama-3.1-8b", scheme=scheme)
    assert made.system.prices
    (layer,) = (x for x in made.system.prices.masks.layer if x.programmable)
    assert layer.name.startswith(f"scheme {scheme}: VIA8 A")


def test_one_reader_of_models(tmp_path: Path) -> None:
    shutil.copy(CHECKPOINTS / "gru-106k" / "config.json", tmp_path / "config.json")
    by_config = open_named(str(tmp_path / "config.json")).subject
    by_folder = open_named(str(CHECKPOINTS / "gru-106k")).subject
    assert by_config.bits == by_folder.bits
    assert by_config.shape.hardwired_weights == by_folder.shape.hardwired_weights
    assert open_named("llama-3.1-8b").subject.counted == "stored"


def test_python_s_verbs_are_the_commands() -> None:
    rate = hnlpu.design(SMALL).rate().tokens_per_second
    assert hnlpu.simulate(SMALL, tokens=200).bound == rate
    found = hnlpu.cost(SMALL, trials=20)
    assert found.rate.computed
    assert found.rate.computed.generated_per_second == rate
    assert int(hnlpu.cost("hnlpu-asplos26", model="llama-3.1-8b", trials=20).value.chips) == 4
    with pytest.raises(InvalidInput, match="h100 is bought, not built"):
        hnlpu.cost("h100")


REFUSED = [
    (("nothing-of-that-name",), "no such system, model, folder or file"),
    ((SMALL, "--technology", "n99"), "n99"),
    ((SMALL, "--system", "h100"), "system h100 is not hardwired"),
    ((SMALL, "--system", "nope"), "system 'nope' is unknown"),
    (("hnlpu-asplos26",), "hnlpu-asplos26: is a system, and a model is wanted here"),
    (("gpt-oss-20b", "--chips", "7"), "`chips` 7: they make no grid for gpt-oss-20b"),
    ((SMALL, "--chips", "3"), "near a square; take 4"),
]


@pytest.mark.parametrize(("arguments", "says"), REFUSED)
def test_what_is_unknown_is_refused_in_one_line(arguments: tuple[str, ...], says: str) -> None:
    done = CliRunner().invoke(app, ["design", *arguments])
    assert isinstance(done.exception, HnlpuError), done.output
    assert says in str(done.exception)
    assert "\n" not in str(done.exception)


@pytest.mark.parametrize("command", ["design", "simulate", "cost", "audit"])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nothing-of-that-name",), "no such system, model, folder or file; systems are h100"),
        ((SMALL, "--system", "nope"), "system 'nope' is unknown; there are"),
        ((str(CHECKPOINTS),), "holds neither manifest.json nor config.json"),
        ((SMALL, "--context", "0"), "`context` 0: give 1 to"),
    ],
)
def test_commands_refuse_alike(command: str, arguments: tuple[str, ...], says: str) -> None:
    done = CliRunner().invoke(app, [command, *arguments])
    assert isinstance(done.exception, HnlpuError), done.output
    assert says in str(done.exception)


def test_the_catalog_prints_files_that_are_taken_back(tmp_path: Path) -> None:
    for name in system_names():
        done = CliRunner().invoke(app, ["catalog", "show", name])
        path = tmp_path / f"{name}.toml"
        path.write_text(done.output)
        assert load_system(str(path)) == load_system(name)
    listed = CliRunner().invoke(app, ["catalog", "list", "--json"]).output
    assert all(f'"{name}"' in listed for name in (*system_names(), "n5", "llama-3.1-8b"))
    done = CliRunner().invoke(app, ["catalog", "show", "nope"])
    assert isinstance(done.exception, InvalidInput)


@pytest.mark.parametrize(
    ("bank", "policy", "masks"), [(8, {}, 4), (1, {}, 3), (8, {"experts": "int3"}, 3)]
)
def test_a_build_is_priced_with_the_masks_that_it_is_placed_with(
    bank: int, policy: dict[str, str], masks: int, tmp_path: Path
) -> None:
    """Experts in banks take a mask more at 5 nm, if their digits are E2M1's."""
    write_checkpoint(tmp_path / "oss", layers=1, packed=False, num_local_experts=8)
    built = hnlpu.build(
        tmp_path / "oss", tmp_path / "b", make_policy(**policy), make_target("n5", bank=bank)
    )
    made = hnlpu.design(str(built))
    assert made.system.prices
    placed = json.loads(
        CliRunner().invoke(app, ["place", str(built), "--json"], catch_exceptions=False).output
    )
    programmable = [x.masks for x in made.system.prices.masks.layer if x.programmable]
    assert programmable == [masks]
    assert len(placed["masks"]["programmable_masks"]) == masks
