"""The short way for rules' webhooks: every call is answered as the application alone would answer it."""

import json
from typing import Any

import pytest
from api_client import ApiClient
from engines import put_rule
from sqlalchemy import func, select

from core.errors import Busy, StorageError
from core.tables import events
from rules.engine import Engine
from rules.tables import runs, traces
from web.app import create_app
from web.hooks import COUNTED
from web.lean import shorten
from web.limits import LIMITS

RULE = (
    "rule: heard\nwhen: {webhook: heard}\nif: [{field: body.kind, is: equal, value: sale}]\n"
    "then: [{do: tasks.create, with: {title: Look}}]\n"
)
SALE = b'{"kind": "sale"}'


@pytest.fixture
def token(api: ApiClient, engine: Engine) -> str:
    put_rule(engine, RULE)
    return api.post("/rules/heard/webhook", status=201)["token"]


@pytest.fixture
def short(engine: Engine) -> Any:
    """The application with the short way before it, which tells what came past it in `passed`."""
    app = create_app(engine, limits=dict.fromkeys(LIMITS, 1_000_000))
    whole, app.passed = app.wsgi_app, []  # type: ignore[attr-defined]

    def passing(environ: Any, start_response: Any) -> Any:
        app.passed.append(environ["PATH_INFO"])  # type: ignore[attr-defined]
        return whole(environ, start_response)

    app.wsgi_app = passing  # type: ignore[method-assign]
    shorten(app, engine)
    return app


def call(app: Any, token: str, body: bytes = SALE, path: str = "/hooks/rule/heard", **more: Any) -> Any:
    headers = {"X-Vitrin-Token": token, "Content-Type": "application/json", **more.pop("headers", {})}
    return app.test_client(use_cookies=False).post(path, data=body, headers=headers, **more)


def told(answer: Any) -> tuple[Any, ...]:
    """Return everything of an answer but what differs from call to call."""
    own = ("X-Request-Id", "RateLimit-Remaining", "RateLimit-Reset")
    headers = {name: value for name, value in answer.headers.items() if name not in own}
    body = answer.get_json(silent=True) or {}
    return answer.status, headers, {name: body[name] for name in body if name not in ("id", "instance", "request_id")}


# what is sent; True where the short way takes it
CALLS: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"body": b'{"kind": "return"}'}, True),  # the rule's condition does not hold
    ({"body": b"[1, 2.5, null]"}, True),
    ({"headers": {"Content-Type": "application/json; charset=utf-8"}}, True),
    ({"headers": {"X-Vitrin-Token": "", "Authorization": "Bearer TOKEN"}}, True),
    ({"headers": {"Prefer": "wait=10"}}, True),
    ({"headers": {"X-Forwarded-For": "203.0.113.7, bad"}}, True),
    ({"headers": {"X-Vitrin-Token": "wrong"}}, False),
    ({"headers": {"X-Vitrin-Token": ""}}, False),
    ({"headers": {"X-Vitrin-Token": "\xe9"}}, False),
    ({"headers": {"Content-Type": "text/plain"}}, False),
    ({"headers": {"Content-Type": "application/json; charset=latin-1"}}, False),
    ({"headers": {"Content-Type": "application/json; charset=UTF-8"}}, True),
    ({"headers": {"Host": "evil.example"}}, False),
    ({"headers": {"Transfer-Encoding": "gzip"}}, False),
    ({"body": b""}, False),
    ({"body": b"{"}, False),
    ({"body": b'{"a": 1, "a": 2}'}, False),
    ({"body": b'{"a": NaN}'}, False),
    ({"body": b'"' + b"x" * 2_000_000 + b'"'}, False),
    ({"path": "/hooks/rule/never"}, False),
    ({"path": "/hooks/rule/HEARD"}, False),
    ({"path": "/hooks/rule/heard/"}, False),
    ({"path": "/hooks/rule/%68eard"}, True),  # servers hand the path over decoded
    ({"path": "/hooks/rule/he%C3%A4rd"}, False),
    ({"path": "/hooks/rule/he%00ard"}, False),
    ({"path": "/hooks/rule/"}, False),
    ({"path": "/hooks/rule"}, False),
    ({"path": "/hooks/rule/heard?token=TOKEN", "headers": {"X-Vitrin-Token": ""}}, False),
    ({"path": "/healthz"}, False),
]


