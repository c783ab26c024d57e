"""The viewer in headless Chromium: levels, wheel, keys, what it tells, and that it fits a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from test_picture import subject_of

from hnlpu.masks.picture import Subject, viewer
from hnlpu.masks.picture._scene import LIGHT
from hnlpu.masks.picture._subject import choose_weight, weight_at

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--no-first-run", "--disable-quic", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage",
)  # fmt: skip
PAGE = """<!DOCTYPE html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">
<style>body{{margin:0}}{style}</style><main>{markup}</main>
<div style="height:2000px"></div><script>{script}</script></html>"""
VIEWER = "document.querySelector('.metal-viewer').viewer"


def _find(*names: str) -> str | None:
    return next((found for name in names if (found := shutil.which(name))), None)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    chromium, driver = _find("chromium", "chromium-browser"), _find("chromedriver")
    if not (chromium and driver):
        pytest.skip("no browser: install the packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    service = webdriver.ChromeService(executable_path=driver)
    with webdriver.Chrome(options=options, service=service) as chrome:
        yield chrome


@pytest.fixture(scope="module")
def subject() -> Subject:
    return subject_of("scales")


@pytest.fixture(scope="module")
def page(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "page.html"
    fragment = viewer(subject)
    path.write_text(PAGE.format(**vars(fragment)), "utf-8")
    return path.as_uri()


def show(browser: Any, page: str, width: int = 1000) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    reduced = {"name": "prefers-reduced-motion", "value": "reduce"}
    light = {"name": "prefers-color-scheme", "value": "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [reduced, light]})
    browser.get(page)
    browser.set_script_timeout(10)
    browser.execute_async_script(
        f"const done = arguments[0]; (function wait() {{ {VIEWER} ? done() : setTimeout(wait, 20); }})()"
    )


def caption(browser: Any) -> str:
    return str(browser.find_element("css selector", ".mv-caption").text)


def scale(browser: Any) -> float:
    return float(browser.execute_script(f"return {VIEWER}.view.k"))


def place_of(browser: Any, subject: Subject, row: int, column: int) -> tuple[float, float]:
    """Where on the canvas the middle of a weight's cell is drawn."""
    script = (
        f"const v = {VIEWER}, d = v.data;"
        "const x = d.tile[0] + d.cells.x[arguments[1]] + d.cells.width / 2;"
        "const y = d.tile[1] + (arguments[0] + .5) * d.pitch;"
        "return v.box(x, y, x, y).slice(0, 2)"
    )
    x, y = browser.execute_script(script, row, column)
    return x, y


def point(browser: Any, kind: str, x: float, y: float, **more: float) -> None:
    browser.execute_script(
        "const c = document.querySelector('canvas'), b = c.getBoundingClientRect(), [kind, x, y, more] = arguments;"
        "const at = {clientX: b.left + x, clientY: b.top + y, pointerType: 'mouse', pointerId: 1,"
        " cancelable: true, bubbles: true, ...more};"
        "c.setPointerCapture = () => {};"
        "c.dispatchEvent(new (kind === 'wheel' ? WheelEvent : PointerEvent)(kind, at))",
        kind, x, y, more,
    )  # fmt: skip


@pytest.mark.parametrize("width", [390, 1000])
def test_it_opens_without_errors_and_fits(browser: Any, page: str, width: int) -> None:
    show(browser, page, width)
    assert browser.get_log("browser") == []
    assert browser.find_element("css selector", ".mv-stage").is_displayed()
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.find_element("css selector", "details").get_attribute("open") is None


def test_levels_lead_from_the_die_to_the_weight(browser: Any, page: str, subject: Subject) -> None:
    show(browser, page)
    scales, told = [], []
    for button in browser.find_elements("css selector", ".mv-levels button"):
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        scales.append(scale(browser))
        told.append(caption(browser))
    assert scales == sorted(scales)
    assert scales[-1] > 1000 * scales[0]
    assert told[0].startswith("chip 0: 9 × 8 mm")
    assert choose_weight(subject).meaning in told[-1]


