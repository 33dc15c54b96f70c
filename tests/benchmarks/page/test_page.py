"""The page in a real browser: Chromium without a window, driven through the DevTools protocol over two pipes."""

import base64
import fcntl
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.page import page
from benchmarks.report import table
from benchmarks.report.absent import absent
from benchmarks.report.report import Report

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# A child that puts the pipes where Chromium expects them, and becomes Chromium.
BECOME = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--remote-debugging-pipe")
HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
NOISY = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")


class Browser:
    """One page of a running Chromium. events: what the page said and asked for since it was opened"""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = os.fdopen(reading, "rb"), os.fdopen(writing, "wb")
        self._number, self._rest = 0, b""
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._writing.write(json.dumps(message).encode() + b"\0")
        self._writing.flush()
        while (answer := self._next()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def open(self, address: str, width: int = 1280) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
        )
        self._go("about:blank")  # the same page with another fragment would not be loaded again
        self.events.clear()
        self._go(address)

    def _go(self, address: str) -> None:
        loader = self.call("Page.navigate", url=address)["loaderId"]
        while not any(self._is_load(event, loader) for event in self.events):
            self.events.append(self._next())

    def _is_load(self, event: dict[str, Any], loader: str) -> bool:
        what = event.get("params", {})
        return event.get("method") == "Page.lifecycleEvent" and what["name"] == "load" and what["loaderId"] == loader

    def value(self, expression: str) -> Any:
        """What an expression of the page gives, as JSON's types."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def picture(self) -> Image.Image:
        """What is seen without scrolling."""
        return Image.open(io.BytesIO(base64.b64decode(self.call("Page.captureScreenshot")["data"])))

    @contextmanager
    def without_scripts(self) -> Iterator[None]:
        self.call("Emulation.setScriptExecutionDisabled", value=True)
        try:
            yield
        finally:
            self.call("Emulation.setScriptExecutionDisabled", value=False)

    def close(self) -> None:
        self._session = None
        self.call("Browser.close")
        self._writing.close()
        self._reading.close()

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._reading.fileno(), 1 << 20)
            assert part, "Chromium has ended"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no Chromium is installed, none of {', '.join(NAMES)}")
    (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (theirs_in, theirs_out)]  # clear of 3 and 4
    profile = tmp_path_factory.mktemp("profile")
    command = [sys.executable, "-c", BECOME, *map(str, high), program, *FLAGS, f"--user-data-dir={profile}"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([*command, "about:blank"], pass_fds=high, stdin=quiet, stdout=quiet, stderr=quiet)
    for fd in (theirs_in, theirs_out, *high):
        os.close(fd)
    running = Browser(ours_in, ours_out)
    yield running
    running.close()
    process.wait(timeout=30)


@pytest.fixture(scope="module")
def reports(make_report: Callable[..., Report]) -> list[Report]:
    """Two devices, three rows each, of two targets and two precisions; hostile in name."""
    rows = [
        {"name": "s-intel-int8", "ms": 8.0, "mb": 90.0, "dice": 0.90},
        {"name": "s-intel-fp32", "ms": 16.0, "mb": 150.0, "dice": 0.91},
        {"name": "s-microscope-int8", "ms": 20.0, "mb": 80.0, "dice": 0.89},
    ]
    here = make_report(*rows, pictures=True, sustained=True)
    there = make_report(*rows, seed=1, pictures=True)
    hostile = replace(there.rows[0], name=HOSTILE, student=HOSTILE)
    board = replace(there.device, board=f"Raspberry Pi 5 {HOSTILE}")
    return [here, replace(there, device=board, rows=(hostile, *there.rows[1:]))]


@pytest.fixture(scope="module")
def address(reports: list[Report], tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "page.html"
    expected = absent(reports, ["jetson:Jetson Orin Nano"])
    path.write_text(page.render(table.entries(reports), expected), encoding="utf-8")
    return path.as_uri()


SHOWN = """
Object.fromEntries([...document.querySelectorAll("[data-row]")].map((e) => [e, e.getClientRects().length > 0])
  .reduce((all, [e, on]) => all.set(e.dataset.row, (all.get(e.dataset.row) ?? false) || on), new Map()))
