"""Work items: the closed form and the event simulation read the same list."""

from dataclasses import replace

import numpy as np
import pytest

from hnlpu.system.catalog import load_model, load_system, model_names
from hnlpu.system.machine import _program as program
from hnlpu.system.machine import kv_state, specification, token_demand, token_work
from hnlpu.system.machine._analytic import operations, passes
from hnlpu.system.machine._items import ExchangeItem, head_items, layer_items
from hnlpu.system.machine._tasks import ArrayPass, CacheTraffic, Vector, bank_of

GRIDS = ((1, 1), (4, 4), (2, 3), (1, 8))


def machine(grid, collective="direct", neighbours=False):
    base = specification(load_system("hnlpu-asplos26"))
    links = replace(base.column_links, neighbours=neighbours)
    return replace(
        base, rows=grid[0], columns=grid[1], collective=collective, column_links=links,
        row_links=links, link_sharing=1.0, attention_latency=1.0, experts_per_bank=1,
    )  # fmt: skip


@pytest.mark.parametrize("collective", ["direct", "scatter", "ring"])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("name", model_names())
def test_rows_of_a_program_take_what_the_closed_form_says(name, grid, collective):
    model, spec = load_model(name), machine(grid, collective)
    work = token_work(model, *grid)
    made = program.token_program(spec, work)
    kind, resource, held = made.table[:, 0], made.table[:, 1], made.table[:, 3]
    kv = kv_state(spec, work, model.embedding_weights, 1, 1)
    demand = token_demand(spec, work, 0, kv)
    for name_, place in (
        ("vector unit", program.VECTOR_UNIT), ("column links", program.COLUMN_LINKS),
        ("row links", program.ROW_LINKS),
    ):  # fmt: skip
        ours = held[(resource == place) & (kind != program.EXPERTS)].sum()
        # a row is rounded to a picosecond, and takes at least one
        assert ours == pytest.approx(demand[name_] * 1e12, rel=1e-9, abs=1.0 * len(made))
    plain = (kind == program.PLAIN) & (resource >= program.ARRAYS)
    experts = kind == program.EXPERTS
    assert plain.sum() + experts.sum() == 1 + sum(
        isinstance(item, ArrayPass) for layer in work.layers
        for item in layer_items(spec, work.kinds[layer])
    )  # fmt: skip
    assert (kind == program.ATTENTION).sum() == len(work.layers)
    assert sorted(resource[plain]) == list(range(program.ARRAYS, program.ARRAYS + plain.sum()))
    vectors = (resource == program.VECTOR_UNIT) & (kind != program.EXPERTS)
    counted = sum(operations(work.kinds[layer]) for layer in work.layers)
    assert vectors.sum() == 1 + counted
    assert np.all(held > 0)


@pytest.mark.parametrize("name", model_names())
def test_a_layer_is_what_the_machine_page_draws(name):
    spec, latent = machine((4, 4)), load_model(name).attention.latent is not None
    for work in token_work(load_model(name), 4, 4).kinds:
        items = layer_items(spec, work)
        words = "".join(
            "P" if item == ArrayPass() else "E" if isinstance(item, ArrayPass)
            else {ExchangeItem: "x", Vector: "v", CacheTraffic: "m"}[type(item)]
            for item in items
        )  # fmt: skip
        mixture = "PvEvEvxv" if bank_of(work) else "PvPxv"
        projections = 3 if latent else 2
        assert words == "P" * (projections - 1) + "xvmxvPxv" + mixture
        assert sum(isinstance(item, CacheTraffic) for item in items) == 1
        fixed = projections + (1 if bank_of(work) else 2)
        assert passes(spec, work) == fixed + (2 if bank_of(work) else 0)


def test_one_chip_exchanges_nothing():
    spec = machine((1, 1))
    work = token_work(load_model("gpt-oss-20b"), 1, 1)
    for item in (*layer_items(spec, work.kinds[0]), *head_items(spec, work)):
        assert not isinstance(item, ExchangeItem) or item.steps == ()
