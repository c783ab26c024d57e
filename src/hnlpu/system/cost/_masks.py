"""A mask set and its price, layer by layer: which masks all chips share, which each needs anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hnlpu.system.catalog import Masks
from hnlpu.system.cost._wafer import Value


@dataclass(frozen=True)
class MaskPrice:
    """Masks of one layer or group of layers, in units of a DUV mask and in million dollars."""

    name: str
    exposure: str
    masks: int
    programmable: bool
    units: float
    low_musd: float
    high_musd: float


def mask_bill(masks: Masks) -> list[MaskPrice]:
    """Every layer of a set with its low and high price."""
    low, high = masks.set_price.low, masks.set_price.high
    total, weight = masks.units(), masks.euv_weight.value
    bill = []
    for layer in masks.layer:
        units = layer.masks * (weight if layer.exposure == "EUV" else 1.0)
        price = low * units / total, high * units / total
        bill.append(
            MaskPrice(layer.name, layer.exposure, layer.masks, layer.programmable, units, *price)
        )
    return bill


def mask_shares(masks: Masks, euv_weight: Value) -> tuple[Any, Any]:
    """Shares of the set's price that fall on shared and on programmable masks.

    `euv_weight` is what an EUV mask costs in DUV masks.
    """
    shared: Any = 0.0
    programmable: Any = 0.0
    for layer in masks.layer:
        units = layer.masks * (euv_weight if layer.exposure == "EUV" else 1.0)
        if layer.programmable:
            programmable = programmable + units
        else:
            shared = shared + units
    total = shared + programmable
    return shared / total, programmable / total


def mask_count(masks: Masks, programmable: bool) -> int:
    """Masks of one kind."""
    return sum(layer.masks for layer in masks.layer if layer.programmable == programmable)
