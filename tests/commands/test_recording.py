"""A folder of CSV files becomes events: small folders written here, and the real one."""

import csv
import gzip
import io
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from acceptance.olist.expected import expected
from shared_files import data

from commands.recording import Recording
from core.errors import InvalidInput

HEADERS = {
    "orders": "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,"
    "order_delivered_carrier_date,order_delivered_customer_date,order_estimated_delivery_date",
    "customers": "customer_id,customer_unique_id,customer_zip_code_prefix,customer_city,customer_state",
    "order_items": "order_id,order_item_id,product_id,seller_id,shipping_limit_date,price,freight_value",
    "order_payments": "order_id,payment_sequential,payment_type,payment_installments,payment_value",
    "order_reviews": "review_id,order_id,review_score,review_comment_title,review_comment_message,"
    "review_creation_date,review_answer_timestamp",
    "products": "product_id,product_category_name,product_weight_g,product_length_cm,product_height_cm,"
    "product_width_cm",
}
CREATED = "2018-05-01 10:00:00"
ORDER = f"o1,c1,delivered,{CREATED},2018-05-01 10:05:00,2018-05-02 09:00:00,2018-05-07 18:30:00,2018-05-20 00:00:00"
REVIEW = "r1,o1,4,,Bom,2018-05-08 00:00:00,2018-05-09 12:00:00"
SHOP: dict[str, list[str]] = {
    "orders": [ORDER],
    "customers": ["c1,person,01409,sao paulo,SP"],
    "order_items": [
        "o1,2,unlisted,s1,2018-05-05 00:00:00,0.1,7",
        "o1,1,p1,s1,2018-05-05 00:00:00,99.9,27.65",
    ],
    "order_payments": ["o1,2,voucher,1,34.65", "o1,1,credit_card,6,100"],
    "order_reviews": [REVIEW],
    "products": ["p1,artes,1000,30,18,20.0"],
}


