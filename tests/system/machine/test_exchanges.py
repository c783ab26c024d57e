"""What the emulator sends between chips is what the simulator counts; bytes follow from formats."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from machines import make_machine

from grids import HEADS, wide
from hnlpu.arithmetic.exchange import ExchangeFormats, Widths, bits_of, parse_formats
from hnlpu.silicon.exchange import (
    Crossing,
    ExchangePlan,
    OfMembers,
    Shared,
    exchange_plan,
    slices_on,
)
from hnlpu.silicon.hardwire import Build
from hnlpu.system.catalog import load_model, load_system, shape_of_network
from hnlpu.system.machine import specification, token_link_bytes, token_work
from hnlpu.system.machine._exchange import swap_steps
from hnlpu.system.machine._tasks import (
    AllGather,
    ColumnSums,
    Logits,
    SliceSums,
    Task,
    TokenWork,
    TotalSums,
)

GRIDS = [(1, 2), (2, 1), (2, 2), (3, 4)]


def sent_by_plan(build: Build, plan: ExchangePlan, rows: int, columns: int) -> dict[str, int]:
    """Numbers of the fullest chip by kind, over all layers."""
    types = {**shape_of_network(build.network, "x").types}
    total = dict.fromkeys(
        ("sums", "kept", "softmax", "slices", "scales", "values", "activations"), 0
    )
    total["experts"] = 0

    def size(crossing: Crossing) -> int:
        shape = [d for d in types[crossing.name].shape if isinstance(d, int)]
        where = crossing.where
        if isinstance(where, Shared):
            most = max(b - a for a, b in where.spans)
            return math.prod(shape) // shape[where.axis] * most
        return math.prod(shape)

    for crossing in plan.crossings:
        if isinstance(crossing.where, OfMembers) and crossing.kind != "experts":
            # more chips than experts: what those of an expert tell each other is not simulated
            assert crossing.matrix
            assert rows * columns > build.shapes()[crossing.matrix].count
            continue
        match crossing.kind:
            case "column sums":
                total["kept" if crossing.kept else "sums"] += size(crossing)
            case "attention":
                where = crossing.where
                assert where is None or isinstance(where, Shared)
                whole = HEADS["num_attention_heads"]
                heads = max(b - a for a, b in where.spans) if where else whole
                total["softmax"] += heads
            case "scale":
                total["scales"] += 1
            case "slice sums":
                total["slices"] += -(-size(crossing) // rows)
            case "experts":
                total["experts"] += math.prod(
                    d for d in types[crossing.name].shape if isinstance(d, int)
                )
            case "values" | "activations":
                shared = isinstance(crossing.where, Shared) and crossing.where.over == "columns"
                total[crossing.kind] += -(-size(crossing) // (rows if shared else 1))
    return total


def sent_by_walk(work: TokenWork) -> dict[str, int]:
    """The same of the simulator's tasks."""
    total = dict.fromkeys(
        ("sums", "kept", "softmax", "slices", "scales", "values", "activations"), 0
    )
    total["experts"] = 0
    tasks: list[Task] = [task for kind in work.layers for task in work.kinds[kind]]
    for task in [*tasks, *work.head]:
        match task:
            case ColumnSums(values, riders, statistics):
                if statistics:
                    total["softmax"] += statistics
                else:
                    total["sums"] += values
                    total["kept"] += riders
            case SliceSums(values, scales):
                total["slices"] += values
                total["scales"] += scales
            case TotalSums(values):
                total["experts"] += values
            case AllGather(values, activations):
                total["values"] += values
                total["activations"] += activations
    return total


@pytest.mark.parametrize("family", ["gpt_oss", "llama", "qwen3", "qwen3_moe", "bitnet", "gemma2"])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_the_emulator_sends_what_the_simulator_counts(family: str, grid: tuple[int, int]) -> None:
    build = wide(family)
    plan = exchange_plan(build.network, slices_on(build.matrices(), *grid))
    counted = sent_by_walk(token_work(shape_of_network(build.network, family), *grid))
    found = sent_by_plan(build, plan, *grid)
    # simulated machines have these tasks on any grid, and take no steps for them in one row or column
    if grid[0] == 1:
        counted |= {"sums": 0, "kept": 0, "softmax": 0}
    if grid[1] == 1:
        counted["scales"] = 0
    assert found == counted


def test_bytes_of_a_layer_by_hand() -> None:
    """Column sums of 6 values with 4 riders and slice sums of 8 on 2 x 2 chips, in every format."""
    widths = Widths(activations=8, sums=20, experts=56, totals=40, mixed=55)
    machine = make_machine(rows=2, columns=2, widths=widths)

    def sent(task: Task, text: str) -> list[tuple[str, float]]:
        spec = replace(machine, formats=parse_formats(text))
        return [(step.axis, step.bytes) for step in swap_steps(spec, task)]  # type: ignore[arg-type]  # swaps

    sums = ColumnSums(6, riders=4)
    assert sent(sums, "exact") == [("column", 6 * 2.5 + 4 * 2.5 / 2)]
    assert sent(sums, "fp16") == [("column", 6 * 2 + 4 * 2 / 2)]
    assert sent(sums, "int8") == [("column", 8 * 33 / 32)]
    softmax = ColumnSums(64, statistics=2)  # two heads of 32
    assert sent(softmax, "fp16") == [("column", 64 * 2 + 2 * 8)]
    assert sent(softmax, "exact") == [("column", 2 * 4), ("column", 64 * 55 / 8 + 2 * 5)]
    slices = SliceSums(8, scales=1)
    assert sent(slices, "exact") == [("row", 1), ("row", 8 * 2.5), ("column", 8 * 4)]
    assert sent(slices, "vector") == [("row", 32), ("column", 32)]
    assert sent(TotalSums(8), "exact") == [("row", 56), ("column", 56)]
    assert sent(TotalSums(8), "sums=fp16") == [("row", 56), ("column", 56)]
    assert sent(AllGather(4, activations=8), "exact") == [
        ("row", 1), ("column", 2), ("row", 4 * 4 + 8), ("column", 2 * (4 * 4 + 8)),
    ]  # fmt: skip
    assert sent(AllGather(0, activations=8), "fp16") == [("row", 16), ("column", 32)]
    assert sent(Logits(10), "int8") == [("row", 10 * 33 / 32), ("column", 20 * 33 / 32)]


def test_scattered_sums_are_parts_one_way_and_values_the_other() -> None:
    widths = Widths(sums=20)
    machine = make_machine(rows=1, columns=4, widths=widths, collective="scatter")
    spec = replace(machine, formats=ExchangeFormats())
    steps = swap_steps(spec, SliceSums(8))
    assert [step.bytes for step in steps] == [8 * 2.5 / 4, 8 * 4 / 4]


def test_the_published_machine_sends_sixteen_bits() -> None:
    """11,552 and 7,200 bytes a layer on column and row links, 100,544 and 25,136 of logits."""
    spec = specification(load_system("hnlpu-asplos26"))
    assert spec.formats == ExchangeFormats.all_of("fp16")
    assert bits_of(1, "fp16") == 16
    row, column = token_link_bytes(spec, token_work(load_model("gpt-oss-120b"), 4, 4, False))
    assert (row, column) == (36 * 7_200 + 25_136, 36 * 11_552 + 100_544)
