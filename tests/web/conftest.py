"""A running application over a real engine, and clients that have tokens."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from api_client import ApiClient, make_token
from web_engine import PLENTY, open_engine

from core.tokens import SCOPES
from rules.engine import Engine
from web.app import create_app


@pytest.fixture
def flags() -> dict[str, Any]:
    """Settings that a test wants otherwise: override this fixture."""
    return {}


@pytest.fixture
def engine(tmp_path: Path, flags: dict[str, Any]) -> Iterator[Engine]:
    engine = open_engine(tmp_path, **flags)
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
