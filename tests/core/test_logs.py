"""Logs: one line a record, nothing in it that must not be there, and no way to make logging fail."""

import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from shared_files import vectors

from core import logs
from core.clock import VirtualClock

SECRET = "Qz7/sentinel+word"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    level, hooks = root.level, (sys.excepthook, threading.excepthook)
    yield
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, logs.LineHandler)]
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def start(form: str = "json", level: str = "info", **more: Any) -> io.StringIO:
    out = io.StringIO()
    logs.configure(level, form, stream=out, **more)
    # The test runner's own handlers would raise what ours must bear.
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if isinstance(handler, logs.LineHandler)]
    return out


def only_line(out: io.StringIO) -> str:
    text = out.getvalue()
    assert text.endswith("\n")
    assert text.count("\n") == 1
    assert len(text.splitlines()) == 1, "some character in the record ends a line"
    return text[:-1]


def test_json_line_says_when_who_and_what(clock: VirtualClock) -> None:
    out = start(clock=clock)
    structlog.contextvars.bind_contextvars(run="r1")
    structlog.get_logger("vitrin.writer").info("the disk is back", waited_s=3, orders=["a", "b"])

    assert json.loads(only_line(out)) == {
        "at": "2026-01-15T12:00:00.000+00:00",
        "level": "info",
        "logger": "vitrin.writer",
        "event": "the disk is back",
        "run": "r1",
        "waited_s": 3,
        "orders": ["a", "b"],
    }


def test_words_stand_in_one_line(clock: VirtualClock) -> None:
    out = start("words", clock=clock)
    structlog.get_logger("vitrin.writer").warning("şube açıldı", name="İki kelime", count=2)

    assert only_line(out) == (
        '2026-01-15T12:00:00.000+00:00 warning vitrin.writer: şube açıldı name="İki kelime" count=2'
    )


def test_auto_writes_json_to_files() -> None:
    out = start("auto")
    logging.getLogger("somebody").warning("hello %s", "there")

    assert json.loads(only_line(out))["event"] == "hello there"


@pytest.mark.parametrize("form", ["json", "words"])
def test_sample_lines_are_masked(form: str) -> None:
    for row in vectors("pii_log_samples")["rows"]:
        out = start(form)
        structlog.get_logger("vitrin").info(row["text"], detail=row["text"], deep={"list": [row["text"]]})
        line = only_line(out)
        found = [bad for bad in row["must_not_appear"] if bad in line or quote(bad) in line]
        assert found == [], row["id"]
        assert all(good in line for good in row["may_stay"]), row["id"]


@pytest.mark.parametrize("form", ["json", "words"])
def test_foreign_records_are_masked_too(form: str) -> None:
    out = start(form)
    logging.getLogger("library").error("sent %s to %s", "Authorization: Bearer eyJhbGciOi.J9.xyz_-1", "a@b.example")

    assert "xyz_" not in only_line(out)
    assert "a@b.example" not in out.getvalue()


def test_known_secret_is_cut_out_everywhere() -> None:
    out = start(secrets=lambda: [SECRET])

    def fail() -> None:
        raise ValueError(f"cannot use {SECRET}")

    try:
        fail()
    except ValueError as exc:
        structlog.get_logger("vitrin").exception(f"with {SECRET}", error=exc, url=quote(SECRET, safe=""), SECRET=1)
    line = only_line(out)

    assert "ValueError" in line
    assert "Qz7" not in line
    assert "sentinel" not in line


def test_values_with_secret_names_are_masked() -> None:
    out = start()
    structlog.get_logger("vitrin").info("settings", api_key="plain word", nested={"password": "other word"})

    assert "plain word" not in only_line(out)
    assert "other word" not in out.getvalue()


@pytest.mark.parametrize("form", ["json", "words"])
def test_traceback_stays_in_one_line(form: str) -> None:
    out = start(form)
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        structlog.get_logger("vitrin").exception("it failed")
        logging.getLogger("library").exception("it failed")

    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert all("ZeroDivisionError" in line and "test_logs.py" in line for line in lines)


FORGERIES = [
    'done"}\n{"level": "info", "event": "forged',  # a line feed, and JSON
    "a\r\nb",  # both ends
    "a\x0bb\x0cc\x1cd\x1ee\x85f\u2028g\u2029h",  # every character that some reader takes for a line's end
    "\x1b[2J\x1b[31mred",  # terminal codes
    "half a pair \ud83d",  # no text
    "NUL \0",  # what cuts C texts
    "\u202egnp.exe",  # direction override
]


