"""The pages of imports: from the upload over columns, check and repairs in place to the run, its progress and its undo."""

import io
import re
from typing import Any

import pytest
from web_pages import PageClient, plain, sign_in

from rules.engine import Engine

PEOPLE = (
    "No;Ad soyad;Telefon;Doğum günü\n"
    "c1;Ada;+905321112233;\n"
    "c2;Bora;+905321112235;31.02.1990\n"  # row 3: there is no such day, so the row is refused
    "c3;Cem;+905321112234;\n"
)
MAPPING = ["external_id", "name", "phone", "birthday"]


@pytest.fixture
def browser(app: Any, engine: Engine) -> PageClient:
    return sign_in(app, engine, "manager")


def upload(browser: PageClient, content: str = PEOPLE, name: str = "people.csv", *, status: int = 303) -> Any:
    file = (io.BytesIO(content.encode()), name)
    return browser.post("/imports", {"kind": "customers", "file": file}, status=status)


def uploaded(browser: PageClient, content: str = PEOPLE) -> str:
    return upload(browser, content).headers["Location"]


def checked(browser: PageClient, engine: Engine) -> str:
    address = uploaded(browser)
    browser.post(f"{address}/map", {"to": MAPPING})
    engine.queue.drain()
    return address


def names(engine: Engine) -> list[str]:
    with engine.db.read() as conn:
        return list(conn.exec_driver_sql("SELECT name FROM customers ORDER BY name").scalars())


def test_upload_shows_guessed_columns_with_samples(browser: PageClient):
    page = browser.get(uploaded(browser))
    text = plain(page)
    assert "people.csv" in text
    assert "Ada · Bora · Cem" in text
    chosen = re.findall(r'<option value="(\w+)" selected>', page)
    assert chosen[-3:] == ["name", "phone", "birthday"]


def test_upload_without_a_file_says_so_beside_it(browser: PageClient):
    page = browser.post("/imports", {"kind": "customers"}, status=422).get_data(as_text=True)
    assert "Choose a file first." in plain(page)
    empty = upload(browser, "", status=422).get_data(as_text=True)
    assert "is empty" in plain(empty)
    path = upload(browser, PEOPLE, "../people.csv", status=422).get_data(as_text=True)
    assert "is a path" in plain(path)


def test_file_larger_than_a_form_field_is_taken(browser: PageClient):
    rows = "".join(f"x{number};Test {number};+90532{1_000_000 + number};\n" for number in range(5_000))
    assert "5,003 rows" in plain(browser.get(uploaded(browser, PEOPLE + rows)))


def test_wrong_mapping_is_told_and_kept(browser: PageClient):
    address = uploaded(browser)
    page = browser.post(f"{address}/map", {"to": ["name", "name", "", ""]}, status=422).get_data(as_text=True)
    assert "is taken by the column" in plain(page)
    assert page.count('<option value="name" selected>') == 2


def test_check_tells_what_would_happen(browser: PageClient, engine: Engine):
    address = checked(browser, engine)
    text = plain(browser.get(address))
    assert "What would happen New records 2" in text
    assert "Row 3" in text
    assert "Doğum günü 1" in text
    assert names(engine) == []


def test_cell_is_put_right_in_place(browser: PageClient, engine: Engine):
    address = checked(browser, engine)
    page = browser.get(f"{address}?column=Do%C4%9Fum+g%C3%BCn%C3%BC")
    assert 'name="cell-3-3" value="31.02.1990"' in page
    browser.post(f"{address}/fix", {"was-3-3": "31.02.1990", "cell-3-3": "31.13.1990"})
    assert "1 row is still wrong." in plain(browser.get(address))
    browser.post(f"{address}/fix", {"was-3-3": "31.13.1990", "cell-3-3": "28.02.1990"})
    text = plain(browser.get(address))
    assert "1 row is right now." in text
    assert "Every row fits." in text
    browser.post(f"{address}/fix", {"was-3-3": "28.02.1990", "cell-3-3": "28.02.1990"})
    assert "Nothing was changed." in plain(browser.get(address))


def test_run_writes_and_undo_takes_back(browser: PageClient, engine: Engine):
    address = checked(browser, engine)
    browser.post(f"{address}/run")
    part = browser.fragment("GET", address)
    assert "0 of 3 rows" in plain(part)
    assert 'hx-trigger="every 2s"' in part
    assert "<html" not in part
    engine.queue.drain()
    browser.fragment("GET", address, status=204)
    assert names(engine) == ["Ada", "Cem"]
    text = plain(browser.get(address))
    assert "What happened New records 2" in text
    assert "Undo the import" in text
    browser.post(f"{address}/undo")
    engine.queue.drain()
    assert names(engine) == []
    assert "Deleted 2" in plain(browser.get(address))


@pytest.mark.parametrize(
    ("ticked", "told"),
    [
        (False, 0),  # old data starts nothing
        (True, 2),
    ],
)
def test_automations_start_only_when_ticked(ticked: bool, told: int, browser: PageClient, engine: Engine):
    address = checked(browser, engine)
    browser.post(f"{address}/run", {"emit": "yes"} if ticked else {})
    engine.queue.drain()
    with engine.db.read() as conn:
        found = conn.exec_driver_sql("SELECT count(*) FROM events WHERE type = 'customer.created'").scalar_one()
    assert found == told


def test_import_is_paused_resumed_and_cancelled(browser: PageClient, engine: Engine):
    address = checked(browser, engine)
    browser.post(f"{address}/run")
    browser.post(f"{address}/pause")
    text = plain(browser.get(address))
    assert "Paused at 0 of 3 rows" in text
    browser.post(f"{address}/resume")
    engine.queue.drain()
    assert names(engine) == ["Ada", "Cem"]
    other = uploaded(browser)
    browser.post(f"{other}/cancel")
    assert "Cancelled" in plain(browser.get(other))
    browser.post(f"{other}/run", status=409)


def test_rows_that_need_a_look_are_downloaded(browser: PageClient, engine: Engine):
    address = checked(browser, engine)
    response = browser.open("GET", f"{address}/errors.csv")
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"].startswith("attachment")
    assert "31.02.1990" in response.get_data(as_text=True)


def test_reading_options_guess_the_columns_anew(browser: PageClient):
    address = uploaded(browser, "a\tname\n1\tAda\n")
    browser.post(f"{address}/reading", {"delimiter": "|"})
    assert "a name" in plain(browser.get(address))
    browser.post(f"{address}/reading", {"delimiter": "tab"})
    assert browser.get(address).count('<select name="to"') == 2


def test_strange_files_are_shown_as_text(browser: PageClient):
    address = upload(browser, "<script>alert(1)</script>;name\n<b>x</b>;Ada\n", "<i>.csv").headers["Location"]
    for page in [browser.get(address), browser.get("/imports")]:
        assert "<script>alert" not in page
        assert "<b>x" not in page
        assert "<i>.csv" not in page


def test_unknown_import_is_told_so(browser: PageClient):
    browser.get("/imports/nothing", status=404)
    browser.post("/imports/nothing/run", status=404)
