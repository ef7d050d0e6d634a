"""What the tests of the rules engine share: an engine with a plugin that does what the test says."""

from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from databases import place_database
from stage import Script, Stage, script, start_once
from structlog.testing import capture_logs


@pytest.fixture(autouse=True)
def clean_script() -> Script:
    """Let every test start with actions that have been told nothing."""
    script.__init__()
    return script


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """Keep what is logged in memory: writing out the traces of expected faults takes longer than the tests."""
    with capture_logs() as entries:
        yield entries


@pytest.fixture
def make_stage(tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    """Make engines in one home: the second is the first one's restart."""
    made: list[Stage] = []
    place_database(tmp_path, start_once)

    def make(**flags: Any) -> Stage:
        made.append(Stage(tmp_path, **flags))
        return made[-1]

    yield make
    for stage in made:
        stage.close()


@pytest.fixture
def stage(make_stage: Callable[..., Stage]) -> Stage:
    return make_stage()
