"""Imports through the API: from the upload over the mapping, the dry run and fixes in place to the run and its undo."""

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from api_client import ApiClient
from payload_shapes import body_of
from shared_files import vectors

from core.imports import work
from rules.engine import Engine

PEOPLE = (
    "No;Ad soyad;Telefon;Doğum günü;Kayıt tarihi\n"
    "c1;Ada;+905321112233;;\n"
    "c2;Bora;+905321112235;31.02.1990;never\n"  # row 3: two cells are wrong
    "c3;=1+1;+905321112234;;\n"
    "c4;=Deniz;none;;\n"  # row 5
)
MAPPING = ["external_id", "name", "phone", "birthday", "created_at"]
NOTHING = {"new": 0, "updated": 0, "unchanged": 0, "errors": 0, "left": 0}


def send(api: ApiClient, content: str | bytes, query: str = "kind=customers&name=people.csv", **more: Any) -> Any:
    raw = content.encode() if isinstance(content, str) else content
    return api.call("POST", f"/imports?{query}", data=raw, content_type=more.pop("media", "text/csv"), **more)


def uploaded(api: ApiClient, content: str = PEOPLE, mapping: list[str] | None = MAPPING) -> str:
    answer = send(api, content)
    assert answer.status_code == 201, answer.json
    address = f"/imports/{answer.json['id']}"
    assert answer.headers["Location"] == f"/api/v1{address}"
    if mapping:
        api.put(f"{address}/mapping", {"mapping": mapping})
    return address


def finished(api: ApiClient, engine: Engine, address: str, body: Any = None) -> dict[str, Any]:
    """Start what the address stands for, work it off, and return the job."""
    answer = api.call("POST", address, **({} if body is None else {"json": body}))
    assert answer.status_code == 202, answer.json
    place = f"/jobs/{answer.json['job']}"
    assert answer.headers["Location"] == f"/api/v1{place}"
    assert api.get(place)["status"] == "ready"
    engine.queue.drain()
    return api.get(place)


def customers(engine: Engine) -> list[tuple[str, str | None]]:
    with engine.db.read() as conn:
        return [tuple(row) for row in conn.exec_driver_sql("SELECT name, phone FROM customers ORDER BY name")]


def test_upload_guesses_the_mapping_and_shows_samples(api: ApiClient):
    answer = send(api, PEOPLE).json
    assert (answer["status"], answer["format"], answer["total"], answer["done"]) == ("ready", "csv", 4, 0)
    assert answer["header"] == ["No", "Ad soyad", "Telefon", "Doğum günü", "Kayıt tarihi"]
    assert answer["mapping"][1:] == ["name", "phone", "birthday", "created_at"]
    assert (answer["shown_name"], answer["counts"], answer["checked"]) == ("people.csv", NOTHING, None)
    told = api.get(f"/imports/{answer['id']}/samples")
    assert told["data"][0] == ["c1", "Ada", "+905321112233", "", ""]
    assert len(told["data"]) == 4
    assert len(api.get(f"/imports/{answer['id']}/samples?count=2")["data"]) == 2


def test_mapping_is_chosen_or_refused(api: ApiClient):
    address = uploaded(api, mapping=None)
    for mapping, pointer in [
        (["external_id"], "/mapping"),
        (["external_id", "name", "phone", "nonsense", None], "/mapping/3"),
        (["name", "name", None, None, None], "/mapping/1"),
    ]:
        refused = api.put(f"{address}/mapping", {"mapping": mapping}, status=422)
        assert refused["errors"][0]["pointer"] == pointer
    told = api.put(f"{address}/mapping", {"mapping": [None, "name", "phone", None, None], "options": {"source": "1c"}})
    assert (told["mapping"], told["options"]) == ([None, "name", "phone", None, None], {"source": "1c"})
    assert api.put(f"{address}/mapping", {"options": {"emit": True}}, status=422)


