"""Date triggers: any date of any record, moved and late ones, found without looking at every record."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from engines import START
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event as hooks
from sqlalchemy import func, select, text
from stage import Stage

from core.clock import VirtualClock
from core.durations import Duration, find_zone
from core.errors import RuleError
from core.tables import schedules
from rules.check import check_rule
from rules.date_fields import DateField, DatePlan, read_date_field, read_date_plan, read_dated
from rules.dates import find_due
from rules.explain import why
from rules.rule import compile_rule, read_yaml

ZONES = ["UTC", "Europe/Istanbul", "America/Sao_Paulo", "Pacific/Kiritimati"]


def rule_of(when: str, says: str = "date.value", name: str = "r") -> str:
    return f"rule: {name}\nwhen: {{{when}}}\nthen: [{{do: stage.say, with: {{text: '{{{{ {says} }}}}'}}}}]\n"


def shop(stage: Stage, call: str, wanted: dict[str, Any]) -> str:
    now = stage.clock.now()
    return stage.do(lambda tx: getattr(stage.engine.shop_of(tx, None, now, "test"), call)(wanted)).id


def customer(stage: Stage, name: str, **fields: Any) -> str:
    return shop(stage, "upsert_customer", {"external_id": name, "name": name, "fields": fields})


def tick(stage: Stage, **by: float) -> None:
    """Let time pass, stopping at every moment that a rule's schedule planned."""
    end = stage.clock.now() + timedelta(**by)
    while (due := next_look(stage)) is not None and due <= end:
        stage.clock.set(max(due, stage.clock.now()))
        stage.engine.scheduler.sweep(stage.clock.now())
        stage.drain()
    stage.clock.set(end)


def leap(stage: Stage, **by: float) -> None:
    """Let a long time pass in one go, as if the engine had been down, and catch up."""
    stage.clock.advance(timedelta(**by))
    while (due := next_look(stage)) is not None and due <= stage.clock.now():
        stage.engine.scheduler.sweep(stage.clock.now())
        stage.drain()


def next_look(stage: Stage) -> datetime | None:
    with stage.read() as conn:
        return conn.execute(select(func.min(schedules.c.next_at)).where(schedules.c.owner == "rule")).scalar_one()


def reached(stage: Stage) -> list[Any]:
    return [row for row in stage.events() if row.type == "rule.date_reached"]


# Every date of the shop

WHOLE: dict[str, tuple[str, dict[str, Any]]] = {
    "customer": ("upsert_customer", {"external_id": "c", "fields": {"warranty_until": "2026-03-06"}}),
    "order": ("upsert_order", {"number": "1", "status": "new", "fields": {"promised": "2026-03-06T18:00:00Z"}}),
    "product": ("upsert_product", {"sku": "S", "name": "Case", "fields": {"lot": {"expires": "2026-03-06"}}}),
}
CUSTOM = [("customer", "warranty_until"), ("order", "promised"), ("product", "lot.expires")]


@pytest.mark.parametrize(("noun", "name"), CUSTOM)
def test_custom_field_of_a_record_starts_the_rule(stage: Stage, noun: str, name: str) -> None:
    ident = shop(stage, *WHOLE[noun])
    stage.rule(rule_of(f"date: {noun}.fields.{name}, offset: 1 day before", f"{noun}.fields.{name}"))
    tick(stage, days=6)
    assert [(row.key, row.received_at) for row in reached(stage)] == [(ident, datetime(2026, 3, 5, 9, tzinfo=UTC))]
    assert stage.said[0].startswith("2026-03-06")
    assert reached(stage)[0].data["date"]["field"] == f"{noun}.fields.{name}"


