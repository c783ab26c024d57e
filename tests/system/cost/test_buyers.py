"""The buyers' map: cases by hand and what must hold everywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hnlpu.errors import InvalidInput
from hnlpu.system.catalog import load_system
from hnlpu.system.cost import Demand, assume, buyers_map, buyers_svg, estimate

SYSTEM = load_system("hnlpu-asplos26")
DEMAND = Demand(hardwired_rate=124_980, gpu_rate=3824, gpu_usd_per_hour=3.0)
VOLUMES = np.geomspace(1e9, 1e14, 31)
LIVES = np.array([2.0, 4.0, 6.0, 12.0, 18.0, 36.0])


def test_a_model_that_never_changes_by_hand() -> None:
    volume = 124_980 * 0.5 * 86_400 * 2.5  # three systems
    found = buyers_map(SYSTEM, 16, DEMAND, np.array([volume]), np.array([36.0]))
    rent = volume * 365 * 3 * 3.0 / 3600 / (3824 * 0.5) / 1e6
    assert found.rent_musd[0, 0] == pytest.approx(rent)
    assert found.systems[0] == 3
    e = estimate(assume(SYSTEM), 16, 3)
    served = 32 / 36  # four months of rented GPUs until the chips are there
    by_hand = float(
        e.owned.capex_musd + e.owned.maintenance_musd + e.owned.electricity_musd * served
    ) + rent * (1 - served)
    assert found.hardwire_musd[0, 0] == pytest.approx(by_hand)


def test_a_yearly_model_takes_two_re_spins() -> None:
    volume = np.array([1e12])
    yearly, once = (buyers_map(SYSTEM, 16, DEMAND, volume, np.array([x])) for x in (12.0, 36.0))
    e = estimate(assume(SYSTEM), 16, float(yearly.systems[0]))
    rent = float(once.rent_musd[0, 0])
    # served falls from 32 to 24 of 36 months
    change = 2 * float(e.respin_musd) + (rent - float(e.owned.electricity_musd)) * 8 / 36
    assert yearly.hardwire_musd[0, 0] - once.hardwire_musd[0, 0] == pytest.approx(change)


def test_a_model_that_lives_shorter_than_its_chips_take_never_pays() -> None:
    found = buyers_map(SYSTEM, 16, DEMAND, VOLUMES, LIVES)
    assert (found.ratio[:, LIVES <= 4] == 0).all()
    assert np.isinf(found.break_even()[:2]).all()


def test_longer_lives_and_dearer_rent_pay_sooner() -> None:
    found = buyers_map(SYSTEM, 16, DEMAND, VOLUMES, LIVES)
    assert (np.diff(found.break_even()[2:]) <= 0).all()
    dear = buyers_map(SYSTEM, 16, replace(DEMAND, gpu_usd_per_hour=6.0), VOLUMES, LIVES)
    assert (dear.ratio >= found.ratio).all()
    low, high = (buyers_map(SYSTEM, 16, DEMAND, VOLUMES, LIVES, e) for e in ("low", "high"))
    assert (low.break_even() <= high.break_even()).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [({"gpu_rate": 0.0}, "gpu_rate 0"), ({"hardwired_busy": 1.5}, "hardwired_busy 1.5"),
     ({"horizon": -1.0}, "horizon -1")],
)  # fmt: skip
def test_demands_without_sense_are_refused(change: dict[str, float], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        buyers_map(SYSTEM, 16, replace(DEMAND, **change), VOLUMES, LIVES)
    with pytest.raises(InvalidInput, match="volumes"):
        buyers_map(SYSTEM, 16, DEMAND, np.array([0.0]), LIVES)


def test_the_map_as_a_picture_is_whole_xml_with_a_cell_for_each_point() -> None:
    from xml.etree import ElementTree

    found = buyers_map(SYSTEM, 16, DEMAND, VOLUMES, LIVES)
    root = ElementTree.fromstring(buyers_svg(found, "A & B", "<caption>"))
    rectangles = root.findall("{http://www.w3.org/2000/svg}rect")
    assert len(rectangles) == 1 + len(VOLUMES) * len(LIVES) + 7
    assert "A & B" in [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]


def test_bars_are_drawn_for_each_with_a_whisker_where_uncertain() -> None:
    from xml.etree import ElementTree

    from hnlpu.system.cost import Bar, bars_svg

    bars = [Bar("one", 1.0, 2.0, 4.0), Bar("two", 5.0, 5.0, 5.0, rival=True)]
    root = ElementTree.fromstring(bars_svg(bars, "title", "M$"))
    names = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"one", "two", "title", "M$"} <= set(names)
    drawn = root.findall("{http://www.w3.org/2000/svg}rect")[1:]
    assert len(drawn) == 2
    assert float(drawn[1].get("width") or 0) > float(drawn[0].get("width") or 0)
    whiskers = [p for p in root.iter("{http://www.w3.org/2000/svg}path") if p.get("stroke-width")]
    assert len(whiskers) == 1
