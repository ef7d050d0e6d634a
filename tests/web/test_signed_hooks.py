"""The forgery table against the webhooks plugin, over the whole way: address, body, signature, commit, answer."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from api_client import ApiClient
from shared_files import vectors

from rules.engine import Engine

#: The table's schemes that the plugin speaks, by the plugin's names.
SCHEMES = {"standard_webhooks": "standard_webhooks", "stripe_style": "stripe_style", "hmac_base64": "woocommerce"}


@pytest.fixture
def deliver(api: ApiClient, engine: Engine) -> Callable[[dict[str, Any]], tuple[int, int]]:
    """Return a function that sends a row and answers its status, and how many events it left."""
    table = vectors("header_forgeries")
    engine.clock.set(datetime.fromtimestamp(table["now"], UTC))  # type: ignore[attr-defined]
    api.post("/plugins/webhooks/enable")
    for scheme, name in SCHEMES.items():
        settings = {"scheme": name, "secret": table["secrets"][scheme]}
        api.put(f"/plugins/webhooks/accounts/{name}", {"settings": settings})

    def send(row: dict[str, Any]) -> tuple[int, int]:
        before = len(api.get("/events?limit=500")["data"])
        address = f"/hooks/webhooks/{SCHEMES[row['scheme']]}/in"
        body = row["body"].encode("utf-8", "surrogatepass")
        answer = api.app.test_client().open(address, method=row["method"], headers=row["headers"], data=body)
        return answer.status_code, len(api.get("/events?limit=500")["data"]) - before

    return send


def rows(expect: str) -> list[dict[str, Any]]:
    found = [row for row in vectors("header_forgeries")["rows"] if row["scheme"] in SCHEMES and row["expect"] == expect]
    return [row for row in found if not any(set(value) & set("\r\n") for _, value in row["headers"])]


def test_signed_deliveries_are_taken(deliver: Callable[[dict[str, Any]], tuple[int, int]]):
    first = rows("accept")[0]
    assert deliver(first) == (200, 1)
    assert deliver(first) == (200, 0)  # sent again
    for row in rows("accept"):
        assert (row["id"], deliver(row)[0]) == (row["id"], 200)


def test_forged_deliveries_leave_nothing(deliver: Callable[[dict[str, Any]], tuple[int, int]]):
    assert rows("reject")
    for row in rows("reject"):
        status, left = deliver(row)
        assert (row["id"], status in (400, 401, 403), left) == (row["id"], True, 0), status