def everything(stage: Stage) -> None:
    """Fill the shop with one of each record that has a date of its own."""
    now = stage.clock.now()

    def work(tx: Any) -> None:
        opened = stage.engine.shop_of(tx, None, now, "test")
        order = opened.upsert_order(
            {"number": "1", "customer": {"external_id": "c"}, "currency": "TRY", "total": "10"}
        ).id
        opened.upsert_product({"sku": "S", "name": "Case"})
        task = opened.create_task({"title": "Call", "due": now, "order": order}).id
        opened.close_task(task)
        paid = {"external_id": "p", "order": order, "amount": "10", "currency": "TRY", "state": "paid", "paid_at": now}
        opened.record_payment({"provider": "till", **paid})
        opened.record_shipment({"order": order, "carrier": "van", "tracking": "T", "state": "shipped"})
        opened.upsert_customer({"external_id": "c", "birthday": "1990-03-03"})

    stage.do(work)


COLUMNS = [
    "customer.birthday",
    "customer.created_at",
    "customer.changed_at",
    "customer.first_order_at",
    "customer.last_order_at",
    "order.created_at",
    "order.status_at",
    "order.changed_at",
    "product.created_at",
    "product.changed_at",
    "task.due",
    "task.created_at",
    "task.done_at",
    "payment.created_at",
    "payment.paid_at",
    "shipment.created_at",
    "shipment.state_at",
]


@pytest.mark.parametrize("field", COLUMNS)
def test_every_date_of_the_shop_starts_a_rule_once(stage: Stage, field: str) -> None:
    everything(stage)
    noun = field.partition(".")[0]
    stage.rule(rule_of(f"date: {field}, offset: 1 day after", f"{noun}.id"))
    leap(stage, days=40)
    assert len(stage.said) == 1
    told = reached(stage)[0].data
    assert told[noun]["id"] == stage.said[0]
    if noun in ("task", "payment", "shipment"):
        assert told["order"]["number"] == "1"
        assert told["customer"]["external_ids"] == {"test": "c"}


def test_last_order_counts_and_not_the_ones_before(stage: Stage) -> None:
    for number, day in enumerate(("2026-01-10", "2026-02-01", "2026-02-20")):
        shop(stage, "upsert_order", {"number": str(number), "customer": "c", "created_at": f"{day}T12:00:00Z"})
    shop(
        stage,
        "upsert_order",
        {"number": "9", "customer": "c", "created_at": "2026-02-25T12:00:00Z", "status": "canceled"},
    )
    stage.rule(rule_of("date: customer.last_order_at, offset: 30 days after"))
    leap(stage, days=60)
    assert stage.said == ["2026-02-20T12:00:00+00:00"]
    shop(stage, "upsert_order", {"number": "10", "customer": "c"})
    leap(stage, days=60)
    assert len(stage.said) == 2


# When

# zone of the shop, value, offset and hour, when the rule starts (UTC)
MOMENTS = [
    ("UTC", "2026-03-10", "", "2026-03-10T09:00"),
    ("Europe/Istanbul", "2026-03-10", "", "2026-03-10T06:00"),
    ("Europe/Istanbul", "2026-03-09T22:30:00Z", "", "2026-03-10T06:00"),  # the 10th where the shop is
    ("Europe/Istanbul", "2026-03-10T01:30:00+03:00", "", "2026-03-10T06:00"),
    ("Pacific/Kiritimati", "2026-03-10T11:00:00Z", ", at: '08:00'", "2026-03-10T18:00"),  # the 11th there
    ("UTC", "2026-03-10T15:20:00Z", ", offset: 2 hours before", "2026-03-10T13:20"),
    ("UTC", "2026-03-10 15:20", ", offset: 90 min after", "2026-03-10T16:50"),
    ("Europe/Istanbul", "2026-03-10T15:20", ", offset: 24 hours before", "2026-03-09T12:20"),  # no zone: the shop's
    ("Europe/Istanbul", "2026-03-10", ", offset: 2 hours before", "2026-03-09T19:00"),  # a day begins at midnight
    ("UTC", "2026-03-10T15:20:00Z", ", offset: 26 hours before, at: '10:00'", "2026-03-09T10:00"),
    ("UTC", "2026-02-28", ", offset: 1 month after", "2026-03-28T09:00"),
    ("UTC", "2026-03-31", ", offset: 1 week before", "2026-03-24T09:00"),
]