def test_check_tells_every_wrong_cell_and_writes_nothing(api: ApiClient, engine: Engine):
    address = uploaded(api)
    job = finished(api, engine, f"{address}/check")
    assert (job["status"], job["result"]["what"], job["result"]["counts"]["new"]) == ("done", "check", 2)
    told = api.get(address)
    assert (told["status"], customers(engine)) == ("ready", [])
    assert told["checked"]["counts"] == NOTHING | {"new": 2, "errors": 2}
    assert told["checked"]["by_column"] == {"Doğum günü": 1, "Kayıt tarihi": 1, "Telefon": 1}
    rows = api.get(f"{address}/rows")["data"]
    wrong = [(row["row"], [fault["column"] for fault in row["faults"]]) for row in rows]
    assert wrong == [(3, ["Doğum günü", "Kayıt tarihi"]), (5, ["Telefon"])]
    assert (rows[0]["cells"], rows[0]["fixed"]) == (["c2", "Bora", "+905321112235", "31.02.1990", "never"], [])
    assert [row["row"] for row in api.get(f"{address}/rows?column=Telefon")["data"]] == [5]
    first = api.get(f"{address}/rows?limit=1")
    second = api.get(f"{address}/rows?limit=1&cursor={first['next']}")
    assert [row["row"] for row in first["data"] + second["data"]] == [3, 5]
    assert second["next"] is None


FIXES = [
    {"row": 3, "column": "Doğum günü", "value": "28.02.1990"},
    {"row": 3, "column": 4, "value": None},
    {"row": 5, "column": "Telefon", "value": "still none"},
]


def test_rows_are_put_right_in_place(api: ApiClient, engine: Engine):
    address = uploaded(api)
    finished(api, engine, f"{address}/check")
    told = api.post(f"{address}/fixes", {"fixes": FIXES})["data"]
    assert [(row["row"], row["fixed"], len(row["faults"])) for row in told] == [(3, [3, 4], 0), (5, [2], 1)]
    assert told[0]["cells"][3:] == ["28.02.1990", None]
    checked = api.get(address)["checked"]
    assert (checked["stale"], [fault["row"] for fault in checked["errors"]]) == (True, [5])
    assert checked["by_column"] == {"Telefon": 1}
    assert [row["row"] for row in api.get(f"{address}/rows")["data"]] == [5]
    api.post(f"{address}/fixes", {"fixes": [{"row": 5, "column": "Telefon", "value": "+905321112236"}]})
    finished(api, engine, f"{address}/check")
    checked = api.get(address)["checked"]
    assert (checked["counts"]["new"], checked["errors"], checked["stale"]) == (4, [], False)
    finished(api, engine, f"{address}/run")
    assert api.get(address)["counts"] == NOTHING | {"new": 4}
    assert ("=Deniz", "+905321112236") in customers(engine)


def test_dry_run_of_fixes_keeps_nothing(api: ApiClient, engine: Engine):
    address = uploaded(api)
    finished(api, engine, f"{address}/check")
    before = api.get(address)
    told = api.post(f"{address}/fixes?dry_run=true", {"fixes": FIXES})
    assert (told["dry_run"], [len(row["faults"]) for row in told["data"]]) == (True, [0, 1])
    assert (api.get(address), api.get(f"{address}/samples")["data"][1][3]) == (before, "31.02.1990")


@pytest.mark.parametrize(
    ("fixes", "pointer"),
    [
        ([], "/fixes"),
        ([{"row": 99, "column": "No", "value": "x"}], "/fixes"),  # the file has no such row
        ([{"row": 1, "column": "No", "value": "x"}], "/fixes"),  # the headings stay
        ([{"row": 2, "column": "Nothing", "value": "x"}], "/fixes/0/column"),
        ([{"row": 2, "column": 5, "value": "x"}], "/fixes/0/column"),
        ([{"row": 2, "column": -1, "value": "x"}], "/fixes/0/column"),
        ([{"row": 2, "column": "No", "value": "x"}, {"row": 2, "column": 0, "value": "y"}], "/fixes/1"),  # twice
        ([{"row": 2, "column": "No", "value": 5}], "/fixes/0/value"),
        ([{"row": 2, "column": "No"}], "/fixes/0"),
        ([{"row": 2, "column": "No", "value": "x" * 100_001}], "/fixes/0/value"),
    ],
)
def test_wrong_fixes_are_refused(fixes: list[Any], pointer: str, api: ApiClient):
    told = api.post(f"{uploaded(api)}/fixes", {"fixes": fixes}, status=422)
    assert told["errors"][0]["pointer"].startswith(pointer)


