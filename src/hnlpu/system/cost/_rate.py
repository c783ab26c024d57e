"""Tokens/s of a machine that is to be priced: computed in closed form, or given; what is published beside it."""

from __future__ import annotations

from dataclasses import dataclass

from hnlpu.errors import InvalidInput
from hnlpu.system.catalog import Rate
from hnlpu.system.machine import ClosedForm, MachineTarget, closed_form


@dataclass(frozen=True)
class PricedRate:
    """The rate of one system that prices follow from: tokens/s that pass, prompts too, and where it comes from.

    `computed` is the closed form behind it, None where the rate was given.
    """

    tokens_per_second: float
    users: int | None
    source: str
    computed: ClosedForm | None = None


def given_rate(tokens_per_second: float, users: int | None = None) -> PricedRate:
    """A rate that somebody states; raises InvalidInput for one that makes no sense."""
    if not 0 < tokens_per_second < 1e15:
        raise InvalidInput(f"`tokens_per_second` {tokens_per_second:g}: give a rate above 0")
    return PricedRate(tokens_per_second, users, "given")


def computed_rate(
    target: MachineTarget, context: int | None = None, users: int | None = None, *,
    sliding: bool | None = None, output_share: float = 0.5,
) -> PricedRate:  # fmt: skip
    """The closed form of a machine for a workload (default: what it is designed for), as `hnlpu simulate` has it.

    Raises InvalidInput for numbers that make no sense and a machine that holds no sequence.
    """
    found = closed_form(
        target.specification, target.model,
        target.context if context is None else context,
        target.users if users is None else users,
        sliding=target.windows if sliding is None else sliding, output_share=output_share,
    )  # fmt: skip
    rows, columns = found.grid
    return PricedRate(
        found.tokens_per_second,
        found.users,
        f"computed, at most: {found.resource} on {rows} x {columns} "
        f"chip{'s' * (rows * columns != 1)} at {found.context:,} positions, {output_share:.0%} output",
        found,
    )


def published_words(rate: Rate) -> str:
    """A published rate in a sentence, with what it was published for."""
    at = f" at {rate.context:,} positions" if rate.context else ""
    users = f", {rate.per_user:,.0f} for each of {rate.users} users" if rate.users else ""
    return f"{rate.tokens.value:,.0f} {rate.counts} tokens/s{at}{users} ({rate.name})"