def test_it_tells_the_weight_under_the_pointer(browser: Any, page: str, subject: Subject) -> None:
    show(browser, page)
    browser.find_elements("css selector", ".mv-levels button")[3].click()
    chosen = choose_weight(subject)
    for row, column in ((chosen.row, chosen.column), (chosen.row + 1, chosen.column - 1)):
        point(browser, "pointermove", *place_of(browser, subject, row, column))
        wanted = weight_at(subject, row, column).meaning.replace("+", "").split(": ")
        told = caption(browser).replace("+", "").split("\n")
        assert told[1] == wanted[0]
        assert told[0].startswith("weight " + wanted[1].split(" = ")[0])


def test_a_via_is_drawn_where_it_is(browser: Any, page: str, subject: Subject) -> None:
    show(browser, page)
    browser.find_elements("css selector", ".mv-levels button")[4].click()
    weight = choose_weight(subject)
    x, y = place_of(browser, subject, weight.row, weight.column)
    taps = subject.scheme
    offset = (taps.site_x[weight.code] - taps.cell / 2) * scale(browser)  # type: ignore[attr-defined]  # of taps
    pixel = browser.execute_script(
        "return [...document.querySelector('canvas').getContext('2d')"
        ".getImageData(arguments[0], arguments[1], 1, 1).data]",
        round(x + offset), round(y),
    )  # fmt: skip
    assert pixel[:3] == [int(LIGHT["weight"][n : n + 2], 16) for n in (1, 3, 5)]


def test_the_wheel_scrolls_the_page_until_one_clicks(browser: Any, page: str) -> None:
    show(browser, page)
    before = scale(browser)
    point(browser, "wheel", 200, 200, deltaY=-300)
    assert scale(browser) == before
    point(browser, "pointerdown", 200, 200)
    point(browser, "pointerup", 200, 200)
    point(browser, "wheel", 200, 200, deltaY=-300)
    assert scale(browser) == pytest.approx(before * 2.718281828**0.54)


def test_the_place_under_the_wheel_stays(browser: Any, page: str, subject: Subject) -> None:
    show(browser, page)
    browser.find_elements("css selector", ".mv-levels button")[2].click()
    before, (x, y) = scale(browser), place_of(browser, subject, 3, 5)
    at = round(x) + 40, round(y) - 25  # a wheel event's place is whole pixels
    point(browser, "pointerdown", *at)
    point(browser, "pointerup", *at)
    point(browser, "wheel", *at, deltaY=-800)
    grown = scale(browser) / before
    assert grown > 2
    moved = at[0] + (x - at[0]) * grown, at[1] + (y - at[1]) * grown
    assert place_of(browser, subject, 3, 5) == pytest.approx(moved, abs=0.01)


def test_dragging_and_keys_move_it(browser: Any, page: str, subject: Subject) -> None:
    show(browser, page)
    browser.find_elements("css selector", ".mv-levels button")[2].click()
    x, y = place_of(browser, subject, 3, 5)
    point(browser, "pointerdown", 300, 200)
    point(browser, "pointermove", 340, 230)
    point(browser, "pointerup", 340, 230)
    assert place_of(browser, subject, 3, 5) == pytest.approx((x + 40, y + 30), abs=0.01)
    canvas = browser.find_element("css selector", "canvas")
    before = scale(browser)
    canvas.send_keys("+")
    assert scale(browser) == pytest.approx(1.5 * before)
    x, y = place_of(browser, subject, 3, 5)
    canvas.send_keys(webdriver.Keys.ARROW_LEFT)
    assert place_of(browser, subject, 3, 5) == pytest.approx((x + 60, y), abs=0.01)


def test_without_scripts_the_still_drawings_are_open(browser: Any, page: str) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(page)
        figures = browser.find_elements("css selector", ".mv-stills figure svg")
        assert len(figures) == 6
        assert all(figure.is_displayed() for figure in figures)
        assert not browser.find_element("css selector", ".mv-stage").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
