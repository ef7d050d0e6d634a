"""Events are stored once and read back the same; the catalogue knows which plugin brings which type."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from homes import NOON
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from core.db import Database, metadata
from core.errors import InvalidInput, NotFound
from core.events import Catalogue, Event, EventType, find_event, insert_events, text_at
from core.ids import new_id
from core.schemas import compile_schema
from core.tables import events


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    db = Database(database_url, synchronous="off")
    metadata.create_all(db.engine)
    yield db
    db.close()


def make(ident: str = "", **more: Any) -> Event:
    fields = {"source": "shop", "external_id": ident or new_id(), "type": "a.b", "time": NOON, "received_at": NOON}
    return Event(**{"id": new_id(), "key": None, "customer": None, "data": {}, **fields, **more})


def insert(db: Database, *new: Event) -> set[str]:
    with db.write() as conn:
        return insert_events(conn, new)


def count(db: Database) -> int:
    with db.read() as conn:
        return conn.execute(select(func.count()).select_from(events)).scalar_one()


def test_event_reads_back_as_it_was_written(db: Database) -> None:
    event = make(
        key="A-1",
        customer="c",
        data={
            "city": "İzmir",
            "n": 2**63 - 1,
            "f": 0.1,
            "none": None,
            "deep": [{"x": [True]}],
            "emoji": "🛒",
            "nul": "a\0b",
        },
        time=datetime(2026, 1, 15, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=3))),
        depth=3,
        cause="run",
    )
    assert insert(db, event) == {event.id}
    with db.read() as conn:
        found = find_event(conn, event.id)
    assert found == event
    assert found is not None
    assert list(found.data) == list(event.data)  # in the order in which it came
    assert found.time.utcoffset() == timedelta(0)


def test_same_source_and_id_is_stored_once(db: Database) -> None:
    first, again, other = make("5"), make("5", data={"x": 1}), make("5", source="till")
    assert insert(db, first, again, other) == {first.id, other.id}
    assert insert(db, again) == set()
    assert insert(db, again, make("6")) != set()
    assert count(db) == 3
    with db.read() as conn:
        assert find_event(conn, again.id) is None
        assert find_event(conn, "nothing") is None


def test_nothing_is_stored_from_nothing(db: Database) -> None:
    assert insert(db) == set()


BATCHES = st.lists(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 6)), max_size=8), max_size=5)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(BATCHES)
def test_each_id_is_new_exactly_once(db: Database, batches: list[list[tuple[str, int]]]) -> None:
    run = new_id()
    new: list[tuple[str, int]] = []
    for batch in batches:
        made = [make(f"{run}/{number}", source=source) for source, number in batch]
        fresh = insert(db, *made)
        new += [pair for pair, event in zip(batch, made, strict=True) if event.id in fresh]
    assert sorted(new) == sorted({pair for batch in batches for pair in batch})


# path, text
TEXTS = [
    ("order.id", "A1"),
    ("order.number", "5"),
    ("order.zero", "0"),
    ("order.flag", "False"),
    ("order.none", None),
    ("order.gone", None),
    ("order", None),  # an object is no name
    ("order.list", None),
    ("order.id.x", None),
    ("", None),
    ("order.list.0", None),
]


@pytest.mark.parametrize(("path", "text"), TEXTS)
def test_text_at_a_path_is_read_or_none(path: str, text: str | None) -> None:
    order = {"id": "A1", "number": 5, "zero": 0, "flag": False, "none": None, "list": ["x"]}
    assert text_at({"order": order}, path) == text


# The catalogue


def kind(name: str, plugin: str = "p", **schema: Any) -> EventType:
    whole = {"type": "object", **schema}
    titles = {"en": name, "tr": name, "ru": name}
    return EventType(name=name, title=titles, schema=whole, sample={}, plugin=plugin, checker=compile_schema(whole))


def test_types_come_and_go_with_their_plugin() -> None:
    catalogue = Catalogue()
    catalogue.add([kind("b.x", "two"), kind("a.x", "one"), kind("c.x", "one")])
    assert [each.name for each in catalogue] == ["a.x", "b.x", "c.x"]
    catalogue.remove("one")
    assert [each.name for each in catalogue] == ["b.x"]
    assert catalogue.find("a.x") is None
    with pytest.raises(NotFound, match="no event type 'a.x': is the plugin that brings it switched on"):
        catalogue.get("a.x")


def test_two_plugins_cannot_claim_one_name() -> None:
    catalogue = Catalogue()
    catalogue.add([kind("a.x", "one")])
    with pytest.raises(InvalidInput, match="a.x: is already an event of the plugin one"):
        catalogue.add([kind("b.x", "two"), kind("a.x", "two")])
    assert [each.name for each in catalogue] == ["a.x"]  # all or nothing
    newer = replace(kind("a.x", "one"), key="order.id")
    catalogue.add([newer])  # its own, again
    assert catalogue.get("a.x").key == "order.id"


def test_data_is_checked_with_the_place_named() -> None:
    catalogue = Catalogue()
    catalogue.add(
        [kind("a.x", required=["id"], properties={"id": {"type": "string"}}), replace(kind("b.x"), checker=None)]
    )
    assert catalogue.check("a.x", {"id": "5"}).name == "a.x"
    assert catalogue.check("b.x", {"anything": [1]}).name == "b.x"
    for data, words in (
        ({}, "data.id: is required"),
        ({"id": 5}, "data.id: must be text"),
        ([], "data: must be an object"),
        (None, "data: must"),
    ):
        with pytest.raises(InvalidInput, match=words):
            catalogue.check("a.x", data)
    with pytest.raises(NotFound):
        catalogue.check("c.x", {})
