"""Runs and effects through the API: traced, retried, cancelled, approved."""

from typing import Any

import pytest
from api_client import ApiClient
from engines import make_event, put_rule

from rules.engine import Engine

CALL = "{do: tasks.create, with: {title: Call}}"
ACTS = f"rule: acts\nwhen: {{event: order.created}}\nthen: [{CALL}]\n"
WAITS = f"rule: waits\nwhen: {{event: order.created}}\nthen: [{{wait: {{for: 1 day}}}}, {CALL}]\n"
ASKS = f"rule: asks\nwhen: {{event: order.created}}\nlimits: {{ask: true}}\nthen: [{CALL}]\n"


def fire(engine: Engine, rule: str) -> None:
    put_rule(engine, rule)
    engine.take([make_event(engine, "order.created", {"order": {"id": "1"}}, key="1")])
    engine.drain()


def only_run(api: ApiClient) -> dict[str, Any]:
    (run,) = api.get("/runs")["data"]
    return run


def test_run_shows_its_trace_and_effects(api: ApiClient, engine: Engine):
    fire(engine, ACTS)
    run = api.get(f"/runs/{only_run(api)['id']}")
    assert (run["outcome"], [line["kind"] for line in run["trace"]]) == ("acted", ["do"])
    (effect,) = run["effects"]
    assert api.get(f"/effects?object={effect['object']}")["data"] == [effect]
    assert api.get("/effects?rule=acts&kind=task")["data"] == [effect]
    assert api.get("/effects?kind=message")["data"] == []


def test_effects_are_paged_newest_first(api: ApiClient, engine: Engine):
    put_rule(engine, ACTS)
    for number in range(5):
        engine.take([make_event(engine, "order.created", {"order": {"id": str(number)}}, key=str(number))])
    engine.drain()
    whole = [row["id"] for row in api.get("/effects")["data"]]
    first = api.get("/effects?limit=3")
    second = api.get(f"/effects?limit=3&cursor={first['next']}")
    assert [row["id"] for row in first["data"] + second["data"]] == whole
    assert (len(whole), second["next"]) == (5, None)


def test_waiting_run_can_be_cancelled_once(api: ApiClient, engine: Engine):
    fire(engine, WAITS)
    address = f"/runs/{only_run(api)['id']}/cancel"
    assert api.post(address, {"reason": "mistake"})["outcome"] == "cancelled"
    assert api.call("POST", address).status_code == 409


@pytest.mark.parametrize(("word", "state"), [("approve", "done"), ("reject", "skipped")])
def test_held_run_waits_for_a_word(word: str, state: str, api: ApiClient, engine: Engine):
    fire(engine, ASKS)
    run = only_run(api)
    assert run["status"] == "held"
    assert api.post(f"/runs/{run['id']}/{word}")["status"] == "ready"
    engine.drain()
    assert [effect["state"] for effect in api.get(f"/runs/{run['id']}")["effects"]] == [state]
    assert api.call("POST", f"/runs/{run['id']}/{word}").status_code == 409


def test_finished_run_goes_again_from_the_start(api: ApiClient, engine: Engine):
    fire(engine, ACTS)
    told = api.post(f"/runs/{only_run(api)['id']}/retry", {"where": "start"}, status=202)
    engine.drain()
    assert {run["id"] for run in api.get("/runs?outcome=acted")["data"]} >= {told["run"]}
    assert api.call("POST", f"/runs/{told['run']}/retry").status_code == 409  # it did not fail


def test_many_runs_are_retried_each_for_itself(api: ApiClient, engine: Engine):
    fire(engine, ACTS)
    run = only_run(api)["id"]
    body = {"ids": [run, "none"], "where": "start"}
    dry = api.post("/runs/retry?dry_run=true", body)
    assert (dry["data"][0]["problem"], dry["data"][1]["problem"]["status"]) == (None, 404)
    assert len(api.get("/runs")["data"]) == 1
    real = api.post("/runs/retry", body)
    assert [row["problem"] is None for row in real["data"]] == [True, False]
    assert len(api.get("/runs")["data"]) == 2


def test_unknown_run_is_not_found(api: ApiClient):
    for address in ("/runs/x", "/runs/x/retry", "/runs/x/cancel", "/runs/x/approve"):
        method = "GET" if address == "/runs/x" else "POST"
        assert api.call(method, address).status_code == 404


def test_pause_holds_everything_until_resumed(api: ApiClient, engine: Engine):
    told = api.post("/pause", {"reason": "stock-taking", "still": ["payment"]})
    assert (told["paused"], told["reason"], told["still"]) == (True, "stock-taking", ["payment"])
    fire(engine, ACTS)
    assert api.get("/effects?state=done")["data"] == []
    assert api.post("/resume")["paused"] is False
    engine.drain()
    assert api.get("/pause")["paused"] is False