def write_folder(folder: Path, **changes: list[str]) -> Path:
    """Write the small shop with some tables replaced; return its folder."""
    folder.mkdir(exist_ok=True)
    for noun, header in HEADERS.items():
        lines = [header, *changes.get(noun, SHOP[noun])]
        (folder / f"{noun}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def write_orders(folder: Path, *rows: str) -> Recording:
    """Return a recording of these orders alone, all of customer c1."""
    return Recording(write_folder(folder, orders=list(rows), order_items=[], order_payments=[], order_reviews=[]))


def steps(recording: Recording) -> list[tuple[str, str]]:
    return [(event["key"], event["type"]) for event in recording.events()]


def last_data(recording: Recording, type_: str) -> dict[str, Any]:
    return [event["data"] for event in recording.events() if event["type"] == type_][-1]


def test_life_of_order_becomes_events(tmp_path: Path) -> None:
    events = list(Recording(write_folder(tmp_path)).events())
    assert [(event["id"], event["time"].isoformat()) for event in events] == [
        ("o1/order.created", "2018-05-01T13:00:00+00:00"),
        ("o1/order.approved", "2018-05-01T13:05:00+00:00"),
        ("o1/order.shipped", "2018-05-02T12:00:00+00:00"),
        ("o1/order.delivered", "2018-05-07T21:30:00+00:00"),
        ("o1/r1/review.created", "2018-05-09T15:00:00+00:00"),
    ]
    assert {(event["key"], event["customer"], event["source"]) for event in events} == {("o1", "person", "recording")}


def test_order_data_is_whole_and_exact(tmp_path: Path) -> None:
    order = last_data(Recording(write_folder(tmp_path)), "order.approved")["order"]
    unlisted = dict.fromkeys(("category", "weight_g", "length_cm", "height_cm", "width_cm"))
    assert order == {
        "id": "o1",
        "status": "approved",
        "created_at": "2018-05-01T13:00:00Z",
        "approved_at": "2018-05-01T13:05:00Z",
        "shipped_at": None,
        "delivered_at": None,
        "estimated_delivery": "2018-05-20T03:00:00Z",
        "estimated_delivery_date": "2018-05-20",
        "items": [
            {
                "line": 1,
                "product": {
                    "id": "p1",
                    "category": "artes",
                    "weight_g": 1000,
                    "length_cm": 30,
                    "height_cm": 18,
                    "width_cm": 20,
                },
                "seller": "s1",
                "price": {"amount": "99.90", "currency": "BRL"},
                "freight": {"amount": "27.65", "currency": "BRL"},
            },
            {
                "line": 2,
                "product": {"id": "unlisted", **unlisted},
                "seller": "s1",
                "price": {"amount": "0.10", "currency": "BRL"},
                "freight": {"amount": "7.00", "currency": "BRL"},
            },
        ],
        "payments": [
            {
                "sequence": 1,
                "kind": "credit_card",
                "instalments": 6,
                "amount": {"amount": "100.00", "currency": "BRL"},
            },
            {"sequence": 2, "kind": "voucher", "instalments": 1, "amount": {"amount": "34.65", "currency": "BRL"}},
        ],
        "items_total": {"amount": "100.00", "currency": "BRL"},
        "freight_total": {"amount": "34.65", "currency": "BRL"},
        "paid_total": {"amount": "134.65", "currency": "BRL"},
    }


def test_review_carries_order_and_customer(tmp_path: Path) -> None:
    found = last_data(Recording(write_folder(tmp_path)), "review.created")
    assert found["review"] == {
        "id": "r1",
        "score": 4,
        "title": None,
        "message": "Bom",
        "created_at": "2018-05-08T03:00:00Z",
    }
    assert found["order"]["status"] == "delivered"
    assert found["customer"] == {"id": "person", "city": "sao paulo", "state": "SP", "zip": "01409"}


def test_ties_follow_life_then_order_id(tmp_path: Path) -> None:
    rows = [f"{name},c1,canceled,{CREATED},{CREATED},,," for name in ("o2", "o1")]
    reviews = [f"{name},o1,1,,,{CREATED},{CREATED}" for name in ("r2", "r1")]
    recording = Recording(write_folder(tmp_path, orders=rows, order_items=[], order_reviews=reviews, order_payments=[]))
    life = ["order.created", "order.approved", "order.canceled"]
    assert steps(recording) == [("o1", step) for step in [*life, "review.created", "review.created"]] + [
        ("o2", step) for step in life
    ]
    events = list(recording.events())
    assert [event["id"] for event in events[3:5]] == ["o1/r1/review.created", "o1/r2/review.created"]
    # What comes later in the same second is not known yet.
    assert (events[0]["data"]["order"]["status"], events[0]["data"]["order"]["approved_at"]) == ("created", None)


CLOSINGS = [
    # status, approved, shipped, moment of closing in UTC
    ("canceled", "", "", "2018-05-01T13:00:00+00:00"),
    ("unavailable", "2018-05-03 10:00:00", "", "2018-05-03T13:00:00+00:00"),
    ("canceled", "2018-05-03 10:00:00", "2018-05-02 10:00:00", "2018-05-03T13:00:00+00:00"),  # times out of order
]


@pytest.mark.parametrize(("status", "approved", "shipped", "moment"), CLOSINGS)
def test_closing_comes_at_latest_time(tmp_path: Path, status: str, approved: str, shipped: str, moment: str) -> None:
    recording = write_orders(tmp_path, f"o1,c1,{status},{CREATED},{approved},{shipped},,2018-05-20 00:00:00")
    last = list(recording.events())[-1]
    assert (last["type"], last["time"].isoformat()) == (f"order.{status}", moment)
    assert last["data"]["order"]["status"] == status


def test_status_never_goes_back(tmp_path: Path) -> None:
    row = f"o1,c1,shipped,{CREATED},2018-05-03 10:00:00,2018-05-02 10:00:00,,"
    found = {event["type"]: event["data"]["order"] for event in write_orders(tmp_path, row).events()}
    assert [(type_, order["status"]) for type_, order in found.items()] == [
        ("order.created", "created"),
        ("order.shipped", "shipped"),
        ("order.approved", "shipped"),
    ]
    assert found["order.shipped"]["approved_at"] is None
    assert found["order.approved"]["estimated_delivery"] is None


LOCAL_TIMES = [
    # local time, zone, UTC
    ("2017-10-15 00:30:00", "America/Sao_Paulo", "2017-10-15T03:30:00"),  # skipped: offset before the gap
    ("2018-02-17 23:30:00", "America/Sao_Paulo", "2018-02-18T01:30:00"),  # doubled: the first
    ("2018-02-18 00:00:00", "America/Sao_Paulo", "2018-02-18T03:00:00"),
    ("2026-03-29 02:30:00", "Europe/Berlin", "2026-03-29T01:30:00"),  # skipped
    ("2026-10-25 02:30:00", "Europe/Berlin", "2026-10-25T00:30:00"),  # doubled
    ("2018-05-01T10:00:00", "Europe/Istanbul", "2018-05-01T07:00:00"),
]


@pytest.mark.parametrize(("local", "zone", "moment"), LOCAL_TIMES)
def test_local_times_become_moments(tmp_path: Path, local: str, zone: str, moment: str) -> None:
    row = f"o1,c1,created,{local},,,,{local}"
    folder = write_folder(tmp_path, orders=[row], order_items=[], order_payments=[], order_reviews=[])
    event = next(Recording(folder, None, ZoneInfo(zone)).events())
    assert event["time"] == datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert event["data"]["order"]["estimated_delivery"] == moment + "Z"
    assert event["data"]["order"]["estimated_delivery_date"] == local[:10]


def test_same_review_of_several_orders(tmp_path: Path) -> None:
    orders = [ORDER, ORDER.replace("o1", "o2", 1)]
    reviews = [REVIEW, REVIEW.replace("o1", "o2", 1)]
    events = list(Recording(write_folder(tmp_path, orders=orders, order_reviews=reviews)).events())
    assert [event["id"] for event in events][-2:] == ["o1/r1/review.created", "o2/r1/review.created"]


def test_customers_come_once_each(tmp_path: Path) -> None:
    people = ["c1,twice,2,later,RJ", "c2,twice,1,first,SP", "c3,never,3,elsewhere,AC"]
    orders = [ORDER, ORDER.replace("o1,c1", "o2,c2").replace(CREATED, "2018-01-01 10:00:00")]
    recording = Recording(write_folder(tmp_path, customers=people, orders=orders))
    assert list(recording.customers()) == [
        {"id": "never", "city": "elsewhere", "state": "AC", "zip": "3"},
        {"id": "twice", "city": "first", "state": "SP", "zip": "1"},
    ]


def test_events_can_be_skipped(tmp_path: Path) -> None:
    recording = Recording(write_folder(tmp_path))
    whole = list(recording.events())
    assert recording.count == len(whole) == 5
    for start in range(7):
        assert list(recording.events(start=start)) == whole[start:]
    with pytest.raises(InvalidInput, match="start"):
        next(recording.events(start=-1))


def test_published_names_and_quotes_are_read(tmp_path: Path) -> None:
    plain = write_folder(tmp_path / "plain")
    kaggle = tmp_path / "kaggle"
    kaggle.mkdir()
    for noun in HEADERS:
        with (plain / f"{noun}.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        text = io.StringIO(newline="")
        csv.writer(text, quoting=csv.QUOTE_ALL).writerows([row[::-1] for row in rows])
        packed = noun == "orders"
        path = kaggle / f"olist_{noun}_dataset.csv{'.gz' if packed else ''}"
        content = text.getvalue().encode("utf-8-sig")
        path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    assert list(Recording(kaggle).events()) == list(Recording(plain).events())


def test_products_come_from_another_folder(tmp_path: Path) -> None:
    shop, other = write_folder(tmp_path / "shop", products=[]), write_folder(tmp_path / "other")
    items = [last_data(Recording(shop, products), "order.created")["order"]["items"] for products in (None, other)]
    assert [found[0]["product"]["weight_g"] for found in items] == [None, 1000]
    (shop / "products.csv").unlink()
    with pytest.raises(InvalidInput, match="--products"):
        Recording(shop)


def test_message_may_span_lines(tmp_path: Path) -> None:
    review = REVIEW.replace("Bom", '"Bom, ""muito""\nbom  "')
    wrong = "r2,o1,five,,,2018-05-08 00:00:00,2018-05-09 12:00:00"
    found = last_data(Recording(write_folder(tmp_path, order_reviews=[review])), "review.created")
    assert found["review"]["message"] == 'Bom, "muito"\nbom  '
    with pytest.raises(InvalidInput, match=r"order_reviews.csv row 3, column review_score: .* 'five'"):
        Recording(write_folder(tmp_path, order_reviews=[review, wrong]))


BAD_CELLS = [
    # table, its rows, row and column named, expectation named
    ("orders", [ORDER.replace("2018-05-01 10:05:00", "yesterday")], "row 2, column order_approved_at", "local time"),
    ("orders", [ORDER.replace("2018-05-01 10:05:00", "2018-02-30 10:05:00")], "order_approved_at", "calendar"),
    ("orders", [ORDER.replace("2018-05-01 10:05:00", "2018-05-01 10:05:00+02:00")], "order_approved_at", "local"),
    ("orders", [ORDER.replace("2018-05-01 10:05:00", "9999-12-31 23:00:00")], "order_approved_at", "UTC"),
    ("orders", [ORDER.replace(CREATED, " ")], "row 2, column order_purchase_timestamp", "found ' '"),
    ("orders", [ORDER.replace("delivered", "lost", 1)], "column order_status", "one of created, approved"),
    ("orders", [ORDER.replace("c1", "c2")], "column customer_id", "customers file"),
    ("orders", [ORDER.replace("o1", "a/b")], "column order_id", "slash"),
    ("orders", [ORDER, ORDER], "row 3, column order_id", "no earlier row"),
    ("orders", [ORDER, "o2,c1,created"], "row 3", "expected 8 as in the header"),
    ("customers", [*SHOP["customers"], *SHOP["customers"]], "row 3, column customer_id", "no earlier row"),
    ("customers", ["c1,,01409,sao paulo,SP"], "column customer_unique_id", "found nothing"),
    ("order_items", ["o9,1,p1,s1,,1,1"], "row 2, column order_id", "an order of the orders file, found 'o9'"),
    ("order_items", ["o1,1,p1,s1,,1,1", "o1,1,p1,s1,,1,1"], "row 3, column order_item_id", "line number"),
    ("order_items", ["o1,one,p1,s1,,1,1"], "column order_item_id", "whole number, found 'one'"),
    ("order_items", ["o1,1,p1,s1,,1e3,1"], "column price", "amount such as 99.90, found '1e3'"),
    ("order_items", ["o1,1,p1,s1,,nan,1"], "column price", "amount"),
    ("order_items", ["o1,1,p1,s1,,1,-1"], "column freight_value", "amount"),
    ("order_items", ["o1,1,p1,s1,,1,0.005"], "column freight_value", "amount"),
    ("order_items", ["o1,1,p1,s1,,1," + "9" * 5000], "column freight_value", "and more"),
    ("order_items", ["o1,\u0661,p1,s1,,1,1"], "column order_item_id", "whole number"),  # a digit, but not ours
    ("order_payments", ["o1,1,voucher,,1"], "column payment_installments", "found nothing"),
    ("order_payments", ["o1,1,voucher,1,1", "o1,1,voucher,1,1"], "row 3, column payment_sequential", "not had"),
    ("order_payments", ["o9,1,voucher,1,1"], "column order_id", "orders file"),
    ("order_reviews", [REVIEW, REVIEW], "row 3, column review_id", "not had"),
    ("order_reviews", [REVIEW.replace(",4,", ",4.5,")], "column review_score", "whole number"),
    ("order_reviews", [REVIEW.replace("2018-05-09 12:00:00", "")], "column review_answer_timestamp", "nothing"),
    ("order_reviews", ['r1,o1,4,"open'], "order_reviews.csv", "well-formed CSV"),
    ("products", ["p1,artes,-5,30,18,20"], "column product_weight_g", "whole number"),
    ("products", ["p1,,,,,", "p1,,,,,"], "row 3, column product_id", "no earlier row"),
]


@pytest.mark.parametrize(("table", "rows", "place", "wanted"), BAD_CELLS)
def test_wrong_cell_is_named(tmp_path: Path, table: str, rows: list[str], place: str, wanted: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Recording(write_folder(tmp_path, **{table: rows}))
    assert caught.value.path.startswith(f"{table}.csv")
    assert place in caught.value.path
    assert wanted in caught.value.reason
    assert len(caught.value.message) < 300


BAD_FILES = [
    # content of customers.csv, what the error says
    (b"", "column customer_id"),
    (b"customer_id,customer_unique_id,customer_city,customer_state\n", "customer_zip_code_prefix: expected this"),
    (HEADERS["customers"].encode() + b",customer_id\n", "found it 2 times"),
    (HEADERS["customers"].encode() + b"\nc1,person,1,s\xe3o paulo,SP\n", "is not UTF-8"),
]


@pytest.mark.parametrize(("content", "wanted"), BAD_FILES)
def test_wrong_file_is_named(tmp_path: Path, content: bytes, wanted: str) -> None:
    (write_folder(tmp_path) / "customers.csv").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"customers\.csv") as caught:
        Recording(tmp_path)
    assert wanted in caught.value.message


@pytest.mark.parametrize("content", [b"not gzip", gzip.compress(HEADERS["customers"].encode(), mtime=0)[:-9]])
def test_broken_archive_is_named(tmp_path: Path, content: bytes) -> None:
    (write_folder(tmp_path) / "customers.csv").unlink()
    (tmp_path / "customers.csv.gz").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"customers.csv.gz: cannot be read"):
        Recording(tmp_path)


def test_missing_and_doubled_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is not a folder"):
        Recording(tmp_path / "nowhere")
    shop = write_folder(tmp_path / "shop")
    (shop / "olist_orders_dataset.csv").write_text(HEADERS["orders"], encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"orders.csv, olist_orders_dataset.csv\); keep one"):
        Recording(shop)
    (shop / "orders.csv").unlink()
    (shop / "olist_orders_dataset.csv").unlink()
    with pytest.raises(InvalidInput, match=r"shop/orders.csv: no such file"):
        Recording(shop)


def test_empty_shop_has_no_events(tmp_path: Path) -> None:
    recording = Recording(write_folder(tmp_path, **{noun: [] for noun in HEADERS}))
    assert (recording.count, list(recording.events()), list(recording.customers())) == (0, [], [])


def test_real_folder_has_every_event_once() -> None:
    folder = data("olist")
    recording = Recording(folder)
    ids: set[str] = set()
    types: Counter[str] = Counter()
    before = datetime.min.replace(tzinfo=UTC)
    for event in recording.events():
        assert before <= event["time"]
        before = event["time"]
        ids.add(event["id"])
        types[event["type"]] += 1
    counts = expected(folder)
    assert len(ids) == recording.count == types.total() == counts["events"]
    assert types["order.approved"] == counts["acted"]["thank-you"]


MEASURE = """
import re, sys
from pathlib import Path
from commands.recording import Recording
events = sum(1 for _ in Recording(Path(sys.argv[1])).events())
peak_kb = re.search(r"VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1]
print(events, int(peak_kb) // 1024)
"""


# Not ru_maxrss: a child started by a big process takes over its parent's peak.
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
def test_real_folder_needs_little_memory() -> None:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", MEASURE, str(data("olist"))]
    answer = subprocess.run(command, cwd=root, capture_output=True, check=True, timeout=100)
    events, peak_mb = map(int, answer.stdout.split())
    assert events > 0
    assert peak_mb < 150
