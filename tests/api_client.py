"""A small client for the API, as tests speak to it."""

import json
from collections.abc import Iterable
from typing import Any

from core.tokens import Tokens
from rules.engine import Engine

BASE = "/api/v1"


def make_token(engine: Engine, scopes: Iterable[str], **more: Any) -> str:
    tokens = Tokens(engine.db, engine.writer, engine.clock)
    return engine.writer.do(lambda tx: tokens.make(tx, name="the test's own", scopes=scopes, actor="test", **more))


class ApiClient:
    """Calls the application with a token; `call` returns the response, the others its JSON."""

    def __init__(self, app: Any, token: str | None) -> None:
        self.app = app
        self.token = token
        self._client = app.test_client(use_cookies=False)

    def call(self, method: str, path: str, **more: Any) -> Any:
        headers = dict(more.pop("headers", {}))
        if self.token is not None:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        address = path if path.startswith(("/hooks", "/metrics", "/healthz", "/readyz")) else BASE + path
        return self._client.open(address, method=method, headers=headers, **more)

    def get(self, path: str, **more: Any) -> Any:
        return self._json(self.call("GET", path, **more), 200)

    def post(self, path: str, body: Any = None, *, status: int = 200, **more: Any) -> Any:
        given = {} if body is None else {"json": body}
        return self._json(self.call("POST", path, **given, **more), status)

    def put(self, path: str, body: Any, *, status: int = 200, **more: Any) -> Any:
        return self._json(self.call("PUT", path, json=body, **more), status)

    def delete(self, path: str, *, status: int = 204, **more: Any) -> Any:
        return self._json(self.call("DELETE", path, **more), status)

    def yaml(self, method: str, path: str, text: str, **more: Any) -> Any:
        return self.call(method, path, data=text.encode(), content_type="application/yaml", **more)

    @staticmethod
    def _json(response: Any, status: int) -> Any:
        assert response.status_code == status, response.get_data(as_text=True)
        raw = response.get_data()
        return json.loads(raw) if raw else None
