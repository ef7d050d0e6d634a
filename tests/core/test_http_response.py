import logging
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from http_fakes import FakeNetwork, FakeResolver, answer
from hypothesis import given
from hypothesis import strategies as st

from core.clock import VirtualClock
from core.errors import RejectedError, RemoteError, SignInError, TemporaryError
from core.http import Call, HttpClient, Recorder, Response
from core.http.response import parse_retry_after

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
URL = "https://shop.example/v1/orders"
SECRET = "hunter2-Zq81xT"


class Log:
    def __init__(self) -> None:
        self.calls: list[Call] = []

    def record(self, call: Call) -> None:
        self.calls.append(call)


def ask(reply: bytes | list[bytes], url: str = URL, recorder: Recorder | None = None, **options: Any) -> Response:
    method = options.pop("method", "GET")
    client = HttpClient(
        resolver=FakeResolver({"shop.example": [["93.184.216.34"]]}),
        connector=FakeNetwork(lambda _: reply),
        clock=VirtualClock(NOW),
        recorder=recorder,
    )
    return client.session("erp", "shop-1", secrets=[SECRET]).request(method, url, **options)


# Each row: status, what it means for the queue.
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, None),
        (204, None),
        (304, RejectedError),  # nobody asked for a comparison
        (400, RejectedError),
        (401, SignInError),
        (403, RejectedError),
        (404, RejectedError),
        (408, TemporaryError),
        (409, TemporaryError),
        (410, RejectedError),
        (422, RejectedError),
        (425, TemporaryError),
        (429, TemporaryError),
        (500, TemporaryError),
        (503, TemporaryError),
    ],
)
def test_status_becomes_the_right_error(status: int, error: type[RemoteError] | None) -> None:
    response = ask(answer(status, b"" if status in (204, 304) else b"{}"))
    if error is None:
        assert response.raise_for_status() is response
        return
    with pytest.raises(RemoteError, match=rf"erp: GET https://shop\.example/v1/orders answered {status}") as raised:
        response.raise_for_status()
    assert type(raised.value) is error


# Each row: Retry-After as sent, seconds as read.
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3600", 3600),
        ("0", 0),
        (" 1.5 ", 1.5),  # not in the standard, but sent
        ("Thu, 01 Jan 2026 12:01:00 GMT", 60),
        ("Thu, 01 Jan 2026 15:01:00 +0300", 60),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0),  # already past
        ("99999999999", 7 * 86_400),  # capped
        ("Fri, 01 Jan 2100 00:00:00 GMT", 7 * 86_400),
        ("-5", None),
        ("soon", None),
        ("\u0663", None),  # a digit of another script
        ("9" * 5_000, None),
        ("", None),
    ],
)
def test_wish_for_later_is_read(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


@given(st.text())
def test_any_wish_is_read_or_ignored(value: str) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= 7 * 86_400


def test_wish_for_later_reaches_the_error() -> None:
    with pytest.raises(TemporaryError) as raised:
        ask(answer(429, Retry_After="120")).raise_for_status()
    assert raised.value.after_s == 120


# Each row: a body that is not JSON, and what the error calls it.
@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"<!DOCTYPE html><html>Login</html>", "an HTML page"),
        (b"", "an empty body"),
        (b"<?xml version='1.0'?>", "XML or HTML"),
        (b'{"a": ', "cut or malformed JSON"),
        (b"[" * 100_000, "cut or malformed JSON"),  # deeper than Python goes
        (b'{"a": NaN}', "cut or malformed JSON"),  # Python would take it
        (b"OK", "other text"),
        (b"\xff\xfe\xfd", "other text"),
    ],
)
def test_anything_but_json_is_temporary(body: bytes, name: str) -> None:
    with pytest.raises(TemporaryError, match=f"answered 200 with {name} instead of JSON"):
        ask(answer(200, body)).json()


def test_fractions_can_be_read_exactly() -> None:
    response = ask(answer(200, b'{"total": 0.10}'))
    assert response.json(exact=True) == {"total": Decimal("0.10")}
    assert response.json() == {"total": 0.1}