"""
FRONTS = "[...document.querySelectorAll('.front')].map((front) => front.getAttribute('points'))"


def shown(browser: Browser) -> set[str]:
    return {row for row, on in browser.value(SHOWN).items() if on}


def click(browser: Browser, name: str, value: str) -> None:
    browser.value(f"""document.querySelector('input[name="{name}"][value="{value}"]').click()""")


def test_the_page_loads_without_a_complaint_and_fetches_nothing(browser: Browser, address: str):
    browser.open(address)
    assert [event for event in browser.events if event.get("method") in NOISY] == []
    asked = [e["params"]["request"]["url"] for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith("data:")] == [address]
    assert shown(browser) == set("123456")


def test_names_that_are_markup_are_shown_as_text(browser: Browser, address: str):
    browser.open(address)
    assert browser.value("window.hacked") is None
    assert HOSTILE in browser.value("document.querySelector('tbody').textContent")


def test_a_filter_hides_its_rows_in_the_table_and_every_chart(browser: Browser, address: str):
    browser.open(address)
    click(browser, "target", "microscope")
    assert shown(browser) == set("1245")
    assert browser.value("document.querySelector('output').textContent") == "4 of 6 rows"
    hidden = browser.value("[...document.querySelectorAll('[data-row][hidden]')].map((part) => part.dataset.row)")
    assert set(hidden) == set("36")
    assert len(hidden) == browser.value("document.querySelectorAll('[data-row][data-target=microscope]').length")
    assert browser.value("document.querySelector('.absent').hidden") is False  # a jetson, which is no choice here
    assert browser.value("location.hash") == "#target=intel"


def test_filters_are_combined_and_undone_at_once(browser: Browser, address: str):
    browser.open(address)
    click(browser, "target", "microscope")
    click(browser, "precision", "fp32")
    assert shown(browser) == set("14")
    browser.value("document.querySelector('.filters button').click()")
    assert shown(browser) == set("123456")


def test_the_front_is_of_what_is_shown(browser: Browser, address: str):
    browser.open(address)
    told = "document.querySelector('#accuracy-latency').parentElement.querySelector('.on-front').textContent"
    line = "document.querySelector('#accuracy-latency .front').getAttribute('points')"
    before = browser.value(told), browser.value(line)
    browser.open(f"{address}#target=microscope")
    assert browser.value(told) in ("3", "6", "3, 6", "6, 3")
    assert browser.value(line) != before[1]
    assert set(before[0].split(", ")) & set("1245")


def test_the_script_draws_the_same_front_as_python(browser: Browser, address: str):
    browser.open(address)
    with_script = browser.value(FRONTS)
    with browser.without_scripts():
        browser.open(address)
        assert browser.value(FRONTS) == with_script


def test_the_address_sets_the_filters(browser: Browser, address: str):
    browser.open(f"{address}#device=Some%20CPU%2C%202%20cores&precision=int8")
    assert shown(browser) == set("13")
    browser.open(f"{address}#target=toaster")  # nothing of that name: everything
    assert shown(browser) == set("123456")


def test_without_scripts_everything_is_shown(browser: Browser, address: str):
    with browser.without_scripts():
        browser.open(address)
        assert shown(browser) == set("123456")
        assert browser.value("document.querySelector('.filters').getClientRects().length") == 0


@pytest.mark.parametrize("width", [390, 320, 768, 1280])
def test_no_width_makes_the_page_scroll_sideways(browser: Browser, address: str, width: int):
    browser.open(address, width)
    assert browser.value("document.scrollingElement.scrollWidth") <= width


def test_print_leaves_the_filters_out(browser: Browser, address: str):
    browser.open(address)
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.value("document.querySelector('.filters').getClientRects().length") == 0
    browser.call("Emulation.setEmulatedMedia", media="")


def test_the_picture_of_the_page_holds_the_colours_of_its_marks(browser: Browser, address: str):
    browser.open(address)
    seen = {tuple(colour) for colour in np.asarray(browser.picture().convert("RGB")).reshape(-1, 3)[::3].tolist()}
    assert {(0, 114, 178), (230, 159, 0)} <= seen  # the two devices


def test_rows_are_sorted_by_a_figure_and_back(browser: Browser, address: str):
    browser.open(address)
    numbers = "[...document.querySelectorAll('table.key tbody tr[data-row]')].map((row) => row.dataset.row)"
    values = (
        "[...document.querySelectorAll('table.key td[data-title=\"peak MB\"]')].map((e) => Number(e.dataset.value))"
    )
    before = browser.value(numbers)
    browser.value("[...document.querySelectorAll('[data-sort]')].find((b) => b.textContent === 'peak MB').click()")
    upwards = browser.value(values)
    browser.value("[...document.querySelectorAll('[data-sort]')].find((b) => b.textContent === 'peak MB').click()")
    assert (upwards, browser.value(values)) == (sorted(upwards), sorted(upwards, reverse=True))
    browser.value(
        "(e => { e.value = ''; e.dispatchEvent(new Event('change', { bubbles: true })); })"
        "(document.forms[0].elements.sort)"
    )
    assert browser.value(numbers) == before


@pytest.mark.parametrize("width", [390, 1280])
def test_every_figure_that_matters_is_within_the_window(browser: Browser, address: str, width: int):
    browser.open(address, width)
    edges = browser.value(
        "[...document.querySelectorAll('table.key .figure')].map((e) => e.getBoundingClientRect().right)"
    )
    assert max(edges) <= width


def test_paper_shows_every_figure_that_matters(browser: Browser, address: str):
    browser.open(address, 720)  # A4 without its margins
    browser.call("Emulation.setEmulatedMedia", media="print")
    edges = browser.value(
        "[...document.querySelectorAll('table.key .figure')].map((e) => e.getBoundingClientRect().right)"
    )
    browser.call("Emulation.setEmulatedMedia", media="")
    assert max(edges) <= 720


def test_an_image_that_is_worst_of_several_rows_is_shown_once(browser: Browser, address: str):
    browser.open(address)
    names = browser.value("[...document.querySelectorAll('.pictures img')].map((e) => e.alt)")
    assert len(names) == len(set(names)) > 0
    click(browser, "precision", "int8")
    click(browser, "precision", "fp32")
    assert browser.value("[...document.querySelectorAll('.pictures figure')].every((e) => e.hidden)")
