"""Events and runs from the command line: handed in, worked off, explained, decided."""

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import RULE, CommandLine
from engines import make_engine

from core.clock import SystemClock, VirtualClock

CLOUD = {"specversion": "1.0", "id": "1", "source": "/site", "type": "order.approved"}
DATA = {"order": {"id": "7", "total": {"amount": "250", "currency": "TRY"}}}


def work_off(shop: CommandLine) -> None:
    """Do what an engine beside the command line would do."""
    engine = make_engine(shop.home, clock=VirtualClock(SystemClock().now()))
    engine.drain()
    engine.close()


@pytest.fixture
def thanks(shop: CommandLine, tmp_path: Path) -> CommandLine:
    """A shop with one rule that is on."""
    return with_rule(shop, tmp_path, RULE.format(name="thanks"))


def with_rule(shop: CommandLine, folder: Path, text: str) -> CommandLine:
    path = folder / "rule.yaml"
    path.write_text(text)
    assert shop("rules", "publish", str(path), "--state", "on").code == 0
    return shop


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (json.dumps({"type": "order.approved", "data": DATA}), 1),  # the short form
        (json.dumps([{"type": "order.approved", "data": DATA}] * 3), 3),  # a list
        (json.dumps({"type": "order.approved", "data": DATA}) + "\n" + json.dumps({**CLOUD, "data": DATA}), 2),  # lines
        (json.dumps({**CLOUD, "data": DATA}, indent=1), 1),  # a CloudEvent
        (json.dumps([{**CLOUD, "id": str(place), "data": DATA} for place in range(3)]), 3),  # a batch of them
        (json.dumps([{"type": "order.approved", "data": DATA}] * 1100), 1100),  # more than one portion
    ],
)
def test_events_are_taken_in_every_form(shop: CommandLine, tmp_path: Path, text: str, count: int):
    path = tmp_path / "events.json"
    path.write_text(text)
    told = shop.json("events", "send", str(path))
    assert [row["status"] for row in told] == ["accepted"] * count
    assert len(shop.json("events", "tail", "--limit", "1000")) == min(count, 1000)


@pytest.mark.parametrize(
    ("text", "code", "error"),
    [
        ("{", 2, "JSON"),  # no JSON
        ("7", 2, ""),  # no event
        ("{}", 2, "type"),  # nothing in it
        (json.dumps({"type": "no.such", "data": {}}), 2, "no event type 'no.such'"),  # nobody brings it
        (json.dumps({"type": "order.approved", "data": {"order": 7}}), 2, "data.order"),  # data of another kind
        (json.dumps({**CLOUD, "specversion": "9", "data": DATA}), 2, "specversion"),  # another standard
    ],
)
def test_bad_event_is_refused_in_words(shop: CommandLine, text: str, code: int, error: str):
    answer = shop("events", "send", "-", stdin=text)
    assert answer.code == code, answer.out
    assert error in answer.out + answer.err
    assert "Traceback" not in answer.err
    assert shop.json("events", "tail") == []


def test_good_events_pass_beside_bad_ones(shop: CommandLine):
    lines = [
        json.dumps({"type": "order.approved", "data": DATA}),
        '{"type": 7',
        json.dumps({"type": "no.such", "data": {}}),
    ]
    told = shop.json("events", "send", "-", stdin="\n".join(lines), code=1)
    assert [row["status"] for row in told] == ["accepted", "refused", "refused"]


def test_repeated_event_is_taken_once(thanks: CommandLine):
    one = ("events", "send", "--type", "order.approved", "--data", json.dumps(DATA), "--id", "a-1")
    first, second = thanks.json(*one)[0], thanks.json(*one)[0]
    assert (first["status"], first["rules"]) == ("accepted", ["thanks"])
    assert (second["status"], second["rules"]) == ("duplicate", [])
    assert len(thanks.json("runs", "list")) == 1


def test_dry_send_starts_nothing(thanks: CommandLine):
    told = thanks.json("events", "send", "--type", "order.approved", "--data", json.dumps(DATA), "--dry-run", code=6)
    assert told[0]["rules"] == ["thanks"]
    assert thanks.json("events", "tail") == []
    assert thanks.json("runs", "list") == []


