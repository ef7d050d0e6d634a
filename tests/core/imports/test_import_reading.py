"""Files as people send them: encodings, separators, workbooks, JSON lines; and those that are meant to harm."""

import io
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from shared_files import vector_file, vectors

from core.errors import InvalidInput, NotFound
from core.imports import archive, limits
from core.imports.files import Files, shown_name
from core.imports.reading import look_through, open_table

TABLE = [["Ad", "Şehir", "Not"], ["Ayşe", "İzmir", "1,5; iyi"], ["Çağrı", "Muğla", 'iki\nsatır "tırnak"']]
RUSSIAN = [["Имя", "Город", "Заметка"], ["Ёлкин Пётр", "Орёл", "два; слова"], ["Щукина", "Уфа", "да"]]


def as_csv(table: list[list[str]], delimiter: str = ",", encoding: str = "utf-8") -> bytes:
    lines = (delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in table)
    return "\r\n".join(lines).encode(encoding)


def as_xlsx(rows: list[list[Any]], *, title: str = "Sheet") -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = title
    for row in rows:
        sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


@pytest.fixture
def put(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(content: bytes) -> Path:
        path = tmp_path / "some.upload"
        path.write_bytes(content)
        return path

    return write


def read(path: Path, **options: Any) -> list[list[Any]]:
    seen = look_through(path, options)
    table = open_table(path, seen.format, options)
    rows = [row.cells for row in table.rows()]
    assert len(rows) == seen.total
    return [seen.header, *rows]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1254"])
def test_turkish_csv_is_read(put: Any, encoding: str, delimiter: str) -> None:
    assert read(put(as_csv(TABLE, delimiter, encoding))) == TABLE


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1251"])
def test_russian_csv_is_read(put: Any, encoding: str) -> None:
    assert read(put(as_csv(RUSSIAN, ";", encoding))) == RUSSIAN


def test_first_foreign_letter_may_come_late(put: Any) -> None:
    table = [["Name", "City"], *([["Ann", "Bath"]] * 40_000), ["Ayşe", "İzmir"]]
    assert read(put(as_csv(table, encoding="cp1254")))[-1] == ["Ayşe", "İzmir"]


def test_given_encoding_and_separator_win(put: Any) -> None:
    path = put("a;b,c\n1;ö,3\n".encode("cp1254"))
    assert read(path, delimiter=",", encoding="cp1254") == [["a;b", "c"], ["1;ö", "3"]]
    with pytest.raises(InvalidInput, match="row 1: is not utf-8 text"):
        read(path, encoding="utf-8")


def test_rows_are_numbered_as_in_a_spreadsheet(put: Any) -> None:
    path = put(b'a,b\n1,"two\nlines"\n\n,\n5,6\n')
    assert [row.number for row in open_table(path, "csv", {}).rows()] == [2, 5]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no headings"),  # stored files are never empty, but this one was cut
        (b"\n\n", "no headings"),
        (b"a,b\n" + b'"' + b"x" * 200_000, "row 2.*quotation mark left open"),
        (b'a,b\n1,"' + b"x" * 120_000 + b'"\n', "row 2, column 2.*120,000 characters"),
        (b",".join(b"c%d" % n for n in range(300)) + b"\n", "300 columns"),
        (b"a\n" + b"1," * 300 + b"1\n", "row 2: has 301 columns"),
        (b"\x89PNG\r\n\x1a\n", "no CSV, XLSX or JSON"),
        (b"\xd0\xcf\x11\xe0old", "can be saved as XLSX"),
        (b'{"a": 1}\n[1]\n', "row 2: is no object"),
        (b'{"a": 1}\n{"a": 1', "row 2"),
        (b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "row 1.*deep"),
        (b'{"a": 1, "a": 2}', "row 1"),
    ],
)
def test_unreadable_file_is_refused_in_words(put: Any, content: bytes, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        look_through(put(content), {})


def test_too_many_rows_are_refused(put: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.imports.reading.MOST_ROWS", 3)
    with pytest.raises(InvalidInput, match="more than 3 rows"):
        look_through(put(b"a\n1\n2\n3\n4\n"), {})


def test_json_lines_make_a_table_of_all_members(put: Any) -> None:
    path = put('\ufeff{"sku": "A", "price": 12.1}\n\n{"sku": "B", "name": "Ünlü", "tags": ["x"]}\n'.encode())
    assert read(path) == [["sku", "price", "name", "tags"], ["A", 12.1, None, None], ["B", None, "Ünlü", ["x"]]]
    assert [row.number for row in open_table(path, "jsonl", {}).rows()] == [1, 3]


# Workbooks


def test_workbook_cells_keep_their_types(put: Any) -> None:
    moment = datetime(2026, 3, 1, 12, 30)  # noqa: DTZ001 - spreadsheets know no zones
    rows = [["sku", "n", "at", "ok"], ["A", 12.5, moment, True], [None, None, None, None], ["'=1", 3, None, False]]
    seen = read(put(as_xlsx(rows)))
    assert seen == [rows[0], ["A", 12.5, moment, True], ["'=1", 3, None, False]]


def test_sheet_is_chosen_by_name(put: Any) -> None:
    path = put(as_xlsx([["a"], ["1"]], title="Stok"))
    assert read(path, sheet="Stok") == [["a"], ["1"]]
    with pytest.raises(InvalidInput, match="it has Stok"):
        read(path, sheet="Fiyat")


def test_formula_is_taken_at_its_stored_value(put: Any) -> None:
    # openpyxl stores no value beside a formula: nothing is computed here.
    assert read(put(as_xlsx([["a", "b"], ["x", "=1+1"]]))) == [["a", "b"], ["x"]]


def rebuilt(raw: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    """Return a workbook whose parts were changed by hand."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return out.getvalue()


def in_sheet(old: bytes, new: bytes) -> Callable[[str, bytes], bytes]:
    return lambda name, part: part.replace(old, new) if name.endswith("sheet1.xml") else part


SIMPLE = as_xlsx([["a", "b"], ["x", 1]])


@pytest.mark.parametrize(
    "change",
    [
        in_sheet(b'<row r="2"', b'<row r="99999999"'),  # a million empty rows before the next
        in_sheet(b"A1:B2", b"A1:XFD1048576"),  # claims to be full
        in_sheet(b'r="B2"', b'r="ZZZZZZ2"'),  # a cell far to the right
        in_sheet(b"<v>1</v>", b"<v>1e999</v>"),
        in_sheet(b"<v>1</v>", b"<v>nonsense</v>"),
        in_sheet(b"</sheetData>", b""),
        in_sheet(b"<sheetData>", b"\0<sheetData>"),
        lambda name, part: part[: len(part) // 2] if name.endswith("workbook.xml") else part,
        lambda name, part: b"" if name.endswith("styles.xml") else part,
        lambda name, part: b"<x/>" if name.endswith(".rels") else part,
    ],
)
def test_damaged_workbook_is_read_or_refused(put: Any, change: Callable[[str, bytes], bytes]) -> None:
    path = put(rebuilt(SIMPLE, change))
    refused = ""
    try:
        rows = read(path)
    except InvalidInput as exc:
        rows, refused = [], exc.message
    assert len(rows) <= 3
    assert rows or "workbook" in refused or "rows" in refused


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_document_type_is_refused(put: Any, encoding: str) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "{}">]>'.format("x" * 10)

    def change(name: str, part: bytes) -> bytes:
        if not name.endswith("sheet1.xml"):
            return part
        text = part.decode()
        return f'<?xml version="1.0" encoding="{encoding}"?><!--{"-" * 0}{"c" * 70_000}-->{bomb}{text}'.encode(encoding)

    with pytest.raises(InvalidInput, match="document type"):
        read(put(rebuilt(SIMPLE, change)))


def test_workbook_bomb_is_refused(put: Any) -> None:
    big = rebuilt(SIMPLE, in_sheet(b"</sheetData>", b"</sheetData>" + b" " * 5_000_000))
    with pytest.raises(InvalidInput, match="200 times its size"):
        read(put(big))


def test_archives_of_the_table_are_judged(tmp_path: Path) -> None:
    rows = [row for row in vectors("path_traversal_names")["rows"] if row["class"] == "archive"]
    harmless = {"nested", "code"}  # nothing inside is opened or kept, so these two cannot harm here
    for row in rows:
        path = vector_file(row["file"])
        with pytest.raises(InvalidInput):  # no workbook, whatever else it is
            look_through(path, {"format": "xlsx"})
        if row["expect"] == "ok":
            archive.open_archive(path).close()
        elif not any(word in row["file"] for word in harmless):
            with pytest.raises(InvalidInput):
                archive.open_archive(path)
    assert list(tmp_path.iterdir()) == []


# Where uploads lie


def test_hostile_names_touch_nothing(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    files = Files(tmp_path / "home" / "imports")
    for row in vectors("path_traversal_names")["rows"]:
        if "name" not in row:
            continue
        stored = files.save([b"a\n1\n"])
        assert files.path(stored).parent == tmp_path / "home" / "imports"
        shown = shown_name(row["name"])
        assert "/" not in shown
        assert shown.isprintable()
        if row["expect"] == "ok":
            assert shown == row["name"], row["id"]
        with pytest.raises(NotFound):
            files.path(row["name"])
    assert outside.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "outside.txt"]


def test_link_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    files = Files(tmp_path / "imports")
    stored = files.save([b"x"])
    secret = tmp_path / "secret"
    secret.write_text("key")
    path = files.path(stored)
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(NotFound):
        files.path(stored)


def test_too_large_upload_leaves_nothing_behind(tmp_path: Path) -> None:
    files = Files(tmp_path, most_bytes=1_000)
    for parts in ([b"x" * 600] * 2, [b""], []):
        with pytest.raises(InvalidInput):
            files.save(parts)
    assert list(tmp_path.iterdir()) == []


def test_limits_are_said_to_people() -> None:
    assert (limits.MOST_ROWS, limits.MOST_COLUMNS) == (1_000_000, 200)
