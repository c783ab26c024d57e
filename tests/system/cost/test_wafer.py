"""Dies and yield: against integrals over defect densities, and as the paper counts them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hnlpu.system.catalog import load_system
from hnlpu.system.cost import die_yield, good_dies, gross_dies

AREAS = st.floats(1, 800)
DENSITIES = st.floats(0, 2)


def averaged(weights: np.ndarray, densities: np.ndarray, area: float) -> float:
    """Mean of e^(-A D) over a distribution of defect densities given on a fine grid."""
    return float(np.trapezoid(weights * np.exp(-area * densities / 100), densities))


@pytest.mark.parametrize(("area", "density"), [(100.0, 0.1), (827.08, 0.11), (50.0, 1.0)])
def test_murphy_is_poisson_averaged_over_a_triangle_of_densities(
    area: float, density: float
) -> None:
    d = np.linspace(0, 2 * density, 20_001)
    triangle = np.minimum(d, 2 * density - d) / density**2
    assert die_yield("murphy", area, density) == pytest.approx(
        averaged(triangle, d, area), rel=1e-6
    )


@pytest.mark.parametrize(("area", "density"), [(100.0, 0.1), (827.08, 0.11)])
def test_negative_binomial_with_alpha_2_is_poisson_averaged_over_a_gamma_of_densities(
    area: float, density: float
) -> None:
    d = np.linspace(0, 40 * density, 200_001)
    gamma = 4 * d / density**2 * np.exp(-2 * d / density)
    found = die_yield("negative_binomial", area, density, 2.0)
    assert found == pytest.approx(averaged(gamma, d, area), rel=1e-6)


@given(AREAS, DENSITIES)
def test_models_agree_on_the_order(area: float, density: float) -> None:
    poisson, murphy, clustered = (
        float(die_yield(model, area, density, 2.0))
        for model in ("poisson", "murphy", "negative_binomial")
    )
    assert 0 <= poisson <= murphy * (1 + 1e-12) <= 1 + 1e-12
    assert poisson <= clustered * (1 + 1e-12) <= 1 + 1e-12
    assert float(die_yield("negative_binomial", area, density, 1e7)) == pytest.approx(
        poisson, rel=1e-4, abs=1e-6
    )


def test_without_defects_every_die_is_good() -> None:
    for model in ("poisson", "murphy", "negative_binomial"):
        assert float(die_yield(model, 800, 0.0)) == 1.0


def test_the_paper_s_wafer() -> None:
    system = load_system("hnlpu-asplos26")
    assert system.prices
    assert float(gross_dies(827.08, 300)) == 62
    assert float(die_yield("murphy", 827.08, 0.11)) == pytest.approx(0.4312, abs=5e-5)
    assert float(good_dies(system.prices.wafer, 827.08, 0.11, 2)) == 27


@given(st.floats(4, 700))
def test_dies_never_fill_more_than_the_wafer(area: float) -> None:
    assert float(gross_dies(area, 300)) * area < np.pi * 150**2
    assert float(gross_dies(area, 300, 3)) <= float(gross_dies(area, 300))


def test_a_die_as_large_as_the_wafer_has_no_place() -> None:
    assert float(gross_dies(70_000, 300)) == 0


def test_arrays_give_what_numbers_give() -> None:
    areas, densities = np.array([50.0, 300.0, 827.08]), np.array([0.0, 0.1, 0.5])
    for model in ("poisson", "murphy", "negative_binomial"):
        together = die_yield(model, areas, densities)
        alone = [float(die_yield(model, a, d)) for a, d in zip(areas, densities, strict=True)]
        assert together.tolist() == pytest.approx(alone)
    assert gross_dies(areas, 300).tolist() == [float(gross_dies(a, 300)) for a in areas]
