"""Imports from end to end: dry run, run, errors by row, pause, kills in the middle, and hostile text in every cell."""

import csv
import gzip
import io
import itertools
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import import_node
import pytest
from import_node import ImportNode
from shared_files import data, vectors
from sqlalchemy import func, select

from core.errors import Conflict, InvalidInput, NotFound
from core.imports import work
from core.imports.tables import import_rows, imports
from core.job_context import JobContext, perform
from core.jobs import LEASE
from core.shop.tables import customers, order_lines, orders, places, prices, products, stock, variants

HEADER = "external_id;name;phone;city;fields.note\n"
MAPPING = ["external_id", "name", "phone", "city", "fields.note"]


def count(node: ImportNode, table: Any) -> int:
    return node.read(lambda conn: conn.execute(select(func.count()).select_from(table)).scalar_one())


def people(first: int, last: int, *, city: str = "İzmir") -> str:
    return HEADER + "".join(f"c{n};Müşteri {n};+90532{n:07d};{city};note {n}\n" for n in range(first, last))


def uploaded(node: ImportNode, content: str | bytes, kind: str = "customers", **options: Any) -> str:
    ident = node.upload(content, kind, **options)
    if kind == "customers":
        node.imports.choose(ident, mapping=MAPPING, actor="elif")
    return ident


def errors(node: ImportNode, ident: str) -> list[dict[str, str]]:
    file = io.StringIO(newline="")
    node.imports.write_errors(ident, file)
    return list(csv.DictReader(io.StringIO(file.getvalue(), newline="")))


def test_customers_are_new_then_unchanged_then_updated(node: ImportNode) -> None:
    for content, expected in [
        (people(0, 1200), {"new": 1200}),
        (people(0, 1200), {"unchanged": 1200}),
        (people(1000, 1300, city="Muğla"), {"updated": 200, "new": 100}),
    ]:
        ident = uploaded(node, content)
        before = node.picture()
        assert node.check(ident)["counts"] == work.NOTHING | expected
        assert node.picture() == before  # a dry run writes nothing
        shown = node.run(ident)
        assert (shown["status"], shown["counts"]) == ("done", work.NOTHING | expected)
        assert shown["done"] == shown["total"]
    assert count(node, customers) == 1300


def test_errors_are_told_by_row_and_column(node: ImportNode) -> None:
    content = HEADER + (
        "c1;Ada;+905321112233;İzmir;\n"
        "c2;Bora;nonsense;İzmir;\n"  # row 3
        ';;;Bursa;"two\nlines"\n'  # row 4: nobody can be told apart by that
        "\n"  # row 5 is empty and counts nothing
        "c3;Cem;+905321112234;İzmir;x;too many\n"  # row 6
        "c4;Deniz;+905321112233;İzmir;\n"  # row 7: Ada's number
    )
    ident = uploaded(node, content)
    checked = node.check(ident)
    assert checked["counts"] == work.NOTHING | {"new": 1, "updated": 1, "errors": 3}
    found = [(fault["row"], fault["column"]) for fault in checked["errors"]]
    assert found[:3] == [(3, "phone"), (4, None), (6, None)]
    shown = node.run(ident)
    assert shown["counts"] == checked["counts"]
    rows = errors(node, ident)
    assert [(row["Row"], row["Column"]) for row in rows][:3] == [("3", "phone"), ("4", ""), ("6", "")]
    assert rows[1]["fields.note"] == "two\nlines"
    assert "phone number" in rows[0]["Error"]
    assert checked["by_column"]["phone"] >= 1


def test_refused_rows_can_be_mended_and_uploaded_again(node: ImportNode) -> None:
    ident = uploaded(node, HEADER + "c1;=HYPERLINK(1);nonsense;İzmir;+x\n")
    node.run(ident)
    file = io.StringIO(newline="")
    node.imports.write_errors(ident, file)
    again = node.upload(file.getvalue().replace("nonsense", "+905321112233"), "customers")
    node.imports.choose(again, mapping=[*MAPPING, None, None, None], actor="elif")
    assert node.run(again)["counts"]["new"] == 1
    row = node.read(lambda conn: conn.execute(select(customers)).one())
    assert (row.name, row.fields) == ("=HYPERLINK(1)", {"note": "+x"})


