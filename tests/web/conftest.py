"""A running application over a real engine, and clients that have tokens."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from api_client import ApiClient, make_token
from engines import START

from core.clock import VirtualClock
from core.db import metadata
from core.host import Builtin
from core.settings import load_settings
from core.tokens import SCOPES
from plugins import BUILTINS
from rules.engine import Engine, Parts
from web.app import create_app

#: Nothing that a test does quickly is slowed down.
PLENTY: dict[str, str] = dict.fromkeys(("read", "write", "events", "test", "hook", "failed"), "1000000/minute")
HOOKED = Builtin(name="hooked", module="hooked_plugin", summary="Listens", on=True)


@pytest.fixture
def flags() -> dict[str, Any]:
    """Settings that a test wants otherwise: override this fixture."""
    return {}


@pytest.fixture
def engine(tmp_path: Path, flags: dict[str, Any]) -> Iterator[Engine]:
    settings = load_settings({"home": tmp_path, "synchronous": "off", "zone": "UTC", **flags}, {})
    engine = Engine(settings, {**BUILTINS, HOOKED.name: HOOKED}, Parts(clock=VirtualClock(START)))
    metadata.create_all(engine.db.engine)
    engine.open()
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