@pytest.mark.parametrize(("zone", "value", "rest", "at"), MOMENTS)
def test_date_comes_in_the_zone_of_the_shop(
    make_stage: Callable[..., Stage], zone: str, value: str, rest: str, at: str
) -> None:
    clock = VirtualClock(datetime.fromisoformat(f"{at}:00+00:00") - timedelta(minutes=30))
    stage = make_stage(clock=clock, zone=zone)
    customer(stage, "ann", until=value)
    stage.rule(rule_of(f"date: customer.fields.until{rest}"))
    tick(stage, hours=1)
    assert [row.received_at.isoformat() for row in reached(stage)] == [f"{at}:00+00:00"]


# value that is no date, or not written as one
NO_DATES = ["10.03.2026", "20260310", "soon", "2026-02-30", "", 1773100800, True, ["2026-03-10"], {"day": "2026-03-10"}]


@pytest.mark.parametrize("value", NO_DATES)
def test_what_is_no_date_starts_nothing(stage: Stage, value: Any) -> None:
    stage.rule(rule_of("date: customer.fields.until"))
    ident = customer(stage, "ann", until=value)
    tick(stage, days=12)
    assert reached(stage) == []
    with stage.read() as conn:
        told = why(stage.engine, conn, "r", key=ident)
    assert told["verdict"] == "unknown"


def test_moved_date_takes_its_plan_along(stage: Stage) -> None:
    ident = customer(stage, "ann", until="2026-03-05")
    stage.rule(rule_of("date: customer.fields.until"))
    customer(stage, "ann", until="2026-03-08")
    tick(stage, days=4)
    assert stage.said == []
    tick(stage, days=4)
    assert stage.said == ["2026-03-08"]
    customer(stage, "ann", until="2026-03-12")  # a new date is a new plan
    tick(stage, days=4)
    customer(stage, "ann", until="2026-03-12")
    tick(stage, days=4)
    assert stage.said == ["2026-03-08", "2026-03-12"]
    assert {row.key for row in reached(stage)} == {ident}


def test_removed_date_starts_nothing(stage: Stage) -> None:
    customer(stage, "ann", until="2026-03-05")
    stage.rule(rule_of("date: customer.fields.until"))
    customer(stage, "ann", until=None)
    tick(stage, days=6)
    assert reached(stage) == []


def test_date_that_comes_back_to_a_told_day_is_not_told_again(stage: Stage) -> None:
    customer(stage, "ann", until="2026-03-03T10:00:00Z")
    stage.rule(rule_of("date: customer.fields.until"))
    tick(stage, days=1)
    customer(stage, "ann", until="2026-03-05T10:00:00Z")
    tick(stage, hours=1)
    customer(stage, "ann", until="2026-03-03T10:00:00Z")
    tick(stage, days=3)
    assert stage.said == ["2026-03-03T10:00:00Z"]


# value set at 12:00 on 2 March; when it is too late, and what `why` says
TOO_LATE = [
    ("2026-03-01", "past", "2026-03-01T09:00+00:00"),
    ("2026-03-02", "past", "2026-03-02T09:00+00:00"),  # this morning's hour is over
    ("2026-03-03", "planned", "2026-03-03T09:00+00:00"),
]


