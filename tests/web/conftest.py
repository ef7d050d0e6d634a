"""A running application over a real engine, and a client that has a token."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from api_client import ApiClient, make_token
from engines import make_engine

from core.tokens import SCOPES
from rules.engine import Engine
from web.app import create_app

#: Nothing that a test does quickly is slowed down.
PLENTY = dict.fromkeys(("read", "write", "events", "test", "hook", "failed"), "1000000/minute")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = make_engine(tmp_path)
    yield engine
    engine.close()


@pytest.fixture
def app(engine: Engine) -> Any:
    return create_app(engine, limits=PLENTY)


@pytest.fixture
def api(engine: Engine, app: Any) -> ApiClient:
    """A client whose token may do everything."""
    return ApiClient(app, make_token(engine, list(SCOPES)))


@pytest.fixture
def client_with(engine: Engine, app: Any) -> Callable[..., ApiClient]:
    """Return a function that makes a client with these scopes only."""
    return lambda *scopes: ApiClient(app, make_token(engine, scopes))
