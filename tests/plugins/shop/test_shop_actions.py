"""Actions over a real shop: done once, on the event's subject, and taken back."""

from collections.abc import Callable
from typing import Any

import pytest
from shop_records import Records
from sqlalchemy import select

from core.context import Context
from core.errors import Conflict, InvalidInput, NotFound
from core.schemas import compile_schema
from core.shop.identity import find_customer_id
from core.shop.notes import find_notes
from core.shop.snapshots import snapshot_customer, snapshot_order
from core.shop.tables import customers, reservations, tasks
from core.shop.tasks import find_tasks, get_task
from plugins.shop.actions import ACTIONS

BY_NAME = {action["name"]: action for action in ACTIONS}
SUBJECT = {"customer": "u-1", "order": None, "key": "o-1", "source": "olist"}


def act(records: Records, name: str, params: dict[str, Any], *, key: str = "run-1/0", **subject: str | None):
    """Run an action as the engine does: params and result are checked, and the shop speaks as the plugin."""
    action = BY_NAME[name]
    compile_schema(action["params"]).check(params, path="with")
    result = within(records, lambda ctx: action["run"](ctx, params), key=key, **subject)
    compile_schema(action["result"]).check(result, path="result")
    said = within(records, lambda ctx: action["preview"](ctx, params), key=key, **subject)
    assert set(said["text"]) == {"en", "tr", "ru"}
    return result


def undo(records: Records, name: str, result: dict[str, Any]) -> None:
    within(records, lambda ctx: BY_NAME[name]["undo"](ctx, result), key="undo")


def within(records: Records, call: Callable[[Context], Any], *, key: str, **subject: str | None) -> Any:
    def write(shop: Any) -> Any:
        about = SUBJECT | subject
        return call(
            Context(
                plugin="shop", now=records.now, log=None, shop=shop, conn=shop.conn, idempotency_key=key, subject=about
            )
        )

    return records.do(write, source="vitrin/shop")


def customer_of(records: Records, reference: str = "u-1") -> dict[str, Any]:
    ours = records.read(lambda conn: find_customer_id(conn, reference))
    return records.read(lambda conn: snapshot_customer(conn, str(ours)))


@pytest.fixture
def order(records) -> str:
    wanted = {"external_id": "o-1", "customer": {"external_id": "u-1", "name": "Elif", "city": "Van"}}
    return records.do(lambda shop: shop.upsert_order(wanted), source="olist", quiet=True).id


def test_task_is_created_once_for_the_events_people(records, order):
    result = act(records, "tasks.create", {"title": "Call", "priority": "high", "role": "manager"}, order="o-1")
    assert result["object"] == f"task:{result['task']}"
    again = act(records, "tasks.create", {"title": "Call"}, order="o-1")
    assert again["task"] == result["task"]
    task = records.read(lambda conn: get_task(conn, result["task"]))
    assert (task["customer"], task["order"], task["role"]) == (customer_of(records)["id"], order, "manager")
    assert records.count(tasks) == 1
    undo(records, "tasks.create", result)
    assert records.read(lambda conn: find_tasks(conn, status="open")) == []
    assert records.tells() == ["task.created", "task.canceled"]


def test_task_without_anybody_is_fine(records):
    result = act(records, "tasks.create", {"title": "Sweep"}, customer=None)
    assert "customer" not in records.read(lambda conn: get_task(conn, result["task"]))


def test_unknown_customer_gets_a_stub_of_the_events_source(records):
    first = act(records, "customers.add_tag", {"tag": "vip"})
    second = act(records, "customers.add_tag", {"tag": "new"}, key="run-2/0")
    act(records, "tasks.create", {"title": "Call"})
    assert first["object"] == second["object"]
    assert records.count(customers) == 1
    stub = customer_of(records)
    assert (stub["tags"], stub["external_ids"]) == (["new", "vip"], {"olist": "u-1"})
    assert "customer.created" not in records.tells()


