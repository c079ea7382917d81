"""The report in a real browser works without requests to other addresses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from burstfix.report.html.cards import Card, render_cards
from burstfix.report.html.page import render_page
from burstfix.report.html.pictures import data_uri
from tests.report.html.report_data import HOSTILE, report_data

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="chromium or chromedriver is missing"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_page(report_data()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    switches = "headless=new no-sandbox disable-gpu disable-background-networking no-first-run disable-sync"
    for argument in (*switches.split(), f"user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(autouse=True)
def no_network() -> None:
    """Override the fixture of the same name, because selenium uses the loopback interface."""


@pytest.fixture(params=[390, 1400])
def opened(request: pytest.FixtureRequest, browser: Any, page: Path) -> Any:
    width = request.param
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(page.as_uri())
    return browser


@pytest.fixture(params=[390, 1400])
def sheet(request: pytest.FixtureRequest, browser: Any, tmp_path: Path) -> Any:
    """Open a page of cards: a contact sheet, with a hostile name, a link and a failed burst."""
    picture = data_uri(report_data(90, 120).before)
    cards = [
        Card(HOSTILE, ("3 of 3 frames",), picture=picture),
        Card("linked", (), picture=picture, link="report/a.html"),
        Card("failed", (HOSTILE,), is_fault=True),
    ]
    path = tmp_path / "sheet.html"
    path.write_text(render_cards(HOSTILE, "Bursts: 3", cards, card_width=300), encoding="utf-8")
    metrics = {"width": request.param, "height": 900, "deviceScaleFactor": 1, "mobile": request.param < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(path.as_uri())
    return browser


def test_sheet_when_a_picture_is_clicked_then_it_grows_and_shrinks_again(sheet: Any) -> None:
    assert [entry for entry in sheet.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert sheet.execute_script("return window.hacked") is None
    assert sheet.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    (button,) = sheet.find_elements("css selector", ".cards button")
    width = "return document.querySelector('.cards li').getBoundingClientRect().width"
    before = sheet.execute_script(width)
    button.click()
    grown = sheet.execute_script(width)
    assert button.get_attribute("aria-pressed") == "true"
    assert grown > 1.5 * before or sheet.execute_script("return window.innerWidth") < 600
    button.click()
    assert sheet.execute_script(width) == before


def split_of(browser: Any) -> str:
    return browser.execute_script(
        "return getComputedStyle(document.getElementById('compare')).getPropertyValue('--split')"
    )


def test_report_when_opened_then_no_error_no_request_and_no_sideways_scrolling(
    opened: Any, page: Path
) -> None:
    assert [entry for entry in opened.get_log("browser") if entry["level"] == "SEVERE"] == []
    sent = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    requests = [m["params"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    own = [r["request"]["url"] for r in requests if r["documentURL"] == page.as_uri()]
    assert own and all(url == page.as_uri() or url.startswith("data:") for url in own)
    assert opened.execute_script("return window.hacked") is None
    assert opened.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")


def test_report_when_the_arrow_key_is_pressed_then_the_slider_moves(opened: Any) -> None:
    slider = opened.find_element("id", "split")
    before = split_of(opened)
    slider.send_keys("\ue014")  # right arrow
    assert split_of(opened) != before


def test_report_when_a_detail_is_clicked_then_it_is_shown_at_100_and_200_percent(opened: Any) -> None:
    detail = opened.find_elements("css selector", "[data-view]")[0]
    opened.execute_script("arguments[0].click()", detail)
    width = int(detail.get_attribute("data-width"))
    shown = "const i = document.getElementById('{}'); return [i.getBoundingClientRect().width, i.src]"
    for name in ("before", "after"):
        assert opened.execute_script(shown.format(name))[0] == pytest.approx(width, abs=1)
    first, second = (opened.execute_script(shown.format(name))[1] for name in ("before", "after"))
    assert first != second and first.startswith("data:image/jpeg")
    opened.find_element("css selector", "[data-zoom='2']").click()
    assert opened.execute_script(shown.format("after"))[0] == pytest.approx(2 * width, abs=1)
    place = "return document.querySelector('.compare .handle').getBoundingClientRect().x / window.innerWidth"
    assert 0.2 < opened.execute_script(place) < 0.8  # both pictures are visible, also on a phone
    opened.find_element("css selector", "[data-zoom='fit']").click()
    pressed = opened.find_elements("css selector", "[aria-pressed=true]")
    assert [button.text for button in pressed] == ["Whole picture"]


def test_report_when_dark_mode_is_on_then_the_background_is_dark(opened: Any) -> None:
    color = "return getComputedStyle(document.body).backgroundColor"
    light = opened.execute_script(color)
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    assert opened.execute_script(color) != light
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