@pytest.mark.parametrize(("value", "verdict", "at"), TOO_LATE)
def test_date_set_too_late_is_not_told_but_explained(
    make_stage: Callable[..., Stage], value: str, verdict: str, at: str
) -> None:
    stage = make_stage(clock=VirtualClock(START - timedelta(hours=1)))
    stage.rule(rule_of("date: customer.fields.until"))
    tick(stage, hours=4)
    ident = customer(stage, "ann", until=value)
    with stage.read() as conn:
        told = {language: why(stage.engine, conn, "r", key=ident, language=language) for language in ("en", "tr", "ru")}
    assert {row["verdict"] for row in told.values()} == {verdict}
    assert all(at in row["sentence"] and "{" not in row["sentence"] for row in told.values())
    tick(stage, hours=12)
    assert reached(stage) == []
    tick(stage, hours=24)
    assert len(reached(stage)) == (verdict == "planned")


def test_why_tells_of_a_missing_date_and_of_a_missing_record(stage: Stage) -> None:
    stage.rule(rule_of("date: customer.fields.until"))
    ident = customer(stage, "ann")
    with stage.read() as conn:
        assert why(stage.engine, conn, "r", key=ident)["sentence"] == (
            "customer.fields.until is not known there, so no time is planned."
        )
        assert why(stage.engine, conn, "r", key="nobody")["verdict"] == "no_event"
    stage.engine.switch("r", "off", actor="ann")
    with stage.read() as conn:
        assert why(stage.engine, conn, "r", key=ident)["verdict"] == "off"


def test_why_tells_the_run_once_the_date_has_come(stage: Stage) -> None:
    ident = customer(stage, "ann", until="2026-03-03")
    stage.rule(rule_of("date: customer.fields.until"))
    tick(stage, days=1)
    with stage.read() as conn:
        assert why(stage.engine, conn, "r", key=ident)["verdict"] == "acted"


# Every year


def birthdays(stage: Stage, born: str) -> None:
    shop(stage, "upsert_customer", {"external_id": "ann", "birthday": born})