def test_tag_is_undone_only_where_it_was_added(records, order):
    first = act(records, "customers.add_tag", {"tag": "vip"})
    again = act(records, "customers.add_tag", {"tag": "vip"}, key="run-2/0")
    assert (first["changed"], again["changed"]) == (True, False)
    undo(records, "customers.add_tag", again)
    assert customer_of(records)["tags"] == ["vip"]
    undo(records, "customers.add_tag", first)
    assert customer_of(records)["tags"] == []
    removed = act(records, "customers.remove_tag", {"tag": "vip"})
    undo(records, "customers.remove_tag", removed)
    assert customer_of(records)["tags"] == []


def test_customer_is_changed_and_restored(records, order):
    wanted = {"set": {"city": "Bursa", "email": "e@shop.example", "fields": {"size": 4}}}
    result = act(records, "customers.update", wanted)
    assert customer_of(records)["city"] == "Bursa"
    assert [told.data["changes"].keys() for told in records.told] == [
        {"customer.city", "customer.email", "customer.fields.size"}
    ]
    undo(records, "customers.update", result)
    person = customer_of(records)
    assert (person["city"], person["fields"], "email" in person) == ("Van", {}, False)
    with pytest.raises(InvalidInput) as refused:
        act(records, "customers.update", {"set": {"phone": "x"}})
    assert refused.value.path == "set.phone"


def test_status_moves_along_the_machine_and_back(records, order):
    result = act(records, "orders.change_status", {"status": "canceled"}, order="o-1")
    assert result["undo"] == {"order": order, "status": "new"}
    undo(records, "orders.change_status", result)
    assert records.read(lambda conn: snapshot_order(conn, order))["status"] == "new"
    act(records, "orders.change_status", {"status": "delivered", "order": order})
    with pytest.raises(Conflict):
        act(records, "orders.change_status", {"status": "paid", "order": order})


def test_order_is_tagged_and_noted_once(records, order):
    tagged = act(records, "orders.add_tag", {"tag": "gift"}, order="o-1")
    noted, _again = (act(records, "orders.add_note", {"text": "Wrap it"}, order="o-1") for _ in range(2))
    assert records.read(lambda conn: snapshot_order(conn, order))["tags"] == ["gift"]
    assert len(records.read(lambda conn: find_notes(conn, "order", order))) == 1
    undo(records, "orders.add_tag", tagged)
    undo(records, "orders.add_note", noted)
    assert records.read(lambda conn: snapshot_order(conn, order))["tags"] == []
    assert records.read(lambda conn: find_notes(conn, "order", order)) == []


def test_stock_is_reserved_once_and_released(records):
    records.do(lambda shop: shop.upsert_product({"sku": "A", "name": "Case"}))
    records.do(lambda shop: shop.set_stock({"sku": "A", "on_hand": 3}))
    held, _again = (act(records, "stock.reserve", {"sku": "A", "quantity": 2}, order="o-1") for _ in range(2))
    with pytest.raises(Conflict):
        act(records, "stock.reserve", {"sku": "A", "quantity": 2}, key="run-2/0")
    assert act(records, "stock.release", {"reservation": held["reservation"]})["changed"]
    undo(records, "stock.reserve", held)
    states = records.read(lambda conn: conn.execute(select(reservations.c.state)).scalars().all())
    assert states == ["released"]


@pytest.mark.parametrize(
    ("name", "params", "error"),
    [
        ("customers.add_tag", {"tag": "x"}, InvalidInput),  # the event names no customer
        ("orders.change_status", {"status": "paid"}, InvalidInput),  # nor an order
        ("orders.change_status", {"status": "paid", "order": "o-404"}, NotFound),  # an order nobody knows
        ("stock.reserve", {"sku": "none"}, NotFound),  # a product nobody knows
    ],
)
def test_missing_subject_is_named(records, name, params, error):
    with pytest.raises(error):
        act(records, name, params, customer=None)
    assert records.count(customers) == 0