def test_other_reading_forgets_fixes(api: ApiClient):
    address = uploaded(api)
    api.post(f"{address}/fixes", {"fixes": FIXES})
    assert api.get(f"{address}/samples")["data"][1][3] == "28.02.1990"
    api.put(f"{address}/mapping", {"options": {"delimiter": ","}})
    assert api.get(f"{address}/samples")["data"][1] == ["c2;Bora;+905321112235;31.02.1990;never"]


def test_run_imports_and_undo_takes_back(api: ApiClient, engine: Engine):
    address = uploaded(api)
    job = finished(api, engine, f"{address}/run")
    assert (job["task"], job["status"], job["done"], job["total"]) == ("import", "done", 4, 4)
    assert job["result"]["counts"] == NOTHING | {"new": 2, "errors": 2}
    told = api.get(address)
    assert (told["status"], told["needs_look"], told["done"]) == ("done", 2, 4)
    assert [name for name, _ in customers(engine)] == ["=1+1", "Ada"]
    assert api.call("POST", f"{address}/run").status_code == 409
    assert api.call("POST", f"{address}/fixes", json={"fixes": FIXES}).status_code == 409
    undoing = finished(api, engine, f"{address}/undo")
    assert (undoing["done"], undoing["total"], undoing["result"]["status"]) == (2, 2, "undone")
    assert (customers(engine), api.get(address)["undone"]["deleted"]) == ([], 2)


@pytest.mark.parametrize(
    ("body", "heard"), [(None, 0), ({"start_automations": False}, 0), ({"start_automations": True}, 2)]
)
def test_automations_start_only_when_asked(body: Any, heard: int, api: ApiClient, engine: Engine):
    finished(api, engine, f"{uploaded(api)}/run", body)
    assert len(api.get("/events?type=customer.created")["data"]) == heard


def test_dry_run_of_a_run_is_a_check(api: ApiClient, engine: Engine):
    address = uploaded(api)
    assert finished(api, engine, f"{address}/run?dry_run=true")["result"]["what"] == "check"
    assert (api.get(address)["status"], customers(engine)) == ("ready", [])


