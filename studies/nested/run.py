"""Laws of composition over random systems, and a nested network's gradient."""

from __future__ import annotations

from hnlpu.model.network import all_steps
from studies._frame import Figures, main
from studies.nested import laws
from studies.nested.mlp import differences, mlp

SHORT, FULL = 12, 250


def measure(full: bool) -> Figures:
    """All figures; a law is tried on as many seeds as there are cases."""
    cases = FULL if full else SHORT
    seeds = range(cases)

    def broken(*held: bool) -> int:
        return len(held) - sum(held)

    forward, gradient = zip(*(differences(seed) for seed in seeds), strict=True)
    return {
        "systems": cases * (3 + 1 + 4 + 1 + 2),
        "associative_broken": broken(*map(laws.associative, seeds)),
        "identity_broken": broken(*map(laws.identities, seeds)),
        "interchange_broken": broken(*map(laws.interchange, seeds)),
        "nesting_broken": broken(*map(laws.nesting, seeds)),
        "lens_laws_broken": broken(*map(laws.lenses, seeds)),
        "append_is_a_lens": sum(map(laws.forgets, seeds)) / cases,
        "wires_carry_less": broken(*map(laws.wires, seeds)),
        "ill_typed_accepted": sum(map(laws.ill_typed, seeds)),
        "ill_typed_tried": 6 * cases,
        "forward_difference": max(forward),
        "gradient_difference": max(gradient),
        "cases_per_law": cases,
        "positions": laws.POSITIONS,
        "mlp_steps": len(list(all_steps(mlp().steps))),
        "seed": 0,
    }


if __name__ == "__main__":
    main("nested", measure)
