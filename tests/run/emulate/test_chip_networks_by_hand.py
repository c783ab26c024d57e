"""Whole small networks of every family, as docs/vector-unit.md spells them, against chip numerics."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from family_builds import FAMILIES, made
from hnlpu.errors import InvalidInput
from hnlpu.model.checkpoint import to_float32
from hnlpu.model.network import Given
from hnlpu.run.emulate import open_language_model
from hnlpu.silicon.hardwire import Build, open_build
from network_by_hand import NetworkByHand

TOKENS = 4


def by_hand_of(build: Build) -> NetworkByHand:
    """The network of a build, from its files."""
    given = {p.name: p.source for p in build.network.parameters if isinstance(p.source, Given)}
    shapes = {shape.name: shape for shape in build.matrices()}

    def real_of(name: str) -> np.ndarray:
        if name in given:
            return np.array(given[name].values, np.float32).reshape(given[name].shape)
        return to_float32(build.tensors[name].map())

    @cache
    def matrix(name: str, member: int) -> tuple[list[list[int]], list[int], list[float]]:
        found = build.stack(shapes[name])[member]
        bias = [0.0] * found.rows if found.bias is None else found.bias.tolist()
        return found.integers().tolist(), found.row_exponents.tolist(), bias

    return NetworkByHand(
        build.network, cache(real_of), matrix, build.manifest.policy.activation_bits
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_the_page(family: str) -> None:
    of = made(family)
    tokens = of.tokens[:TOKENS].tolist()
    run = open_language_model(of.one, numerics="chip").transformer
    cache = run.new_cache()
    found = run.logits(run.forward(np.array(tokens), cache))
    hand = by_hand_of(open_build(of.one))
    assert found.tolist() == [hand.run(token)[0].tolist() for token in tokens]
    for name, entries in cache.states.entries.items():  # finer than what logits see
        assert entries.tolist() == hand.still_kept(name, len(entries))


@pytest.mark.parametrize("dropped", [{"top_k": 4}, {"top_p": 0.5}, {"min_p": 0.1}])
def test_a_chip_drops_no_tokens(dropped: dict[str, float]) -> None:
    """Its generator draws from all of them; another sampler would read values as float logits."""
    model = open_language_model(made("llama").one, numerics="chip")
    with pytest.raises(InvalidInput, match="the chip samples by temperature alone"):
        next(iter(model.generate([3, 4], max_tokens=2, temperature=1.0, **dropped)))
