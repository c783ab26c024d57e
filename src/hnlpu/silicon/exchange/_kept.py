"""Which sums go to the one chip that keeps them: those of new keys and values."""

from __future__ import annotations

from collections.abc import Iterable

from hnlpu.model.network import Append, Network, ops


def kept_sums(network: Network) -> set[str]:
    """Sums that nothing but entries of growing states are made of: new keys and values."""
    made = {out: step for step in network.steps for out in step.outs}
    states = network.declared().states

    def back(names: Iterable[str]) -> set[str]:
        """All values that these are made of, back to the wires."""
        seen, left = set[str](), list(names)
        while left:
            name = left.pop()
            if name in seen or name not in made:
                continue
            seen.add(name)
            step = made[name]
            if not isinstance(step.op, ops.Project):
                left.extend(arg for arg in step.args if isinstance(arg, str))
        return seen

    kept, others = set[str](), set(network.outputs)
    for step in network.steps:
        names = [arg for arg in step.args if isinstance(arg, str)]
        match step.op:
            case ops.Write(state) if isinstance(states[state].keeps, Append):
                kept.update(names)
            case ops.Write() | ops.Project():
                others.update(names)
    return back(kept) - back(others)
