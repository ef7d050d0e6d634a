"""Webhooks that come in: forgeries stay out, copies count once, what is taken becomes one event."""

import base64
import hashlib
import hmac
import threading
from datetime import timedelta
from typing import Any

import pytest
from engines import put_rule
from hypothesis import given
from hypothesis import strategies as st
from shared_files import data, vectors
from structlog.testing import capture_logs
from webhook_desk import Desk

from core.effects import list_effects
from core.errors import InvalidInput, RejectedError, SignInError
from plugins.webhooks.schemes import Delivery, check, read_claim

BODY = '{"id": 7, "type": "order.paid", "order": {"number": "A-1"}}'

#: The table's schemes in the words of our settings.
SCHEMES: dict[str, dict[str, Any]] = {
    "standard_webhooks": {"scheme": "standard_webhooks"},
    "stripe_style": {"scheme": "stripe_style"},
    "meta_hub": {"scheme": "generic_hmac_sha256", "header": "X-Hub-Signature-256", "prefix": "sha256="},
    "hmac_base64": {"scheme": "woocommerce"},
    "telegram": {"scheme": "token_header", "id_path": "update_id"},
}


def forgeries() -> list[Any]:
    """Return the rows that a signature decides; senders that sign nothing, and pages, have plugins of their own."""
    try:
        table = vectors("header_forgeries")
    except pytest.skip.Exception as exc:
        return [pytest.param({}, "", marks=pytest.mark.skip(reason=str(exc)))]
    secrets = {**table["secrets"], "meta_hub": table["secrets"]["meta_hub"]["app_secret"]}
    return [
        pytest.param(row, secrets[row["scheme"]], id=row["id"]) for row in table["rows"] if row["scheme"] in SCHEMES
    ]


def mac(secret: str, signed: str | bytes = BODY) -> bytes:
    raw = signed.encode() if isinstance(signed, str) else signed
    return hmac.new(secret.encode(), raw, hashlib.sha256).digest()


def shopify(body: str = BODY, *, secret: str = "hush", topic: str = "orders/paid", id: str = "d-1") -> dict[str, str]:
    signature = base64.b64encode(mac(secret, body)).decode()
    return {"X-Shopify-Hmac-Sha256": signature, "X-Shopify-Topic": topic, "X-Shopify-Webhook-Id": id}


@pytest.mark.parametrize(("row", "secret"), forgeries())
def test_each_row_of_the_table_gets_its_verdict(desk: Desk, row: dict[str, Any], secret: str):
    desk.connect(secret=secret, **SCHEMES[row["scheme"]])
    tries = [row, *([row.get("second", row)] if row.get("repeat") else [])]
    taken = [desk.is_taken(one["headers"], one["body"], method=row["method"]) for one in tries]
    expected = {"accept": (True, 1), "reject": (False, 0), "accept_once": (True, 1)}[row["expect"]]
    assert (all(taken), len(desk.stored())) == expected
    assert any(taken) == all(taken)


def test_published_vector_of_standard_webhooks_is_believed(desk: Desk):
    spec = data("specs/standard_webhooks/vectors.json")
    vector = __import__("json").loads(spec.read_text())["vectors"][0]
    assert vector
