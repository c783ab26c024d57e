"""A chip needs nothing of a shared value but its own part: everything else may be anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from grids import of_one_chip, tokens_of, wide
from hnlpu.arithmetic.exchange import Exchange
from hnlpu.model.network import Network, ops
from hnlpu.run.emulate._chip_constants import ChipConstants
from hnlpu.run.emulate.machine import MachineConstants, MachineModel, MachineNumerics
from hnlpu.silicon.exchange import Shared, slices_on

POINTWISE = (
    ops.Add | ops.Sub | ops.Mul | ops.Divide | ops.Minimum | ops.Maximum | ops.Shift
    | ops.Compare | ops.Where | ops.InverseRoot | ops.Table
)  # fmt: skip


class Disturbed(MachineNumerics):
    """Does each step on shared values once more per part, with other numbers in all other parts."""

    seen = 0

    def step(
        self, step: ops.Step, args: list[Any], lead: int = 0, scope: tuple[str, ...] = ()
    ) -> tuple[Any, ...]:
        results = super().step(step, args, lead, scope)
        where = self.plan.places.get(step.outs[0]) if step.outs and not scope else None
        if not isinstance(where, Shared) or not isinstance(step.op, POINTWISE):
            return results
        random = np.random.default_rng(0)
        for a, b in where.spans:
            others = []
            for name, x in zip(step.args, args, strict=True):
                place = self.plan.places.get(str(name))
                if isinstance(place, Shared):
                    x = np.moveaxis(np.array(x), place.axis, -1)
                    mine = x[..., a:b].copy()
                    x = random.integers(-(2**20), 2**20, x.shape).astype(x.dtype)
                    x[..., a:b] = mine
                    x = np.moveaxis(x, -1, place.axis)
                others.append(x)
            (again,) = super().step(step, others, lead, scope)
            part = [np.moveaxis(y, where.axis, -1)[..., a:b] for y in (again, results[0])]
            assert np.array_equal(*part), step
            Disturbed.seen += 1
        return results


class Model(MachineModel):
    """A machine whose numerics are disturbed."""

    def _make_numerics(
        self, network: Network, constants: ChipConstants, made: Mapping[str, Any]
    ) -> MachineNumerics:
        assert isinstance(constants, MachineConstants)
        super()._make_numerics(network, constants, made)
        assert self.plan is not None
        return Disturbed(network, constants, made, self.plan)


@pytest.mark.parametrize("family", ["llama", "bitnet", "qwen3_next"])
def test_other_parts_do_not_matter(family: str) -> None:
    build = wide(family)
    Disturbed.seen = 0
    model = Model(build, Exchange(), slices_on(build.matrices(), 2, 3))
    found = model.logits(model.forward(tokens_of(family), model.new_cache()))
    assert np.array_equal(found, of_one_chip(family))
    assert Disturbed.seen > 0