@pytest.mark.parametrize(("sent", "is_short"), CALLS)
def test_answer_is_that_of_the_application(sent: dict[str, Any], is_short: bool, app: Any, short: Any, token: str):
    filled = json.loads(json.dumps({**sent, "body": None}).replace("TOKEN", token))
    more = {**filled, "body": sent.get("body", SALE)}
    answers = [call(each, token, **more) for each in (app, short)]
    assert told(answers[1]) == told(answers[0])
    assert (short.passed == []) is is_short


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_other_methods_are_left_to_the_application(method: str, app: Any, short: Any, token: str):
    answers = [each.test_client().open("/hooks/rule/heard", method=method) for each in (app, short)]
    assert told(answers[1]) == told(answers[0])


def stored(engine: Engine, what: Any) -> int:
    with engine.db.read() as conn:
        return conn.execute(select(func.count()).select_from(what)).scalar_one()


def test_same_event_is_stored(app: Any, short: Any, token: str, engine: Engine):
    headers = {"X-Topic": "t" * 600, "Cookie": "a=SENTINEL", "X-Api-Key": "SENTINEL"}
    for each in (app, short):
        call(each, token, headers=headers)
    with engine.db.read() as conn:
        rows = conn.execute(select(events).order_by(events.c.id)).all()
    first, second = ([getattr(row, name) for name in ("source", "type", "key", "customer", "data")] for row in rows)
    assert first == second
    assert first[-1]["headers"]["x-topic"] == "t" * 500
    assert "SENTINEL" not in str(rows)


@pytest.mark.parametrize("header", ["Webhook-Id", "Idempotency-Key", "X-GitHub-Delivery", "X-Shopify-Webhook-Id"])
def test_named_delivery_is_one_on_both_ways(header: str, app: Any, short: Any, token: str, engine: Engine):
    answers = [call(each, token, headers={header: "m-1"}) for each in (short, app, short)]
    assert [answer.json["status"] for answer in answers] == ["accepted", "duplicate", "duplicate"]
    assert stored(engine, events) == 1


def test_new_token_ends_the_old_one(api: ApiClient, short: Any, token: str):
    assert call(short, token).status_code == 202
    new = api.post("/rules/heard/webhook", status=201)["token"]
    assert [call(short, text).status_code for text in (token, new)] == [401, 202]
    api.delete("/rules/heard/webhook")
    assert call(short, new).status_code == 503


def test_rule_that_is_off_or_moved_is_not_there(api: ApiClient, engine: Engine, short: Any, token: str):
    assert call(short, token).status_code == 202
    put_rule(engine, RULE.replace("webhook: heard", "webhook: elsewhere"))
    answers = [call(short, token, path=f"/hooks/rule/{name}").status_code for name in ("heard", "elsewhere")]
    assert answers == [404, 202]
    api.post("/rules/heard/disable")
    assert call(short, token, path="/hooks/rule/elsewhere").status_code == 404


def test_limit_counts_a_call_once_and_holds(engine: Engine, token: str):
    app = create_app(engine, limits={**LIMITS, "hook": 3})
    shorten(app, engine)
    statuses = [call(app, text).status_code for text in (token, "wrong", token, token)]
    assert statuses == [202, 401, 202, 429]


def test_caller_who_waits_finds_everything_done(short: Any, token: str, engine: Engine):
    call(short, token)
    assert stored(engine, traces) == 0
    call(short, token, headers={"Prefer": "wait=10"})
    with engine.db.read() as conn:
        outcomes = conn.execute(select(runs.c.outcome).order_by(runs.c.id)).scalars().all()
    assert outcomes == [None, "acted"]
    assert stored(engine, traces) == 1


@pytest.mark.parametrize(("error", "status"), [(Busy("full"), 429), (StorageError("the disk is full"), 503)])
def test_refusal_is_told_and_the_call_not_repeated(
    error: Exception, status: int, short: Any, token: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    tried: list[int] = []

    def refuse(*_args: Any) -> Any:
        tried.append(1)
        raise error

    monkeypatch.setattr(engine.writer, "gather", refuse)
    answer = call(short, token)
    assert (answer.status_code, len(tried), stored(engine, events)) == (status, 1, 0)
    if status == 429:
        assert int(answer.headers["Retry-After"]) > 0


def test_outsider_cannot_pass_for_counted(app: Any, token: str):
    answer = call(app, "wrong", headers={COUNTED: "1", "vitrin.refused": "1"})
    assert answer.status_code == 401


def test_figures_of_the_process_are_told(api: ApiClient, short: Any, token: str, engine: Engine):
    call(short, token, headers={"Prefer": "wait=10"})
    text = api.call("GET", "/metrics").get_data(as_text=True)
    assert 'vitrin_rule_walks_total{rule="heard"} 1.0' in text
    assert "vitrin_batch_runs_count 1.0" in text
    for name in ("vitrin_commit_seconds_bucket", "vitrin_group_size_sum", "vitrin_run_lag_seconds", "vitrin_jobs_due"):
        assert name in text
