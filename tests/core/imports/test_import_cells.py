"""Cells as people write them, and headings in three languages."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.imports import cells
from core.imports.cells import Habits
from core.imports.fields import KINDS
from core.imports.limits import Row
from core.imports.mapping import check_mapping, guess

HABITS = Habits(zone=ZoneInfo("Europe/Istanbul"))
COMMA = Habits(zone=ZoneInfo("Europe/Istanbul"), decimal=",")
POINT = Habits(zone=ZoneInfo("Europe/Istanbul"), decimal=".", date_order="mdy")


@pytest.mark.parametrize(
    ("cell", "habits", "number"),
    [
        ("12", HABITS, "12"),
        ("12.5", HABITS, "12.5"),
        ("12,5", HABITS, "12.5"),
        ("1.299,90", HABITS, "1299.90"),  # Turkish
        ("1,299.90", HABITS, "1299.90"),  # English
        ("1 299,90", HABITS, "1299.90"),  # Russian, with a no-break space
        ("1’299.90", HABITS, "1299.90"),  # Swiss
        ("1.299.000", HABITS, "1299000"),
        ("0,125", HABITS, "0.125"),  # nobody writes thousands with a nought first
        ("1.299", COMMA, "1299"),
        ("1.299", POINT, "1.299"),
        ("-3,5", HABITS, "-3.5"),
        ("−3", HABITS, "-3"),  # a real minus sign
        ("'-3", HABITS, "-3"),  # neutralised by our export
        (1299.9, HABITS, "1299.9"),
        (0.1, HABITS, "0.1"),
    ],
)
def test_number_is_read(cell: Any, habits: Habits, number: str) -> None:
    assert cells.read_number(cell, habits) == Decimal(number)


@pytest.mark.parametrize(
    ("cell", "habits", "words"),
    [
        ("1.299", HABITS, "may be thousands or decimals"),
        ("1.29.00,5", HABITS, "not a number"),
        ("1,2,3", POINT, "not a number"),
        ("abc", HABITS, "not a number"),
        ("1e5", HABITS, "not a number"),
        ("", HABITS, "not a number"),
        ("9" * 100, HABITS, "100 characters"),
        (float("inf"), HABITS, "out of range"),
        (float("nan"), HABITS, "out of range"),
        (True, HABITS, "must be a number"),
        ([1], HABITS, "not a list"),
    ],
)
def test_doubtful_number_is_refused(cell: Any, habits: Habits, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        cells.read_number(cell, habits)


@pytest.mark.parametrize(
    ("cell", "amount"),
    [
        ("₺1.299,90", {"amount": "1299.90", "currency": "TRY"}),
        ("1.299,90 TL", {"amount": "1299.90", "currency": "TRY"}),
        ("1 299,90 руб.", {"amount": "1299.90", "currency": "RUB"}),
        ("$12.50", {"amount": "12.50", "currency": "USD"}),
        ("12.50 EUR", {"amount": "12.50", "currency": "EUR"}),
        ("12,50", "12.50"),
        (12.5, "12.5"),
    ],
)
def test_amount_is_read(cell: Any, amount: Any) -> None:
    assert cells.read_amount(cell, HABITS) == amount


@pytest.mark.parametrize("cell", ["12 apples", "$12 €", "12.50 TL 3", "TL", ".,.,.,", "-", "a" * 100_000 + "1"])
def test_doubtful_amount_is_refused(cell: str) -> None:
    with pytest.raises(InvalidInput):
        cells.read_amount(cell, HABITS)


@pytest.mark.parametrize(
    ("cell", "habits", "moment"),
    [
        ("2026-03-01", HABITS, datetime(2026, 2, 28, 21, tzinfo=UTC)),
        ("2026-03-01 12:00:00", HABITS, datetime(2026, 3, 1, 9, tzinfo=UTC)),
        ("2026-03-01T12:00:00Z", HABITS, datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("31.12.2025 23:30", HABITS, datetime(2025, 12, 31, 20, 30, tzinfo=UTC)),
        ("12/31/2025", POINT, datetime(2025, 12, 30, 21, tzinfo=UTC)),
        (date(2026, 3, 1), HABITS, datetime(2026, 2, 28, 21, tzinfo=UTC)),
    ],
)
def test_moment_is_read_in_the_files_zone(cell: Any, habits: Habits, moment: datetime) -> None:
    assert cells.read_moment(cell, habits) == moment


@pytest.mark.parametrize("cell", ["31.02.2026", "2026-13-01", "tomorrow", "1.2.26", 45_000, "0000-00-00"])
def test_day_that_is_none_is_refused(cell: Any) -> None:
    with pytest.raises(InvalidInput):
        cells.read_day(cell, HABITS)


@pytest.mark.parametrize(("cell", "flag"), [("Evet", True), ("нет", False), ("HAYIR", False), (1, True), (True, True)])
def test_yes_and_no_are_read(cell: Any, flag: bool) -> None:
    assert cells.read_flag(cell, HABITS) is flag


def test_whole_numbers_of_workbooks_are_text_without_decimals() -> None:
    assert cells.read_text(905321112233.0, HABITS) == "905321112233"
    assert cells.read_list("vip; yeni,vip", HABITS) == ["vip", "yeni"]


@given(st.text(max_size=30) | st.floats() | st.integers() | st.booleans() | st.none() | st.lists(st.text(), max_size=2))
def test_any_cell_is_read_or_refused(cell: Any) -> None:
    for read in {field.read for fields in KINDS.values() for field in fields}:
        try:
            read(cell, HABITS)
        except InvalidInput:
            continue


# Headings


@pytest.mark.parametrize(
    ("kind", "header", "fields"),
    [
        ("customers", ["Full name", "Phone", "E-mail"], ["name", "phone", "email"]),
        ("customers", ["AD SOYAD", "Cep Telefonu", "E-Posta", "ŞEHİR"], ["name", "phone", "email", "city"]),
        ("customers", ["ФИО", "Телефон", "Эл.почта", "Город"], ["name", "phone", "email", "city"]),
        ("products", ["Stok Kodu", "Ürün Adı", "Satış Fiyatı"], ["sku", "name", "price"]),
        ("products", ["Артикул", "Наименование", "Цена", "Штрихкод"], ["sku", "name", "price", "barcode"]),
        ("stock", ["sku", "Depo", "Miktar"], ["sku", "place", "on_hand"]),
        ("prices", ["Артикул", "Цена", "Валюта"], ["sku", "price", "currency"]),
        (
            "orders",
            ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"],
            ["number", "item_sku", "item_name", "item_quantity", "created_at", "item_price", "customer_id", None],
        ),
        ("customers", ["Name", "Name", ""], ["name", None, None]),  # none is given twice
    ],
)
def test_headings_are_understood(kind: str, header: list[str], fields: list[str | None]) -> None:
    assert guess(kind, header, []) == fields


def test_samples_tell_what_headings_do_not() -> None:
    samples = [Row(2, ["x", "+90 532 111 22 33", "a@shop.example"]), Row(3, ["y", "05321112234", ""])]
    assert guess("customers", ["?", "A", "B"], samples) == [None, "phone", "email"]


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        (["sku"], "must list 2 fields"),
        (["sku", "sku"], "taken by the column 'A'"),
        (["sku", "colour"], "no field of stock"),
        (["sku", "fields.x"], "no field of stock"),
        (["sku", None], "needs a column for on_hand"),
        ("sku", "must list"),
    ],
)
def test_wrong_mapping_is_refused(mapping: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        check_mapping("stock", ["A", "B"], mapping)
