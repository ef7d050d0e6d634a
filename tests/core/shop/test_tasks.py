"""Tasks and messages: once for a key, and forwards only."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import permutations

import pytest
from shop_records import NOON, Records

from core.errors import Conflict, InvalidInput, NotFound
from core.shop.messages import find_message_id, find_messages, get_message
from core.shop.tables import messages, tasks
from core.shop.tasks import find_tasks, get_task

CALL = {"title": "Call", "text": "About the order", "due": "2026-01-16T09:00:00+03:00", "priority": "high"}
HELLO = {"channel": "sms", "address": "+905321234567", "body": "Hello", "idempotency_key": "run-1/2"}


def create(records: Records, wanted=CALL, **more):
    return records.do(lambda shop: shop.create_task(dict(wanted) | more, system="site"))


def test_task_is_stored_linked_and_told(records):
    order = records.do(lambda shop: shop.upsert_order({"external_id": "o-1", "customer": "u-1"})).id
    elif_id = records.do(lambda shop: shop.upsert_staff({"email": "elif@shop.example", "name": "Elif"})).id
    records.tells()
    change = create(records, customer="u-1", order=order, assignee="Elif@shop.example", rule="r", run="n")
    stored = records.read(lambda conn: get_task(conn, change.id))
    assert (stored["assignee"], stored["order"], stored["status"]) == (elif_id, order, "open")
    assert stored["due"] == "2026-01-16T06:00:00+00:00"
    [told] = records.told
    assert (told.type, told.data["task"]) == ("task.created", stored)
    assert told.data["order"]["id"] == order
    assert told.customer == told.data["customer"]["id"] == stored["customer"]


def test_key_creates_one_task(records):
    first = create(records, idempotency_key="run-1/0")
    again = create(records, idempotency_key="run-1/0", title="Other words")
    assert (again.id, again.created) == (first.id, False)
    assert records.tells() == ["task.created"]
    assert create(records).id != create(records).id


def test_fifty_deliveries_of_one_key_make_one_task(records):
    records.writer.start()
    try:
        with ThreadPoolExecutor(50) as pool:
            done = list(pool.map(lambda _: create(records, idempotency_key="k").id, range(50)))
    finally:
        records.writer.stop()
    assert len(set(done)) == 1
    assert records.count(tasks) == 1


def test_task_is_done_once_and_opened_again(records):
    task = create(records).id
    for _ in range(2):
        records.do(lambda shop: shop.close_task(task, by="elif@shop.example"))
    with pytest.raises(Conflict):
        records.do(lambda shop: shop.close_task(task, status="canceled"))
    records.do(lambda shop: shop.reopen_task(task))
    assert records.tells() == ["task.created", "task.done", "task.reopened"]
    assert [found["id"] for found in records.read(lambda conn: find_tasks(conn, status="open"))] == [task]


def test_task_changes_alone_are_told(records):
    task = create(records).id
    records.tells()
    records.do(lambda shop: shop.change_task(task, {"priority": "low", "title": "Call", "due": None}))
    assert records.told[0].data["changes"] == {
        "task.priority": {"from": "high", "to": "low"},
        "task.due": {"from": "2026-01-16T06:00:00+00:00", "to": None},
    }
    records.do(lambda shop: shop.change_task(task, {"priority": "low"}))
    assert records.tells() == ["task.changed"]


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ({"title": ""}, "task.title"),  # nobody would know what to do
        ({"title": None}, "task.title"),  # nothing
        ({"title": "x", "priority": "now"}, "task.priority"),  # no such priority
        ({"title": "x", "due": "tomorrow"}, "task.due"),  # words
        ({"title": "x", "due": "2026-01-01T00:00"}, "task.due"),  # no zone
        ({"title": "x", "due": "9999-12-31T23:59:59+00:00"}, "task.due"),  # too far
        ({"title": "x", "status": "done"}, "task.status"),  # is not created done
    ],
)
def test_wrong_task_is_refused(records, wanted, path):
    with pytest.raises(InvalidInput) as refused:
        records.do(lambda shop: shop.create_task(wanted))
    assert refused.value.path == path


def test_unknown_task_is_not_found(records):
    for wrong in (lambda shop: shop.close_task("none"), lambda shop: shop.set_message_status("none", "sent")):
        with pytest.raises(NotFound):
            records.do(wrong)


def test_message_is_queued_once_and_sent(records):
    first = records.do(lambda shop: shop.queue_message(HELLO | {"customer": "u-1"}))
    assert records.do(lambda shop: shop.queue_message(HELLO)).id == first.id
    assert records.count(messages) == 1
    assert records.read(lambda conn: find_messages(conn, customer="u-1"))[0]["status"] == "queued"
    records.later(minutes=1)
    records.do(lambda shop: shop.set_message_status(first.id, "sent", external_id="x-9"))
    stored = records.read(lambda conn: get_message(conn, first.id))
    assert stored["sent_at"] == (NOON + timedelta(minutes=1)).isoformat()
    assert records.read(lambda conn: find_message_id(conn, channel="sms", external_id="x-9")) == first.id
    assert records.tells() == ["message.sent"]


def test_receipts_in_any_order_end_the_same(records):
    for number, way in enumerate(permutations(["sent", "delivered", "sent"])):
        wanted = HELLO | {"idempotency_key": str(number)}
        message = records.do(lambda shop, wanted=wanted: shop.queue_message(wanted)).id
        for status in way:
            records.do(lambda shop, message=message, status=status: shop.set_message_status(message, status))
        assert records.read(lambda conn, message=message: get_message(conn, message))["status"] == "delivered"


def test_captured_message_is_never_sent(records):
    message = records.do(lambda shop: shop.queue_message(HELLO | {"status": "captured"})).id
    change = records.do(lambda shop: shop.set_message_status(message, "sent"))
    assert change.ignored
    assert records.tells() == []


def test_bounce_is_told_with_its_reason(records):
    person = records.do(lambda shop: shop.upsert_customer({"external_id": "u-1", "name": "Elif"}), quiet=True).id
    message = records.do(lambda shop: shop.queue_message(HELLO | {"customer": "u-1"})).id
    records.do(lambda shop: shop.set_message_status(message, "failed", error="mailbox full"))
    [told] = records.told
    assert (told.type, told.customer, told.data["message"]["error"]) == ("message.failed", person, "mailbox full")
