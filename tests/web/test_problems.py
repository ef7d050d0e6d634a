"""Errors as problem+json: every kind has its status, words in three languages, and tells nothing that it should not."""

import json
from typing import Any

import pytest
from api_client import ApiClient

from core import errors
from rules.engine import Engine
from web.problems import LANGUAGES, TITLES, from_error, pick_language, title_of, to_pointer

KINDS = [
    (errors.UserError("x"), 400),
    (errors.InvalidInput("lines[2].price", "is wrong"), 422),
    (errors.NotFound("x"), 404),
    (errors.NotAllowed("x"), 403),
    (errors.Conflict("x"), 409),
    (errors.Busy("x", 3), 429),
    (errors.StorageError("x"), 503),
    (errors.RuleError("if.all[1].value", "is wrong"), 422),
    (errors.TemporaryError("p", "x", 7), 503),
    (errors.RejectedError("p", "x"), 502),
    (errors.SignInError("p", "x"), 502),
    (errors.PluginError("p", "x"), 502),
    (RecursionError(), 400),
    (errors.VitrinError("x"), 500),
    (ZeroDivisionError("secret"), 500),
]


@pytest.mark.parametrize(("error", "status"), KINDS, ids=lambda value: type(value).__name__)
def test_each_error_has_its_status(error: Exception, status: int):
    reply = from_error(error)
    assert (reply.status, reply.body["status"], reply.media) == (status, status, "application/problem+json")
    assert ("Retry-After" in reply.headers) == (status in (429, 503))


def test_every_code_of_the_tree_has_titles():
    codes = {kind.code for kind in vars(errors).values() if isinstance(kind, type)}
    for code in codes - {"error"}:
        titles = [title_of(code, language) for language in LANGUAGES]
        assert len(set(titles)) == 3
        assert titles[0] != TITLES["error"][0]


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("", ""),
        ("type", "/type"),
        ("lines[2].price", "/lines/2/price"),
        ("[3].data.order", "/3/data/order"),
        ('data["a.b"].c', "/data/a.b/c"),
        ("a/b~c", "/a~1b~0c"),
    ],
)
def test_paths_become_pointers(path: str, pointer: str):
    assert to_pointer(path) == pointer


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("tr", "tr"),
        ("ru-RU,ru;q=0.9,en;q=0.5", "ru"),
        ("de,fr;q=0.9", "en"),
        ("en;q=0.1,tr;q=0.9", "tr"),
        ("tr;q=0", "en"),
        ("tr;q=9999999999", "tr"),
        ("," * 10_000, "en"),
    ],
)
def test_language_follows_the_header(header: str, language: str):
    assert pick_language(header) == language


def test_problem_speaks_the_callers_language(api: ApiClient):
    answer = api.call("POST", "/pause", json={}, headers={"Accept-Language": "tr"})
    assert answer.json["title"] == TITLES["invalid_input"][1]
    assert answer.json["errors"][0] == {"pointer": "/reason", "message": "zorunlu; doldurun"}


def test_all_wrong_fields_are_told_at_once(api: ApiClient):
    answer = api.call("POST", "/rules/bulk", json={"names": [], "state": "maybe", "more": 1})
    assert {error["pointer"] for error in answer.json["errors"]} == {"/names", "/state", "/more"}


def test_unforeseen_error_tells_only_an_id(api: ApiClient, engine: Engine, capsys: Any):
    def burn(*_args: Any) -> Any:
        raise ZeroDivisionError("SELECT secret FROM /etc/passwd")

    engine.intake.take = burn  # type: ignore[method-assign]
    answer = api.call("POST", "/events", json={"type": "order.created", "data": {"order": {"id": "1"}}})
    told = answer.get_data(as_text=True)
    assert answer.status_code == 500
    assert not any(word in told for word in ("secret", "passwd", "Zero", "Traceback", "/work", ".py"))
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    assert answer.json["request_id"] in "".join(capsys.readouterr())


def test_words_of_the_database_stay_in_the_log(api: ApiClient, engine: Engine):
    def refuse(_work: Any) -> Any:
        raise errors.StorageError("the database refused: UNIQUE constraint failed: events.source")

    engine.writer.submit = refuse  # type: ignore[method-assign]
    answer = api.call("POST", "/events", json={"type": "order.created", "data": {"order": {"id": "1"}}})
    assert (answer.status_code, "Retry-After" in answer.headers, "UNIQUE" in answer.json["detail"]) == (
        503,
        True,
        False,
    )


def test_full_queue_says_when_to_return(api: ApiClient, engine: Engine):
    def full(_work: Any) -> Any:
        raise errors.Busy("too much", 4)

    engine.writer.submit = full  # type: ignore[method-assign]
    answer = api.call("POST", "/events", json={"type": "order.created", "data": {"order": {"id": "1"}}})
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "4")


def test_unknown_addresses_and_methods_answer_json(api: ApiClient):
    for method, path, status in (("GET", "/nope", 404), ("PATCH", "/rules", 405), ("OPTIONS", "/rules", 405)):
        answer = api.call(method, path)
        assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
        assert json.loads(answer.get_data())["instance"].startswith("urn:uuid:")
