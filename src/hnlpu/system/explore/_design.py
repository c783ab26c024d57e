"""`ExploredDesign`: one point of the search, and the ranges that its fields may take."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, get_args

from hnlpu.system.explore._options import Arrays, Options
from hnlpu.system.machine import Collective, Sampling


@dataclass(frozen=True)
class ExploredDesign:
    """A machine to be priced and simulated.

    `modules` are those of a link between neighbours in a package; `vector_units` and `buffer_mb`
    those of a chip, in units of the system's vector unit and in MB; `memory` is "own" where it is none of the options and "none" without stacks.  `experts_per_bank` experts
    share their ports, and every port is used in `fold` phases of a pass.  `stages` tokens are in
    flight for each layer.
    """

    rows: int
    columns: int
    package: str
    modules: int
    collective: Collective
    sampling: Sampling
    vector_units: float
    buffer_mb: float
    memory: str
    stacks: int
    kv_bits: int
    arrays: Arrays
    experts_per_bank: int
    fold: int
    stages: int

    @property
    def chips(self) -> int:
        """Chips of the grid."""
        return self.rows * self.columns

    def values(self) -> dict[str, Any]:
        """Its fields."""
        return asdict(self)


def canonical(
    design: ExploredDesign, reference: ExploredDesign, options: Options
) -> ExploredDesign:
    """`design` with those fields at the reference's value that change nothing in it."""
    same: dict[str, Any] = {}
    if design.arrays == "stated":
        same |= {"experts_per_bank": reference.experts_per_bank, "fold": reference.fold}
    if not options.find_package(design.package).axes:
        same["modules"] = reference.modules
    return replace(design, **same)


def choices(options: Options, kv_bits: tuple[int, ...]) -> dict[str, list[Any]]:
    """What the search may choose for each field of a `ExploredDesign` that starts from a published machine."""
    stacks = max(package.most_stacks for package in options.package)
    allowed = options.choices
    return {
        "rows": allowed.rows,
        "columns": allowed.columns,
        "package": [package.name for package in options.package],
        "modules": [n for n in allowed.modules if n <= options.die_to_die.most_modules],
        "collective": list(get_args(Collective)),
        "sampling": list(get_args(Sampling)),
        "vector_units": allowed.vector_units,
        "buffer_mb": allowed.buffer_mb,
        "memory": [memory.name for memory in options.memory],
        "stacks": list(range(1, stacks + 1)),
        "kv_bits": list(kv_bits),
        "arrays": list(get_args(Arrays)),
        "experts_per_bank": allowed.experts_per_bank,
        "fold": allowed.fold,
        "stages": allowed.stages,
    }


def own_choices(
    own: ExploredDesign, options: Options, kv_bits: tuple[int, ...], *, links: bool, stacks: bool
) -> dict[str, list[Any]]:
    """The same from a machine that was designed for its model, which has arrays and masks of its own.

    Chips without `links` stay alone, those without interchangeable `stacks` of memory keep theirs.
    """
    space = choices(options, kv_bits)
    space["vector_units"] = [own.vector_units * share for share in options.choices.shares]
    space["buffer_mb"] = [own.buffer_mb * share for share in options.choices.shares]
    fixed = ["arrays", "fold", "experts_per_bank"]
    if not links:
        fixed += ["rows", "columns", "package", "modules", "collective", "sampling"]
    if not stacks:
        fixed += ["memory", "stacks"]
    for name, value in own.values().items():
        if name in fixed:
            space[name] = [value]
        elif value not in space[name] and name != "kv_bits":
            space[name] = [value, *space[name]]
    return space
