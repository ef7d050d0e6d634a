"""The demo's plugin: its chat behaves like a real one, its action means what the chat says, its story fits the shop."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from demo_shops import NOW, demo_shop, play_past
from engines import make_engine, make_event

from core.capabilities import ActionCall
from core.effects import count_by_kind
from core.errors import Conflict, RejectedError, RemoteError, SignInError, TemporaryError
from core.shop.messages import find_messages
from plugins.demo.chat import MOST_BYTES, RATE, Answer, ChatProvider, mood_of
from rules.figures import read_figures
from rules.runs import count_outcomes

TOKEN = "right"


def text_of(mood: str) -> str:
    """Return a text that the chat with seed 1 answers in this mood."""
    return next(text for text in map(str, range(1000)) if mood_of(1, text)[0] == mood)


class Caller:
    """Posts to a chat that is not listening, as the server does."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.chat = ChatProvider(1, token=TOKEN, now_s=lambda: self.now_s)

    def __call__(self, text: str, *, key: str = "", token: str = TOKEN) -> Answer:
        headers = {"authorization": f"Bearer {token}", "idempotency-key": key or f"key of {text}"}
        return self.chat.answer(headers, json.dumps({"room": "orders", "text": text}).encode())


@pytest.fixture
def caller() -> Iterator[Caller]:
    caller = Caller()
    with caller.chat:
        yield caller


def test_wrong_token_is_refused(caller: Caller):
    assert caller(text_of("well"), token="wrong").status == 401
    assert caller.chat.messages == []


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b'{"room": "a", "text": "b"}'),  # without a key a repeat could not be told
        ({"idempotency-key": "k" * 256}, b'{"room": "a", "text": "b"}'),  # a key that is too long
        ({"idempotency-key": "k"}, b"not json"),
        ({"idempotency-key": "k"}, b'["room", "text"]'),
        ({"idempotency-key": "k"}, b'{"room": "a"}'),
        ({"idempotency-key": "k"}, b'{"room": "a", "text": 1}'),
    ],
)
def test_malformed_message_is_refused(caller: Caller, headers: dict[str, str], body: bytes):
    assert caller.chat.answer({"authorization": f"Bearer {TOKEN}", **headers}, body).status == 400


def test_same_key_posts_once(caller: Caller):
    text = text_of("well")
    first, second = caller(text, key="k"), caller(text, key="k")
    assert first.status == 201
    assert second == first
    assert len(caller.chat.messages) == 1
    assert caller(text, key="other").body != first.body


def test_moods_are_part_of_the_seed(caller: Caller):
    assert [caller(text_of("archived")).status for _ in range(3)] == [422, 422, 422]
    assert [caller(text_of("broken")).status for _ in range(2)] == [500, 201]
    busy = [caller(text_of("busy")) for _ in range(3)]
    assert [answer.status for answer in busy] == [429, 429, 201]
    assert busy[0].headers["Retry-After"] == "7"


def test_rate_is_limited_until_the_window_has_passed(caller: Caller):
    text = text_of("well")
    assert {caller(text, key=f"k{number}").status for number in range(RATE)} == {201}
    refused = caller(text, key="one more")
    assert (refused.status, refused.headers["Retry-After"]) == (429, "10")
    caller.now_s = 10.0
    assert caller(text, key="one more").status == 201


# The action


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[SimpleNamespace]:
    with demo_shop(tmp_path, seed=1) as shop:
        yield shop


def notify(shop: SimpleNamespace, text: str, key: str = "k") -> dict[str, Any]:
    action = shop.engine.host.find_action("demo.notify_chat")
    params = {"room": "orders", "text": text}
    event = make_event(shop.engine, "order.paid", {"order": {"id": "1"}})
    return shop.engine.invoker.call_outside(ActionCall(action=action, params=params, key=key, event=event))


def test_message_reaches_the_chat_once(shop: SimpleNamespace):
    text = text_of("well")
    assert notify(shop, text) == notify(shop, text) == {"object": "chat:msg-1", "message": "msg-1"}
    assert shop.chat.messages == [{"room": "orders", "text": text}]


@pytest.mark.parametrize(
    ("mood", "error", "after_s"),
    [("archived", RejectedError, None), ("broken", TemporaryError, None), ("busy", TemporaryError, 7.0)],
)
def test_refusal_means_what_the_chat_says(
    shop: SimpleNamespace, mood: str, error: type[RemoteError], after_s: float | None
):
    with pytest.raises(error) as caught:
        notify(shop, text_of(mood))
    assert getattr(caught.value, "after_s", None) == after_s


def test_changed_token_asks_a_person(shop: SimpleNamespace):
    shop.chat.token = "another"
    with pytest.raises(SignInError):
        notify(shop, text_of("well"))


