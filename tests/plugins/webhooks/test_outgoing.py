"""Webhooks that go out: through a rule and the engine to a receiver that checks them."""

import base64
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from databases import databases, place_database
from drain_once import run_killed
from engines import START, make_event, make_tables, put_rule
from structlog.testing import capture_logs

from core.accounts import Account, save_account
from core.clock import VirtualClock
from core.context import Context
from core.effects import list_effects
from core.http import Call, HttpClient
from core.settings import load_settings
from plugins import BUILTINS
from plugins.webhooks.fake import Answer, FakeReceiver
from plugins.webhooks.outgoing import message_id
from rules.engine import Engine, Parts
from rules.runs import get_run, list_runs

SENTINEL = "U0VOVElORUwtU0VDUkVULW9mLXdlYmhvb2tz"
SECRET = f"whsec_{SENTINEL}"
RULE = """
rule: tell-warehouse
when: {event: order.paid}
then:
  - do: webhooks.send
    account: warehouse
    with: {type: order.paid, body: {order: "{{ order.id }}", lines: "{{ order.lines }}"}}
owner: shop
"""
ORDER = {"order": {"id": "A-1", "lines": [{"sku": "X"}]}}


@dataclass(kw_only=True)
class Notes:
    """Keeps what the exchange log would."""

    calls: list[Call] = field(default_factory=list)

    def record(self, call: Call) -> None:
        self.calls.append(call)


@dataclass(kw_only=True)
class Shop:
    """An engine whose rule tells the receiver of paid orders."""

    engine: Engine
    clock: VirtualClock
    receiver: FakeReceiver
    notes: Notes

    def connect(self, account: str = "warehouse", **settings: str) -> None:
        schema = self.engine.host.get_on("webhooks").manifest["settings"]
        saved = Account(plugin="webhooks", name=account, settings={"secret": SECRET, **settings})
        self.engine.writer.do(
            lambda tx: save_account(tx, self.engine.secrets, schema, saved, actor="test", now=self.clock.now())
        )

    def pay(self) -> None:
        self.engine.take([make_event(self.engine, "order.paid", ORDER)])
        self.engine.drain()

    def wait_out(self, most: timedelta = timedelta(days=4)) -> list[timedelta]:
        """Move the clock from try to try until nothing is due; return when each was, after the start."""
        end, moments = self.clock.now() + most, []
        while (due := self.engine.runner.next_due()) is not None and due <= end:
            self.clock.set(max(due, self.clock.now()))
            moments.append(self.clock.now() - START)
            self.engine.drain()
        return moments

    @property
    def run(self) -> dict[str, Any]:
        with self.engine.db.read() as conn:
            return get_run(conn, list_runs(conn)[0]["id"])

    @property
    def effect(self) -> Any:
        with self.engine.db.read() as conn:
            (effect,) = list_effects(conn)
            return effect


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop that is connected to its warehouse's receiver."""
    clock, notes = VirtualClock(START), Notes()
    with FakeReceiver(SECRET, clock.now) as receiver:
        given = {
            "home": tmp_path,
            "synchronous": "off",
            "plugins_on": ("webhooks",),
            "allow_hosts": (receiver.address,),
        }
        parts = Parts(clock=clock, http=HttpClient(clock=clock, recorder=notes))
        place_database(tmp_path, make_tables)
        engine = Engine(load_settings(given, {}), BUILTINS, parts)
        engine.open()
        shop = Shop(engine=engine, clock=clock, receiver=receiver, notes=notes)
        shop.connect(url=receiver.url)
        put_rule(engine, RULE)
        yield shop
        engine.close()


def test_rule_sends_one_signed_message(shop: Shop):
    shop.pay()
    (got,) = shop.receiver.got
    assert got.body == {"type": "order.paid", "data": {"order": "A-1", "lines": [{"sku": "X"}]}}
    assert (got.id, got.timestamp) == (message_id(shop.effect.idempotency_key), int(START.timestamp()))
    assert re.fullmatch(r"msg_[0-9a-f]{32}", got.id)
    assert (shop.effect.state, shop.effect.kind, shop.effect.object) == ("done", "call", f"webhook:{got.id}")
    assert shop.receiver.refused == []
    assert shop.wait_out() == []


def test_retry_carries_the_same_id_and_a_fresh_timestamp(shop: Shop):
    shop.receiver.answers.append(Answer(status=500))
    shop.pay()
    shop.wait_out()
    first, second = shop.receiver.got
    assert (first.id, first.body) == (second.id, second.body)
    assert second.timestamp > first.timestamp
    # it answered 500 after doing the work, and knew the message again
    assert shop.receiver.worked == [first.id]
    assert (shop.effect.state, shop.effect.attempts, shop.effect.possible_duplicate) == ("done", 2, False)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=408),
        Answer(status=409),
        Answer(status=425),
        Answer(status=429),
        Answer(status=502),
        Answer(status=503, headers={"Content-Type": "text/html"}, body=b"<html>down</html>"),
        Answer(status=200, body=b"half", breaks="cut"),
        Answer(breaks="reset"),
    ],
    ids=lambda answer: answer.breaks or str(answer.status),
)
def test_trouble_that_may_pass_is_tried_again(shop: Shop, answer: Answer):
    shop.receiver.answers.append(answer)
    shop.pay()
    assert shop.effect.state == "started"
    shop.wait_out()
    assert (shop.effect.state, len(shop.receiver.got), len(shop.receiver.worked)) == ("done", 2, 1)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "answered 400"),
        (401, "sign in again"),
        (404, "answered 404"),
        (410, "wants no more of these"),
        (302, "follow no redirect"),
    ],
)
def test_refusal_is_final_and_says_why(shop: Shop, status: int, words: str):
    shop.receiver.answers.append(Answer(status=status, headers={"Location": "/elsewhere"}))
    shop.pay()
    assert shop.wait_out() == []
    assert (len(shop.receiver.got), shop.effect.state, shop.run["outcome"]) == (1, "failed", "failed")
    assert words in shop.effect.reason


