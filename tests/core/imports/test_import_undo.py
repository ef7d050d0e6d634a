"""Undoing an import: everything back as it was, and nothing that somebody changed since."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import import_node
import pytest
from import_node import ImportNode
from sqlalchemy import func, select, update

from core.errors import Conflict
from core.imports.tables import import_rows
from core.shop.tables import customers, messages, orders, products

PEOPLE = "external_id,name,phone,city,tags\n"


def run(node: ImportNode, content: str, kind: str) -> str:
    ident = node.upload(content, kind)
    shown = node.run(ident)
    assert (shown["status"], shown["counts"]["errors"]) == ("done", 0), shown["error"]
    return ident


FIRST = {
    "customers": f'{PEOPLE}c1,Ada,+905321110001,İzmir,"vip,yeni"\nc2,Bora,+905321110002,Bursa,\n',
    "products": "sku,name,price,tags\nA,Phone,100,new\nB,Case,20,\n",
    "prices": "sku,price\nA,90\n",
    "stock": "sku,place,on_hand\nA,main,5\n",
    "orders": "number,date,customer_id,customer_name,sku,quantity,price\n1,2026-01-02,c1,Ada,A,1,100\n1,,,,B,2,20\n",
}
SECOND = {
    "customers": f"{PEOPLE}c1,Ada Yıldız,+905321119999,Muğla,vip\nc3,Cem,+905321110003,,\nc1,,,Ankara,\n",
    "products": "sku,name,price,tags\nA,Phone 2,150,\nC,Cable,5,x\nB,Case,20,y\n",
    "prices": "sku,price,list\nA,80,retail\nA,70,wholesale\nB,10,retail\n",
    "stock": "sku,place,on_hand\nA,main,7\nA,shop,1\nB,main,3\n",
    "orders": "number,status,customer_id,customer_name,sku,quantity,price\n1,paid,c9,Zoe,A,3,100\n2,,c8,Yan,C,1,5\n",
}


@pytest.mark.parametrize("kind", list(FIRST))
def test_everything_is_back_as_it_was(node: ImportNode, kind: str) -> None:
    for first in ("customers", "products", "stock", "orders"):
        run(node, FIRST[first], first)
    before = node.picture()
    node.clock.advance(3600)
    ident = run(node, SECOND[kind], kind)
    assert node.picture() != before
    report = node.undo(ident)
    assert (report["left"], report["kept"]) == (0, [])
    assert report["deleted"] + report["restored"] > 1
    assert node.picture() == before


@pytest.mark.parametrize("kind", ["customers", "products", "orders"])
def test_first_import_leaves_an_empty_shop(node: ImportNode, kind: str) -> None:
    before = node.picture()
    ident = run(node, FIRST[kind], kind)
    assert node.undo(ident)["left"] == 0
    assert node.picture() == before


def test_what_was_changed_since_is_left_and_named(node: ImportNode) -> None:
    ident = run(node, FIRST["customers"], "customers")
    node.clock.advance(60)
    node.do(lambda shop: shop.upsert_customer({"external_id": "c1", "city": "Rize"}))
    report = node.undo(ident)
    ada = node.read(lambda conn: conn.execute(select(customers)).one())
    assert (report["deleted"], report["left"], ada.city) == (1, 1, "Rize")
    told = {"row": 2, "noun": "customer", "object": ada.id, "reason": "it was changed since the import"}
    assert report["kept"] == [told]


def test_customer_with_an_order_since_is_left(node: ImportNode) -> None:
    ident = run(node, FIRST["customers"], "customers")
    node.do(lambda shop: shop.upsert_order({"number": "9", "customer": "c1"}))
    node.do(
        lambda shop: shop.queue_message(
            {"customer": shop.find_customer("c2"), "channel": "x", "body": "hi", "idempotency_key": "k"}
        )
    )
    reasons = sorted(kept["reason"] for kept in node.undo(ident)["kept"])
    assert reasons == ["it has messages by now", "it has orders by now"]
    counted = [
        node.read(lambda conn, t=table: conn.execute(select(func.count()).select_from(t)).scalar_one())
        for table in (orders, messages)
    ]
    assert counted == [1, 1]


def test_product_with_stock_since_is_left(node: ImportNode) -> None:
    ident = run(node, FIRST["products"], "products")
    run(node, FIRST["stock"], "stock")
    report = node.undo(ident)
    assert [kept["reason"] for kept in report["kept"]] == ["it has stock by now"]
    names = node.read(lambda conn: conn.execute(select(products.c.name)).scalars().all())
    assert list(names) == ["Phone"]


def test_later_import_keeps_its_word(node: ImportNode) -> None:
    first = run(node, FIRST["customers"], "customers")
    node.clock.advance(60)
    second = run(node, SECOND["customers"], "customers")
    assert node.undo(first)["left"] == 1
    assert node.undo(second)["left"] == 0
    names = node.read(lambda conn: conn.execute(select(customers.c.name)).scalars().all())
    assert list(names) == ["Ada"]


def test_import_is_undone_once_and_only_after_it_ran(node: ImportNode) -> None:
    ident = node.upload(FIRST["customers"], "customers")
    with pytest.raises(Conflict, match="nothing to undo"):
        node.imports.undo(ident, actor="elif")
    node.run(ident)
    node.undo(ident)
    with pytest.raises(Conflict, match="undone"):
        node.imports.undo(ident, actor="elif")
    with pytest.raises(Conflict, match="undone"):
        node.imports.run(ident, actor="elif")


def test_record_that_nobody_remembers_is_left(node: ImportNode) -> None:
    run(node, FIRST["customers"], "customers")
    ident = run(node, SECOND["customers"], "customers")
    node.writer.do(
        lambda tx: tx.conn.execute(update(import_rows).where(import_rows.c.status == "updated").values(before=None))
    )
    assert [kept["reason"] for kept in node.undo(ident)["kept"]] == ["it is not known how it was before"]


@pytest.mark.parametrize("place", ["import.undo:2", "writer.before_commit:4", "writer.after_commit:4"])
def test_killed_undo_goes_on(node: ImportNode, tmp_path: Path, place: str) -> None:
    before = node.picture()
    rows = "".join(f"c{n},Müşteri {n},+90532{n:07d},İzmir,vip\n" for n in range(450))
    ident = run(node, PEOPLE + rows, "customers")
    node.imports.undo(ident, actor="elif")
    root = Path(__file__).parents[3]
    url = node.db.url.render_as_string(hide_password=False)
    command = [sys.executable, import_node.__file__, url, str(tmp_path)]
    for crash_at, code in ((place, -signal.SIGKILL), ("", 0)):
        environment = {**os.environ, "PYTHONPATH": f"{root}:{root / 'tests'}", "VITRIN_CRASH_AT": crash_at}
        assert subprocess.run(command, env=environment, timeout=100, check=False).returncode == code
    shown = node.imports.show(ident)
    assert (shown["status"], shown["undone"]["deleted"]) == ("undone", 450)
    assert node.picture() == before