def test_paused_import_is_resumed_where_it_stood(api: ApiClient, engine: Engine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(work.BATCH, "customers", 10)
    lines = "".join(f"c{n};Müşteri {n};+90532{n:07d};;\n" for n in range(35))
    address = uploaded(api, PEOPLE.partition("\n")[0] + "\n" + lines)
    assert api.call("POST", f"{address}/resume").status_code == 409  # it has not begun
    seen: list[dict[str, Any]] = []

    def pause_once(_name: str) -> None:
        seen.append(api.get(address))
        if len(seen) == 2:
            assert api.post(f"{address}/pause")["status"] == "paused"

    monkeypatch.setattr(work, "crash_point", pause_once)
    job = finished(api, engine, f"{address}/run")
    assert [row["done"] for row in seen] == [10, 20]
    assert (job["done"], job["total"], job["result"]["status"], len(customers(engine))) == (20, 35, "paused", 20)
    assert finished(api, engine, f"{address}/resume")["result"]["counts"]["new"] == 35
    assert len(customers(engine)) == 35


def test_canceled_import_cannot_go_on(api: ApiClient):
    address = uploaded(api)
    assert api.post(f"{address}/cancel")["status"] == "canceled"
    assert [api.call("POST", f"{address}/{word}").status_code for word in ("run", "resume", "pause", "check")] == [
        409
    ] * 4


def test_error_rows_come_as_harmless_csv(api: ApiClient, engine: Engine):
    address = uploaded(api)
    for step in ("check", "run"):  # the dry run's rows, then the run's
        finished(api, engine, f"{address}/{step}")
        answer = api.call("GET", f"{address}/errors.csv")
        assert answer.content_type == "text/csv; charset=utf-8"
        assert answer.headers["Content-Disposition"].startswith("attachment")
        rows = list(csv.DictReader(io.StringIO(answer.get_data().decode("utf-8-sig"), newline="")))
        assert [(row["Row"], row["Ad soyad"]) for row in rows] == [("3", "Bora"), ("5", "'=Deniz")]
        assert "Telefon" in rows[1]["Column"]


def test_mended_error_rows_can_be_uploaded_again(api: ApiClient, engine: Engine):
    address = uploaded(api)
    finished(api, engine, f"{address}/run")
    mended = api.call("GET", f"{address}/errors.csv").get_data().decode().replace("31.02", "28.02")
    again = uploaded(api, mended.replace("never", "").replace("none", ""), [*MAPPING, None, None, None])  # type: ignore[list-item]
    assert finished(api, engine, f"{again}/run")["result"]["counts"] == NOTHING | {"new": 2}
    assert "=Deniz" in [name for name, _ in customers(engine)]


def test_error_rows_of_an_order_come_whole(api: ApiClient, engine: Engine):
    content = "Order,SKU,Item,Quantity,Price\n1,A,x,1,5\n2,A,x,1,5\n2,B,y,many,5\n3,A,x,1,5\n"
    answer = send(api, content, "kind=orders")
    address = f"/imports/{answer.json['id']}"
    finished(api, engine, f"{address}/check")
    (fault,) = api.get(address)["checked"]["errors"]
    assert (fault["row"], fault["first"], fault["rows"], fault["column"]) == (4, 3, 2, "Quantity")
    rows = api.call("GET", f"{address}/errors.csv").get_data().decode().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ['"2"', '"2"']
    told = api.post(f"{address}/fixes", {"fixes": [{"row": 4, "column": "Quantity", "value": "2"}]})["data"]
    assert [(row["row"], row["faults"]) for row in told] == [(4, [])]
    assert finished(api, engine, f"{address}/run")["result"]["counts"] == NOTHING | {"new": 4}


def test_wrong_line_spoils_its_own_order_only(api: ApiClient, engine: Engine):
    content = "Order,SKU,Item,Quantity,Price\n1,A,x,1,5\n2,A,x,many,5\n2,B,y,1,5\n"
    address = f"/imports/{send(api, content, 'kind=orders').json['id']}"
    assert finished(api, engine, f"{address}/run")["result"]["counts"] == NOTHING | {"new": 1, "errors": 2}


# What can be sent


def test_form_brings_the_file_as_a_part(api: ApiClient):
    part = {"file": (io.BytesIO(PEOPLE.encode()), "kişiler.csv")}
    answer = api.call("POST", "/imports?kind=customers", data=part)
    assert (answer.status_code, answer.json["shown_name"], answer.json["total"]) == (201, "kişiler.csv", 4)


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"other": "x"},
        {"file": "text without a file name"},
        {"file": (io.BytesIO(b"a\n1\n"), "a.csv"), "kind": "orders"},
        {"file": [(io.BytesIO(b"a\n1\n"), "a.csv"), (io.BytesIO(b"a\n1\n"), "b.csv")]},
    ],
    ids=["nothing", "other", "no file", "more fields", "two files"],
)
def test_other_forms_are_refused(parts: Any, api: ApiClient):
    answer = api.call("POST", "/imports?kind=customers", data=parts, content_type="multipart/form-data")
    assert (answer.status_code, api.get("/imports")["data"]) == (400, [])


def test_workbooks_and_json_lines_are_uploaded(api: ApiClient):
    book, file = openpyxl.Workbook(), io.BytesIO()
    sheet = book.active
    assert sheet is not None
    sheet.append(["sku", "name", "price", "created"])
    sheet.append(["A-1", "Phone", 10.5, None])
    book.save(file)
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    answer = send(api, file.getvalue(), "kind=products", media=kind)
    assert (answer.json["format"], answer.json["mapping"]) == ("xlsx", ["sku", "name", "price", None])
    lines = send(api, '{"sku":"A-1","price":1,"more":{"a":[1]}}\n', "kind=products", media="application/x-ndjson")
    assert (lines.json["format"], lines.json["header"]) == ("jsonl", ["sku", "price", "more"])
    assert api.get(f"/imports/{lines.json['id']}/samples")["data"] == [["A-1", 1, {"a": [1]}]]


