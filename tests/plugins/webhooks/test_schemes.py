"""Laws of the signature schemes."""

import statistics
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from core.errors import RejectedError
from plugins.webhooks.schemes import SCHEMES, Claim, Delivery, check, read_claim

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
KEY = Webhook(SECRET)


def delivery(body: bytes, headers: dict[str, str]) -> Delivery:
    return Delivery(headers=headers, body=body, now=NOW, settings={"secret": SECRET, "header": "x-sig"})


def standard(ident: str, body: str) -> dict[str, str]:
    seconds = str(int(NOW.timestamp()))
    return {"webhook-id": ident, "webhook-timestamp": seconds, "webhook-signature": KEY.sign(ident, NOW, body)}


@given(st.from_regex(r"[!-+\--~]{1,40}", fullmatch=True), st.text(max_size=200))
def test_what_the_reference_library_signs_is_believed(ident: str, body: str):
    raw = body.encode("utf-8", "ignore")
    check(read_claim(delivery(raw, standard(ident, raw.decode()))))


@given(st.binary(min_size=1, max_size=60), st.integers(0, 59), st.integers(1, 255))
def test_any_changed_byte_is_refused(raw: bytes, place: int, change: int):
    body = raw.hex().encode()
    headers = standard("msg_1", body.decode())
    place %= len(body)
    changed = body[:place] + bytes([body[place] ^ change]) + body[place + 1 :]
    with pytest.raises(RejectedError):
        check(read_claim(delivery(changed, headers)))


@given(st.sampled_from(SCHEMES), st.text(max_size=80), st.binary(max_size=40))
def test_unsigned_deliveries_are_refused_whatever_they_say(scheme: str, value: str, body: bytes):
    names = ("x-sig", "webhook-id", "webhook-timestamp", "webhook-signature", "x-shopify-hmac-sha256")
    headers: dict[str, str] = dict.fromkeys((*names, "x-wc-webhook-signature"), value)
    settings: dict[str, Any] = {"scheme": scheme, "secret": SECRET, "header": "x-sig"}
    with pytest.raises(RejectedError):
        check(read_claim(Delivery(headers=headers, body=body, now=NOW, settings=settings)))


def test_near_and_far_misses_take_the_same_time():
    right = b"/VCpO4nXZYWzpYUQ5uEIuGxwGl/Nqkilr3pStkK9X2k="
    misses = {"near": right[:-2].decode() + "A=", "far": "A" * len(right)}
    claims = {name: Claim(signed=b"", given=(text,) * 10, right=(right,) * 2) for name, text in misses.items()}
    spent: dict[str, list[int]] = {name: [] for name in claims}
    for _ in range(2_000):
        for name, claim in claims.items():
            start = time.perf_counter_ns()
            with pytest.raises(RejectedError):
                check(claim)
            spent[name].append(time.perf_counter_ns() - start)
    near, far = (statistics.median(spent[name]) for name in ("near", "far"))
    assert abs(near - far) < 0.2 * max(near, far)
