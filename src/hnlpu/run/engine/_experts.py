"""Which of a network's steps choose experts: what a trace of them shows."""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.model.network import Network, check, ops


@dataclass(frozen=True)
class Experts:
    """Values that choose `active` of `count` members, by name, and the block of each.

    None where a network has no experts, or layers that choose unlike numbers of them.
    """

    choices: tuple[str, ...] = ()
    blocks: tuple[int | None, ...] = ()
    count: int = 0
    active: int = 0


def experts_of(network: Network) -> Experts:
    """The experts of a checked network, layer after layer."""
    types, matrices = check(network), network.declared().matrices
    blocks: dict[str, int | None] = {}
    sizes = set()
    for step in network.steps:
        if isinstance(step.op, ops.Project) and step.op.members == "chosen":
            chosen = str(step.args[1])
            blocks[chosen] = step.block
            sizes.add((types[chosen].shape, matrices[step.op.matrix].count))
    if len(sizes) != 1:
        return Experts()
    ((shape, count),) = sizes
    (active,) = shape
    assert isinstance(active, int)
    return Experts(tuple(blocks), tuple(blocks.values()), count, active)