def test_wish_of_the_receiver_is_kept(shop: Shop):
    shop.receiver.answers.append(Answer(status=429, headers={"Retry-After": "3600"}, works=False))
    shop.pay()
    assert shop.wait_out() == [timedelta(hours=1)]
    assert shop.effect.state == "done"


def test_page_instead_of_json_still_counts_as_taken(shop: Shop):
    shop.receiver.answers.append(Answer(status=200, headers={"Content-Type": "text/html"}, body=b"<html>ok</html>"))
    shop.pay()
    assert (shop.effect.state, len(shop.receiver.got)) == ("done", 1)


def test_receiver_that_never_recovers_ends_as_failed(shop: Shop):
    shop.receiver.answers.extend([Answer(status=503)] * 30)
    shop.pay()
    moments = shop.wait_out()
    assert timedelta(hours=40) < moments[-1] < timedelta(hours=70)
    assert (shop.effect.state, shop.run["outcome"], len({got.id for got in shop.receiver.got})) == (
        "failed",
        "failed",
        1,
    )


def test_either_secret_is_right_during_a_change(shop: Shop):
    shop.connect(
        secret="whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=", previous_secret=SECRET, url=shop.receiver.url
    )
    shop.pay()
    (got,) = shop.receiver.got
    assert len(got.headers["webhook-signature"].split(" ")) == 2


@pytest.mark.parametrize(
    ("settings", "url", "words"),
    [
        # signed with this account's secret, but for somebody else
        ({"url": "https://warehouse.example/hook"}, "https://evil.example/hook", "must be on warehouse.example"),
        ({"url": "https://warehouse.example/hook"}, "https://warehouse.example:444/hook", "must be on"),
        ({}, "", "with.url: is missing"),
        ({}, "http://169.254.169.254/latest", "address not allowed"),
        ({}, "file:///etc/passwd", "address not allowed"),
        # the other way round: this account takes in, it cannot send
        ({"scheme": "shopify", "secret": "hush"}, "https://warehouse.example/", "must be standard_webhooks"),
        ({"secret": "whsec_"}, "https://warehouse.example/", "must be whsec_"),
    ],
)
def test_message_for_the_wrong_place_is_not_sent(shop: Shop, settings: dict[str, str], url: str, words: str):
    shop.connect("other", **settings)
    send = RULE.replace("account: warehouse", "account: other").replace("with: {", f'with: {{url: "{url}", ')
    put_rule(shop.engine, send)
    shop.pay()
    assert words in shop.effect.reason
    assert shop.notes.calls == [] or "169.254" in shop.effect.params["url"]


def test_secret_is_found_nowhere_after_errors(shop: Shop, tmp_path: Path):
    signature = b'{"error": "bad signature, the secret is ' + SECRET.encode() + b'"}'
    echo = {"Content-Type": "application/json"}
    shop.receiver.answers.extend(Answer(status=status, headers=echo, body=signature) for status in (500, 429, 401))
    with capture_logs() as logs:
        shop.pay()
        shop.wait_out()
    shop.connect("broken", secret=SECRET + "!")
    put_rule(shop.engine, RULE.replace("account: warehouse", "account: broken"))
    shop.pay()
    shop.engine.close()
    forms = [SECRET, SENTINEL, quote(SECRET, safe=""), base64.b64encode(SECRET.encode()).decode().rstrip("=")]
    forms += [
        base64.b64decode(SENTINEL).decode(),
        shop.receiver.got[0].headers["webhook-signature"].removeprefix("v1,"),
    ]
    stored = databases.content(tmp_path)
    seen = stored.decode("latin-1") + repr(logs) + repr(shop.notes.calls)
    assert "bad signature" in seen
    assert [form for form in forms if form in seen] == []


@pytest.mark.parametrize(("point", "deliveries"), [("run.before_call", 1), ("run.after_call", 2)])
def test_killed_process_sends_under_the_same_id(shop: Shop, tmp_path: Path, point: str, deliveries: int):
    shop.engine.take([make_event(shop.engine, "order.paid", ORDER)])
    assert run_killed(point, tmp_path, "webhooks", shop.receiver.address) == -signal.SIGKILL
    shop.engine.runner.release_own()
    shop.engine.drain()
    assert [got.id for got in shop.receiver.got] == [message_id(shop.effect.idempotency_key)] * deliveries
    # the receiver knows it again, so the repeat is none
    assert (len(shop.receiver.worked), shop.effect.state, shop.effect.possible_duplicate) == (1, "done", False)


def test_preview_says_where_it_goes(shop: Shop):
    action = shop.engine.host.find_action("webhooks.send")
    assert action is not None
    assert action.preview is not None
    ctx = Context(plugin="webhooks", now=START, log=None, settings={"url": "https://warehouse.example/hook?token=x"})
    told = action.preview(ctx, {"type": "order.paid", "body": {}})
    assert told["text"]["en"] == "Sends order.paid to warehouse.example"
