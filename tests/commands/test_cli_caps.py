"""Caps from the command line: set, shown with their use, removed; the doctor tells of one that is reached."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from command_line import CommandLine
from engines import make_engine

from core.clock import VirtualClock

FEW = ("few", "--kind", "task", "--most", "1", "--in", "1 day", "--above", "skip")


def test_cap_is_set_listed_and_removed(shop: CommandLine):
    told = shop.json("caps", "set", *FEW)
    wanted = {"name": "few", "kind": "task", "per": "shop", "most": 1, "period": "1 day", "above": "skip"}
    assert told == {**wanted, "cap": "at most 1 task a day", "used": 0, "reached": 0}
    assert shop.json("caps", "list") == [told]
    assert "at most 1 task a day" in shop("caps", "list").out
    assert shop("caps", "set", *FEW[:4], "5", *FEW[5:]).out == "few: at most 5 tasks a day, else skip\n"
    assert shop.json("caps", "remove", "few") == [{"name": "few", "removed": True}]
    assert shop.json("caps", "list") == []
    assert shop("caps", "remove", "few").code == 3


def test_dry_run_sets_and_removes_nothing(shop: CommandLine):
    shop("caps", "set", *FEW)
    assert shop("caps", "remove", "few", "--dry-run").code == 6
    assert shop("caps", "set", *FEW, "--dry-run").code == 0  # the same: nothing would change
    assert shop("caps", "set", "other", *FEW[1:], "--dry-run").code == 6
    assert [row["name"] for row in shop.json("caps", "list")] == ["few"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("few", "--kind", "tsak", *FEW[3:]), "did you mean task?"),
        (("few", "--kind", "task", "--most", "1", "--in", "soon", "--above", "skip"), "is not a length of time"),
        (("few", "--kind", "task", "--most", "0", "--in", "1 day", "--above", "later"), "choose skip or hold"),
        (("Few", *FEW[1:]), "small letters"),
    ],
)
def test_wrong_cap_is_refused_in_words(shop: CommandLine, words: tuple[str, ...], error: str):
    answer = shop("caps", "set", *words)
    assert answer.code == 2
    assert error in answer.err
    assert shop.json("caps", "list") == []


def doctors_word(shop: CommandLine) -> tuple[str, str]:
    (found,) = [row for row in json.loads(shop("doctor", "--json").out) if row["check"] == "caps"]
    return found["state"], found["message"]


def test_doctor_tells_a_cap_that_is_reached(shop: CommandLine, tmp_path: Path):
    assert doctors_word(shop) == ("ok", "no caps")
    shop("caps", "set", *FEW)
    assert doctors_word(shop) == ("ok", "1 cap over all rules, none of them reached")
    rule = tmp_path / "call.yaml"
    rule.write_text("rule: call\nwhen: {form: {type: object}}\nthen: [{do: tasks.create, with: {title: call}}]\n")
    assert shop("rules", "publish", str(rule), "--state", "on").code == 0
    assert shop("rules", "start", "call").code == 0
    walk(shop)
    state, words = doctors_word(shop)
    assert (state, words) == ("warning", "few is reached (at most 1 task a day)")


def walk(shop: CommandLine) -> None:
    """Let what is due happen, as a running engine does."""
    engine = make_engine(shop.home, clock=VirtualClock(datetime.now(UTC)))
    try:
        engine.drain()
    finally:
        engine.close()
