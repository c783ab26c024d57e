"""The viewer in headless Chromium: levels, wheel, keys, what it tells, and that it fits a phone."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from subjects import subject_of

from hnlpu.arithmetic.mx import TWICE_E2M1
from hnlpu.silicon.embed import Label
from hnlpu.silicon.masks.picture import PictureSubject, viewer
from hnlpu.silicon.masks.picture._focus import focus_on
from hnlpu.silicon.masks.picture._scene import LIGHT
from hnlpu.silicon.masks.picture._subject import weight_at

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--no-first-run", "--disable-quic", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage",
)  # fmt: skip
PAGE = """<!DOCTYPE html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">
<style>body{{margin:0}}</style><main>{}</main><div style="height:2000px"></div></html>"""
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
def subject() -> PictureSubject:
    return subject_of("scales")


def _page(subject: PictureSubject, factory: pytest.TempPathFactory) -> str:
    path = factory.mktemp("page") / "page.html"
    path.write_text(PAGE.format(viewer(subject)), "utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def page(subject: PictureSubject, tmp_path_factory: pytest.TempPathFactory) -> str:
    return _page(subject, tmp_path_factory)


@pytest.fixture(scope="module")
def wired() -> PictureSubject:
    return subject_of("wires")


@pytest.fixture(scope="module")
def wired_page(wired: PictureSubject, tmp_path_factory: pytest.TempPathFactory) -> str:
    return _page(wired, tmp_path_factory)


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


def press(browser: Any, level: int) -> None:
    browser.find_elements("css selector", ".mv-levels button")[level].click()


def on_canvas(browser: Any, x: float, y: float) -> tuple[float, float]:
    """Where on the canvas a place of the tile in nm is drawn."""
    left, top = browser.execute_script(
        f"const v = {VIEWER}, x = v.data.tile[0] + arguments[0], y = v.data.tile[1] + arguments[1];"
        "return v.box(x, y, x, y).slice(0, 2)",
        x, y,
    )  # fmt: skip
    return left, top


def place_of(browser: Any, subject: PictureSubject, row: int, column: int) -> tuple[float, float]:
    """Where on the canvas the middle of a weight's cell is drawn, by the scheme's pin labels."""
    x = [lab.x for lab in labels_of(subject) if lab.text.startswith(f"x{column}.")]
    return on_canvas(browser, (min(x) + max(x)) / 2, (row + 0.5) * subject.pitch)


@functools.cache
def _labels(kind: str) -> list[Label]:
    subject = subject_of(kind)
    return subject.scheme.base(subject.shape).labels


def labels_of(subject: PictureSubject) -> list[Label]:
    return _labels("scales" if subject.scheme.name == "taps" else "wires")


def colour_at(browser: Any, x: float, y: float) -> list[int]:
    pixel: list[int] = browser.execute_script(
        "return [...document.querySelector('canvas').getContext('2d')"
        ".getImageData(arguments[0], arguments[1], 1, 1).data]",
        round(x), round(y),
    )  # fmt: skip
    return pixel[:3]


def theme(name: str) -> list[int]:
    return [int(LIGHT[name][n : n + 2], 16) for n in (1, 3, 5)]


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
    shown = browser.find_elements("css selector", ".metal-viewer figure svg")
    assert [svg.is_displayed() for svg in shown].count(True) == 2  # the weight, twice


def test_levels_lead_from_the_die_to_the_weight(
    browser: Any, page: str, subject: PictureSubject
) -> None:
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
    assert focus_on(subject).weight.meaning in told[-1]
    assert "(3) Via" in told[-1]


@pytest.mark.parametrize("width", [390, 1000])
def test_every_level_shows_what_it_is_about(browser: Any, page: str, width: int) -> None:
    show(browser, page, width)
    for n in range(5):
        press(browser, n)
        left, top, wide, high = browser.execute_script(
            f"const v = {VIEWER}; return v.box(...v.data.levels[arguments[0]].box)", n
        )
        across, up = browser.execute_script(f"return [{VIEWER}.width, {VIEWER}.height]")
        assert left >= -1
        assert left + wide <= across + 1
        assert top >= -1
        assert top + high <= up + 1
        assert wide > 0.55 * across or high > 0.55 * up


def test_a_click_on_the_frame_goes_one_level_closer(browser: Any, page: str) -> None:
    show(browser, page)
    for n in range(4):
        press(browser, n)
        x, y, width, height = browser.execute_script(f"return {VIEWER}.framed.frame")
        at = x + width / 2, y + height / 2
        point(browser, "pointerdown", *at)
        point(browser, "pointerup", *at)
        pressed = browser.find_elements("css selector", ".mv-levels [aria-pressed=true]")
        assert [b.text for b in pressed] == [("die", "arrays", "tile", "rows", "weight")[n + 1]]


def test_it_tells_the_weight_under_the_pointer(
    browser: Any, page: str, subject: PictureSubject
) -> None:
    show(browser, page)
    press(browser, 3)
    chosen = focus_on(subject).weight
    for row, column in ((chosen.row, chosen.column), (chosen.row + 1, chosen.column - 1)):
        point(browser, "pointermove", *place_of(browser, subject, row, column))
        wanted = weight_at(subject, row, column).meaning.replace("+", "").split(": ")
        told = caption(browser).replace("+", "").split("\n")
        assert told[1] == wanted[0]
        assert told[0].startswith("weight " + wanted[1].split(" = ")[0])


def test_it_tells_the_weight_of_the_wire_under_the_pointer(
    browser: Any, wired_page: str, wired: PictureSubject
) -> None:
    show(browser, wired_page)
    press(browser, 4)
    focus = focus_on(wired)
    (wire,) = focus.trace.of(wired.scheme.technology.stub, 0, 1).tolist()
    point(
        browser,
        "pointermove",
        *on_canvas(browser, (wire[0] + wire[2]) / 2, (wire[1] + wire[3]) / 2),
    )
    assert focus.weight.meaning.split(": ")[0] in caption(browser)
    assert browser.get_log("browser") == []


def test_a_via_is_drawn_where_it_is(browser: Any, page: str, subject: PictureSubject) -> None:
    """In the colour of weights at the crossing of row and trunk by the pin labels, and nowhere else."""
    show(browser, page)
    press(browser, 3)
    weight = focus_on(subject).weight
    for row, column in (
        (weight.row + 2, weight.column), (weight.row - 1, weight.column + 1),
    ):  # fmt: skip
        y = (row + 0.5) * subject.pitch
        twice = int(TWICE_E2M1[weight_at(subject, row, column).code])
        for label in labels_of(subject):
            if not label.text.startswith(f"x{column}."):
                continue
            drawn = colour_at(browser, *on_canvas(browser, label.x, y))
            near_via = abs(label.x - site(subject, column, twice)) < 60
            if label.text == f"x{column}.{twice:+d}":
                assert drawn == theme("weight"), label
            elif not near_via:
                assert drawn != theme("weight"), label


def test_other_weights_move_vias_and_nothing_else(
    browser: Any, page: str, subject: PictureSubject
) -> None:
    show(browser, page)
    press(browser, 3)
    weight = focus_on(subject).weight
    trunks = [lab for lab in labels_of(subject) if lab.text.startswith(f"x{weight.column}.")]
    between = (min(lab.x for lab in trunks) - 70, *(lab.x for lab in trunks))

    def seen() -> list[list[int]]:
        """Colours of the column's trunks a quarter of a row below the stubs of all rows in sight."""
        rows = range(weight.row - 3, weight.row + 4)
        return [
            colour_at(browser, *on_canvas(browser, x, (row + 0.25) * subject.pitch))
            for row in rows if row != weight.row for x in between
        ]  # fmt: skip

    before = seen()
    browser.find_element("css selector", ".mv-other").click()
    assert "other weights" in caption(browser)
    assert seen() == before
    rolled = browser.execute_script(f"return {VIEWER}.rolled")
    assert 0 < rolled < subject.digits.rows
    for row in (weight.row + n for n in (-3, -2, 2, 3)):  # no words or frames there
        from_ = (row - rolled) % subject.digits.rows
        twice = int(TWICE_E2M1[weight_at(subject, from_, weight.column).code])
        y = (row + 0.5) * subject.pitch
        lit = [
            lab.text for lab in trunks
            if colour_at(browser, *on_canvas(browser, lab.x, y)) == theme("weight")
        ]  # fmt: skip
        assert not twice or f"x{weight.column}.{twice:+d}" in lit
    browser.find_element("css selector", ".mv-other").click()
    assert browser.execute_script(f"return {VIEWER}.rolled") == 0
    assert "other weights" not in caption(browser)


