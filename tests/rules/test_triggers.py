"""Triggers of a rule's own: schedules, dates of records, and a person's hand."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from engines import START
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from stage import Stage

from core.clock import VirtualClock
from core.durations import Duration, add, find_zone
from core.errors import Conflict, InvalidInput, NotFound
from core.tables import schedules
from rules.date_fields import DATES, days_before
from rules.triggers import start_by_hand

SAY = "then: [{do: stage.say, with: {text: '{{ %s }}'}}]\n"


def tick(stage: Stage, *, step_m: int = 60, **by: float) -> None:
    """Let time pass in steps, sweeping the schedules on the way."""
    end = stage.clock.now() + timedelta(**by)
    while stage.clock.now() < end:
        stage.clock.set(min(stage.clock.now() + timedelta(minutes=step_m), end))
        stage.engine.scheduler.sweep(stage.clock.now())
        stage.drain()


def planned(stage: Stage) -> list[str]:
    return [row.data["planned_at"] for row in stage.events() if row.type == "rule.scheduled"]


# schedule, zone, moments in the day after Monday 2 March 2026, 09:00 UTC
SCHEDULES = [
    ("every day at 10:00", "UTC", ["2026-03-02T10:00:00+00:00"]),
    ("every day at 10:00", "Europe/Istanbul", ["2026-03-03T07:00:00+00:00"]),  # today's is over there
    (
        "every 6 hours",
        "UTC",
        [
            "2026-03-02T12:00:00+00:00",
            "2026-03-02T18:00:00+00:00",
            "2026-03-03T00:00:00+00:00",
            "2026-03-03T06:00:00+00:00",
        ],
    ),
    ("'30 23 * * 1'", "UTC", ["2026-03-02T23:30:00+00:00"]),
    ("every friday at 10:00", "UTC", []),
    ("{at: '2026-03-02T20:00:00Z'}", "UTC", ["2026-03-02T20:00:00+00:00"]),
]


@pytest.mark.parametrize(("spec", "zone", "moments"), SCHEDULES)
def test_schedule_makes_one_event_a_planned_time(stage: Stage, spec: str, zone: str, moments: list[str]) -> None:
    stage.rule(f"rule: r\nwhen: {{schedule: {spec}, zone: {zone}}}\n" + SAY % "planned_at")
    tick(stage, hours=24)
    assert planned(stage) == moments
    assert stage.said == moments
    assert {row.data["rule"] for row in stage.events()} <= {"r"}


def test_zone_of_the_shop_is_the_default(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(zone="Europe/Istanbul")
    stage.rule("rule: r\nwhen: {schedule: every day at 10:00}\n" + SAY % "planned_at")
    tick(stage, hours=24)
    assert planned(stage) == ["2026-03-03T07:00:00+00:00"]


# what is done about times missed while the machine was off for three days
MISSED = [("all", 3), ("last", 1), ("none", 0)]


@pytest.mark.parametrize(("missed", "count"), MISSED)
def test_missed_times_are_caught_up_as_told(make_stage: Callable[..., Stage], missed: str, count: int) -> None:
    clock = VirtualClock(START)
    stage = make_stage(clock=clock)
    stage.rule(f"rule: r\nwhen: {{schedule: every day at 10:00, missed: {missed}}}\n" + SAY % "planned_at")
    clock.advance(timedelta(days=3))
    again = make_stage(clock=clock)
    # The scheduler of the engine that died held the lead; its lease runs out.
    stage.engine.scheduler.stop()
    again.engine.scheduler.sweep(clock.now())
    again.engine.scheduler.sweep(clock.now())
    assert len(planned(again)) == count
    assert len(set(planned(again))) == count


def test_stored_schedules_follow_the_live_rules(stage: Stage) -> None:
    def stored() -> dict[str, Any]:
        with stage.read() as conn:
            rows = conn.execute(select(schedules).where(schedules.c.owner == "rule"))
            return {row.name: row.spec for row in rows}

    text = "rule: r\nwhen: {schedule: every day at 10:00}\n" + SAY % "planned_at"
    stage.rule(text, state="off")
    assert stored() == {}
    stage.engine.switch("r", "on", actor="ann")
    assert stored() == {"r": "every day at 10:00"}
    stage.rule(text.replace("10:00", "11:00"))
    assert stored() == {"r": "every day at 11:00"}
    stage.engine.switch("r", "paused", actor="ann")
    assert stored() == {}
    stage.rule("rule: r\nwhen: {event: a.b}\n" + SAY % "x")
    assert stored() == {}


def test_planned_time_is_told_once_even_if_asked_twice(stage: Stage) -> None:
    stage.rule("rule: r\nwhen: {schedule: every day at 10:00}\n" + SAY % "planned_at")
    schedule_id = f"rule:{next(iter(stage.engine.book)).id}"
    moment = datetime(2026, 3, 2, 10, tzinfo=UTC)
    for _ in range(3):
        stage.do(lambda tx: stage.engine.scheduler._handlers["rule"](tx, schedule_id, moment))
    assert len(planned(stage)) == 1
    stage.engine.switch("r", "off", actor="ann")
    stage.do(lambda tx: stage.engine.scheduler._handlers["rule"](tx, schedule_id, moment + timedelta(days=1)))
    assert len(planned(stage)) == 1


# Dates


def customer(stage: Stage, email: str, **more: Any) -> str:
    wanted = {"email": email, "name": email.split("@", maxsplit=1)[0], **more}
    now = stage.clock.now()
    return stage.do(lambda tx: stage.engine.shop_of(tx, None, now, "test").upsert_customer(wanted)).id


# today, offset, birthdays that are met
BIRTHDAYS = [
    ("2026-03-03", "", ["1990-03-03"]),
    ("2026-03-03", ", offset: 3 days before", ["2001-03-06"]),
    ("2026-03-03", ", offset: 1 day after", ["2001-03-02"]),
    ("2026-02-28", "", ["2000-02-28", "2000-02-29"]),  # no 29th this year
    ("2028-02-28", "", ["2000-02-28"]),
    ("2028-02-29", "", ["2000-02-29"]),
    ("2026-02-25", ", offset: 3 days before", ["2000-02-28", "2000-02-29"]),
    ("2026-12-31", ", offset: 1 day before", ["1999-01-01"]),  # over the year's end
]
BORN = ["1990-03-03", "2001-03-06", "2001-03-02", "2000-02-28", "2000-02-29", "1999-01-01"]


@pytest.mark.parametrize(("today", "offset", "met"), BIRTHDAYS)
def test_birthday_comes_once_a_year(make_stage: Callable[..., Stage], today: str, offset: str, met: list[str]) -> None:
    clock = VirtualClock(datetime.fromisoformat(f"{today}T00:00:00Z"))
    stage = make_stage(clock=clock)
    for number, born in enumerate(BORN):
        customer(stage, f"a{number}@shop.example", birthday=born)
    stage.rule(f"rule: r\nwhen: {{date: customer.birthday{offset}}}\n" + SAY % "customer.birthday")
    tick(stage, hours=23)
    assert sorted(stage.said) == met
    told = [row for row in stage.events() if row.type == "rule.date_reached"]
    assert {row.data["date"]["day"] for row in told} == {today}
    assert all(row.customer == row.key == row.data["customer"]["id"] for row in told)
    assert {row.received_at.hour for row in told} == {9}  # in the morning, unless it says when


def test_date_trigger_waits_for_its_hour_in_the_shop(make_stage: Callable[..., Stage]) -> None:
    clock = VirtualClock(datetime(2026, 3, 2, 22, 0, tzinfo=UTC))  # already the 3rd in Istanbul
    stage = make_stage(clock=clock, zone="Europe/Istanbul")
    customer(stage, "a@shop.example", birthday="1990-03-03")
    stage.rule("rule: r\nwhen: {date: customer.birthday, at: '11:30'}\n" + SAY % "customer.name")
    tick(stage, hours=20, step_m=30)
    assert len(stage.said) == 1
    assert [row.received_at for row in stage.events() if row.type == "rule.date_reached"] == [
        datetime(2026, 3, 3, 8, 30, tzinfo=UTC)
    ]


def test_days_since_the_order_reach_each_order_once(make_stage: Callable[..., Stage]) -> None:
    clock = VirtualClock(datetime(2026, 1, 28, 8, 0, tzinfo=UTC))
    stage = make_stage(clock=clock)
    stage.rule("rule: r\nwhen: {date: customer.created_at, offset: 1 month after}\n" + SAY % "customer.name")
    for day in range(28, 35):  # 28 January to 3 February
        name = f"{datetime(2026, 1, 28, tzinfo=UTC) + timedelta(days=day - 28):%d-%m}"
        customer(stage, f"{name}@shop.example")
        tick(stage, hours=24, step_m=240)
    tick(stage, days=35, step_m=240)
    assert sorted(stage.said) == sorted(["28-01", "29-01", "30-01", "31-01", "01-02", "02-02", "03-02"])


@given(
    st.dates(date(2024, 1, 1), date(2029, 1, 1)),
    st.builds(Duration, days=st.integers(-40, 40), months=st.integers(-14, 14), years=st.integers(-2, 2)),
)
def test_every_day_is_reached_on_exactly_one_day(day: date, offset: Duration) -> None:
    moved = add(datetime(day.year, day.month, day.day, 12, tzinfo=UTC), offset, find_zone("UTC")).date()
    assert day in days_before(moved, offset)
    for other in (moved - timedelta(days=1), moved + timedelta(days=1)):
        assert day not in days_before(other, offset)


def test_every_date_field_of_the_manual_can_be_asked(stage: Stage) -> None:
    for number, field in enumerate(DATES):
        stage.rule(f"rule: r{number}\nwhen: {{date: {field}}}\nthen: [{{stop: true}}]\n")
    customer(stage, "a@shop.example", birthday="1990-03-03")
    tick(stage, hours=24)
    assert {row.data["rule"] for row in stage.events()} >= {"r0"}


# By hand

FORM = (
    "rule: r\nwhen:\n  form:\n    type: object\n    required: [why]\n    additionalProperties: false\n"
    "    properties: {why: {type: string, maxLength: 10}, days: {type: integer, minimum: 1}}\n%s"
)


def start(stage: Stage, form: Any, records: Any = (), rule: str = "r") -> list[Any]:
    return stage.do(lambda tx: start_by_hand(stage.engine, tx, rule, form, records, actor="ann"))


def test_form_starts_the_rule_with_what_was_filled_in(stage: Stage) -> None:
    stage.rule(FORM % "" + SAY % "form.why")
    stage.rule("rule: other\nwhen: {form: {type: object}}\n" + SAY % "form.why")
    start(stage, {"why": "sale", "days": 3})
    stage.drain()
    assert stage.said == ["sale"]
    event = stage.events()[0]
    assert (event.type, event.data) == (
        "rule.started",
        {"rule": "r", "form": {"why": "sale", "days": 3}, "actor": "ann"},
    )


def test_form_runs_once_for_each_record(stage: Stage) -> None:
    stage.rule(FORM % "  on: customer\n" + SAY % "customer.name")
    ids = [customer(stage, f"{name}@shop.example") for name in ("ann", "bob")]
    start(stage, {"why": "sale"}, ids)
    stage.drain()
    assert sorted(stage.said) == ["ann", "bob"]
    assert [row.key for row in stage.events()] == ids == [row.customer for row in stage.events()]


# form, records, what is wrong
BAD_FORMS: list[tuple[Any, Any, str, str]] = [
    ({}, (), "form.why", "is required"),
    ({"why": 5}, (), "form.why", "must be text"),
    ({"why": "x" * 11}, (), "form.why", "longer|at most"),
    ({"why": "x", "days": 0}, (), "form.days", "at least 1"),
    ({"why": "x", "wyh": "x"}, (), "form.wyh", "not a known field"),
    ({"why": "x"}, ("5",), "records", "names no records"),
]


@pytest.mark.parametrize(("form", "records", "path", "words"), BAD_FORMS)
def test_bad_form_is_refused_with_its_field(stage: Stage, form: Any, records: Any, path: str, words: str) -> None:
    stage.rule(FORM % "" + SAY % "form.why")
    with pytest.raises(InvalidInput, match=words) as refusal:
        start(stage, form, records)
    assert refusal.value.path == path
    assert stage.events() == []


def test_start_by_hand_needs_a_live_rule_with_a_form(stage: Stage) -> None:
    stage.rule("rule: plain\nwhen: {event: a.b}\n" + SAY % "x")
    stage.rule(FORM % "  on: order\n" + SAY % "form.why", state="off")
    with pytest.raises(Conflict, match="rule r is off: switch it on first"):
        start(stage, {"why": "x"})
    with pytest.raises(Conflict, match="is not started by hand but by a.b"):
        start(stage, {}, rule="plain")
    with pytest.raises(NotFound, match="no rule 'x'"):
        start(stage, {}, rule="x")
    stage.engine.switch("r", "on", actor="ann")
    with pytest.raises(InvalidInput, match="needs the ids of the orders to start with"):
        start(stage, {"why": "x"})
    with pytest.raises(NotFound, match="no order 'nobody'"):
        start(stage, {"why": "x"}, ("nobody",))
    assert stage.events() == []