def test_birthday_comes_every_year(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(clock=VirtualClock(datetime(2027, 2, 1, tzinfo=UTC)))
    birthdays(stage, "2000-02-29")
    stage.rule(rule_of("date: customer.birthday", "date.day"))
    leap(stage, days=1130)
    assert stage.said == ["2027-02-28", "2028-02-29", "2029-02-28", "2030-02-28"]


def test_corrected_birthday_brings_no_second_greeting_this_year(stage: Stage) -> None:
    birthdays(stage, "1990-03-04")
    stage.rule(rule_of("date: customer.birthday", "date.day"))
    tick(stage, days=4)
    birthdays(stage, "1990-03-14")
    leap(stage, days=366)
    tick(stage, days=30)
    assert stage.said == ["2026-03-04", "2027-03-14"]


def test_custom_date_repeats_only_when_told_to(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(clock=VirtualClock(datetime(2026, 12, 1, tzinfo=UTC)))
    customer(stage, "ann", since="2026-12-30")
    stage.rule(rule_of("date: customer.fields.since, offset: 3 days after", "date.day", "once"))
    stage.rule(rule_of("date: customer.fields.since, offset: 3 days after, repeat: yearly", "date.day", "yearly"))
    leap(stage, days=400)
    told = [(row.data["rule"], row.data["date"]["day"]) for row in reached(stage)]
    assert sorted(told) == [("once", "2027-01-02"), ("yearly", "2027-01-02"), ("yearly", "2028-01-02")]


def test_birthday_may_be_told_once_only(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(clock=VirtualClock(datetime(2026, 3, 1, tzinfo=UTC)))
    birthdays(stage, "2026-03-10")
    stage.rule(rule_of("date: customer.birthday, repeat: once"))
    leap(stage, days=400)
    assert len(stage.said) == 1


def test_anniversary_of_a_moment_begins_a_year_later(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(clock=VirtualClock(datetime(2028, 2, 29, 7, 0, tzinfo=UTC)))
    customer(stage, "ann")
    stage.rule(rule_of("date: customer.created_at, repeat: yearly", "date.day"))
    leap(stage, days=800)
    assert stage.said == ["2029-02-28", "2030-02-28"]


# Missed, switched off, many

# what is done about days on which the engine was down
MISSED = [("", 3), (", missed: last", 1), (", missed: none", 0)]


@pytest.mark.parametrize(("missed", "count"), MISSED)
def test_days_missed_are_caught_up_as_told(make_stage: Callable[..., Stage], missed: str, count: int) -> None:
    clock = VirtualClock(START)
    stage = make_stage(clock=clock)
    for day in (3, 4, 5):
        customer(stage, f"c{day}", until=f"2026-03-0{day}")
    stage.rule(rule_of(f"date: customer.fields.until{missed}"))
    stage.engine.scheduler.stop()
    clock.set(datetime(2026, 3, 5, 20, tzinfo=UTC))
    again = make_stage(clock=clock)
    stage.engine.scheduler.stop()
    again.engine.scheduler.sweep(clock.now())
    again.drain()
    assert len(reached(again)) == count


def test_days_while_the_rule_was_off_are_not_told(stage: Stage) -> None:
    customer(stage, "ann", until="2026-03-04")
    stage.rule(rule_of("date: customer.fields.until"))
    stage.engine.switch("r", "off", actor="ann")
    tick(stage, days=3)
    stage.engine.switch("r", "on", actor="ann")
    tick(stage, days=3)
    assert reached(stage) == []


FIELDS = [
    ("customer.fields.until", ""),
    ("customer.fields.until", ", repeat: yearly"),
    ("customer.birthday", ""),
    ("customer.birthday", ", repeat: once"),
    ("customer.created_at", ""),
    ("order.status_at", ""),
    ("order.changed_at", ", repeat: yearly"),
    ("customer.last_order_at", ""),
    ("product.fields.lot.expires", ", offset: 1 hour before"),
]


@pytest.mark.parametrize(("field", "more"), FIELDS)
def test_due_records_are_found_by_index(stage: Stage, field: str, more: str) -> None:
    """The cost of a look must follow the records that are due: no statement of it may walk a whole table."""
    stage.rule(rule_of(f"date: {field}{more}"))
    plan = read_date_plan(next(iter(stage.engine.book)).trigger.document)
    asked: list[tuple[str, Any]] = []
    engine = stage.engine.db.engine

    def note(_conn: Any, _cursor: Any, statement: str, params: Any, _context: Any, _many: bool) -> None:
        asked.append((statement, params))

    hooks.listen(engine, "before_cursor_execute", note)
    with stage.read() as conn:
        list(find_due(conn, plan, datetime(2026, 3, 3, 9, tzinfo=UTC), find_zone("UTC")))
        hooks.remove(engine, "before_cursor_execute", note)
        if conn.dialect.name != "sqlite":
            return  # a planner that sees empty tables walks them, whatever indexes there are
        plans = [
            str(row[3])
            for statement, params in asked
            for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", params)
        ]
    walked = [line for line in plans if line.startswith("SCAN") and "statuses" not in line]
    assert asked
    assert walked == []


def test_indexes_come_and_go_with_the_rules(stage: Stage) -> None:
    def stored() -> int:
        query = "SELECT count(*) FROM sqlite_master WHERE name LIKE 'ix_dates_%'"
        if stage.engine.db.engine.dialect.name != "sqlite":
            query = "SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'ix_dates_%'"
        with stage.read() as conn:
            return conn.execute(text(query)).scalar_one()

    stage.rule(rule_of("date: customer.fields.until"))
    stage.rule(rule_of("date: customer.fields.until, offset: 3 days before", name="s"))
    stage.rule(rule_of("date: product.fields.lot.expires", name="t"))
    assert stored() == 2
    stage.engine.switch("r", "off", actor="ann")
    stage.engine.switch("t", "off", actor="ann")
    assert stored() == 1
    stage.engine.switch("s", "off", actor="ann")
    assert stored() == 0


# Documents

# trigger, path, what is wrong
BAD = [
    ("date: customer.shoe_size", "when.date", "must be one of"),
    ("date: customer.fields", "when.date", "names no custom field"),
    ("date: 'customer.fields.a''b'", "when.date", "names no custom field"),
    ("date: 'customer.fields.a\"b'", "when.date", "names no custom field"),
    ("date: customer.fields.a.b.c.d.e.f", "when.date", "names no custom field"),
    ("date: staff.fields.born", "when.date", "must be one of"),
    ("date: customer.birthday, offset: soon", "when.offset", "not a length of time"),
    ("date: customer.birthday, repeat: daily", "when", "."),
    ("date: customer.birthday, missed: some", "when", "."),
]


@pytest.mark.parametrize(("when", "path", "words"), BAD)
def test_bad_date_trigger_is_refused(when: str, path: str, words: str) -> None:
    with pytest.raises(RuleError, match=words) as refusal:
        compile_rule(read_yaml(rule_of(when)))
    assert refusal.value.path.startswith(path)


@pytest.mark.parametrize("name", ["гарантия", "doğum günü", "a-b c", "_x1"])
def test_field_may_have_a_name_of_any_language(stage: Stage, name: str) -> None:
    customer(stage, "ann", **{name: "2026-03-03"})
    stage.rule(rule_of(f"date: customer.fields.{name}"))
    tick(stage, days=1)
    assert stage.said == ["2026-03-03"]


def test_date_rule_checks_clean(stage: Stage) -> None:
    assert check_rule(stage.engine, read_yaml(rule_of("date: order.fields.promised, offset: 2 hours before"))) == []


# Laws

DAYS = st.dates(date(1950, 1, 1), date(2040, 1, 1))
OFFSETS = st.builds(Duration, days=st.integers(-40, 40), months=st.integers(-14, 14), years=st.integers(-2, 2))


@given(DAYS, OFFSETS, st.sampled_from(ZONES), st.booleans())
def test_value_lies_in_the_span_of_its_planned_moment(day: date, offset: Duration, zone: str, yearly: bool) -> None:
    """The search is wide enough: whatever a value plans, a look at that moment would find the value again."""
    field: DateField = read_date_field("customer.fields.x")
    at = time(9)
    plan = DatePlan(field=field, offset=offset, at=at, yearly=yearly)
    dated, place = read_dated(day.isoformat(), find_zone(zone)), find_zone(zone)
    assert dated is not None
    for occurrence, planned in plan.occurrences(dated, place, dated.moment + timedelta(days=400)):
        start, end = plan.span(planned, timedelta(minutes=1), place)
        seen = dated.in_year(int(occurrence), place) if yearly else dated
        assert start <= seen.moment < end


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dates(date(2026, 2, 20), date(2026, 3, 25)), min_size=1, max_size=12), st.integers(-9, 9))
def test_each_date_is_told_exactly_on_its_day(make_stage: Callable[..., Stage], days: list[date], offset: int) -> None:
    stage = make_stage(clock=VirtualClock(START))
    before = len(reached(stage))
    for number, day in enumerate(days):
        customer(stage, f"{number}", until=day.isoformat())
    stage.rule(
        rule_of(f"date: customer.fields.until, offset: {abs(offset)} days {'before' if offset < 0 else 'after'}")
    )
    tick(stage, days=50)
    wanted = sorted(day + timedelta(days=offset) for day in days)
    wanted = [day for day in wanted if datetime(day.year, day.month, day.day, 9, tzinfo=UTC) > START]
    assert sorted(row.data["date"]["day"] for row in reached(stage)[before:]) == [day.isoformat() for day in wanted]
    stage.do(
        lambda tx: [
            tx.conn.exec_driver_sql(f"DELETE FROM {name}")
            for name in ("runs", "events", "external_ids", "customers", "rules", "rule_versions", "schedules", "ticks")
        ]
    )
    stage.close()
