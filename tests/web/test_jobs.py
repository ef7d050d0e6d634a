"""Long work through the API: followed by its job, retried and canceled; all failed runs of a rule let go again."""

from typing import Any

import pytest
from api_client import ApiClient
from engines import make_event, put_rule

from core.errors import RejectedError
from core.job_context import JobContext, Unfinished
from core.shop import Shop
from rules import replays
from rules.engine import Engine

FAILS = "rule: fails\nwhen: {event: order.created}\nthen: [{do: orders.add_tag, with: {order: n1, tag: late}}]\n"


def defer(engine: Engine, task: str, args: Any = None) -> str:
    return engine.writer.do(lambda tx: engine.jobs.defer(tx, task, args or {}))


def test_job_tells_how_far_it_is(api: ApiClient, engine: Engine):
    def stop_half_way(ctx: JobContext) -> Any:
        if ctx.state == 5:
            return {"sent": 10, "to": "ada@example.com"}
        ctx.progress_in(5, 10)
        ctx.checkpoint(5)
        raise Unfinished

    engine.jobs.register("letters", stop_half_way, klass="bulk")
    job = defer(engine, "letters", {"text": "Dear Ada"})
    seen = api.get(f"/jobs/{job}")
    assert (seen["task"], seen["status"], seen["done"], seen["total"], seen["result"]) == (
        "letters",
        "ready",
        0,
        None,
        None,
    )
    assert "Dear Ada" not in str(seen)
    (claimed,) = engine.jobs.claim(1)
    with pytest.raises(Unfinished):
        stop_half_way(JobContext(engine.jobs, claimed))
    engine.jobs.give_back(claimed)
    seen = api.get(f"/jobs/{job}")
    assert (seen["status"], seen["done"], seen["total"]) == ("ready", 5, 10)
    engine.queue.drain()
    seen = api.get(f"/jobs/{job}")
    assert (seen["status"], seen["result"]["sent"], seen["finished_at"] is not None) == ("done", 10, True)


def test_dead_job_tells_why_and_is_retried(api: ApiClient, engine: Engine):
    answers = [None, RejectedError("mail", "no such box")]

    def perform(_ctx: JobContext) -> None:
        if (error := answers.pop()) is not None:
            raise error

    engine.jobs.register("letters", perform, klass="bulk")
    job = defer(engine, "letters")
    engine.queue.drain()
    seen = api.get(f"/jobs/{job}")
    assert (seen["status"], seen["error"]) == ("dead", "mail: no such box")
    answer = api.call("POST", f"/jobs/{job}/retry")
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/api/v1/jobs/{job}")
    engine.queue.drain()
    assert (api.get(f"/jobs/{job}")["status"], api.call("POST", f"/jobs/{job}/retry").status_code) == ("done", 409)


def test_waiting_job_is_canceled(api: ApiClient, engine: Engine):
    engine.jobs.register("letters", lambda _ctx: None, klass="bulk")
    job = defer(engine, "letters")
    assert api.call("POST", f"/jobs/{job}/cancel").status_code == 204
    assert engine.queue.drain() == 0
    assert (api.get(f"/jobs/{job}")["status"], api.call("POST", f"/jobs/{job}/cancel").status_code) == ("canceled", 409)


def test_jobs_are_listed_and_paged(api: ApiClient, engine: Engine):
    engine.jobs.register("letters", lambda _ctx: None, klass="bulk")
    ids = [defer(engine, "letters") for _ in range(3)][::-1]
    first = api.get("/jobs?task=letters&limit=2")
    second = api.get(f"/jobs?task=letters&limit=2&cursor={first['next']}")
    assert [row["id"] for row in first["data"] + second["data"]] == ids
    assert api.get("/jobs?status=dead")["data"] == []
    assert api.call("GET", "/jobs?status=odd").status_code == 400


def test_unknown_jobs_are_not_found(api: ApiClient):
    calls = [("GET", ""), ("POST", "/retry"), ("POST", "/cancel")]
    assert [api.call(method, f"/jobs/none{word}").status_code for method, word in calls] == [404] * 3


# All failed runs of a rule


@pytest.fixture
def failed(engine: Engine) -> int:
    """Runs that fail, because they tag an order that is not there."""
    put_rule(engine, FAILS)
    for number in range(7):
        engine.take([make_event(engine, "order.created", {"order": {"id": str(number)}}, key=str(number))])
    engine.drain()
    return 7


def outcomes(api: ApiClient) -> list[str]:
    return [run["outcome"] for run in api.get("/runs?rule=fails")["data"]]


def replay(api: ApiClient, engine: Engine, **how: str) -> dict[str, Any]:
    answer = api.call("POST", "/runs/retry", json={"rule": "fails", **how})
    assert answer.status_code == 202, answer.json
    assert answer.headers["Location"] == f"/api/v1/jobs/{answer.json['job']}"
    engine.queue.drain()
    return api.get(f"/jobs/{answer.json['job']}")


def test_failed_runs_of_a_rule_go_again_as_a_job(
    api: ApiClient, engine: Engine, failed: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(replays, "_BATCH", 3)
    assert outcomes(api) == ["failed"] * failed
    dry = api.post("/runs/retry?dry_run=true", {"rule": "fails"})
    assert (len(dry["data"]), dry["dry_run"], api.get("/jobs?task=retry_runs")["data"]) == (failed, True, [])
    job = replay(api, engine)
    assert (job["status"], job["done"], job["total"]) == ("done", failed, failed)
    assert job["result"] == {"retried": failed, "refused": 0}
    engine.drain()
    assert outcomes(api) == ["failed"] * failed  # the order is still not there


def test_mended_runs_act_when_they_go_again(api: ApiClient, engine: Engine, failed: int):
    order = {"number": "n1", "external_id": "n1", "currency": "TRY"}
    ours = engine.writer.do(lambda tx: Shop(tx, None, engine.clock.now(), "files").upsert_order(order)).id
    engine.publish(FAILS.replace("n1", ours), actor="test", state="on")
    assert replay(api, engine, where="start", version="newest")["result"] == {"retried": failed, "refused": 0}
    engine.drain()
    assert sorted(outcomes(api)) == ["acted"] * failed + ["failed"] * failed


def test_runs_that_cannot_go_again_are_counted(api: ApiClient, engine: Engine, failed: int):
    # A failed step goes on in the version that it failed in, and in no other.
    job = replay(api, engine, version="newest")
    assert job["result"] == {"retried": 0, "refused": failed}


def test_replay_goes_on_where_it_was_stopped(
    api: ApiClient, engine: Engine, failed: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(replays, "_BATCH", 3)
    job = api.post("/runs/retry", {"rule": "fails", "where": "start"}, status=202)["job"]
    (claimed,) = engine.jobs.claim(1)
    with pytest.raises(Unfinished):
        claimed.task.function(JobContext(engine.jobs, claimed, stopping=lambda: True))
    engine.jobs.give_back(claimed)
    assert (api.get(f"/jobs/{job}")["done"], len(outcomes(api))) == (3, failed + 3)
    engine.queue.drain()
    assert (api.get(f"/jobs/{job}")["result"]["retried"], len(outcomes(api))) == (failed, 2 * failed)


def test_unknown_rule_has_nothing_to_go_again(api: ApiClient):
    assert api.call("POST", "/runs/retry", json={"rule": "none"}).status_code == 404
