"""What foreign code wants written: kept in its order, as it was meant, and nothing after its time."""

import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from core.context import Context
from core.errors import InvalidInput, PluginError
from core.events import Catalogue, EventType
from core.kept import Kept


class Book:
    """A shop or store that notes what is done to it."""

    size = 3

    def __init__(self) -> None:
        self.done: list[Any] = []

    def find_order(self, key: str) -> str:
        return f"order {key}"

    def get(self, key: str, default: Any = None) -> Any:
        return default

    def put(self, key: str, value: Any) -> None:
        self.done.append((key, value))

    def refuse(self) -> None:
        raise InvalidInput("key", "is wrong")


@pytest.fixture
def ctx() -> Context:
    book: Any = Book()
    emit = lambda type, data, **more: book.done.append((type, data, more))  # noqa: E731 - used once
    now = datetime(2026, 3, 2, tzinfo=UTC)
    return Context(plugin="p", now=now, log=None, shop=book, store=book, emit=emit, conn=object())  # type: ignore[arg-type]


def test_writes_come_later_in_their_order(ctx: Context) -> None:
    with Kept(plugin="p") as kept:
        aside: Any = kept.stand_in(ctx)
        aside.shop.put("a", 1)
        aside.emit("order.paid", {"n": 2}, key="k")
        aside.store.put("b", value=3)
        assert ctx.shop.done == []
        assert aside.conn is None
    kept.apply(ctx)
    assert ctx.shop.done == [("a", 1), ("order.paid", {"n": 2}, {"key": "k"}), ("b", 3)]


def test_questions_are_answered_at_once(ctx: Context) -> None:
    asked: list[Any] = []
    with Kept(plugin="p") as kept:
        aside: Any = kept.stand_in(ctx)
        assert (aside.shop.find_order("1"), aside.store.get("x", default=7)) == ("order 1", 7)
        other: Any = kept.stand_in(ctx, lambda *question: asked.append(question))
        other.shop.find_order("1")
    assert asked == [("shop", "find_order", ("1",), {})]
    kept.apply(ctx)
    assert ctx.shop.done == []


def test_write_is_kept_as_it_was_meant(ctx: Context) -> None:
    told = {"n": [1]}
    with Kept(plugin="p") as kept:
        kept.stand_in(ctx).shop.put("a", told)
        told["n"].append(2)
    kept.apply(ctx)
    assert ctx.shop.done == [("a", {"n": [1]})]


def test_nothing_is_taken_after_the_call(ctx: Context) -> None:
    errors: list[PluginError] = []
    with Kept(plugin="p") as kept:
        aside: Any = kept.stand_in(ctx)
        aside.shop.put("a", 1)

    def linger() -> None:
        for late in (lambda: aside.shop.put("b", 2), lambda: aside.shop.find_order("1"), lambda: aside.emit("x", {})):
            try:
                late()
            except PluginError as exc:
                errors.append(exc)

    left_behind = threading.Thread(target=linger)
    left_behind.start()
    left_behind.join()
    kept.apply(ctx)
    assert (ctx.shop.done, len(errors)) == ([("a", 1)], 3)
    assert "after the call" in errors[0].message


def test_code_that_raised_is_shut_out_too(ctx: Context) -> None:
    kept = Kept(plugin="p")
    with pytest.raises(ZeroDivisionError), kept:
        raise ZeroDivisionError
    with pytest.raises(PluginError, match="after the call"):
        kept.stand_in(ctx).shop.put("a", 1)


@pytest.mark.parametrize("write", [lambda aside: aside.shop.put("a", 1), lambda aside: aside.emit("x", {})])
def test_flood_is_refused(ctx: Context, write: Any) -> None:
    with Kept(plugin="p") as kept:
        aside = kept.stand_in(ctx)
        for _ in range(1_000):
            write(aside)
        with pytest.raises(PluginError, match="more than 1000 writes"):
            write(aside)


@pytest.mark.parametrize("name", ["_conn", "__class_getitem__", "missing", "size"])
def test_only_public_methods_are_handed_on(ctx: Context, name: str) -> None:
    with Kept(plugin="p") as kept, pytest.raises(AttributeError):
        getattr(kept.stand_in(ctx).shop, name)


def test_wrong_event_is_refused_as_it_is_emitted(ctx: Context) -> None:
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    kind = EventType(name="n.drawn", title={"en": "N"}, schema=schema, sample={"n": 1}, plugin="p")
    catalogue = Catalogue()
    catalogue.add([kind])
    with Kept(plugin="p", catalogue=catalogue) as kept:
        aside: Any = kept.stand_in(ctx)
        for type, data in (("n.drawn", {"n": "seven"}), ("n.unknown", {}), ("n.drawn", {"n": 1, "o": object()})):
            with pytest.raises(PluginError, match=f"emitted a wrong {type}"):
                aside.emit(type, data)
        aside.emit("n.drawn", {"n": 1})
    kept.apply(ctx)
    assert ctx.shop.done == [("n.drawn", {"n": 1}, {})]


def test_refused_write_names_what_is_wrong(ctx: Context) -> None:
    with Kept(plugin="p") as kept:
        aside: Any = kept.stand_in(ctx)
        aside.shop.put("a", 1)
        aside.shop.refuse()
        aside.shop.put("b", 2)
    with pytest.raises(InvalidInput, match="key"):
        kept.apply(ctx)
    assert ctx.shop.done == [("a", 1)]
