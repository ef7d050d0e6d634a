"""Absence without a starting event: told once a silence, to the minute, and never by looking at everybody."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from engines import START
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event as hooks
from sqlalchemy import func, select
from stage import Stage

from core.clock import VirtualClock
from core.errors import RuleError
from core.tables import schedules
from rules.check import check_rule
from rules.explain import why
from rules.rule import compile_rule, read_yaml
from rules.silence_plan import read_silence_plan
from rules.store import archive
from rules.tables import silences


def rule_of(when: str, name: str = "r") -> str:
    return f"rule: {name}\nwhen: {{{when}}}\nthen: [{{do: stage.say, with: {{text: '{{{{ silence.since }}}}'}}}}]\n"


def pass_to(stage: Stage, end: datetime) -> None:
    """Let time pass up to a moment, stopping wherever the engine's own clock would look."""
    while (due := next_look(stage)) is not None and due <= end:
        stage.clock.set(max(due, stage.clock.now()))
        stage.engine.scheduler.sweep(stage.clock.now())
        stage.drain()
    stage.clock.set(end)


def wait(stage: Stage, **by: float) -> None:
    pass_to(stage, stage.clock.now() + timedelta(**by))


def next_look(stage: Stage) -> datetime | None:
    with stage.read() as conn:
        return conn.execute(select(func.min(schedules.c.next_at)).where(schedules.c.owner == "rule")).scalar_one()


def told(stage: Stage) -> list[str]:
    """Return when the rule was told of a silence, to the minute."""
    found = [row.received_at for row in stage.events() if row.type == "rule.silence"]
    return [f"{moment:%d %H:%M}" for moment in found]


def happen(stage: Stage, type: str = "stage.happened", **more: Any) -> None:
    stage.take(type, **more)


def at(stage: Stage, moments: Iterable[str], **more: Any) -> None:
    """Let the event come at these times of March 2026."""
    for moment in moments:
        pass_to(stage, datetime.fromisoformat(f"2026-03-{moment.replace(' ', 'T')}:00+00:00"))
        happen(stage, **more)


# The whole shop; it is 2 March, 09:00

TWO_HOURS = "absence: stage.happened, for: 2 hours"
DAYTIME = f"{TWO_HOURS}, between: ['10:00', '22:00']"

# trigger, when the event comes, when the rule is told (up to 4 March, 09:00)
SILENCES = [
    (TWO_HOURS, [], ["02 11:00"]),  # nobody ever ordered: the count begins with the rule
    (TWO_HOURS, ["02 09:30"], ["02 11:30"]),
    (TWO_HOURS, ["02 10:59", "02 12:58", "02 14:57"], ["02 16:57"]),  # just in time, twice
    (TWO_HOURS, ["02 11:01"], ["02 11:00", "02 13:01"]),  # too late: told, and armed again
    (TWO_HOURS, ["02 10:00", "02 18:00", "02 18:10"], ["02 12:00", "02 20:10"]),
    (DAYTIME, [], ["02 12:00"]),  # the night before does not count
    (DAYTIME, ["02 11:30", "02 13:20"], ["02 15:20"]),
    (DAYTIME, ["02 11:30", "02 13:00", "02 14:30", "02 16:00", "02 17:30", "02 19:00", "02 20:00"], ["02 22:00"]),
    (DAYTIME, ["02 11:30", "02 13:00", "02 14:30", "02 16:00", "02 17:30", "02 19:00", "02 20:01"], ["03 12:00"]),
    (DAYTIME, ["02 23:30", "03 09:00"], ["02 12:00", "03 12:00"]),
    (f"{TWO_HOURS}, between: ['22:00', '02:00']", ["02 21:00"], ["03 00:00"]),  # over midnight
    (f"{TWO_HOURS}, between: ['22:00', '02:00']", ["03 00:30"], ["03 00:00"]),  # no room left; the next one is told
    (f"{TWO_HOURS}, between: ['10:00', '12:00']", [], ["02 12:00"]),  # all of it
]


