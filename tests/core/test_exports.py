"""Exports: no cell starts a formula in any reader, and our import gives back every text."""

import csv
import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_files import vectors

from core.errors import InvalidInput
from core.exports import Column, is_formula, neutralise, restore, write_csv

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
STARTS = ["=", "+", "-", "@", "\t", "\r", "\n", "\0"]


def written(value: object, *, number: bool = False, delimiter: str = ",") -> list[list[str]]:
    file = io.StringIO(newline="")
    columns = [Column(name="a", heading="A", number=number), Column(name="b", heading="B")]
    assert write_csv([{"a": value, "b": "next"}], columns, file, delimiter=delimiter) == 1
    return list(csv.reader(io.StringIO(file.getvalue(), newline=""), delimiter=delimiter))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_formula_table_is_kept(delimiter: str) -> None:
    for row in vectors("csv_formulas")["rows"]:
        value, number = row["value"], row["field_type"] == "number"
        header, cells = written(value, number=number, delimiter=delimiter)
        assert (header, cells[1]) == (["A", "B"], "next"), row["id"]
        if row["expect"] == "neutralised":
            assert cells[0] == f"'{value}", row["id"]
        if row["expect"] == "unchanged":
            assert cells[0] == value, row["id"]
        assert number or restore(cells[0]) == value, row["id"]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        (True, "true"),
        (Decimal("-12.50"), "-12.50"),
        (Decimal("1E+3"), "1000"),  # never an exponent of ours
        (-3, "-3"),
        (["a", "b"], '["a","b"]'),
    ],
)
def test_values_are_written_as_people_read_them(value: object, cell: str) -> None:
    assert written(value, number=True)[1][0] == cell


def test_text_in_a_column_of_numbers_is_still_text() -> None:
    assert written("=1+1", number=True)[1][0] == "'=1+1"
    assert written("-1+cmd|' /C calc'!A0", number=True)[1][0].startswith("'")


def test_heading_is_no_formula_either() -> None:
    file = io.StringIO()
    write_csv([], [Column(name="a", heading="=1+1")], file)
    assert file.getvalue() == '"\'=1+1"\r\n'


def test_half_a_character_is_refused_in_words() -> None:
    with io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") as file, pytest.raises(InvalidInput):
        write_csv([{"a": "x\ud800"}], [Column(name="a", heading="A")], file)


@given(TEXT)
def test_every_text_comes_back(text: str) -> None:
    assert restore(neutralise(text)) == text
    assert restore(written(text)[1][0]) == text


@given(st.sampled_from(STARTS), st.text(st.sampled_from(" \u00a0\u200b\ufeff\u3000"), max_size=3), TEXT)
def test_no_cell_starts_a_formula(start: str, blank: str, rest: str) -> None:
    text = blank + start + rest if start in "=+-@" else start + rest
    cell = written(text)[1][0]
    assert cell[0] == "'"
    assert not is_formula(cell)