@pytest.mark.parametrize(
    ("content", "query", "media", "status"),
    [
        ("a\n1\n", "kind=people", "text/csv", 400),
        ("a\n1\n", "", "text/csv", 422),
        ("a\n1\n", "kind=customers&colour=red", "text/csv", 400),
        ("a\n1\n", "kind=customers&encoding=utf-7", "text/csv", 400),
        ("a\n1\n", "kind=customers&zone=Mars/Base", "text/csv", 422),
        ("a\n1\n", "kind=customers&emit=true", "text/csv", 400),
        ("", "kind=customers", "text/csv", 422),
        ("%PDF-1.7", "kind=customers", "application/octet-stream", 422),
        ("PK\x03\x04", "kind=customers", "application/octet-stream", 422),
        ("a\n1\n", "kind=customers", "application/json", 415),
        ("a\n1\n", "kind=customers", "text/plain", 415),
        ("a\n1\n", "kind=customers", "application/x-www-form-urlencoded", 400),
        ("a\n1\n", "kind=customers", "", 400),
    ],
)
def test_wrong_uploads_leave_nothing(
    content: str, query: str, media: str, status: int, api: ApiClient, engine: Engine, tmp_path: Path
):
    answer = api.call("POST", f"/imports?{query}", data=content.encode(), content_type=media or None)
    assert answer.status_code == status, answer.json
    assert (api.get("/imports")["data"], list((tmp_path / "imports").glob("*"))) == ([], [])


FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n%s\r\n--b--\r\n'


class TestLimit:
    @pytest.fixture
    def flags(self) -> dict[str, Any]:
        return {"max_upload_mb": 1}

    @pytest.mark.parametrize("form", [False, True])
    def test_larger_files_are_refused(self, form: bool, api: ApiClient):
        small, large = b"sku\n" + b"a\n" * 400_000, b"sku\n" + b"a\n" * 600_000
        for content, status in ((small, 201), (large, 413)):
            sent, kind = (FORM % content, "multipart/form-data; boundary=b") if form else (content, "text/csv")
            answer = api.call("POST", "/imports?kind=products", data=sent, content_type=kind)
            assert answer.status_code == status
        assert "1 MiB" in answer.json["detail"]


def test_hostile_names_are_refused_or_only_shown(api: ApiClient, tmp_path: Path):
    before = sorted(path for path in tmp_path.rglob("*") if "imports" not in path.parts)
    for row in vectors("path_traversal_names")["rows"]:
        if "name" not in row:
            continue
        answer = api.call(
            "POST",
            "/imports",
            query_string={"kind": "products", "name": row["name"]},
            data=b"sku\n1\n",
            content_type="text/csv",
        )
        hidden = any(sign in row["name"] for sign in "/\\\0\n") or not row["name"].strip(". ")
        assert answer.status_code < 500, row
        assert (answer.status_code in (400, 422)) if hidden else True, row
        if row["expect"] == "ok":
            assert answer.json["shown_name"] == row["name"]
        if answer.status_code == 201:
            assert not any(sign in answer.json["shown_name"] for sign in "/\\\0")
    assert sorted(path for path in tmp_path.rglob("*") if "imports" not in path.parts) == before
    assert all(path.name.endswith(".upload") for path in (tmp_path / "imports").iterdir())


def test_hostile_archives_are_refused(api: ApiClient):
    shared = vectors("path_traversal_names")
    folder = Path(__file__).resolve().parents[3] / "shared" / "vectors"
    archives = [row["file"] for row in shared["rows"] if "file" in row]
    answers = [send(api, (folder / name).read_bytes(), "kind=products") for name in archives]
    assert {answer.status_code for answer in answers} == {422}