@pytest.mark.parametrize(("trigger", "moments", "expected"), SILENCES)
def test_silence_is_told_once_when_it_is_long_enough(
    stage: Stage, trigger: str, moments: list[str], expected: list[str]
) -> None:
    stage.rule(rule_of(trigger))
    at(stage, moments)
    pass_to(stage, datetime(2026, 3, 3, 23, 0, tzinfo=UTC))
    assert [moment for moment in told(stage) if moment < "03 23:00"] == expected
    assert len(stage.said) == len(expected)


def test_hours_are_those_of_the_shop(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(zone="Europe/Istanbul")
    stage.rule(rule_of(DAYTIME))  # 12:00 there already
    wait(stage, hours=3)
    assert told(stage) == ["02 11:00"]
    happen(stage)
    wait(stage, hours=24)
    assert told(stage) == ["02 11:00", "02 14:00"]  # 12:00 + 2 h, 17:00


def test_silence_tells_what_is_missing(stage: Stage) -> None:
    stage.rule(rule_of(DAYTIME))
    wait(stage, hours=5)
    (event,) = [row for row in stage.events() if row.type == "rule.silence"]
    assert event.data == {
        "rule": "r",
        "silence": {"event": "stage.happened", "since": START.isoformat(), "for": "2 hours"},
    }
    assert (event.key, event.customer) == (None, None)


def test_only_events_that_fit_end_the_silence(stage: Stage) -> None:
    stage.rule(rule_of(f"{TWO_HOURS}, where: {{order.channel: site, event.source: test}}"))
    at(stage, ["02 10:30"], data={"order": {"channel": "site"}})
    at(stage, ["02 11:00", "02 12:00"], data={"order": {"channel": "till"}})
    wait(stage, hours=3)
    assert told(stage) == ["02 12:30"]


def test_other_events_do_not_end_the_silence(stage: Stage) -> None:
    stage.rule(rule_of(TWO_HOURS))
    at(stage, ["02 10:30"], type="other.thing")
    wait(stage, hours=3)
    assert told(stage) == ["02 11:00"]


def test_silence_survives_a_restart(make_stage: Callable[..., Stage]) -> None:
    clock = VirtualClock(START)
    stage = make_stage(clock=clock)
    stage.rule(rule_of(TWO_HOURS))
    at(stage, ["02 10:00"])
    stage.engine.scheduler.stop()
    clock.set(datetime(2026, 3, 2, 11, 0, tzinfo=UTC))
    again = make_stage(clock=clock)
    stage.engine.scheduler._lead.release()
    pass_to(again, datetime(2026, 3, 2, 20, 0, tzinfo=UTC))
    assert told(again) == ["02 12:00"]


def test_silence_that_ended_while_the_engine_was_down_is_not_told(make_stage: Callable[..., Stage]) -> None:
    """The event was taken in by another process: who comes back late must not cry wolf."""
    clock = VirtualClock(START)
    stage = make_stage(clock=clock)
    stage.rule(rule_of(TWO_HOURS))
    clock.set(datetime(2026, 3, 2, 15, 0, tzinfo=UTC))
    happen(stage)
    pass_to(stage, datetime(2026, 3, 2, 20, 0, tzinfo=UTC))
    assert told(stage) == ["02 17:00"]


def test_switched_off_rule_begins_anew(stage: Stage) -> None:
    stage.rule(rule_of(TWO_HOURS))
    wait(stage, hours=1)
    stage.engine.switch("r", "off", actor="ann")
    wait(stage, hours=5)
    stage.engine.switch("r", "on", actor="ann")
    assert told(stage) == []
    wait(stage, hours=3)
    assert told(stage) == ["02 17:00"]


def test_change_of_the_rule_that_leaves_its_trigger_keeps_the_count(stage: Stage) -> None:
    stage.rule(rule_of(TWO_HOURS))
    wait(stage, hours=1)
    stage.rule(rule_of(TWO_HOURS) + "owner: ann\n")
    wait(stage, hours=2)
    assert told(stage) == ["02 11:00"]
    stage.rule(rule_of(TWO_HOURS.replace("2 hours", "3 hours")))
    wait(stage, hours=5)
    assert told(stage) == ["02 11:00", "02 15:00"]


def test_two_rules_miss_the_same_event_apart(stage: Stage) -> None:
    stage.rule(rule_of(TWO_HOURS))
    stage.rule(rule_of(TWO_HOURS.replace("2 hours", "1 day"), "s"))
    wait(stage, days=3)
    assert told(stage) == ["02 11:00", "03 09:00"]


# For each key

NINETY = "absence: stage.happened, for: 90 days"


def test_each_customer_has_a_silence_of_their_own(stage: Stage) -> None:
    stage.rule(rule_of("absence: stage.happened, per: customer, for: 10 days"))
    at(stage, ["03 12:00"], customer="ann")
    at(stage, ["05 12:00"], customer="bob")
    at(stage, ["06 12:00"])  # nobody known
    at(stage, ["08 12:00"], customer="ann")
    wait(stage, days=15)
    found = [
        (row.customer, row.key, f"{row.received_at:%d %H:%M}") for row in stage.events() if row.type == "rule.silence"
    ]
    assert found == [("bob", "bob", "15 12:00"), ("ann", "ann", "18 12:00")]


def test_silence_of_a_customer_is_told_again_after_they_came_back(stage: Stage) -> None:
    stage.rule(rule_of("absence: stage.happened, per: customer, for: 3 days"))
    at(stage, ["03 12:00", "10 12:00", "11 12:00"], customer="ann")
    wait(stage, days=20)
    assert told(stage) == ["06 12:00", "14 12:00"]


# per, event, key
KEYS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("key", {"key": "K"}, ["K"]),
    ("order.channel", {"data": {"order": {"channel": "site"}}}, ["site"]),
    ("order.items.sku", {"data": {"order": {"items": [{"sku": "A"}, {"sku": "B"}]}}}, ["A", "B"]),
    ("event.source", {}, ["test"]),
    ("order.channel", {"data": {"order": {}}}, []),
    ("customer", {"key": "K"}, []),
]


