"""Events in and out: single, batched, CloudEvents in three modes, duplicates, refusals, verdicts."""

import json
import threading
from typing import Any

import pytest
from api_client import ApiClient
from engines import put_rule

from rules.engine import Engine
from web.paging import MOST

ORDER = {"order": {"id": "A-1", "city": "Ankara"}, "customer": {"id": "c1", "phone": "+905321112233"}}
RULE = """rule: {}
when: {{event: order.created}}
if: [{{field: order.city, is: equal, value: Ankara}}]
then: [{{stop: true}}]
"""


def order_event(**more: Any) -> dict[str, Any]:
    return {"type": "order.created", "data": ORDER, **more}


def test_one_event_starts_its_rules(api: ApiClient, engine: Engine):
    put_rule(engine, RULE.format("a"))
    told = api.post("/events", order_event(id="1"), status=202)
    assert (told["status"], told["rules"], told["external_id"]) == ("accepted", ["a"], "1")
    kept = api.get(f"/events/{told['id']}")
    assert (kept["data"], kept["key"], kept["customer"]) == (ORDER, "A-1", "c1")


def test_same_event_is_taken_once(api: ApiClient):
    first = api.post("/events", order_event(id="1", source="/till"), status=202)
    again = api.post("/events", order_event(id="1", source="/till"), status=202)
    other = api.post("/events", order_event(id="1", source="/site"), status=202)
    assert (again["status"], again["id"], other["status"]) == ("duplicate", first["id"], "accepted")
    assert len(api.get("/events")["data"]) == 2


def test_each_event_of_a_batch_answers_for_itself(api: ApiClient):
    batch = [
        order_event(id="1"),
        order_event(id="1"),
        {"type": "no.such"},
        {"type": "order.created", "data": {"order": 1}},
    ]
    told = api.post("/events", batch, status=202)
    assert [row["status"] for row in told["data"]] == ["accepted", "duplicate", "refused", "refused"]
    assert (told["accepted"], told["duplicates"], told["refused"]) == (1, 1, 2)
    assert told["data"][0]["id"] == told["data"][1]["id"]
    assert [error["pointer"] for error in told["data"][2]["problem"]["errors"]] == ["/2/type"]
    assert told["data"][3]["problem"]["errors"][0]["pointer"].startswith("/3/data/order")


def test_dry_run_of_events_takes_nothing_in(api: ApiClient, engine: Engine):
    put_rule(engine, RULE.format("a"))
    known = api.post("/events", order_event(id="1"), status=202)
    told = api.post("/events?dry_run=true", [order_event(id="1"), order_event(id="2"), {"type": "no.such"}])
    seen = [(row["status"], row["id"], row["rules"]) for row in told["data"]]
    assert seen == [("duplicate", known["id"], []), ("accepted", None, ["a"]), ("refused", None, [])]
    assert api.post("/events?dry_run=true", order_event(id="2"))["status"] == "accepted"
    engine.drain()
    assert (len(api.get("/events")["data"]), len(api.get("/runs")["data"])) == (1, 1)


def test_batch_without_a_good_event_is_refused(api: ApiClient):
    answer = api.call("POST", "/events", json=[{"type": "no.such"}, {"type": 1}])
    assert (answer.status_code, [error["pointer"] for error in answer.json["errors"]]) == (422, ["/0/type", "/1/type"])
    assert api.get("/events")["data"] == []


def test_501_events_are_too_many(api: ApiClient):
    assert api.call("POST", "/events", json=[order_event()] * 501).status_code == 400
    assert api.post("/events", [order_event(id=str(n)) for n in range(500)], status=202)["accepted"] == 500


