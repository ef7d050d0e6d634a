"""Rules through the API: drafts, versions, switches, bulk, YAML, tests; nobody overwrites somebody else."""

from typing import Any

import pytest
from api_client import ApiClient
from engines import make_event, put_rule

from rules.engine import Engine

TEXT = """# why this rule exists
rule: call
when: {event: order.created}
then: [{do: tasks.create, with: {title: Call}}]
"""
DOCUMENT = {
    "rule": "call",
    "when": {"event": "order.created"},
    "then": [{"do": "tasks.create", "with": {"title": "x"}}],
}


@pytest.fixture
def draft(api: ApiClient) -> Any:
    return api.yaml("POST", "/rules", TEXT)


def test_rule_goes_from_draft_to_live(api: ApiClient, draft: Any, engine: Engine):
    assert (draft.status_code, draft.json["state"], draft.json["has_draft"]) == (201, "off", True)
    assert draft.headers["Location"] == "/api/v1/rules/call"
    told = api.post("/rules/call/publish", {"note": "first", "state": "on"})
    assert (told["version"], told["state"], told["draft"], told["text"]) == (1, "on", None, TEXT)
    engine.take([make_event(engine, "order.created", {"order": {"id": "1"}})])
    engine.drain()
    assert api.get("/runs?rule=call")["data"][0]["outcome"] == "acted"


def test_comments_of_yaml_are_kept(api: ApiClient, draft: Any):
    exported = api.call("GET", "/rules/call/export")
    assert (exported.get_data(as_text=True), exported.content_type) == (TEXT, "application/yaml")


def test_json_document_reads_back_equal(api: ApiClient):
    api.post("/rules", DOCUMENT, status=201)
    api.post("/rules/call/publish")
    assert api.get("/rules/call/versions/1")["document"] == DOCUMENT


def test_second_rule_of_a_name_conflicts(api: ApiClient, draft: Any):
    assert api.yaml("POST", "/rules", TEXT).status_code == 409


def test_wrong_draft_is_kept_and_explained(api: ApiClient):
    told = api.post("/rules", {**DOCUMENT, "then": [{"do": "no.such"}]}, status=201)
    assert [problem["severity"] for problem in told["problems"]] == ["error"]
    refused = api.call("POST", "/rules/call/publish")
    assert (refused.status_code, refused.json["code"]) == (422, "rule")
    assert refused.json["errors"][0]["pointer"].startswith("/then")


def test_stale_draft_is_not_overwritten(api: ApiClient, draft: Any):
    mark = {"If-Match": draft.headers["ETag"]}
    changed = api.call("PUT", "/rules/call/draft", json=DOCUMENT, headers=mark)
    late = api.call("PUT", "/rules/call/draft", json={**DOCUMENT, "about": "late"}, headers=mark)
    assert (changed.status_code, late.status_code, late.json["code"]) == (200, 412, "changed")
    assert "late" not in api.get("/rules/call")["draft"]
    assert changed.headers["ETag"] == api.call("GET", "/rules/call").headers["ETag"] != draft.headers["ETag"]


@pytest.mark.parametrize("step", ["publish", "enable", "watch", "restore"])
def test_stale_mark_stops_each_change(step: str, api: ApiClient, draft: Any):
    api.post("/rules/call/publish")
    body = {"version": 1} if step == "restore" else {}
    answer = api.call("POST", f"/rules/call/{step}", json=body, headers={"If-Match": '"stale"'})
    assert answer.status_code == 412


def test_switching_off_never_waits(api: ApiClient, engine: Engine):
    put_rule(engine, TEXT)
    answer = api.call("POST", "/rules/call/disable", headers={"If-Match": '"stale"'})
    assert (answer.status_code, answer.json["state"]) == (200, "off")


def test_draft_cannot_take_another_name(api: ApiClient, draft: Any):
    answer = api.call("PUT", "/rules/call/draft", json={**DOCUMENT, "rule": "other"})
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/rule")


def test_unpublished_rule_cannot_be_switched_on(api: ApiClient, draft: Any):
    assert api.call("POST", "/rules/call/enable").status_code == 409


def test_versions_can_be_compared_and_restored(api: ApiClient, draft: Any):
    api.post("/rules/call/publish")
    api.yaml("PUT", "/rules/call/draft", TEXT.replace("Call", "Ring"))
    assert "-then: [{do: tasks.create, with: {title: Call}}]\n+then" in api.get("/rules/call/diff")["diff"]
    api.post("/rules/call/publish")
    assert [row["version"] for row in api.get("/rules/call/versions")["data"]] == [2, 1]
    assert "Ring" in api.get("/rules/call/diff?from=1&to=2")["diff"]
    assert api.post("/rules/call/restore", {"version": 1})["draft"] == TEXT
    assert api.call("POST", "/rules/call/restore", json={"version": 9}).status_code == 404
    assert api.call("GET", "/rules/call/versions/x").status_code == 404


def test_archived_rule_leaves_the_list(api: ApiClient, engine: Engine):
    put_rule(engine, TEXT)
    api.delete("/rules/call")
    assert api.get("/rules")["data"] == []
    assert [(row["name"], row["state"]) for row in api.get("/rules?archived=true")["data"]] == [("call", "off")]