def site(subject: PictureSubject, column: int, twice: int) -> float:
    """Place of the trunk of a weight by the labels; of a zero, far away."""
    found = [lab.x for lab in labels_of(subject) if lab.text == f"x{column}.{twice:+d}"]
    return found[0] if found else -1e9


def test_the_wheel_scrolls_the_page_until_one_clicks(browser: Any, page: str) -> None:
    show(browser, page)
    before = scale(browser)
    point(browser, "wheel", 200, 200, deltaY=-300)
    assert scale(browser) == before
    point(browser, "pointerdown", 200, 200)
    point(browser, "pointerup", 200, 200)
    point(browser, "wheel", 200, 200, deltaY=-300)
    assert scale(browser) == pytest.approx(before * 2.718281828**0.54)


def test_the_place_under_the_wheel_stays(browser: Any, page: str, subject: PictureSubject) -> None:
    show(browser, page)
    press(browser, 2)
    before, (x, y) = scale(browser), place_of(browser, subject, 3, 5)
    at = round(x) + 40, round(y) - 25  # a wheel event's place is whole pixels
    point(browser, "pointerdown", *at)
    point(browser, "pointerup", *at)
    point(browser, "wheel", *at, deltaY=-800)
    grown = scale(browser) / before
    assert grown > 2
    moved = at[0] + (x - at[0]) * grown, at[1] + (y - at[1]) * grown
    assert place_of(browser, subject, 3, 5) == pytest.approx(moved, abs=0.01)


