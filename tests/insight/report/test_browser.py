"""The page in headless Chromium: no errors, sections visible, table sorts, fits a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import SECTIONS, TEXT, TRAP, write_talker

import hnlpu

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
Select = pytest.importorskip("selenium.webdriver.support.select").Select
WebDriverWait = pytest.importorskip("selenium.webdriver.support.wait").WebDriverWait
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--no-first-run", "--disable-quic", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage",
)  # fmt: skip


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
    profile = tmp_path_factory.mktemp("chromium")
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    service = webdriver.ChromeService(executable_path=driver)
    with webdriver.Chrome(options=options, service=service) as chrome:
        yield chrome


@pytest.fixture(scope="module")
def page(build: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "page.html"
    return hnlpu.report(build, path, text=TEXT).as_uri()


def show(browser: Any, page: str, width: int, theme: str = "light") -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {
            "features": [
                {"name": "prefers-color-scheme", "value": theme},
                # a smooth scroll would still be moving when the driver clicks
                {"name": "prefers-reduced-motion", "value": "reduce"},
            ]
        },
    )
    browser.get(page)


def names(browser: Any) -> list[str]:
    rows: list[str] = browser.execute_script(
        "return [...document.querySelectorAll('#matrix-table tbody tr:not([hidden])')]"
        ".map(row => row.dataset.name)"
    )
    return rows


@pytest.mark.parametrize("width", [390, 1280])
def test_it_opens_without_errors_and_fits(browser: Any, page: str, width: int) -> None:
    show(browser, page, width)
    assert browser.get_log("browser") == []
    for name in SECTIONS:
        section = browser.find_element("id", name)
        assert section.is_displayed()
        assert section.size["height"] > 40
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    wide = browser.execute_script(
        "return [...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll') && "
        "!e.closest('svg') && e.getBoundingClientRect().right > innerWidth + 0.5)"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    assert wide == []


def test_the_metal_can_be_zoomed_into(browser: Any, page: str) -> None:
    show(browser, page, 1280)
    WebDriverWait(browser, 10).until(
        lambda b: b.find_element("css selector", ".mv-stage").is_displayed()
    )
    buttons = browser.find_elements("css selector", ".mv-levels button")
    assert [button.text for button in buttons] == ["die", "arrays", "tile", "rows", "weight"]
    buttons[-1].click()
    assert browser.find_element("css selector", ".mv-caption").text.startswith("One weight")
    assert browser.get_log("browser") == []


def test_nothing_was_loaded_but_the_page(browser: Any, page: str) -> None:
    show(browser, page, 1280)
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_chart_text_is_readable_on_a_phone(browser: Any, page: str) -> None:
    show(browser, page, 390)
    heights = browser.execute_script(
        "return [...document.querySelectorAll('.chart text')].filter(t => t.textContent)"
        ".map(t => t.getBoundingClientRect().height)"
    )
    assert len(heights) > 100
    assert min(heights) >= 9


def test_the_table_sorts_both_ways(browser: Any, page: str) -> None:
    show(browser, page, 1280)
    original = names(browser)
    buttons = browser.find_elements("css selector", "#matrix-table thead button")
    weights = next(b for b in buttons if b.text.startswith("weights"))

    def column() -> list[int]:
        cells = browser.find_elements("css selector", "#matrix-table tbody td:nth-child(5)")
        return [int(cell.text.replace(",", "")) for cell in cells]

    values = column()
    weights.click()
    assert column() == sorted(values, reverse=True)
    weights.click()
    assert column() == sorted(values)
    buttons[0].click()
    assert names(browser) == original


def test_the_table_filters(browser: Any, page: str) -> None:
    show(browser, page, 1280)
    browser.find_element("id", "find").send_keys("layers.1")
    assert len(names(browser)) == 7
    assert all("layers.1." in name for name in names(browser))
    Select(browser.find_element("id", "role")).select_by_visible_text("router")
    assert names(browser) == ["model.layers.1.mlp.router"]


def test_dark_mode_changes_colours(browser: Any, page: str) -> None:
    paper = "return getComputedStyle(document.body).backgroundColor"
    show(browser, page, 390, "light")
    light = browser.execute_script(paper)
    show(browser, page, 390, "dark")
    assert browser.execute_script(paper) != light


def test_hostile_output_does_not_run(browser: Any, tmp_path: Path) -> None:
    checkpoint = write_talker(tmp_path / "checkpoint", layers=1, traps=64)
    build = hnlpu.build(checkpoint, tmp_path / "build", workers=1)
    path = hnlpu.report(build, prompt=TRAP)
    show(browser, path.as_uri(), 1280)
    assert browser.title == "build: a hardwired model"
    assert browser.get_log("browser") == []


def test_a_script_that_slipped_through_would_be_blocked(
    browser: Any, page: str, tmp_path: Path
) -> None:
    source = Path(page.removeprefix("file://")).read_text("utf-8")
    broken = tmp_path / "broken.html"
    broken.write_text(source.replace("</main>", "<script>document.title='owned'</script></main>"))
    show(browser, broken.as_uri(), 1280)
    assert browser.title != "owned"
    browser.get_log("browser")  # the violation it reports must not count against other pages
