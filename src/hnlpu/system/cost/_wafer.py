"""Wafer -> dies -> good dies.  Numbers or arrays of numbers, whatever is given."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from hnlpu.system.catalog import Wafer

Value: TypeAlias = float | npt.NDArray[np.float64]
"""A number, or one for each trial or design point."""


def gross_dies(area_mm2: Value, diameter_mm: Value, edge_mm: Value = 0.0) -> Any:
    """Whole dies on a wafer: floor(pi d^2 / 4A - pi d / sqrt(2A)), d without the edge.

    The usual count with a first-order loss at the rim (de Vries, IEEE Trans. Semicond. Manuf.
    18(1), 2005, names it among others).
    """
    d = np.subtract(diameter_mm, 2 * np.asarray(edge_mm))
    dies = np.pi * d**2 / (4 * np.asarray(area_mm2)) - np.pi * d / np.sqrt(2 * np.asarray(area_mm2))
    return np.maximum(np.floor(dies), 0.0)


def die_yield(model: str, area_mm2: Value, defects_cm2: Value, clustering: Value = 2.0) -> Any:
    """Share of dies without a killing defect; `model` is murphy, poisson or negative_binomial.

    Murphy: ((1 - e^-x) / x)^2; Poisson: e^-x; negative binomial: (1 + x / a)^-a, where x is area
    times defect density and a the `clustering` (Cunningham, IEEE Trans. Semicond. Manuf. 3(2),
    1990).
    """
    x = np.asarray(area_mm2) * defects_cm2 / 100
    if model == "poisson":
        return np.exp(-x)
    if model == "negative_binomial":
        return (1 + x / clustering) ** -np.asarray(clustering)
    assert model == "murphy", model
    # -expm1(-x)/x is 1 - x/2 near 0, where the quotient would be 0/0
    safe = np.where(x > 1e-12, x, 1.0)
    return np.where(x > 1e-12, -np.expm1(-safe) / safe, 1.0) ** 2


def good_dies(wafer: Wafer, area_mm2: Value, defects_cm2: Value, clustering: Value) -> Any:
    """Good dies of one wafer; 0 where not even one is expected."""
    gross = gross_dies(area_mm2, wafer.diameter.value, wafer.edge_exclusion.value)
    good = gross * die_yield(wafer.yield_model, area_mm2, defects_cm2, clustering)
    return np.round(good) if wafer.whole_dies else good
