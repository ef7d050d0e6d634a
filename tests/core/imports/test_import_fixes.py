"""Cells put right in place: laid over the upload as it came, and forgotten with it."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from import_node import ImportNode
from sqlalchemy import func, select

from core.errors import Conflict, InvalidInput
from core.imports import fixes as fixing
from core.imports.files import check_name
from core.imports.fixes import FixedTable
from core.imports.limits import Row
from core.imports.tables import import_fixes

GOODS = "sku;name;price\nA;Phone;10\nB;Case;dear\nC;Cable;x\n"


def kept(node: ImportNode) -> int:
    return node.read(lambda conn: conn.execute(select(func.count()).select_from(import_fixes)).scalar_one())


def fix(node: ImportNode, ident: str, row: int, column: Any, value: str | None, **more: Any) -> list[dict[str, Any]]:
    told = [{"row": row, "column": column, "value": value}]
    return node.imports.fix(ident, told, actor="elif", **more)


class Lines:
    """A table in memory."""

    def __init__(self, rows: list[list[Any]]) -> None:
        self.header = ["a", "b", "c"]
        self._rows = rows

    def rows(self) -> Any:
        return (Row(number, cells) for number, cells in enumerate(self._rows, start=2))


CELLS = st.lists(st.lists(st.text(max_size=3), max_size=4), max_size=6)
FIXES = st.dictionaries(
    st.integers(2, 8), st.dictionaries(st.integers(0, 2), st.none() | st.text(max_size=3), min_size=1)
)


@given(CELLS, FIXES)
def test_only_fixed_cells_differ(rows: list[list[Any]], cells: dict[int, dict[int, str | None]]) -> None:
    laid = list(FixedTable(Lines(rows), cells).rows())
    assert [row.number for row in laid] == list(range(2, len(rows) + 2))
    for row, before in zip(laid, rows, strict=True):
        fixed = cells.get(row.number, {})
        for place, cell in enumerate(row.cells):
            was = before[place] if place < len(before) else None
            assert cell == fixed.get(place, was)
        assert set(fixed) <= set(range(len(row.cells)))


def test_fixed_file_is_imported_as_if_it_had_come_so(node: ImportNode) -> None:
    ident = node.upload(GOODS, "products")
    assert [fault["row"] for fault in node.check(ident)["errors"]] == [3, 4]
    assert fix(node, ident, 3, "price", "20")[0]["faults"] == []
    assert fix(node, ident, 4, 2, "30")[0]["faults"] == []
    assert node.run(ident)["counts"]["new"] == 3
    straight = node.upload(GOODS.replace("dear", "20").replace("x", "30"), "products")
    assert node.check(straight)["counts"]["unchanged"] == 3
    with pytest.raises(Conflict, match="before it runs"):
        fix(node, ident, 3, "price", "25")


def test_later_fix_of_a_cell_takes_the_place_of_the_earlier(node: ImportNode) -> None:
    ident = node.upload(GOODS, "products")
    for value in ("still dear", "20"):
        told = fix(node, ident, 3, "price", value)
    assert (told[0]["cells"], told[0]["faults"], kept(node)) == (["B", "Case", "20"], [], 1)


def test_fix_that_makes_a_row_worse_is_told(node: ImportNode) -> None:
    ident = node.upload(GOODS, "products")
    node.check(ident)
    (told,) = fix(node, ident, 2, "sku", None)
    assert [(fault["column"], fault["message"]) for fault in told["faults"]] == [("sku", "must not be empty")]
    assert [fault["row"] for fault in node.imports.show(ident)["checked"]["errors"]] == [2, 3, 4]


def test_column_of_two_alike_is_named_by_its_place(node: ImportNode) -> None:
    ident = node.upload("sku;name;name\nA;x;y\n", "products")
    with pytest.raises(InvalidInput, match="such as 1"):
        fix(node, ident, 2, "name", "z")
    assert fix(node, ident, 2, 2, "z")[0]["cells"] == ["A", "x", "z"]


def test_number_of_fixes_is_limited(node: ImportNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixing, "MOST_FIXES", 2)
    ident = node.upload(GOODS, "products")
    for row in (2, 3):
        fix(node, ident, row, "price", "5")
    with pytest.raises(InvalidInput, match="mend the file itself"):
        fix(node, ident, 4, "price", "5")
    assert kept(node) == 2


def test_fixes_go_with_their_file(node: ImportNode) -> None:
    ident = node.upload(GOODS, "products")
    fix(node, ident, 3, "price", "5")
    node.clock.advance(timedelta(days=8))
    node.writer.do(lambda tx: node.imports.forget(tx, node.clock.now()))
    assert kept(node) == 0


def test_fix_of_an_unmapped_file_asks_for_the_mapping(node: ImportNode) -> None:
    ident = node.upload("one;two\n1;2\n", "products")
    with pytest.raises(InvalidInput, match="needs a column for sku"):
        fix(node, ident, 2, "one", "x")


@pytest.mark.parametrize("value", ["a\0b", 5, "x" * 100_001], ids=["NUL", "number", "long"])
def test_values_that_no_cell_has_are_refused(value: Any, node: ImportNode) -> None:
    with pytest.raises(InvalidInput):
        fix(node, node.upload(GOODS, "products"), 2, "price", value)


@pytest.mark.parametrize(
    "name", ["a/b.csv", "..\\b.csv", "", " ", "..", "a\0.csv", "a\nb.csv", "\u202egnp.exe", "x" * 121]
)
def test_names_that_are_no_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        check_name(name)


def test_program_is_no_table(node: ImportNode) -> None:
    with pytest.raises(InvalidInput, match="is no text"):
        node.upload(b"MZ\x03\x04\x14\x00\x00\x00 program", "products")