@pytest.mark.parametrize("form", ["json", "words"])
@pytest.mark.parametrize("text", FORGERIES)
def test_line_cannot_be_forged(form: str, text: str) -> None:
    out = start(form)
    structlog.get_logger("vitrin").info(text, **{"name " + text: text})
    line = only_line(out)

    assert line.isprintable()
    assert "\ud83d" not in line


@given(st.text(st.characters(), max_size=60), st.sampled_from(["json", "words"]))
def test_any_text_gives_one_line(text: str, form: str) -> None:
    out = start(form)
    structlog.get_logger("vitrin").info(text, value=text)
    logging.getLogger("library").info("%s", text)

    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


class Hostile:
    """Something a plugin may hand to the log."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


ODD: list[Any] = [
    Hostile(),  # cannot be shown
    {1: {2: {3: {4: {5: {6: {7: {8: {9: 10}}}}}}}}},  # deep
    list(range(10_000)),  # long
    "x" * 10_000_000,  # very long
    float("nan"),  # what JSON has no word for
    b"bytes \xff",  # bytes
    10**400,  # a long number
    ValueError("an error"),  # an error as a value
]


@pytest.mark.parametrize("form", ["json", "words"])
@pytest.mark.parametrize("value", ODD, ids=range(len(ODD)))
def test_odd_values_are_told(form: str, value: Any) -> None:
    out = start(form)
    structlog.get_logger("vitrin").info("odd", value=value)

    assert "odd" in only_line(out)
    assert len(out.getvalue()) < 40_000


def test_wrong_arguments_do_not_raise() -> None:
    out = start()
    logging.getLogger("library").info("%d things", "many")

    assert json.loads(only_line(out))["event"] == "a record of library could not be told: TypeError"


def test_closed_stream_does_not_raise() -> None:
    out = start()
    out.close()

    logging.getLogger("library").error("nobody hears")


def test_levels_are_kept() -> None:
    out = start(level="warning")
    structlog.get_logger("vitrin").info("no")
    logging.getLogger("library").info("no")
    assert out.getvalue() == ""


def test_httpx_is_quiet() -> None:
    out = start(level="debug")
    logging.getLogger("httpx").info("HTTP Request: GET https://shop.example/?code=1")
    logging.getLogger("httpcore.http11").debug("send_request_headers.started")
    assert out.getvalue() == ""


def test_second_configuration_replaces_first() -> None:
    first = start()
    second = start()
    logging.getLogger("library").warning("once")

    assert first.getvalue() == ""
    assert only_line(second)


def test_uncaught_errors_are_logged() -> None:
    out = start(secrets=lambda: [SECRET])
    logs.log_uncaught()

    def fail() -> None:
        raise RuntimeError(SECRET)

    thread = threading.Thread(target=fail, name="worker-1")
    thread.start()
    thread.join()

    assert "worker-1" in only_line(out)
    assert SECRET not in out.getvalue()


@pytest.mark.parametrize("form", ["json", "words"])
def test_narrow_stream_takes_every_letter(form: str) -> None:
    below = io.BytesIO()
    logs.configure("info", form, stream=io.TextIOWrapper(below, encoding="ascii", errors="strict"))
    structlog.get_logger("vitrin").info("şube \U0001f600")

    assert b"\\u015f" in below.getvalue()


_SPEAK = """
import sys
import structlog
from core import logs
logs.configure("info", sys.argv[1])
structlog.get_logger("vitrin").info("Ünlü İstanbul şubesi, \\U0001f600 \\ud83d", place="Москва")
"""


@pytest.mark.parametrize("form", ["json", "words"])
def test_plain_c_locale_is_no_obstacle(form: str, tmp_path: Path) -> None:
    (tmp_path / "speak.py").write_text(_SPEAK, encoding="utf-8")
    locale = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    root = str(Path(logs.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, str(tmp_path / "speak.py"), form],
        env={**os.environ, **locale, "PYTHONPATH": root},
        capture_output=True,
        check=True,
    )

    line = done.stderr.decode("ascii")
    assert line.count("\n") == 1
    assert form == "words" or json.loads(line)["place"] == "Москва"
