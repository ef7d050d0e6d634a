"""What starts rules, from the command line: a webhook's address and token, a rule's form."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from engines import make_engine

from core.clock import VirtualClock
from core.errors import NotAllowed
from rules.rule_hooks import check_call

HOOK = "rule: lead\nwhen: {webhook: news}\nthen: [{do: tasks.create, with: {title: call}}]\n"
FORM = """rule: offer
when:
  form:
    type: object
    required: [percent]
    additionalProperties: false
    properties:
      percent: {type: integer, maximum: 50}
      note: {type: string}
      gift: {type: boolean}
  on: customer
then: [{do: tasks.create, with: {title: "{{ form.percent }} {{ form.note }}"}}]
"""


def publish(shop: CommandLine, folder: Path, text: str) -> None:
    path = folder / "rule.yaml"
    path.write_text(text)
    answer = shop("rules", "publish", str(path), "--state", "on")
    assert answer.code == 0, answer.out + answer.err


def opens(shop: CommandLine, token: str) -> bool:
    """Tell whether a call with this token starts the rule."""
    engine = make_engine(shop.home)
    try:
        with engine.db.read() as conn:
            return check_call(engine, conn, "news", token) == "lead"
    except NotAllowed:
        return False
    finally:
        engine.close()


def test_webhook_is_shown_opened_and_closed(shop: CommandLine, tmp_path: Path):
    publish(shop, tmp_path, HOOK)
    shown = shop.json("rules", "webhook", "lead")
    assert shown["address"].endswith("/hooks/rule/news")
    assert shown["open"] is False
    first = shop.json("rules", "webhook", "lead", "--rotate")["token"]
    assert opens(shop, first)
    assert shop("rules", "webhook", "lead", "--rotate", "--dry-run").code == 6
    assert opens(shop, first)
    second = re.search(r"vh_\S+", shop("rules", "webhook", "lead", "--rotate").out)
    assert second
    assert (opens(shop, first), opens(shop, second[0])) == (False, True)
    shown = shop("rules", "webhook", "lead")
    assert "vh_" not in shown.out + shown.err
    assert shop.json("rules", "webhook", "lead", "--close")["open"] is False
    assert shop("rules", "webhook", "lead", "--close").code == 3


def test_rule_without_a_webhook_says_so(shop: CommandLine, tmp_path: Path):
    publish(shop, tmp_path, FORM)
    answer = shop("rules", "webhook", "offer", "--rotate")
    assert (answer.code, "has no webhook" in answer.err) == (5, True)


def customers(shop: CommandLine, count: int) -> list[str]:
    engine = make_engine(shop.home, clock=VirtualClock(datetime.now(UTC)))
    try:
        wanted = [{"external_id": f"x-{number}", "name": f"C {number}"} for number in range(count)]

        def work(tx: Any) -> list[str]:
            made = engine.shop_of(tx, None, engine.clock.now(), "till").upsert_customers(wanted)
            return [change.id for change in made]

        return engine.writer.do(work)
    finally:
        engine.close()


def test_form_is_filled_in_for_many_records(shop: CommandLine, tmp_path: Path):
    publish(shop, tmp_path, FORM)
    one, other = customers(shop, 2)
    fields = ("--field", "percent=10", "--field", "note=007", "--field", "gift=yes")
    records = ("--record", one, "--record", other, "--record", one)
    assert shop("rules", "start", "offer", *fields, *records, "--dry-run").code == 6
    assert shop.json("runs", "list") == []
    told = shop.json("rules", "start", "offer", *fields, *records)
    assert (told["started"], len(told["events"])) == (2, 2)
    assert {run["customer"] for run in shop.json("runs", "list")} == {one, other}
    event = shop.json("events", "show", told["events"][0])
    assert event["data"]["form"] == {"percent": 10, "note": "007", "gift": True}


# words, exit code, what is said
WRONG = [
    ((), 2, "form.percent: is required"),
    (("--field", "percent=many"), 2, "form.percent: 'many' is not integer"),
    (("--field", "percent=60"), 2, "form.percent"),
    (("--field", "percent"), 2, "must be written NAME=VALUE"),
    (("--field", "percent=5", "--field", "colour=red"), 2, "form.colour"),
    (("--field", "percent=5"), 2, "needs the ids of the customers"),
    (("--field", "percent=5", "--record", "nobody"), 3, "no customer 'nobody'"),
]


@pytest.mark.parametrize(("words", "code", "error"), WRONG)
def test_wrong_start_is_refused_and_starts_nothing(
    shop: CommandLine, tmp_path: Path, words: tuple[str, ...], code: int, error: str
):
    publish(shop, tmp_path, FORM)
    answer = shop("rules", "start", "offer", *words)
    assert answer.code == code, answer.err
    assert error in answer.err
    assert shop.json("runs", "list") == []