def test_rules_are_sorted_and_paged(api: ApiClient, engine: Engine):
    for name in ("b", "a", "c"):
        put_rule(engine, TEXT.replace("rule: call", f"rule: {name}"), "on" if name == "a" else "off")
    first = api.get("/rules?limit=2&sort=-name")
    second = api.get(f"/rules?limit=2&sort=-name&cursor={first['next']}")
    assert [row["name"] for row in first["data"] + second["data"]] == ["c", "b", "a"]
    assert api.call("GET", f"/rules?sort=name&cursor={first['next']}").status_code == 400
    assert [row["name"] for row in api.get("/rules?state=on")["data"]] == ["a"]
    assert api.call("GET", "/rules?sort=draft").status_code == 400


def test_trial_writes_and_sends_nothing(api: ApiClient, engine: Engine, draft: Any):
    engine.take([make_event(engine, "order.created", {"order": {"id": str(n)}}) for n in range(3)])
    told = api.post("/rules/call/test", {"last": 2})
    assert (told["events"], told["counts"]) == (2, {"acted": 2})
    given = api.post("/rules/call/test", {"event": {"type": "order.created", "data": {"order": {"id": "9"}}}})
    assert given["counts"] == {"acted": 1}
    assert (api.get("/runs")["data"], api.get("/effects")["data"]) == ([], [])


def test_bulk_switch_answers_for_each_rule(api: ApiClient, engine: Engine, draft: Any):
    put_rule(engine, TEXT.replace("rule: call", "rule: live"))
    body = {"names": ["live", "call", "none"], "state": "watching"}
    dry = api.post("/rules/bulk?dry_run=true", body)
    assert api.get("/rules/live")["state"] == "on"
    real = api.post("/rules/bulk", body)
    assert dry["data"] == real["data"]
    assert [(row["after"], row["problem"] and row["problem"]["status"]) for row in real["data"]] == [
        ("watching", None),
        (None, 409),  # never published
        (None, 404),
    ]
    assert api.get("/rules/live")["state"] == "watching"


def test_file_of_rules_comes_in_as_drafts(api: ApiClient, engine: Engine):
    put_rule(engine, TEXT)
    file = TEXT + "---\n" + TEXT.replace("rule: call", "rule: new") + "---\nrule: [\n---\nrule: Bad Name\n"
    dry = api.yaml("POST", "/rules/import?dry_run=true", file).json
    assert [row["result"] for row in dry["data"]] == ["same", "created", "refused", "refused"]
    assert api.call("GET", "/rules/new").status_code == 404
    assert api.yaml("POST", "/rules/import", file).json["data"] == dry["data"]
    assert api.get("/rules/new")["state"] == "off"
    exported = api.call("GET", "/exports/rules").get_data(as_text=True)
    assert [row["result"] for row in api.yaml("POST", "/rules/import", exported).json["data"]] == ["same", "same"]


def test_unknown_field_of_a_body_is_refused(api: ApiClient, draft: Any):
    answer = api.call("POST", "/rules/call/publish", json={"note": "x", "sate": "on"})
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/sate")


def test_rule_is_started_on_many_records(api: ApiClient, engine: Engine):
    put_rule(engine, "rule: call\nwhen: {form: {type: object}, on: customer}\nthen: [{stop: true}]\n")
    people = [{"external_id": f"c{number}", "name": f"Person {number}"} for number in range(3)]
    shop = lambda tx: engine.shop_of(tx, None, engine.clock.now(), "test")  # noqa: E731
    ids = [engine.writer.do(lambda tx, one=one: shop(tx).upsert_customer(one)).id for one in people]
    dry = api.post("/rules/call/start?dry_run=true", {"records": ids})
    assert (dry, api.get("/runs")["data"]) == ({"events": [], "started": 3, "dry_run": True}, [])
    told = api.post("/rules/call/start", {"records": ids}, status=202)
    engine.drain()
    assert {run["event"] for run in api.get("/runs?rule=call")["data"]} == set(told["events"])
    assert (len(told["events"]), told["started"], told["dry_run"]) == (3, 3, False)
    wrong = [({"records": [ids[0], "none"]}, 404), ({"records": [ids[0]] * 2}, 422), ({}, 422)]
    for query in ("", "?dry_run=true"):
        codes = [api.call("POST", f"/rules/call/start{query}", json=body).status_code for body, _ in wrong]
        assert codes == [code for _, code in wrong]
    assert len(api.get("/runs")["data"]) == 3


def test_rule_is_started_by_hand(api: ApiClient, engine: Engine):
    form = "{type: object, properties: {text: {type: string}}, required: [text]}"
    put_rule(
        engine,
        f"rule: hand\nwhen: {{form: {form}}}\nthen: [{{do: tasks.create, with: {{title: '{{{{ form.text }}}}'}}}}]\n",
    )
    api.post("/rules/hand/start", {"form": {"text": "Ring"}}, status=202)
    engine.drain()
    assert api.get("/effects")["data"][0]["params"]["title"] == "Ring"
    assert api.call("POST", "/rules/hand/start", json={"form": {}}).status_code == 422


def test_whole_number_may_be_written_with_a_point(api: ApiClient, draft: Any):
    address = f"/rules/{draft.json['name']}/test"
    assert api.call("POST", address, json={"last": 6.0}).status_code == 200
    assert api.call("POST", address, json={"last": 6.5}).status_code == 422
