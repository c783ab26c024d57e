"""What a machine has no time for, or a grid cannot be cut for, is named before anything runs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from networks import llama, plain

from hnlpu.errors import DoesNotFit, UnsupportedArchitecture
from hnlpu.model.network import Append, Builder, Cut, Input, Step, Tensor, ops
from hnlpu.model.network.composites import attend, dense
from hnlpu.system.catalog import (
    shape_of_network,
)
from hnlpu.system.machine import (
    token_work,
)
from network_samples import every_operation, tensor_matrix


def refused(network):
    with pytest.raises(UnsupportedArchitecture) as caught:
        token_work(shape_of_network(network, "mine"), 1, 1)
    return str(caught.value)


def test_what_a_machine_has_no_time_for_is_named():
    assert "(repeat repeat) repeats its steps" in refused(every_operation())
    b = Builder("mine")
    body = (Step(ops.Mul(), ("y", 0.5), ("z",)),)
    x = b.step(
        ops.Repeat(3, ("y",), body, ("z",)), dense(plain(b), b.matrix(tensor_matrix("m", 32, 32)))
    )
    assert "step 4 (repeat repeat) repeats its steps" in refused(b.finish(x))
    b = Builder("mine")
    x = dense(plain(b), b.matrix(tensor_matrix("m", 32, 32)))
    text = refused(b.finish(b.keep("all", x, Append()).sum(0)))
    assert text.startswith("mine: step 5 (read read) goes along all positions outside attend")
    b = Builder("mine")
    x = dense(plain(b), b.matrix(tensor_matrix("m", 32, 32)))
    again = b.parameter("again", (32, 32), Tensor("again", (32, 32)))
    text = refused(b.finish(b.lookup(again, b.step(ops.ArgMax(), x))))
    assert "(lookup lookup_2) looks up by a number that is computed on the way" in text


def test_members_that_are_chosen_in_two_ways_are_refused():
    b = Builder("mine")
    x = plain(b)
    for name, members in (("one", 3), ("two", 5)):
        source = Tensor(name, (members, 32, 32))
        bank = replace(
            tensor_matrix(name, 32, 32), role="experts", cut=Cut("members"), members=members,
            source=source,
        )  # fmt: skip
        router = b.matrix(replace(tensor_matrix(f"{name}.r", members, 32), cut=Cut("copy")))
        _, chosen = b.steps(ops.TopK(2), dense(x, router), outs=2)
        x = dense(x, b.matrix(bank), chosen=chosen).sum(0)
    assert "chooses 2 of 5 members, others choose otherwise" in refused(b.finish(x))


def test_windows_of_two_lengths_are_refused():
    b = Builder("mine")
    x = plain(b)
    for window in (4, 6):
        heads = x.reshape(2, 16)
        x = x + attend(heads, heads, heads, scale=0.25, window=window)
    x = dense(x, b.matrix(tensor_matrix("m", 32, 32)))
    assert "has a window of 6 positions, others one of 4" in refused(b.finish(x))


def test_grids_that_no_network_can_be_cut_over():
    with pytest.raises(DoesNotFit, match=r"at most 2 columns \(runs of heads\) of 2 chips"):
        token_work(llama(), 1, 4)
    with pytest.raises(DoesNotFit, match="use a smaller grid"):
        token_work(llama(), 3, 1)


def test_numbers_of_the_hosts_come_in_as_a_tables_row_does():
    """A network of signals has the work of one whose signals a table holds."""
    works = []
    for of_data in (True, False):
        b = Builder("mine")
        x = b.input(Input("x", "data", (32,), "real")) if of_data else plain(b)
        work = dense(x, b.matrix(tensor_matrix("m", 32, 32)))
        works.append(token_work(shape_of_network(b.finish(work), "mine"), 1, 1))
    assert works[0] == works[1]
    assert works[0].entry_values == 32


def test_what_is_done_to_signals_takes_time():
    """Unlike to a table's row, which could be stored so."""
    b = Builder("mine")
    x = b.input(Input("x", "data", (32,), "real")).table("tanh")
    work = token_work(
        shape_of_network(b.finish(dense(x, b.matrix(tensor_matrix("m", 32, 32)))), "mine"), 1, 1
    )
    assert any(getattr(task, "elements", 0) == 32 for task in (*work.head, *sum(work.kinds, ())))