def test_event_run_and_effect_are_explained(thanks: CommandLine, sent_orders: int):
    work_off(thanks)
    small, big = (event["id"] for event in thanks.json("events", "tail")[::-1])
    (run,) = thanks.json("runs", "list", "--rule", "thanks", "--outcome", "acted")
    assert run["event"] == big
    assert [verdict["verdict"] for verdict in thanks.json("events", "show", small)["verdicts"]] == ["stopped"]
    assert "it was" in thanks("why", "--rule", "thanks", "--event", small).out
    assert thanks.json("why", "--rule", "thanks", "--order", "7")["verdict"] == "acted"
    (effect,) = thanks.json("effects", "--kind", "message")
    assert effect["run"] == run["id"]
    assert thanks.json("effects", "--object", effect["object"]) == [effect]
    assert thanks.json("runs", "show", run["id"])["effects"][0]["object"] == effect["object"]
    assert "messages.send" in thanks("runs", "show", run["id"]).out


def test_tail_filters_and_shows_the_newest_last(shop: CommandLine, sent_orders: int):
    assert [event["key"] for event in shop.json("events", "tail")] == ["7", "8"]
    assert [event["key"] for event in shop.json("events", "tail", "--key", "7")] == ["7"]
    assert shop.json("events", "tail", "--type", "order.created") == []
    assert shop("events", "show", "lost").code == 3


ASKING = RULE.format(name="thanks") + "limits: {ask: true}\n"


def test_held_run_is_approved_or_refused(shop: CommandLine, tmp_path: Path):
    with_rule(shop, tmp_path, ASKING)
    for order in ("a", "b"):
        data: dict[str, Any] = {"order": {**DATA["order"], "id": order}}
        shop("events", "send", "--type", "order.approved", "--data", json.dumps(data), "--key", order)
    work_off(shop)
    held = {run["key"]: run["id"] for run in shop.json("runs", "list", "--outcome", "held")}
    assert shop("runs", "approve", held["a"], "--dry-run").code == 6
    assert shop("runs", "approve", held["a"]).code == 0
    assert shop("runs", "refuse", held["b"]).code == 0
    assert shop("runs", "refuse", held["b"]).code == 5
    work_off(shop)
    assert [effect["state"] for effect in shop.json("effects", "--run", held["a"])] == ["done"]
    assert [effect["state"] for effect in shop.json("effects", "--run", held["b"])] == ["skipped"]


def test_waiting_run_is_cancelled_and_retried(shop: CommandLine, tmp_path: Path):
    with_rule(shop, tmp_path, RULE.format(name="thanks").replace("then:\n", "then:\n  - wait: 3 days\n"))
    shop("events", "send", "--type", "order.approved", "--data", json.dumps(DATA))
    work_off(shop)
    (run,) = shop.json("runs", "list")
    assert (run["status"], shop("runs", "retry", run["id"]).code) == ("waiting", 5)
    assert shop("runs", "cancel", run["id"], "--reason", "by hand").code == 0
    assert shop.json("runs", "show", run["id"])["reason"] == "by hand"
    (again,) = shop.json("runs", "retry", run["id"], "--from", "start")
    assert again["now"] != run["id"]
    assert shop("rules", "disable", "thanks", "--stop-runs").code == 0
    assert {one["outcome"] for one in shop.json("runs", "list")} == {"cancelled"}


def test_one_bad_name_leaves_all_runs_alone(thanks: CommandLine, sent_orders: int):
    (run,) = thanks.json("runs", "list")
    assert thanks("runs", "cancel", run["id"], "lost").code == 3
    assert thanks.json("runs", "show", run["id"])["outcome"] == "waiting"


def test_pause_holds_until_resumed(thanks: CommandLine, sent_orders: int):
    thanks("pause", "--reason", "wrong prices", "--still", "payment")
    work_off(thanks)
    assert thanks.json("effects") == []
    assert any("wrong prices" in row["message"] for row in thanks.json("doctor") if row["state"] == "warning")
    assert thanks.json("resume", "--dry-run", code=6)["ended"]["reason"] == "wrong prices"
    assert thanks.json("resume")["paused"] is False
    assert thanks.json("resume") == {"paused": False, "ended": None}