@pytest.mark.parametrize(("per", "more", "keys"), KEYS)
def test_silence_is_counted_for_any_key(stage: Stage, per: str, more: dict[str, Any], keys: list[str]) -> None:
    stage.rule(rule_of(f"absence: stage.happened, per: {per}, for: 2 hours"))
    at(stage, ["02 10:00"], **more)
    wait(stage, hours=20)
    assert sorted(row.key for row in stage.events() if row.type == "rule.silence") == keys
    assert set(told(stage)) <= {"02 12:00"}


def buyer(stage: Stage, name: str) -> str:
    def work(tx: Any) -> Any:
        return stage.engine.shop_of(tx, None, stage.clock.now(), "test").upsert_customer(
            {"external_id": name, "name": name}
        )

    return stage.do(work).id


def test_customer_comes_with_the_silence(stage: Stage) -> None:
    text = rule_of("absence: stage.happened, per: customer, for: 2 hours").replace("silence.since", "customer.name")
    stage.rule(text)
    happen(stage, customer=buyer(stage, "ann"))
    wait(stage, hours=20)
    assert stage.said == ["ann"]


def test_history_before_the_rule_counts_but_is_not_told(stage: Stage) -> None:
    """Who was silent for long enough when the rule went live is left in peace; who is about to be, is not."""
    for day, name in ((0, "old"), (6, "late"), (8, "new")):
        stage.clock.set(START + timedelta(days=day))
        happen(stage, customer=name)
    stage.clock.set(START + timedelta(days=9, hours=12))
    stage.rule(rule_of("absence: stage.happened, per: customer, for: 9 days"))
    wait(stage, days=20)
    found = [(row.customer, (row.received_at - START).days) for row in stage.events() if row.type == "rule.silence"]
    assert found == [("late", 15), ("new", 17)]
    happen(stage, customer="old")
    wait(stage, days=10)
    assert [row.customer for row in stage.events() if row.type == "rule.silence"] == ["late", "new", "old"]


def test_merged_customers_have_one_silence(stage: Stage) -> None:
    kept, dropped = buyer(stage, "ann"), buyer(stage, "ann2")
    stage.rule(rule_of("absence: stage.happened, per: customer, for: 10 days"))
    happen(stage, customer=kept)
    wait(stage, days=5)
    happen(stage, customer=dropped)
    wait(stage, days=1)
    now = stage.clock.now()
    stage.do(lambda tx: stage.engine.shop_of(tx, None, now, "test").merge_customers(kept, dropped, actor="ann"))
    wait(stage, days=15)
    found = [(row.customer, f"{row.received_at:%d %H:%M}") for row in stage.events() if row.type == "rule.silence"]
    assert found == [(kept, "17 09:00")]