def test_products_prices_and_stock_go_into_the_shop(node: ImportNode) -> None:
    node.run(
        node.upload(
            "Stok Kodu;Ürün Adı;Satış Fiyatı;Kategori\nA-1;Telefon;₺1.299,90;phones\nB-1;Kılıf;50;cases\n", "products"
        )
    )
    prices_file = "sku,price,currency\nA-1,1199.90,TRY\nB-1,49.90,\nC-9,1,TRY\n"
    ident = node.upload(prices_file, "prices")
    assert node.run(ident)["counts"] == work.NOTHING | {"updated": 2, "errors": 1}
    assert "no product with the sku 'C-9'" in errors(node, ident)[0]["Error"]
    assert node.run(node.upload("sku;Depo;Miktar\nA-1;merkez;12\nB-1;merkez;2,5\n", "stock"))["counts"]["errors"] == 0
    amounts = node.read(
        lambda conn: conn.execute(
            select(variants.c.sku, prices.c.amount).join(variants).where(prices.c.until.is_(None))
        ).all()
    )
    assert sorted(tuple(row) for row in amounts) == [("A-1", 119990), ("B-1", 4990)]
    levels = node.read(lambda conn: conn.execute(select(stock.c.on_hand)).scalars().all())
    assert sorted(levels) == [2500, 12000]


def test_workbooks_and_json_lines_are_imported_alike(node: ImportNode) -> None:
    lines = "".join(json.dumps({"sku": f"S{n}", "name": f"Ürün {n}", "price": n + 0.1}) + "\n" for n in range(1, 4))
    ident = node.upload(lines, "products", name="products.jsonl")
    assert node.run(ident)["counts"]["new"] == 3
    amounts = node.read(lambda conn: conn.execute(select(prices.c.amount).order_by(prices.c.amount)).scalars().all())
    assert list(amounts) == [110, 210, 310]


def test_rows_of_an_order_must_stand_together(node: ImportNode) -> None:
    content = "Order,SKU,Item,Quantity,Price\n1,A,x,1,5\n1,B,y,2,5\n2,A,x,1,5\n1,C,z,1,5\n3,A,x,-1,5\n3,B,y,1,5\n"
    ident = node.upload(content, "orders")
    assert node.check(ident)["counts"] == work.NOTHING | {"new": 3, "errors": 3}
    assert node.run(ident)["counts"] == work.NOTHING | {"new": 3, "errors": 3}
    rows = errors(node, ident)
    assert [row["Row"] for row in rows] == ["5", "6", "7"]
    assert "do not stand together" in rows[0]["Error"]
    assert rows[1]["Column"] == "Quantity"
    assert (count(node, orders), count(node, order_lines)) == (2, 3)


def test_automations_start_only_when_they_are_asked_to(node: ImportNode) -> None:
    node.run(uploaded(node, people(0, 3)))
    assert [event.type for event in node.told] == ["import.finished"]
    node.told.clear()
    ident = uploaded(node, people(10, 13))
    node.imports.choose(ident, mapping=MAPPING, options={"emit": True, "source": "1c"}, actor="elif")
    node.run(ident)
    assert [event.type for event in node.told] == ["customer.created"] * 3 + ["import.finished"]
    assert {event.source for event in node.told[:3]} == {"1c"}
    assert len({event.external_id for event in node.told}) == 4


