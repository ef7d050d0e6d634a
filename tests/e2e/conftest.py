"""One browser and one served shop for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import open_browser, resize, serve
from web_engine import open_engine

from core.clock import SystemClock
from rules.engine import Engine


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    # People click in real time.
    engine = open_engine(tmp_path, clock=SystemClock())
    yield engine
    engine.close()


@pytest.fixture
def address(engine: Engine, driver: Any) -> Iterator[str]:
    with serve(engine) as address:
        driver.delete_all_cookies()
        resize(driver, 1440)
        yield address