def test_many_silences_that_end_at_once_are_all_told(stage: Stage) -> None:
    stage.rule(rule_of("absence: stage.happened, per: customer, for: 1 day").replace("stage.say", "stage.note"))
    stage.engine.take([stage.event(customer=f"c{number}") for number in range(1_203)])
    wait(stage, days=2)
    assert len(stage.events()) == 2 * 1_203
    assert {row.customer for row in stage.events()} == {f"c{number}" for number in range(1_203)}


def test_look_costs_what_happened_and_not_who_is_known(stage: Stage) -> None:
    stage.rule(rule_of(f"{NINETY}, per: customer"))
    stage.engine.take([stage.event(customer=f"c{number}") for number in range(300)])
    wait(stage, days=1)
    happen(stage, customer="c7")
    asked: list[str] = []
    engine = stage.engine.db.engine

    def note(_conn: Any, _cursor: Any, statement: str, params: Any, _context: Any, many: bool) -> None:
        asked.extend([statement] * (len(params) if many else 1))

    hooks.listen(engine, "before_cursor_execute", note)
    due = next_look(stage)
    assert due is not None
    stage.clock.set(due)
    stage.engine.scheduler.sweep(due)
    hooks.remove(engine, "before_cursor_execute", note)
    written = [line for line in asked if "silences" in line and line.startswith(("INSERT", "UPDATE"))]
    assert len(written) == 1  # c7's
    if engine.dialect.name == "sqlite":
        with stage.read() as conn:
            reads = [line for line in asked if line.startswith("SELECT") and ("silences" in line or "events" in line)]
            plans = [
                conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {line}", ("x",) * line.count("?")).all() for line in reads
            ]
        assert reads
        ways = [row[3] for rows in plans for row in rows]
        assert [way for way in ways if way.startswith("SCAN")] == []
        assert {way.partition("(")[0].strip() for way in ways if " silences " in way} == {
            "SEARCH silences USING INDEX ix_silences_due",
            "SEARCH silences USING COVERING INDEX ix_silences_due",
        }


# Why

ASKED = [
    ("ann", "planned", "2026-03-12T12:00"),
    ("bob", "told", "2026-03-06T10:00"),
    ("nobody", "no_event", "has not been seen there"),
]


@pytest.mark.parametrize(("key", "verdict", "words"), ASKED)
def test_why_tells_where_a_silence_stands(stage: Stage, key: str, verdict: str, words: str) -> None:
    stage.rule(rule_of("absence: stage.happened, per: customer, for: 3 days"))
    at(stage, ["03 10:00"], customer="bob", key="1")
    at(stage, ["09 12:00"], customer="ann", key="2")
    wait(stage, hours=5)
    with stage.read() as conn:
        answers = [why(stage.engine, conn, "r", key=key, language=language) for language in ("en", "tr", "ru")]
    if verdict == "told":
        assert [row["verdict"] for row in answers] == ["acted"] * 3  # it has a run: that says more
        return
    assert [row["verdict"] for row in answers] == [verdict] * 3
    assert words in answers[0]["sentence"]
    assert all("{" not in row["sentence"] for row in answers)


def test_why_tells_of_a_silence_that_was_over_before(stage: Stage) -> None:
    happen(stage, customer="old", key="1")
    stage.clock.set(START + timedelta(days=9))
    stage.rule(rule_of("absence: stage.happened, per: customer, for: 3 days"))
    wait(stage, hours=1)
    with stage.read() as conn:
        answer = why(stage.engine, conn, "r", key="old")
    assert answer["verdict"] == "past"
    assert answer["sentence"].startswith("The silence since 2026-03-02T09:00+00:00 was over before")


def test_why_of_the_whole_shop_needs_no_key_of_its_own(stage: Stage) -> None:
    stage.rule(rule_of(TWO_HOURS))
    with stage.read() as conn:
        assert why(stage.engine, conn, "r", key="any")["sentence"].endswith(
            "it acts at 2026-03-02T11:00+00:00 unless another one comes."
        )


# Documents

