"""token_prices.toml -> what a million output tokens of a model cost where they are sold."""

from __future__ import annotations

import functools
from importlib import resources
from pathlib import Path
from typing import Annotated

from hnlpu.quantities import DataTable, Quantity, Slug, Title, Unit, read_data


class TokenPrice(DataTable):
    """The published price of a million output tokens."""

    model: Title
    output: Annotated[Quantity, Unit("USD", 0.02, 15)]


class TokenPrices(DataTable):
    """Prices of the models that somebody sells tokens of."""

    name: Slug
    price: list[TokenPrice]


@functools.cache
def _prices() -> TokenPrices:
    with resources.as_file(resources.files("hnlpu.system.index") / "token_prices.toml") as path:
        return read_data(Path(path), TokenPrices)


def token_price(model: str) -> Quantity | None:
    """USD of a million output tokens; None where no price is known."""
    return next((p.output for p in _prices().price if p.model == model), None)
