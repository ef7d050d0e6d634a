"""Idempotency-Key: the same call again does nothing again, and says the same."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from api_client import ApiClient, make_token

from rules.engine import Engine

ORDER = {"type": "order.created", "data": {"order": {"id": "1"}}}
KEY = {"Idempotency-Key": "call-1"}


def send(api: ApiClient, body: Any = ORDER, path: str = "/events", **headers: str) -> Any:
    return api.call("POST", path, json=body, headers={**KEY, **headers})


def test_repeated_call_gets_the_first_answer(api: ApiClient):
    first, again = send(api), send(api)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json == again.json
    assert ("Idempotency-Replayed" in first.headers, again.headers["Idempotency-Replayed"]) == (False, "true")
    assert len(api.get("/events")["data"]) == 1


def test_key_with_another_body_is_refused(api: ApiClient):
    send(api)
    other = send(api, {**ORDER, "key": "x"})
    elsewhere = send(api, {"reason": "x"}, "/pause")
    assert (other.status_code, elsewhere.status_code) == (422, 422)
    assert (len(api.get("/events")["data"]), api.get("/pause")["paused"]) == (1, False)


def test_keys_of_two_tokens_do_not_meet(api: ApiClient, engine: Engine):
    send(api)
    send(ApiClient(api.app, make_token(engine, ["events:write"])))
    assert len(api.get("/events")["data"]) == 2


def test_key_is_forgotten_after_a_day(api: ApiClient, engine: Engine):
    send(api)
    engine.clock.advance(timedelta(hours=24, seconds=1))  # type: ignore[attr-defined]
    assert "Idempotency-Replayed" not in send(api).headers
    assert len(api.get("/events")["data"]) == 2
    with engine.db.read() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM answers").scalar_one() == 1


def test_refused_call_may_be_mended(api: ApiClient):
    assert send(api, {"type": "no.such"}).status_code == 422
    assert send(api).status_code == 202


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256])
def test_odd_keys_are_refused(key: str, api: ApiClient):
    assert api.call("POST", "/events", json=ORDER, headers={"Idempotency-Key": key}).status_code == 400


def test_what_is_shown_once_is_not_kept(api: ApiClient, engine: Engine):
    body = {"name": "new", "scopes": ["rules:read"]}
    made = send(api, body, "/tokens")
    again = send(api, body, "/tokens")
    assert (made.status_code, again.status_code, "token" in again.json) == (201, 409, False)
    with engine.db.read() as conn:
        kept = str(conn.exec_driver_sql("SELECT * FROM answers").all())
    assert made.json["token"] not in kept
    assert len(api.get("/tokens")["data"]) == 2


def test_route_with_its_own_transaction_is_kept_too(api: ApiClient):
    first = send(api, None, "/plugins/hooked/disable")
    assert send(api, None, "/plugins/hooked/disable").json == first.json


def test_calls_at_once_do_the_work_once(api: ApiClient, engine: Engine):
    engine.writer.start()
    answers: list[Any] = []

    def call() -> None:
        answers.append(send(ApiClient(api.app, api.token)))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json["id"] for answer in answers}) == 1
    assert len(api.get("/events")["data"]) == 1


def test_undone_work_keeps_no_answer(api: ApiClient, engine: Engine):
    take = engine.intake.take

    def fail(tx: Any, events: Any) -> Any:
        take(tx, events)
        raise RuntimeError("the disk burns")

    engine.intake.take = fail  # type: ignore[method-assign]
    assert send(api).status_code == 500
    engine.intake.take = take  # type: ignore[method-assign]
    assert "Idempotency-Replayed" not in send(api).headers
    assert len(api.get("/events")["data"]) == 1