# trigger, path, what is wrong
BAD = [
    ("absence: a.b, for: 30 s", "when.for", "too short"),
    ("absence: a.b, for: soon", "when.for", "not a length of time"),
    ("absence: a.b", "when", "."),
    ("absence: a.b, for: 13 hours, between: ['10:00', '22:00']", "when.for", "longer than the hours"),
    ("absence: a.b, for: 1 month, between: ['10:00', '22:00']", "when.between", "silence of months"),
    ("absence: a.b, for: 1 hour, between: ['25:00', '22:00']", "when.between", "time of day"),
    ("absence: a.b, for: 1 hour, between: ['10:00']", "when", "."),
    ("absence: a.b, for: 1 hour, where: {order.id: '{{ event.key }}'}", "when.where.order.id", "plain value"),
    ("absence: a.b, for: 1 hour, where: {order.id: [1]}", "when.where.order.id", "plain value"),
    ("absence: a.b, for: 1 hour, per: ..", "when.per", "."),
    ("absence: a.b, after: c.d, for: 1 hour, per: customer", "when.per", "without 'after'"),
    ("absence: a.b, after: c.d, for: 1 hour, between: ['10:00', '22:00']", "when.between", "without 'after'"),
]


@pytest.mark.parametrize(("when", "path", "words"), BAD)
def test_bad_silence_is_refused(when: str, path: str, words: str) -> None:
    with pytest.raises(RuleError, match=words) as refusal:
        compile_rule(read_yaml(rule_of(when)))
    assert refusal.value.path.startswith(path)


def test_whole_day_is_no_window() -> None:
    plan = read_silence_plan({"absence": "a.b", "for": "30 hours", "between": ["00:00", "24:00"]})
    assert plan.window is None


def test_check_knows_the_missed_event(stage: Stage) -> None:
    found = check_rule(stage.engine, read_yaml(rule_of("absence: order.creatd, for: 1 day")))
    assert [row["path"] for row in found] == ["when.absence"]
    assert "did you mean order.created" in found[0]["message"]
    assert check_rule(stage.engine, read_yaml(rule_of("absence: order.created, for: 1 day"))) == []


def test_archived_rule_leaves_nothing_behind(stage: Stage) -> None:
    stage.rule(rule_of(f"{NINETY}, per: customer"))
    happen(stage, customer="ann")
    wait(stage, hours=2)
    with stage.read() as conn:
        assert conn.execute(select(func.count()).select_from(silences)).scalar_one() == 1
    stage.do(lambda tx: archive_rule(tx, stage))
    stage.engine.sync()
    with stage.read() as conn:
        assert conn.execute(select(func.count()).select_from(silences)).scalar_one() == 0
    assert next_look(stage) is None


def archive_rule(tx: Any, stage: Stage) -> None:
    archive(tx, "r", actor="ann", now=stage.clock.now())


# Laws

GAPS = st.lists(st.integers(1, 300), max_size=12)


def expected(moments: list[datetime], length: timedelta, begin: datetime, end: datetime) -> list[datetime]:
    """Work out the silences from the list of events: each gap that is long enough is told when it becomes so."""
    marks = [begin, *moments]
    ends = [*moments, end + timedelta(seconds=1)]
    return [mark + length for mark, following in zip(marks, ends, strict=True) if mark + length < following]


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(GAPS, st.sampled_from(["", ", where: {event.source: test}"]))
def test_every_long_gap_is_told_exactly_once(make_stage: Callable[..., Stage], gaps: list[int], where: str) -> None:
    stage = make_stage(clock=VirtualClock(START))
    stage.rule(rule_of(f"{TWO_HOURS}{where}"))
    moments = []
    for minutes in gaps:
        wait(stage, minutes=minutes)
        happen(stage)
        moments.append(stage.clock.now())
    wait(stage, hours=9)
    found = [row.received_at for row in stage.events() if row.type == "rule.silence"]
    assert found == expected(moments, timedelta(hours=2), START, stage.clock.now())
    for name in ("runs", "events", "silences", "schedules", "ticks", "marks", "rules", "rule_versions", "rule_states"):
        stage.do(lambda tx, name=name: tx.conn.exec_driver_sql(f"DELETE FROM {name}"))
    stage.close()