def test_paused_import_goes_on_where_it_stopped(node: ImportNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(work.BATCH, "customers", 10)
    ident = uploaded(node, people(0, 95))
    written: list[int] = []
    remember = work.remember

    def pause_after_three(*given: Any) -> None:
        remember(*given)
        written.append(1)

    monkeypatch.setattr(work, "remember", pause_after_three)
    monkeypatch.setattr(work, "crash_point", lambda _: len(written) == 3 and node.imports.pause(ident, actor="elif"))
    shown = node.run(ident)
    assert (shown["status"], shown["done"], count(node, customers)) == ("paused", 30, 30)
    shown = node.run(ident)
    assert (shown["status"], shown["counts"]) == ("done", work.NOTHING | {"new": 95})
    assert count(node, customers) == 95


def test_canceled_import_keeps_what_is_written(node: ImportNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(work.BATCH, "customers", 10)
    ident = uploaded(node, people(0, 50))
    monkeypatch.setattr(
        work, "crash_point", lambda _: count(node, customers) == 20 and node.imports.cancel(ident, actor="elif")
    )
    assert node.run(ident)["status"] == "canceled"
    assert count(node, customers) == 20
    with pytest.raises(Conflict):
        node.imports.run(ident, actor="elif")
    assert node.undo(ident)["deleted"] == 20


def test_file_that_is_gone_fails_in_words(node: ImportNode) -> None:
    ident = uploaded(node, people(0, 5))
    node.imports.files.delete(node.imports.get(ident).file)
    with pytest.raises(NotFound, match="upload it again"):
        node.imports.run(ident, actor="elif")


def test_file_that_changed_fails_and_says_so(node: ImportNode) -> None:
    ident = uploaded(node, people(0, 700), encoding="utf-8")
    path = node.imports.files.path(node.imports.get(ident).file)
    path.write_bytes(path.read_bytes()[:-50] + b"\xff\xfe\xff")
    shown = node.run(ident)
    assert (shown["status"], shown["counts"]["new"]) == ("failed", 500)
    assert "is not utf-8 text" in shown["error"]
    assert [event.type for event in node.told] == ["import.failed"]


def test_wrong_uploads_and_options_are_refused(node: ImportNode) -> None:
    for content, kind, options in [
        ("a\n1\n", "people", {}),
        ("a\n1\n", "customers", {"encoding": "utf-7"}),
        ("a\n1\n", "customers", {"delimiter": "x"}),
        ("a\n1\n", "customers", {"currency": "XXZ"}),
        ("a\n1\n", "customers", {"zone": "Mars/Base"}),
        ("a\n1\n", "customers", {"emit": "yes"}),
        ("a\n1\n", "customers", {"colour": 1}),
        ("", "customers", {}),
    ]:
        with pytest.raises(InvalidInput):
            node.upload(content, kind, **options)
    assert (count(node, imports), list(node.imports.files._folder.iterdir())) == (0, [])


def test_other_reading_guesses_the_mapping_anew(node: ImportNode) -> None:
    ident = node.upload("Name;Phone\nA,B;1\n", "customers", delimiter=",")
    assert node.imports.get(ident).header == ["Name;Phone"]
    node.imports.choose(ident, options={"delimiter": ";"}, actor="elif")
    row = node.imports.get(ident)
    assert (row.header, row.mapping, row.total) == (["Name", "Phone"], ["name", "phone"], 1)
    assert node.imports.samples(ident) == [["A,B", "1"]]


def test_old_imports_lose_their_files(node: ImportNode) -> None:
    ident = uploaded(node, people(0, 5))
    node.run(ident)
    path = node.imports.files.path(node.imports.get(ident).file)
    node.clock.advance(timedelta(days=8))
    assert node.writer.do(lambda tx: node.imports.forget(tx, node.clock.now())) == 1
    assert (path.exists(), count(node, import_rows)) == (False, 0)
    with pytest.raises(Conflict, match="7 days"):
        node.imports.undo(ident, actor="elif")


# Killed in the middle


def child(node: ImportNode, tmp_path: Path, crash_at: str) -> int:
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": f"{root}:{root / 'tests'}", "VITRIN_CRASH_AT": crash_at}
    url = node.db.url.render_as_string(hide_password=False)
    command = [sys.executable, import_node.__file__, url, str(tmp_path)]
    return subprocess.run(command, env=environment, timeout=100, check=False).returncode


@pytest.mark.parametrize(
    "place",
    [
        "import.batch:2",  # a batch is committed
        "writer.before_commit:5",  # a batch is written and not committed
        "writer.after_commit:5",
        "job.before_finish",  # the import is done, its job is not
    ],
)
def test_killed_import_writes_no_row_twice(node: ImportNode, tmp_path: Path, place: str) -> None:
    lines = "".join(f"o{n};2026-03-01;SKU-{n % 7};{n % 5 + 1};9,90;c{n % 50}\n" for n in range(600))
    ident = node.upload(f"Order;Date;SKU;Quantity;Price;CustomerID\n{lines}", "orders")
    node.imports.run(ident, actor="elif")
    assert child(node, tmp_path, place) == -signal.SIGKILL
    assert child(node, tmp_path, "") == 0
    shown = node.imports.show(ident)
    assert (shown["status"], shown["counts"]) == ("done", work.NOTHING | {"new": 600})
    assert (count(node, orders), count(node, order_lines), count(node, customers)) == (600, 600, 50)
    assert node.undo(ident) == {"restored": 0, "deleted": 650, "left": 0, "kept": []}
    assert (count(node, orders), count(node, customers)) == (0, 0)


def test_worker_that_lost_the_import_commits_nothing(node: ImportNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(work.BATCH, "customers", 10)
    ident = uploaded(node, people(0, 40))
    heir = ImportNode(str(node.db.url), node.imports.files._folder.parent)

    def sleep_through_the_lease(_name: str) -> None:
        monkeypatch.setattr(work, "crash_point", lambda _: None)
        heir.clock.advance(LEASE * 2)
        (job,) = heir.jobs.claim(1)
        assert perform(heir.jobs, JobContext(heir.jobs, job, stopping=lambda: True))  # one batch, then it stops

    monkeypatch.setattr(work, "crash_point", sleep_through_the_lease)
    node.imports.run(ident, actor="elif")
    node.queue.drain()
    assert node.imports.show(ident)["counts"]["new"] == 20
    assert heir.queue.drain() == 1
    shown = node.imports.show(ident)
    heir.db.close()
    assert (shown["status"], shown["counts"]) == ("done", work.NOTHING | {"new": 40})
    assert count(node, customers) == 40


# Text that was made to break things


def naughty() -> list[tuple[str, str]]:
    rows = vectors("naughty_strings")["rows"]
    return [(row["id"], row["value"] if "value" in row else row["repeat"][0] * row["repeat"][1]) for row in rows]


def test_naughty_text_is_stored_as_it_is_or_refused(node: ImportNode) -> None:
    table = [(ident, text) for ident, text in naughty() if not any(0xD800 <= ord(c) < 0xE000 for c in text)]
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(MAPPING)
    usable = [(ident, text) for ident, text in table if len(text) <= 100_000]
    writer.writerows([ident, text, "", text, text] for ident, text in usable)
    ident = uploaded(node, file.getvalue())
    shown = node.run(ident)
    assert shown["status"] == "done", shown["error"]
    stored = {
        row.fields.get("note"): row
        for row in node.read(lambda conn: conn.execute(select(customers)).all())
        if row.fields
    }
    refused = {row["external_id"]: row["Error"] for row in errors(node, ident)}
    for name, text in usable:
        shown_text = text[1:] if text.startswith("'") and text not in stored else text  # our export's own mark
        if name in refused:
            assert refused[name]
        elif text:
            assert (stored[shown_text].name, stored[shown_text].city) == (shown_text, shown_text), name


@pytest.mark.parametrize("kind", ["customers", "products", "prices", "stock", "orders"])
def test_naughty_text_in_any_cell_harms_nothing(node: ImportNode, kind: str) -> None:
    fields = [field.name for field in import_node.KINDS[kind]]
    texts = [text for _, text in naughty() if len(text) <= 2_000 and not any(0xD800 <= ord(c) < 0xE000 for c in text)]
    lines = "".join(json.dumps(dict.fromkeys(fields, text)) + "\n" for text in texts if "\0" not in text)
    ident = node.upload(lines, kind)
    node.imports.choose(ident, mapping=fields, actor="elif")
    shown = node.run(ident)
    assert shown["status"] == "done", shown["error"]
    assert sum(shown["counts"][name] for name in ("new", "updated", "unchanged", "errors")) == shown["total"]


# Real data


def _lines(most: int) -> list[list[str]]:
    with gzip.open(data("online_retail/online_retail_2010-12_2011-05.csv.gz"), "rt", encoding="utf-8") as file:
        return list(itertools.islice(csv.reader(file), most + 1))


def test_online_retail_orders_are_imported_exactly(node: ImportNode) -> None:
    table = _lines(3_000)
    file = io.StringIO(newline="")
    csv.writer(file).writerows(table)
    ident = node.upload(file.getvalue(), "orders", zone="Europe/London", currency="GBP", decimal=".")
    shown = node.run(ident)
    invoices = {number: list(rows) for number, rows in itertools.groupby(table[1:], key=lambda row: row[0])}
    good = {number: rows for number, rows in invoices.items() if all(map(_is_sound, rows))}
    assert shown["counts"]["new"] == sum(map(len, good.values()))
    assert shown["counts"]["errors"] == len(table) - 1 - shown["counts"]["new"] > 0
    stored = node.read(lambda conn: conn.execute(select(orders.c.number, orders.c.total, orders.c.currency)).all())
    assert {row.number: row.total for row in stored} == {number: _total(rows) for number, rows in good.items()}
    assert {row.currency for row in stored} == {"GBP"}
    named = {rows[0][6] for rows in good.values()} - {""}
    assert count(node, customers) == len(named)
    assert node.undo(ident)["left"] == 0
    assert (count(node, orders), count(node, customers)) == (0, 0)


def _is_sound(row: list[str]) -> bool:
    """An order's line as the shop takes it: a quantity and a price from zero up."""
    try:
        return Decimal(row[3]) >= 0 and Decimal(row[5]) >= 0
    except InvalidOperation:
        return False


def _total(rows: list[list[str]]) -> int:
    return sum(int((Decimal(row[3]) * Decimal(row[5])).quantize(Decimal("0.01")) * 100) for row in rows)


def test_online_retail_products_are_imported_once_each(node: ImportNode) -> None:
    table = _lines(3_000)
    file = io.StringIO(newline="")
    csv.writer(file).writerows(table)
    ident = node.upload(file.getvalue(), "products", currency="GBP", decimal=".")
    mapping = ["sku" if name == "StockCode" else "name" if name == "Description" else None for name in table[0]]
    node.imports.choose(ident, mapping=mapping, actor="elif")
    checked = node.check(ident)["counts"]
    counts = node.run(ident)["counts"]
    named = Counter(row[1] for row in table[1:] if row[2])
    assert counts["new"] == checked["new"] == count(node, products) == len(named)
    assert count(node, places) == 0
