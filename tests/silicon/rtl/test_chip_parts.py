"""Each unit of a chip at its ends, which a run over tokens never reaches: saturation, ties, extremes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from chip_attention import ATTENTIONS, check_attention
from chip_functions import (
    DIVIDERS,
    EXPONENTIAL,
    FROM_SUMS,
    INVERSE_ROOT,
    MEAN,
    NORMAL,
    POWER,
    QUOTIENT,
    SATURATES,
    SIGMOID,
    SINES,
    SOFTPLUS,
    check_divider,
    check_exponential,
    check_from_sums,
    check_inverse_root,
    check_mean,
    check_normal,
    check_power,
    check_quotient,
    check_saturate,
    check_sigmoid,
    check_sine,
    check_softplus,
)
from chip_parts import Part, PartFailed, Run, compile_parts, runner
from chip_units import (
    LANE,
    MOVER,
    QUANTIZERS,
    ROUTERS,
    SAMPLERS,
    SQUARES,
    WIDE_LANE,
    check_lane,
    check_mover,
    check_quantizer,
    check_quantizer_of_numerics,
    check_router,
    check_sampler,
    check_squares,
    check_wide_lane,
)
from rtl_arrays import needs

verilator = needs("verilator", "c++")

ONE: list[tuple[Part, Callable[[Run], None]]] = [
    (EXPONENTIAL, check_exponential),
    (SIGMOID, check_sigmoid),
    (INVERSE_ROOT, check_inverse_root),
    (POWER, check_power),
    (SOFTPLUS, check_softplus),
    (NORMAL, check_normal),
    (LANE, check_lane),
    (MEAN, check_mean),
    (QUOTIENT, check_quotient),
    (WIDE_LANE, check_wide_lane),
    (MOVER, check_mover),
    (SQUARES, check_squares),
]
SEVERAL: list[tuple[list[Part], Callable[[Run, Part], None]]] = [
    (SINES, check_sine),
    (DIVIDERS, check_divider),
    (FROM_SUMS, check_from_sums),
    (SATURATES, check_saturate),
    (QUANTIZERS, check_quantizer),
    (QUANTIZERS, check_quantizer_of_numerics),
    (ROUTERS, check_router),
    (SAMPLERS, check_sampler),
    (ATTENTIONS, check_attention),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Simulates any part; all are compiled at once."""
    folder = tmp_path_factory.mktemp("parts")
    parts = [part for part, _ in ONE] + [part for listed, _ in SEVERAL for part in listed]
    return runner(compile_parts(dict.fromkeys(parts), folder), folder)


@verilator
@pytest.mark.parametrize("check", [check for _, check in ONE])
def test_a_part_is_what_the_specification_says(run: Run, check: Callable[[Run], None]) -> None:
    check(run)


@verilator
@pytest.mark.parametrize(
    ("check", "part"),
    [
        pytest.param(check, part, id=f"{check.__name__.removeprefix('check_')}-{part.name}")
        for parts, check in SEVERAL
        for part in parts
    ],
)
def test_a_part_with_parameters_is_too(
    run: Run, check: Callable[[Run, Part], None], part: Part
) -> None:
    check(run, part)


@verilator
def test_an_assertion_of_the_silicon_ends_a_run(run: Run) -> None:
    with pytest.raises(PartFailed, match="a root of less than 2\\^30"):
        run(INVERSE_ROOT, {"start": [1, 0], "m": [2**30 - 1, 0]})