def test_too_long_message_is_final(shop: SimpleNamespace):
    with pytest.raises(RejectedError, match="413"):
        notify(shop, "x" * MOST_BYTES)


def test_check_names_the_chat(shop: SimpleNamespace):
    settings = {"url": shop.chat.url, "token": shop.chat.token}
    assert shop.engine.invoker.check("demo", settings) == {"account": "Demo chat"}


@pytest.mark.parametrize(
    "url", ["http://192.0.2.1/messages", "http://chat.example/messages", "http://10.0.0.1/messages"]
)
def test_other_machines_are_never_called(shop: SimpleNamespace, url: str):
    with pytest.raises(RejectedError, match="this machine only"):
        shop.engine.invoker.check("demo", {"url": url, "token": "12345678"})


def test_real_shop_refuses_the_plugin(tmp_path: Path):
    engine = make_engine(tmp_path, plugins_on="demo")
    with pytest.raises(Conflict, match="demo mode only"):
        engine.host.enable("demo", actor="test")
    assert engine.host.get("demo").brought is None
    assert engine.host.get("demo").quarantine is None
    engine.close()


# The story


def picture(home: Path, seed: int) -> dict[str, Any]:
    """Play a past and return all of it that does not hold an id."""
    with demo_shop(home, seed=seed, days=3) as shop:
        steps = play_past(shop)
        with shop.engine.db.read() as conn:
            bodies = Counter(message["body"] for message in find_messages(conn, limit=10_000))
            figures = read_figures(conn, shop.now)
            chat = sorted(message["text"] for message in shop.chat.messages)
            told = {"runs": count_outcomes(conn), "effects": figures.effects, "events": figures.events}
            return {"steps": steps, "bodies": bodies, "chat": chat, **told}


def test_same_seed_and_moment_make_the_same_past(tmp_path: Path):
    first = picture(tmp_path / "a", seed=7)
    assert first == picture(tmp_path / "b", seed=7)
    assert first["bodies"] != picture(tmp_path / "c", seed=8)["bodies"]
    assert first["steps"] > 25


def test_past_ends_now_and_nothing_is_due(shop: SimpleNamespace):
    play_past(shop)
    assert shop.clock.now() == NOW
    with shop.engine.db.read() as conn:
        assert read_figures(conn, NOW).due == 0
        assert find_messages(conn, status="queued") == []
        assert set(count_by_kind(conn)) == {"message", "note", "tag", "task"}


def test_story_goes_on_where_it_stopped(tmp_path: Path):
    with demo_shop(tmp_path) as shop:
        whole = play_past(shop)
        with shop.engine.db.read() as conn:
            before = read_figures(conn, NOW).events
    with demo_shop(tmp_path) as shop:
        assert play_past(shop) == 0
        assert shop.player.done == whole
        happened = shop.player.play_next()
        assert (happened.told.number.isdigit(), shop.player.done) == (True, whole + 1)
        with shop.engine.db.read() as conn:
            assert read_figures(conn, NOW).events == before + len(happened.events)


def test_interrupted_past_is_taken_up_again(tmp_path: Path):
    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with demo_shop(tmp_path / "cut") as shop, pytest.raises(KeyboardInterrupt):
        shop.player.play_past(shop.clock, NOW, stop)
    ends = []
    for folder in ("cut", "whole"):
        with demo_shop(tmp_path / folder) as shop:
            play_past(shop)
            with shop.engine.db.read() as conn:
                ends.append((shop.player.done, count_outcomes(conn), read_figures(conn, NOW).effects))
    assert ends[0] == ends[1]


def test_other_seed_needs_a_fresh_shop(tmp_path: Path):
    with demo_shop(tmp_path) as shop:
        play_past(shop)
    with pytest.raises(Conflict, match="seed 7"), demo_shop(tmp_path, seed=8):
        pass


def test_step_that_no_longer_fits_is_left_out(shop: SimpleNamespace):
    play_past(shop)
    step = next(step for step in shop.player.story.steps(shop.player.done) if step["type"] == "order.shipped")
    order = {"external_id": step["key"], "number": "9", "status": "returned"}

    def give_back(tx: Any) -> None:
        for status in ("paid", "shipped", "returned"):
            known = shop.engine.shop_of(tx, None, NOW, "demo").find_order(step["key"], system="demo")
            wanted = {"id": known} if known else {key: order[key] for key in ("external_id", "number")}
            shop.engine.shop_of(tx, None, NOW, "demo").upsert_order({**wanted, "status": status})

    shop.engine.writer.do(give_back)
    told = [shop.player.play_next().told for _ in range(40)]
    assert None in told
    assert shop.player.play_next() is not None
