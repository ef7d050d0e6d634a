"""Caps over the API: made, changed, shown with their use, taken away; guarded like rules."""

from collections.abc import Callable
from typing import Any

import pytest
from api_client import ApiClient
from engines import make_event, put_rule

from rules.engine import Engine

CAP = {"kind": "task", "per": "customer", "most": 1, "period": "1 day", "above": "skip"}
RULE = "rule: {name}\nwhen: {{event: order.paid}}\nthen: [{{do: tasks.create, with: {{title: call}}}}]\n"


def pay(engine: Engine, customer: str) -> None:
    data = {"order": {"id": "A"}, "customer": {"id": customer}}
    engine.take([make_event(engine, "order.paid", data, key="A", customer=customer)])
    engine.drain()


def test_cap_holds_over_all_rules_and_shows_its_use(api: ApiClient, engine: Engine):
    for name in ("one", "two"):
        put_rule(engine, RULE.format(name=name))
    made = api.put("/caps/few", CAP, status=201)
    assert (made["words"], made["used"], made["reached"]) == ("at most 1 task a day per customer", 0, 0)
    pay(engine, "c")
    assert sorted(run["outcome"] for run in api.get("/runs")["data"]) == ["acted", "skipped"]
    reason = next(run["reason"] for run in api.get("/runs")["data"] if run["outcome"] == "skipped")
    assert reason == "at most 1 task a day per customer: reached"
    shown = api.get("/caps/few")
    assert (shown["used"], shown["reached"], shown["changed_by"][:6]) == (1, 1, "token:")
    assert api.get("/caps")["data"] == [shown]


def test_change_and_removal_hold_for_the_next_effect(api: ApiClient, engine: Engine):
    put_rule(engine, RULE.format(name="one"))
    api.put("/caps/few", CAP, status=201)
    pay(engine, "c")
    api.put("/caps/few", {**CAP, "most": 2})
    pay(engine, "c")
    pay(engine, "c")
    api.delete("/caps/few")
    pay(engine, "c")
    assert [run["outcome"] for run in api.get("/runs")["data"]][::-1] == ["acted", "acted", "skipped", "acted"]
    api.delete("/caps/few", status=404)


def test_stale_mark_is_refused(api: ApiClient):
    made = api.call("PUT", "/caps/few", json=CAP)
    mark = made.headers["ETag"]
    assert api.call("GET", "/caps/few").headers["ETag"] == mark
    changed = api.call("PUT", "/caps/few", json={**CAP, "most": 2}, headers={"If-Match": mark})
    assert (changed.status_code, changed.headers["ETag"] != mark) == (200, True)
    for method, more in (("PUT", {"json": CAP}), ("DELETE", {})):
        assert api.call(method, "/caps/few", headers={"If-Match": mark}, **more).status_code == 412
    assert api.call("PUT", "/caps/other", json=CAP, headers={"If-Match": mark}).status_code == 412
    assert api.get("/caps/few")["most"] == 2


# what is wrong, the field that is named
WRONG = [
    ({"kind": "tsak"}, "/kind"),
    ({"most": -1}, "/most"),
    ({"most": 0, "above": "later"}, "/above"),
    ({"period": "soon"}, "/period"),
    ({"per": "rule"}, "/per"),
    ({"colour": "red"}, "/colour"),
]


@pytest.mark.parametrize(("given", "pointer"), WRONG)
def test_wrong_cap_is_refused_at_its_field(api: ApiClient, given: dict[str, Any], pointer: str):
    problem = api.put("/caps/few", {**CAP, **given}, status=422)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert api.get("/caps")["data"] == []


def test_reader_may_not_change_caps(client_with: Callable[..., ApiClient]):
    reader = client_with("runs:read")
    assert reader.get("/caps")["data"] == []
    reader.put("/caps/few", CAP, status=403)