def test_repeated_upload_is_one_import(api: ApiClient, tmp_path: Path):
    key = {"Idempotency-Key": "once"}
    first, again = (send(api, PEOPLE, headers=key).json for _ in range(2))
    assert (first["id"], len(api.get("/imports")["data"])) == (again["id"], 1)
    assert len(list((tmp_path / "imports").iterdir())) == 1
    assert send(api, PEOPLE + "c9;;;;\n", headers=key).status_code == 422
    forms = [
        api.call(
            "POST",
            "/imports?kind=customers",
            data={"file": (io.BytesIO(PEOPLE.encode()), "a.csv")},
            headers={"Idempotency-Key": "form"},
        )
        for _ in range(2)
    ]
    assert forms[0].json["id"] == forms[1].json["id"]


def test_broken_forms_and_bodies_are_refused(api: ApiClient):
    for row in vectors("payload_shapes")["rows"]:
        body, media, more = body_of(row)
        if more:
            continue  # about the address
        for kind in {media, "text/csv", "application/octet-stream", "multipart/form-data; boundary=b"}:
            answer = api.call("POST", "/imports?kind=stock", data=body, content_type=kind or None)
            assert answer.status_code < 500, (row["id"], kind, answer.json)
            assert answer.status_code != 201 or kind in ("text/csv", "application/octet-stream"), (row["id"], kind)


# Who may see what


def test_cells_of_people_need_the_scope_for_them(api: ApiClient, client_with: Callable[..., ApiClient], engine: Engine):
    address = uploaded(api)
    finished(api, engine, f"{address}/check")
    other = client_with("imports:read", "imports:write")
    for path in ("samples", "rows", "errors.csv"):
        assert other.call("GET", f"{address}/{path}").status_code == 403
    assert other.call("POST", f"{address}/fixes", json={"fixes": FIXES}).status_code == 403
    assert other.get(address)["status"] == "ready"
    goods = send(other, "sku\nA-1\n", "kind=products")
    assert other.get(f"/imports/{goods.json['id']}/samples")["data"] == [["A-1"]]


def test_messages_are_masked_without_the_scope(api: ApiClient, client_with: Callable[..., ApiClient], engine: Engine):
    content = PEOPLE + "c5;Ece;;ada@example.com;\n"
    address = uploaded(api, content)
    finished(api, engine, f"{address}/check")
    assert "ada@example.com" in str(api.get(address)["checked"])
    assert "ada@example.com" not in str(client_with("imports:read").get(address))


def test_imports_are_listed_and_paged(api: ApiClient):
    ids = [uploaded(api).rpartition("/")[2] for _ in range(3)][::-1]
    first = api.get("/imports?limit=2")
    second = api.get(f"/imports?limit=2&cursor={first['next']}")
    assert [row["id"] for row in first["data"] + second["data"]] == ids
    assert [len(api.get(f"/imports?{query}")["data"]) for query in ("status=done", "status=ready", "kind=orders")] == [
        0,
        3,
        0,
    ]


def test_fields_are_told_for_every_kind(api: ApiClient):
    kinds = {row["kind"]: row for row in api.get("/schemas/imports")["data"]}
    assert set(kinds) == {"customers", "products", "prices", "stock", "orders"}
    (sku,) = (field for field in kinds["stock"]["fields"] if field["name"] == "sku")
    assert (sku["required"], set(sku["title"]), kinds["stock"]["own_fields"]) == (True, {"en", "tr", "ru"}, False)


def test_file_past_its_time_is_told_to_be_gone(api: ApiClient, engine: Engine):
    address = uploaded(api)
    engine.clock.advance(timedelta(days=8))  # type: ignore[attr-defined]
    engine.writer.do(lambda tx: engine.imports.forget(tx, engine.clock.now()))
    for method, path in (("GET", "samples"), ("GET", "errors.csv"), ("POST", "run")):
        answer = api.call(method, f"{address}/{path}")
        assert (answer.status_code, "upload it again" in answer.json["detail"]) == (404, True)


def test_unknown_imports_are_not_found(api: ApiClient):
    for route in ("", "/samples", "/rows", "/errors.csv"):
        assert api.call("GET", f"/imports/none{route}").status_code == 404
    for word in ("check", "run", "pause", "resume", "cancel", "undo"):
        assert api.call("POST", f"/imports/none/{word}").status_code == 404