def test_dragging_moves_it(browser: Any, page: str, subject: PictureSubject) -> None:
    show(browser, page)
    press(browser, 2)
    x, y = place_of(browser, subject, 3, 5)
    point(browser, "pointerdown", 300, 200)
    point(browser, "pointermove", 340, 230)
    point(browser, "pointerup", 340, 230)
    assert place_of(browser, subject, 3, 5) == pytest.approx((x + 40, y + 30), abs=0.01)


def test_keys_do_all_that_a_mouse_does(browser: Any, page: str, subject: PictureSubject) -> None:
    show(browser, page)
    canvas, keys = browser.find_element("css selector", "canvas"), webdriver.Keys
    pressed = "document.querySelector('.mv-levels [aria-pressed=true]').textContent"

    def level() -> str:
        return str(browser.execute_script(f"return {pressed}"))

    canvas.send_keys(keys.ENTER)
    assert level() == "arrays"
    canvas.send_keys(keys.ENTER, keys.ENTER, keys.ENTER, keys.ENTER)
    assert level() == "weight"
    canvas.send_keys(keys.BACKSPACE)
    assert level() == "rows"
    canvas.send_keys(keys.HOME)
    assert level() == "die"
    press(browser, 2)
    before = scale(browser)
    canvas.send_keys("+")
    assert scale(browser) == pytest.approx(1.5 * before)
    x, y = place_of(browser, subject, 3, 5)
    canvas.send_keys(keys.ARROW_LEFT)
    assert place_of(browser, subject, 3, 5) == pytest.approx((x + 60, y), abs=0.01)
    canvas.send_keys(keys.ARROW_UP)
    assert place_of(browser, subject, 3, 5) == pytest.approx((x + 60, y + 60), abs=0.01)
    browser.execute_script("document.querySelector('.mv-levels button').focus()")
    names = []
    for _ in range(9):
        element = browser.switch_to.active_element
        names.append(element.get_attribute("aria-label") or element.text)
        element.send_keys(keys.TAB)
    assert names[:8] == ["die", "arrays", "tile", "rows", "weight", "other weights",
                         "Zoom out", "Zoom in"]  # fmt: skip
    assert names[8].startswith("Layout of layers.0.q")


def test_without_scripts_the_still_drawings_are_open(browser: Any, page: str) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(page)
        figures = browser.find_elements("css selector", ".metal-viewer figure svg")
        assert len(figures) == 6
        assert all(figure.is_displayed() for figure in figures)
        assert not browser.find_element("css selector", ".mv-stage").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
