"""A real browser for tests of pages, and a real server for it: Debian's Chromium, headless, with a fresh profile."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from web_engine import PLENTY

from core.people import People
from rules.engine import Engine
from web.app import create_app
from web.server import make_server

_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)
_WAIT_S = 10


def _find(name: str) -> str:
    """Return where a program is, or skip; under CI, fail."""
    found = shutil.which(name)
    if found:
        return found
    reason = f"no {name} found: on Debian and Ubuntu, apt install chromium chromium-driver"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def open_browser(profile: Path) -> Iterator[Any]:
    """Yield a browser 1440 wide; it waits some seconds for what a test looks for."""
    options = webdriver.ChromeOptions()
    options.binary_location = _find("chromium")
    for flag in (*_FLAGS, f"--user-data-dir={profile}", "--window-size=1440,1000"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(_find("chromedriver")))
    driver.implicitly_wait(_WAIT_S)
    try:
        yield driver
    finally:
        driver.quit()


def resize(driver: Any, width: int, height: int = 900) -> None:
    """Make the page as wide as a device's, phones included, which a window cannot be."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def width_of(driver: Any) -> int:
    """Return how wide the page is: more than the device means scrolling sideways."""
    return driver.execute_script("return document.documentElement.scrollWidth")


def errors_of(driver: Any) -> list[str]:
    """Return what the browser complains of: scripts, styles or pictures that the page may not load."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


@contextmanager
def serve(engine: Engine) -> Iterator[str]:
    """Serve the engine's pages on a free port, its worker running; yield the address."""
    # The settings know no port 0, which the system turns into a free one.
    object.__setattr__(engine.settings, "port", 0)
    app = create_app(engine, limits=PLENTY)
    people = People(engine.db, engine.writer, engine.clock)
    server = make_server(engine, app, people)
    thread = threading.Thread(target=server.run, daemon=True)
    engine.start()
    thread.start()
    host, port = server.address
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()
        thread.join(10)


def sign_in(driver: Any, address: str, engine: Engine, role: str = "admin", *, language: str = "en") -> None:
    """Come in by a login link, as a new person of this role."""
    people = People(engine.db, engine.writer, engine.clock)
    email = f"{role}-{language}@shop.example"

    def work(tx: Any) -> str:
        user = people.find_by_email(tx.conn, email) or people.add(
            tx, email, role=role, actor="test", name="Elif Kaya", language=language
        )
        return people.make_login_link(tx, user.id, actor="test")

    driver.get(f"{address}/login/{engine.writer.do(work)}")
    driver.find_element("css selector", "form[action^='/login'] button").click()
    driver.find_element("css selector", "form[action='/welcome'] button").click()
    driver.find_element("css selector", "main h1")
