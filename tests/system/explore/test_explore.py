"""The search: its chips against the published one, its front, its winner, its refusals."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hnlpu.cli import main
from hnlpu.errors import HnlpuError, InvalidData, InvalidInput
from hnlpu.system.catalog import load_model, load_system, system_names
from hnlpu.system.explore import (
    best,
    check_explorable,
    choices,
    evaluate,
    explain,
    least_gain,
    load_options,
    make_chip,
    make_problem,
    pareto_front,
    parse_objectives,
    published_design,
    search,
)
from hnlpu.system.explore._design import ExploredDesign, canonical
from hnlpu.system.explore._search import Candidate

pytest.importorskip("optuna", reason="optuna is not installed")
OBJECTIVES = ("tokens_per_usd", "tokens_per_joule", "latency")


@pytest.fixture(scope="module")
def problem():
    return make_problem(
        load_system("hnlpu-asplos26"), load_model("gpt-oss-120b"), load_options(),
        (2048, 65536), sliding=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def published(problem):
    return published_design(problem.system, problem.model, problem.options, problem.base)


@pytest.fixture(scope="module")
def found(problem):
    return search(problem, OBJECTIVES, 300, seed=1, workers=2)


def test_the_published_design_is_the_published_chip(problem, published):
    score = evaluate(problem, published)
    assert score.chip.area_mm2 == pytest.approx(827.08, rel=1e-3)
    near = score.points[0]
    # at the paper's rate the arrays take their nameplate power, so 6.9 kW is all of it
    assert near.power_w == pytest.approx(6900, rel=0.01)
    assert near.tokens_per_joule == pytest.approx(36.2, rel=0.03)  # table 2: 36,226 tokens/kJ
    # table 3, one system, static model: $59.56M to $123.7M, the middle of them
    assert near.bill.tco_musd == pytest.approx((59.56 + 123.7) / 2, rel=0.002)
    assert max(score.violations.values()) <= 0


def test_many_systems_share_masks_and_design(problem, published):
    many = make_problem(
        problem.system, problem.model, problem.options, (2048,), sliding=False,
        contention="none", systems=50, respins=2,
    )  # fmt: skip
    point = evaluate(many, published).points[0]
    # table 3, 50 systems, annual updates: $118.9M to $229.4M
    assert point.bill.tco_musd == pytest.approx((118.9 + 229.4) / 2, rel=0.005)
    # 50 x 249,960 tokens/s for three years of 365 days
    tokens = 50 * point.tokens_per_second * 3 * 365 * 86400
    assert point.tokens_per_usd == pytest.approx(tokens / point.bill.tco_musd / 1e6)


def test_a_machine_that_beats_the_published_one_threefold_at_both_contexts(found):
    winner = best(found)
    assert winner is not None
    assert least_gain(found, winner, "tokens_per_usd") >= 3
    assert least_gain(found, winner, "tokens_per_joule") >= 1
    for mine, theirs in zip(winner.score.points, found.reference.points, strict=True):
        assert mine.tokens_per_second / mine.bill.tco_musd >= 3 * (
            theirs.tokens_per_second / theirs.bill.tco_musd
        )
    assert winner.score.chip.area_mm2 <= 858


def test_the_published_chips_gain_threefold_without_new_technology(problem, published):
    better = replace(
        published, collective="scatter", sampling="candidates", vector_units=4, buffer_mb=96,
        memory="HBM3E", kv_bits=8,
    )  # fmt: skip
    mine, theirs = (evaluate(problem, d) for d in (better, published))
    assert mine.feasible
    for point, other in zip(mine.points, theirs.points, strict=True):
        assert point.tokens_per_usd >= 3 * other.tokens_per_usd
        assert point.tokens_per_joule > other.tokens_per_joule


def test_the_way_to_the_winner_ends_at_the_winner(found):
    winner = best(found)
    reasons = explain(found, winner)
    assert reasons[-1].score.design == winner.score.design
    for mine, last in zip(winner.score.points, reasons[-1].score.points, strict=True):
        assert last.tokens_per_second == mine.tokens_per_second
    changed = [name for reason in reasons for name in reason.changed]
    assert len(changed) == len(set(changed))
    for reason in reasons:
        assert len(reason.sentences) == 2


def test_the_front_is_what_nobody_betters(found):
    for one in found.front:
        for other in found.candidates:
            better = [a > b for a, b in zip(other.gains, one.gains, strict=True)]
            worse = [a < b for a, b in zip(other.gains, one.gains, strict=True)]
            assert not any(better) or any(worse)
    assert {c.score.design for c in found.front} <= {c.score.design for c in found.candidates}


def test_workers_do_not_change_what_a_seed_finds(problem):
    few = make_problem(
        problem.system, problem.model, problem.options, (2048,), sliding=True, contention="none"
    )
    one, two = (search(few, ("latency",), 120, seed=5, workers=n) for n in (1, 2))
    assert [c.score.design for c in one.candidates] == [c.score.design for c in two.candidates]
    assert [c.gains for c in one.front] == [c.gains for c in two.front]


gains = st.lists(st.tuples(*[st.integers(1, 4)] * 2), min_size=1, max_size=12)


@given(gains)
def test_every_candidate_is_on_the_front_or_bettered_by_it(points):
    candidates = [Candidate(None, point) for point in points]
    front = [c.gains for c in pareto_front(candidates)]
    assert len(front) == len(set(front))
    for point in points:
        assert any(all(f >= p for f, p in zip(one, point, strict=True)) for one in front)
    for one in front:
        assert not any(
            other != one and all(o >= f for o, f in zip(other, one, strict=True)) for other in front
        )


@pytest.mark.parametrize(
    ("field", "values", "block"),
    [
        ("vector_units", (1, 2, 4), "vector unit"),
        ("buffer_mb", (64, 128, 320), "attention buffer"),
        ("stacks", (2, 4, 8), "HBM PHY"),
    ],
)
def test_blocks_grow_in_proportion(problem, published, field, values, block):
    for value in values:
        chip = make_chip(
            problem.system, problem.model, problem.options,
            replace(published, **{field: value}), problem.base,
        )  # fmt: skip
        whole = make_chip(problem.system, problem.model, problem.options, published, problem.base)
        share = value / getattr(published, field)
        assert chip.blocks[block] == pytest.approx(whole.blocks[block] * share)


def test_sharing_ports_saves_area_and_costs_time(problem, published):
    def chip(**changes):
        design = replace(published, arrays="taps", experts_per_bank=1, **changes)
        return make_chip(problem.system, problem.model, problem.options, design, problem.base)

    areas, cycles = [], []
    for fold in (1, 2, 4, 8):
        made = make_chip(
            problem.system, problem.model, problem.options,
            replace(published, arrays="taps", experts_per_bank=1, fold=fold), problem.base,
        )  # fmt: skip
        areas.append(made.blocks["neuron arrays"])
        cycles.append(made.specification.pass_cycles)
    assert all(a > b for a, b in pairwise(areas))
    assert cycles == [24, 48, 96, 192]
    # rows as high as their silicon: VIA8 A, VIA8 B, VIA9; as low as their metal: VIA9 B, too
    assert chip().masks == 3
    assert chip(fold=8).masks == 4


def test_dies_edges_and_packages_have_limits(problem, published):
    def violated(**changes):
        score = evaluate(problem, replace(published, **changes))
        assert not score.feasible
        return {name for name, excess in score.violations.items() if excess > 0}

    assert "reticle" in violated(vector_units=8)
    assert "reticle" in violated(rows=2)
    assert "chips in a package" in violated(package="wafer", rows=8)
    assert "stacks in a package" in violated(package="wafer")
    assert "columns" in violated(columns=16, rows=1)
    assert "die edge" in violated(rows=8, columns=8, stacks=8, buffer_mb=16)
    # eight vector units on small dies with few arrays left: too hot
    assert "cooling" in violated(
        rows=8, columns=8, vector_units=8, buffer_mb=16, stacks=2, collective="scatter",
        sampling="candidates", kv_bits=4, stages=8, arrays="taps", fold=8,
    )  # fmt: skip
    assert "KV at 65536" in violated(stacks=1, stages=16)


def test_links_inside_a_package_join_neighbours(problem, published):
    spec = make_chip(
        problem.system, problem.model, problem.options,
        replace(published, package="interposer", modules=2, stacks=6), problem.base,
    ).specification  # fmt: skip
    assert spec.column_links.neighbours
    assert spec.column_links.bandwidth == 2 * 256e9
    assert spec.row_links == problem.base.row_links


def test_fields_that_change_nothing_are_one_design(problem, published):
    same = {
        canonical(
            replace(published, modules=modules, fold=fold, experts_per_bank=bank),
            published, problem.options,
        )
        for modules in (1, 4) for fold in (1, 8) for bank in (1, 8)
    }  # fmt: skip
    assert same == {published}


def test_all_choices_make_designs(problem):
    space = choices(problem.options, (16,))
    assert set(space) == set(ExploredDesign.__dataclass_fields__)
    assert space["kv_bits"] == [16]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "gpt-9"], "gpt-9: no such system, model, folder or file"),
        (["--model", "gpt-oss-120b", "--objective", "beauty"], "one or more of tokens_per_usd"),
        (["--model", "gpt-oss-120b", "--objective", "latency,latency"], "each once"),
        (["--model", "gpt-oss-120b", "--trials", "0"], "--trials 0: give 1 to"),
        (["--model", "gpt-oss-120b", "--context", "2K"], "--context '2K': give whole numbers"),
        (["--model", "gpt-oss-120b", "--context", "0"], "give 1 to"),
        (["--model", "gpt-oss-120b", "--kv-bits", "5"], "any of 16, 8, 4"),
        (["--model", "gpt-oss-120b", "--contention", "x"], "choose from none, full"),
        (["--model", "gpt-oss-120b", "--systems", "0"], "--systems 0"),
        (["--model", "gpt-oss-120b", "--respins", "-1"], "--respins -1"),
        (["--model", "gpt-oss-120b", "--system", "h100"], "no [machine]"),
        (["--model", "gpt-oss-120b", "--system", "sky130-one"], "cannot be explored"),
        (["--model", "gpt-oss-120b", "--options", "no.toml"], "no.toml: cannot be read"),
    ],
)
def test_the_command_line_refuses_in_one_line(capsys, monkeypatch, arguments, says):
    monkeypatch.setattr("sys.argv", ["hnlpu", "explore", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    printed = capsys.readouterr()
    assert caught.value.code == 2
    assert printed.err.count("\n") == 1
    assert says in printed.err


def test_the_command_prints_one_document(capsys, monkeypatch, tmp_path):
    page = tmp_path / "page.html"
    arguments = ["--model", "gpt-oss-120b", "--trials", "60", "--report", str(page), "--json"]
    monkeypatch.setattr("sys.argv", ["hnlpu", "explore", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert not caught.value.code
    facts = json.loads(capsys.readouterr().out)
    assert facts["trials"] == 60
    assert facts["reference"]["points"][0]["bottleneck"] == "column links"
    assert facts["best"]["gains"]["tokens_per_joule"] >= 1
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_options_of_ones_own_are_checked(tmp_path):
    from importlib import resources

    text = (resources.files("hnlpu.system.explore") / "options.toml").read_text()
    path = tmp_path / "options.toml"
    for old, new, says in (
        ('value = 256, unit = "GB/s"', 'value = 256, unit = "ns"', "die_to_die.bandwidth"),
        ("most_modules = 8", "most_modules = 0", "die_to_die.most_modules"),
        ('axes = ["column"]', 'axes = ["diagonal"]', "package.1.axes.0"),
        ('memory = "HBM3E"', 'memory = "HBM9"', "start.1.memory: 'HBM9' is none of"),
        ("scale_range = { value = 4", "scale_range = { value = 2.5", "array.scale_range"),
        ("[die_to_die]\n", "[die_to_die]\nwarp = 1\n", "die_to_die.warp: unknown key"),
    ):
        assert old in text
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(InvalidData) as caught:
            load_options(path)
        assert str(caught.value).startswith(f"{path}:")
        assert says in str(caught.value)


RENAMED = {
    "neuron arrays": "wires", "vector unit": "SIMD", "attention buffer": "cache", "links": "NoC",
    "HBM PHY": "DRAM pads", "control unit": "misc", "memory interface": "pins",
}  # fmt: skip


def renamed(system):
    """The same system with names of blocks that nobody knows, its largest block in two halves."""
    blocks = [b.model_copy(update={"name": RENAMED[b.purpose]}) for b in system.block]
    if blocks:
        whole = max(blocks, key=lambda b: b.area.value)
        half = whole.model_copy(update={
            name: replace(getattr(whole, name), **{
                end: getattr(getattr(whole, name), end) / 2 for end in ("value", "low", "high")
            })
            for name in ("area", "power")
        })  # fmt: skip
        blocks = [b for b in blocks if b is not whole] + [half, half]
    return system.model_copy(update={"block": blocks})


@pytest.mark.parametrize("change", [lambda system: system, renamed], ids=["shipped", "renamed"])
@pytest.mark.parametrize("name", system_names())
def test_every_shipped_system_is_explored_or_refused(name, change):
    system = change(load_system(name))
    model = load_model(system.model or "gpt-oss-120b")
    if name != "hnlpu-asplos26":
        with pytest.raises(InvalidInput, match=rf"^system {name} [^\n]*$"):
            make_problem(system, model, load_options(), (2048,), sliding=False)
        return
    problem = make_problem(system, model, load_options(), (2048,), sliding=False)
    found = search(problem, ("tokens_per_usd",), 8, seed=3, workers=1)
    own = make_problem(load_system(name), model, load_options(), (2048,), sliding=False)
    same = search(own, ("tokens_per_usd",), 8, seed=3, workers=1)
    assert found.trials == 8
    for mine, theirs in zip(found.candidates, same.candidates, strict=True):
        assert mine.gains == pytest.approx(theirs.gains)
    assert found.reference.chip.blocks == pytest.approx(same.reference.chip.blocks)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.model_copy(update={"block": [b for b in s.block if b.purpose != "links"]}),
         "no block has purpose 'links' and an area"),
        (lambda s: s.model_copy(update={"rate": []}), "no rate of its model"),
        (lambda s: s.model_copy(
            update={"power": s.power.model_copy(update={"overhead": None})}), "no power.overhead"),
        (lambda s: s.model_copy(update={"chips": 1}), "one chip has no links"),
    ],
)  # fmt: skip
def test_a_system_says_what_it_lacks(problem, change, says):
    with pytest.raises(InvalidInput, match=says):
        check_explorable(change(problem.system), problem.options)


def test_what_sky130_lacks_is_told_at_once():
    with pytest.raises(InvalidInput) as caught:
        check_explorable(load_system("sky130-one"), load_options())
    for says in ("'links'", "'HBM PHY'", "its memory of 0.4 GB/s a stack is none of HBM3, HBM3E"):
        assert says in str(caught.value)


def test_objectives_are_parsed():
    assert parse_objectives(" latency , tokens_per_usd") == ("latency", "tokens_per_usd")
    with pytest.raises(InvalidInput):
        parse_objectives("")
    assert issubclass(InvalidInput, HnlpuError)


def test_ray_scores_the_same_trials(problem):
    pytest.importorskip("ray", reason="ray is not installed")
    few = make_problem(
        problem.system, problem.model, problem.options, (2048,), sliding=True, contention="none"
    )
    here = search(few, ("latency",), 40, seed=5, workers=1)
    there = search(few, ("latency",), 40, seed=5, workers=1, ray="local")
    assert [c.gains for c in here.candidates] == [c.gains for c in there.candidates]


def test_a_cluster_that_is_not_there(problem):
    pytest.importorskip("ray", reason="ray is not installed")
    with pytest.raises(InvalidInput, match="no cluster answers"):
        search(problem, ("latency",), 10, ray="127.0.0.1:1")