def test_cloudevents_come_in_three_modes(api: ApiClient):
    event = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.created", "subject": "K", "data": ORDER}
    structured = api.call("POST", "/events", data=json.dumps(event), content_type="application/cloudevents+json")
    batch = json.dumps([{**event, "id": "2"}])
    batched = api.call("POST", "/events", data=batch, content_type="application/cloudevents-batch+json")
    headers = {"ce-specversion": "1.0", "ce-id": "3", "ce-source": "/shop", "ce-type": "order.created"}
    binary = api.call("POST", "/events", json=ORDER, headers=headers)
    assert [answer.status_code for answer in (structured, batched, binary)] == [202, 202, 202]
    kept = api.get("/events?source=/shop")["data"]
    assert [(row["external_id"], row["key"]) for row in kept] == [("3", "A-1"), ("2", "K"), ("1", "K")]


@pytest.mark.parametrize("name", ["rule.webhook", "rule.scheduled", "rule.started", "rule.called", "run.failed"])
def test_events_of_the_engine_itself_cannot_be_forged(name: str, api: ApiClient):
    answer = api.call("POST", "/events", json={"type": name, "data": {"rule": "a"}})
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/type")


def test_unknown_field_of_an_event_is_refused(api: ApiClient):
    answer = api.call("POST", "/events", json=order_event(prioritty=1))
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/prioritty")


def test_personal_data_needs_its_scope(api: ApiClient, client_with: Any):
    event = api.post("/events", order_event(), status=202)["id"]
    narrow = client_with("events:read")
    assert api.get(f"/events/{event}")["data"]["customer"]["phone"] == "+905321112233"
    assert "905321112233" not in narrow.call("GET", f"/events/{event}").get_data(as_text=True)


def test_pages_follow_each_other_without_gap(api: ApiClient):
    api.post("/events", [order_event(id=str(n)) for n in range(7)], status=202)
    seen, cursor = [], ""
    while True:
        page = api.get(f"/events?limit=3{cursor}")
        seen += [row["external_id"] for row in page["data"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == [str(n) for n in reversed(range(7))]
    assert api.call("GET", f"/events?limit={MOST + 1}").status_code == 400


def test_rows_can_be_narrowed_to_fields(api: ApiClient):
    api.post("/events", order_event(), status=202)
    assert api.get("/events?fields=type,key")["data"] == [{"type": "order.created", "key": "A-1"}]
    assert api.call("GET", "/events?fields=data").status_code == 400


def test_verdicts_name_each_rule_that_could_hear(api: ApiClient, engine: Engine):
    put_rule(engine, RULE.format("hears"))
    put_rule(engine, RULE.format("misses").replace("Ankara", "Bursa"))
    event = api.post("/events", order_event(), status=202)["id"]
    engine.drain()
    told = {row["rule"]: row for row in api.get(f"/events/{event}/verdicts")["data"]}
    assert (told["hears"]["verdict"], told["misses"]["verdict"]) == ("stopped", "stopped")
    assert "run" in told["hears"]
    assert "run" not in told["misses"]
    why = api.get(f"/why?rule=misses&event={event}")
    assert "Bursa" in json.dumps(why)
    assert api.get("/why?rule=misses&order=A-1")["event"] == event
    assert api.call("GET", "/why?rule=misses").status_code == 400


def test_answer_comes_only_after_the_commit(api: ApiClient, engine: Engine):
    seen: list[int] = []
    take = engine.intake.take

    def look_from_outside(tx: Any, events: Any) -> Any:
        taken = take(tx, events)
        with engine.db.read() as conn:
            seen.append(conn.exec_driver_sql("SELECT count(*) FROM events").scalar_one())
        return taken

    engine.intake.take = look_from_outside  # type: ignore[method-assign]
    api.post("/events", order_event(), status=202)
    with engine.db.read() as conn:
        after = conn.exec_driver_sql("SELECT count(*) FROM events").scalar_one()
    assert (seen, after) == ([0], 1)


def test_senders_at_once_lose_and_double_nothing(engine: Engine, api: ApiClient):
    engine.writer.start()

    def send() -> None:
        client = ApiClient(api.app, api.token)
        for number in range(20):
            client.post("/events", order_event(id=str(number)), status=202)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(api.get("/events")["data"]) == 20
