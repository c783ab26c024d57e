"""Why some tests of consumers leave families out: nothing in their networks is new to a consumer."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from family_builds import ALIKE, FAMILIES, SEED
from hnlpu.model.families import network_of
from hnlpu.model.network import Append, Network, all_steps, chosen_leaves
from readers import CONFIGS


def brief(value: Any) -> Any:
    """Of a number, whether there is one; words and switches as they are."""
    return bool(value) if isinstance(value, int | float) or value is None else value


def what_it_holds(network: Network) -> set[tuple[Any, ...]]:
    """Operations and composites with their words and switches, and the forms of what is declared."""
    found: set[tuple[Any, ...]] = set()
    for step in all_steps(network.steps):
        words = [getattr(step.op, f.name) for f in fields(step.op) if f.name in WORDS]
        found.add((type(step.op).__name__, *words))
    for span in network.spans:
        switches = [(n, brief(v)) for n, v in span.options if n not in ("eps", "scale", "k")]
        found.add((span.composite, *switches))
    for matrix in network.matrices:
        leaves = {type(leaf).__name__ for leaf in chosen_leaves(matrix.source, lambda _: True)}
        many = matrix.members is not None
        found.add(
            (type(matrix.source).__name__, *sorted(leaves), matrix.role, matrix.cut.how, many)
        )
    for state in network.states:
        windowed = isinstance(state.keeps, Append) and state.keeps.window is not None
        found.add((type(state.keeps).__name__, windowed, len(state.shape)))
    return found


WORDS = {"function", "members", "scope", "relation", "keep", "wide", "when"}


def network(family: str) -> Network:
    return network_of({"model_type": family, **CONFIGS[family](np.random.default_rng(SEED))})


@pytest.mark.parametrize("family", sorted(ALIKE))
def test_nothing_is_new(family: str) -> None:
    known = set().union(*(what_it_holds(network(name)) for name in ["gpt_oss", *FAMILIES]))
    assert what_it_holds(network(family)) <= known