# Each row: content type, body, text.
@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text/plain; charset=windows-1251", "заказ".encode("cp1251"), "заказ"),
        ('text/plain; charset="utf-8"', "ş".encode(), "ş"),
        ("text/plain", b"a\xffb", "a\ufffdb"),
        ("text/plain; charset=nonsense", b"a", "a"),
        ("text/plain; charset=zlib", b"a", "a"),  # a codec that is no text encoding
    ],
)
def test_text_follows_the_charset(kind: str, body: bytes, text: str) -> None:
    assert ask(answer(200, body, Content_Type=kind)).text == text


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"X-Token": f"{SECRET}\r\nHost: evil"}},  # a second header inside the first
        {"headers": {"X-Token": f"{SECRET}\u0131"}},  # letters that no header holds
        {"headers": {"Host": SECRET}},  # the client's own header
        {"headers": {"Transfer-Encoding": SECRET}},
        {"headers": {f"X {SECRET}": "1"}},  # no header name
        {"json": {"x": {SECRET}}},  # no JSON
        {"json": {"x": f"{SECRET}\ud800"}},  # no Unicode
        {"method": "CONNECT"},
        {"method": f"GET /{SECRET}"},
        {"content": 5},
    ],
)
def test_impossible_request_is_rejected(options: dict[str, Any]) -> None:
    with pytest.raises(RejectedError, match="not sent") as raised:
        ask(answer(), url=f"{URL}?token={SECRET}", **options)
    assert SECRET not in str(raised.value)


# Each row: an address or answer that carries the secret, and fails.
@pytest.mark.parametrize(
    ("url", "reply"),
    [
        (f"https://gone.example/{SECRET}?k={SECRET}", b""),  # no such name
        (f"https://127.0.0.1/{SECRET}", b""),  # not allowed
        (f"https://user:{SECRET}@shop.example/", b"garbage"),  # no HTTP
        (f"https://{SECRET}@shop.example:99999/", b""),  # no port
        (
            f"https://shop.example/{SECRET}/x",
            answer(400, f"bad {SECRET}".encode(), Content_Type="text/plain"),
        ),  # echoed
        (f"https://shop.example/{SECRET}/x", answer(302, location=f"ftp://{SECRET}@x/")),  # echoed in a redirect
        (f"https://shop.example/{SECRET}/x", answer(200, b"x" * 99)),  # too large
    ],
)
def test_messages_and_log_hold_no_secret(url: str, reply: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    log = Log()
    with pytest.raises(RemoteError) as raised:
        ask(reply, url, log, headers={"Authorization": f"Bearer {SECRET}"}, max_bytes=50).raise_for_status()
    for text in (str(raised.value), repr(raised.value), str(raised.value.__cause__), repr(log.calls), caplog.text):
        assert SECRET not in text


def test_answer_shows_nothing_when_printed() -> None:
    response = ask(answer(200, SECRET.encode(), Set_Cookie=SECRET), url=f"{URL}?token={SECRET}")
    assert SECRET not in f"{response} {response.headers!r}"
    assert "httpx" not in repr([type(value) for value in vars(response).values()])


def test_call_is_recorded_masked() -> None:
    log = Log()
    body = b'{"customer": "ayse@example.com", "token": "T-1", "total": 5}'
    ask(
        answer(201, body, Content_Type="application/json"),
        f"{URL}?token={SECRET}",
        log,
        method="POST",
        json={"password": "p-77", "sku": "A-1", "note": SECRET},
    )
    (call,) = log.calls
    assert (call.plugin, call.account, call.method, call.url) == ("erp", "shop-1", "POST", URL)
    assert (call.status, call.error, call.response_bytes) == (201, None, len(body))
    assert call.response_body == '{"customer": "[e-mail]", "token": "[masked]", "total": 5}'
    assert "A-1" in call.request_body
    assert not {"p-77", SECRET} & set(call.request_body.split('"'))


def test_every_redirect_and_failure_is_recorded() -> None:
    log = Log()
    with pytest.raises(RejectedError):
        ask(answer(302, location="http://127.0.0.1/"), "http://shop.example/a", log)
    assert [(call.status, call.error is None) for call in log.calls] == [(302, True), (None, False)]


def test_recorded_body_is_cut_and_files_are_counted() -> None:
    log = Log()
    ask(answer(200, b"word " * 4_000, Content_Type="text/plain"), recorder=log)
    ask(answer(200, b"\x89PNG" * 100, Content_Type="image/png"), recorder=log)
    assert len(log.calls[0].response_body) < 4_200
    assert log.calls[1].response_body == "(400 bytes of image/png)"


def test_failing_recorder_costs_no_request(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def record(self, call: Call) -> None:
            raise OSError("disk full")

    assert ask(answer(), recorder=Broken()).status == 200
    assert "the exchange log failed on GET https://shop.example/v1/orders of plugin erp" in caplog.text
