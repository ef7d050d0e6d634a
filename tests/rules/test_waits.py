"""Waits: how long, until when, for what; decided from what is stored, whoever wakes first and however often."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from engines import START
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from stage import Stage

from core.clock import VirtualClock
from core.ids import new_id
from rules.tables import waits

HEAD = "rule: r\nwhen: {event: stage.happened}\n"
SAY = "  - {do: stage.say, with: {text: woke}}\n"
HOUR = timedelta(hours=1)


def waiting(text: str, rest: str = SAY, head: str = HEAD) -> str:
    return f"{head}then:\n  - wait: {text}\n{rest}"


# wait, shop's zone, when it ends (START is Monday 2 March 2026, 09:00 UTC)
SLEEPS = [
    ("3 days", "UTC", "2026-03-05T09:00"),
    ("{for: 90 min}", "UTC", "2026-03-02T10:30"),
    ("{for: 1 month}", "UTC", "2026-04-02T09:00"),
    ("{for: 0 days}", "UTC", "2026-03-02T09:00"),
    ("{for: 1 day, at: '08:00'}", "UTC", "2026-03-03T08:00"),
    ("{for: 1 day, at: '08:00'}", "Europe/Istanbul", "2026-03-03T05:00"),
    ("{for: 0 days, at: '08:00'}", "UTC", "2026-03-02T09:00"),  # already past: at once, never back in time
    ("{for: 3 hours, between: ['13:00', '20:00']}", "UTC", "2026-03-02T13:00"),
    ("{for: 3 hours, between: ['10:00', '11:00']}", "UTC", "2026-03-03T10:00"),  # today's is over
    ("{for: 1 hour, between: ['22:00', '11:00']}", "UTC", "2026-03-02T10:00"),  # over midnight, open now
    ("{between: ['10:00', '12:00']}", "UTC", "2026-03-02T10:00"),
    ("{between: ['08:00', '12:00']}", "UTC", "2026-03-02T09:00"),  # open already
    ("{between: ['08:00', '09:00']}", "UTC", "2026-03-03T08:00"),  # closes this very minute
    ("{until: '18:30'}", "UTC", "2026-03-02T18:30"),
    ("{until: '18:30'}", "Europe/Istanbul", "2026-03-02T15:30"),
    ("{until: '09:00'}", "UTC", "2026-03-03T09:00"),  # the next one
    ("{until: '18:30', between: ['20:00', '21:00']}", "UTC", "2026-03-02T20:00"),
    ("{until: '2026-03-04T10:00:00Z'}", "UTC", "2026-03-04T10:00"),
    ("{until: '2026-03-04'}", "Europe/Istanbul", "2026-03-03T21:00"),
    ("{until: '2020-01-01'}", "UTC", "2026-03-02T09:00"),  # long past: at once
    ("{until: {field: order.due}}", "UTC", "2026-03-10T12:00"),
    ("{until: {field: order.due, offset: 3 days before}}", "UTC", "2026-03-07T12:00"),
    ("{until: {field: order.due, offset: 2 hours after}}", "UTC", "2026-03-10T14:00"),
    ("{until: {field: order.due, offset: 1 day, at: '08:00'}}", "UTC", "2026-03-11T08:00"),
    ("{until: {field: order.due, at: '08:00'}}", "UTC", "2026-03-10T08:00"),
    ("{until: {field: order.day, offset: 1 day before, at: '10:00'}}", "Europe/Istanbul", "2026-03-08T07:00"),
    ("{until: {field: order.clock}}", "UTC", "2026-03-02T17:15"),
]
ORDER = {
    "order": {"due": "2026-03-10T12:00:00Z", "day": "2026-03-09", "clock": "17:15", "odd": "25:00", "text": "soon"}
}


@pytest.mark.parametrize(("wait", "zone", "end"), SLEEPS)
def test_sleep_ends_at_its_moment(make_stage: Callable[..., Stage], wait: str, zone: str, end: str) -> None:
    stage = make_stage(zone=zone)
    stage.rule(waiting(wait))
    due = datetime.fromisoformat(end).replace(tzinfo=UTC)
    stage.play(data=ORDER)
    if due > START:
        assert stage.runs()[0]["due_at"] == due
        stage.clock.set(due - timedelta(microseconds=1))
        assert stage.drain() == 0
        assert stage.said == []
    stage.clock.set(due)
    stage.drain()
    assert stage.said == ["woke"]


# what stands where a moment is expected
NO_MOMENTS = ["order.gone", "order.odd", "order.text", "order", "event.key"]


@pytest.mark.parametrize("field", NO_MOMENTS)
def test_unknown_moment_ends_as_cannot_check(stage: Stage, field: str) -> None:
    stage.rule(waiting(f"{{until: {{field: {field}}}}}"))
    stage.play(data=ORDER)
    assert [(run["outcome"], run["reason"]) for run in stage.runs()] == [
        ("unknown", "the date to wait for is not known")
    ]


# moments at the ends of the calendar, as other systems write "never"
ENDS = ["0001-01-01T00:00:00", "9999-12-31T23:59:59-12:00", "9999-12-31"]


@pytest.mark.parametrize("moment", ENDS)
def test_ends_of_the_calendar_cannot_hurt(stage: Stage, moment: str) -> None:
    stage.rule(waiting("{until: {field: order.at}, between: ['10:00', '11:00']}"))
    stage.play(data={"order": {"at": moment}})
    assert stage.outcomes() == ["unknown"]


def test_offset_beyond_the_calendar_fails_in_words(stage: Stage) -> None:
    stage.rule(waiting("{until: {field: order.at, offset: 190 years}}"))
    stage.play(data={"order": {"at": "9900-01-01"}})
    assert [run["outcome"] for run in stage.runs()] == ["failed"]
    assert "beyond the calendar" in stage.runs()[0]["reason"]


def test_sleep_survives_a_restart_in_the_middle(make_stage: Callable[..., Stage]) -> None:
    clock = VirtualClock(START)
    stage = make_stage(clock=clock)
    stage.rule(waiting("3 days"))
    stage.play()
    clock.advance(timedelta(days=2))
    again = make_stage(clock=clock)
    assert again.drain() == 0
    clock.advance(timedelta(days=5))  # it was down when the time came
    again.drain()
    assert again.said == ["woke"]


def test_waits_count_from_each_other_not_from_the_clock(stage: Stage) -> None:
    stage.rule(waiting("1 day", "  - wait: 1 day\n" + SAY))
    stage.play()
    stage.clock.set(START + timedelta(days=5))  # the worker slept
    stage.drain()
    assert stage.said == ["woke"]


# rule, what changes while it waits, outcome
RECHECKS = [
    ("1 day", "paid", "stopped"),  # checked again unless it says otherwise
    ("{for: 1 day, recheck: false}", "paid", "acted"),
    ("1 day", "new", "acted"),
]


@pytest.mark.parametrize(("wait", "status", "outcome"), RECHECKS)
def test_condition_is_checked_again_after_waiting(
    make_stage: Callable[..., Stage], wait: str, status: str, outcome: str
) -> None:
    stage = make_stage()
    stage.rule(waiting(wait, head=HEAD + "if: {field: customer.city, is: not_equal, value: paid}\n"))

    def save(city: str) -> Any:
        wanted = {"email": "a@shop.example", "city": city}
        return stage.do(lambda tx: stage.engine.shop_of(tx, None, START, "test").upsert_customer(wanted))

    stage.play(data={"customer": {"id": save("new").id, "city": "new"}})
    save(status)
    stage.later(days=2)
    assert stage.outcomes() == [outcome]
    told = [line for line in stage.runs()[0]["trace"] if line["kind"] == "recheck"]
    if "false" not in wait:
        assert [line["told"]["actual"] for line in told] == [status]


def test_recheck_after_acting_ends_as_acted(stage: Stage) -> None:
    head = HEAD + "if: {field: now, is: before, value: 2026-03-03}\n"
    stage.rule(f"{head}then:\n  - {{do: stage.say, with: {{text: first}}}}\n  - wait: 2 days\n{SAY}")
    stage.play()
    stage.later(days=3)
    run = stage.runs()[0]
    assert (stage.said, run["outcome"], run["reason"]) == (["first"], "acted", "stopped by the condition after a wait")


# Waiting for an event

LISTEN = waiting(
    "{event: answer.came, timeout: 2 days}",
    "  - choose:\n      - if: {field: steps.1.outcome, is: equal, value: happened}\n"
    "        then: [{do: stage.say, with: {text: '{{ steps[\"1\"].event.word }}'}}]\n"
    "    else: [{do: stage.say, with: {text: timeout}}]\n",
)

# minutes after the start, what is said: the limit is two days
ARRIVALS = [
    (-1, "timeout"),  # before the run began
    (0, "hello"),  # in the very same instant, but after it
    (1, "hello"),
    (2 * 24 * 60, "hello"),  # exactly at the limit is in time
    (2 * 24 * 60 + 1, "timeout"),
]


@pytest.mark.parametrize(("minutes", "said"), ARRIVALS)
@pytest.mark.parametrize("awake", [True, False])
def test_answer_counts_when_in_time(stage: Stage, minutes: int, said: str, *, awake: bool) -> None:
    """`awake`: the worker walks as things happen; otherwise all lies stored before it looks for the first time."""
    stage.rule(LISTEN)
    if minutes < 0:
        stage.clock.advance(timedelta(minutes=minutes))
        stage.take("answer.came", {"word": "hello"}, key="k")
        stage.clock.set(START)
    stage.take(key="k")
    if awake:
        stage.drain()
    if minutes >= 0:
        end = START + timedelta(minutes=minutes)
        if awake and minutes < 2880:
            stage.later(minutes=minutes)
        stage.clock.set(end)
        stage.take("answer.came", {"word": "hello"}, key="k")
    stage.clock.set(START + timedelta(days=5))
    stage.drain()
    assert stage.said == [said]


def test_event_before_in_the_same_instant_does_not_count(stage: Stage) -> None:
    stage.rule(LISTEN)
    stage.take("answer.came", {"word": "early"}, key="k")
    stage.play(key="k")
    stage.later(days=3)
    assert stage.said == ["timeout"]


def test_event_in_the_same_batch_counts_by_its_place(stage: Stage) -> None:
    stage.rule(LISTEN)
    early = stage.event("answer.came", {"word": "early"}, key="k")
    start = stage.event(key="k")
    late = stage.event("answer.came", {"word": "late"}, key="k")
    stage.engine.take([early, start, late])
    stage.drain()
    assert stage.said == ["late"]


def test_other_keys_and_types_do_not_wake(stage: Stage) -> None:
    stage.rule(LISTEN)
    stage.play(key="k")
    stage.play("answer.came", {"word": "other"}, key="j")
    stage.play("answer.went", {"word": "other"}, key="k")
    stage.play("answer.came", {"word": "none"})
    assert stage.said == []
    assert stage.outcomes() == ["waiting"]


def test_one_event_ends_only_one_wait_of_a_run(stage: Stage) -> None:
    stage.rule(
        waiting("{event: answer.came, timeout: 2 days}", "  - wait: {event: answer.came, timeout: 2 days}\n" + SAY)
    )
    stage.play(key="k")
    stage.later(hours=1)
    stage.play("answer.came", key="k")
    assert stage.said == []
    stage.play("answer.came", key="k")  # the same instant, another event
    assert stage.said == ["woke"]


def test_one_event_wakes_every_run_that_waits(stage: Stage) -> None:
    stage.rule(LISTEN)
    for _ in range(600):
        stage.take(key="k")
    stage.drain()
    stage.play("answer.came", {"word": "x"}, key="k")
    assert stage.said == ["x"] * 600


# where, awaited event's data, whether it ends the wait
WHERES = [
    ("{n: 5}", {"n": 5}, True),
    ("{n: 5}", {"n": "5"}, True),  # numbers and their texts are one
    ("{n: 5}", {"n": 5.0}, True),
    ("{n: 5}", {"n": 6}, False),
    ("{n: '{{ order.n | times: 1 }}'}", {"n": 7}, True),
    ("{n: '{{ order.n }}', word: x}", {"n": 7, "word": "x"}, True),
    ("{n: '{{ order.n }}', word: x}", {"n": 7, "word": "y"}, False),
    ("{flag: true}", {"flag": True}, True),
    ("{flag: true}", {"flag": 1}, False),
    ("{list.sku: a}", {"list": [{"sku": "b"}, {"sku": "a"}]}, True),
    ("{list.sku: a}", {"list": [{"sku": "b"}]}, False),
    ("{word: '{{ order.gone }}'}", {"word": ""}, False),
    ("{word: '{{ order.gone }}'}", {}, False),  # nothing is not equal to nothing
    ("{word: '%s'}" % ("long" * 200), {"word": "long" * 200}, True),
    ("{event.key: k}", {}, True),
    ("{event.source: elsewhere}", {}, False),
]


@pytest.mark.parametrize(("where", "data", "woke"), WHERES)
def test_where_names_the_awaited_event(stage: Stage, where: str, data: dict[str, Any], *, woke: bool) -> None:
    stage.rule(waiting(f"{{event: answer.came, timeout: 2 days, where: {where}}}"))
    stage.play(data={"order": {"n": 7}}, key="k")
    stage.play("answer.came", data, key="k")
    assert stage.said == (["woke"] if woke else [])


def test_condition_of_a_wait_lets_the_right_event_through(stage: Stage) -> None:
    stage.rule(waiting("{event: answer.came, timeout: 2 days, if: {field: n, is: above, value: 3}}"))
    stage.play(key="k")
    batch = [stage.event("answer.came", {"n": n}, key="k") for n in (1, 2, 9)]
    stage.engine.take(batch[:2])
    stage.drain()
    assert stage.said == []
    assert stage.outcomes() == ["waiting"]
    stage.engine.take(batch)
    stage.drain()
    assert stage.said == ["woke"]


def test_wait_survives_restart_and_leaves_no_row(make_stage: Callable[..., Stage]) -> None:
    clock = VirtualClock(START)
    stage = make_stage(clock=clock)
    stage.rule(LISTEN)
    stage.play(key="k")
    clock.advance(HOUR)
    again = make_stage(clock=clock)
    again.play("answer.came", {"word": "x"}, key="k")
    assert again.said == ["x"]
    with again.read() as conn:
        assert conn.execute(select(waits)).all() == []


def test_absence_acts_only_when_nothing_came(stage: Stage) -> None:
    stage.rule(f"rule: r\nwhen: {{absence: order.paid, after: order.created, for: 1 day}}\nthen:\n{SAY}")
    stage.play("order.created", key="a")
    stage.play("order.created", key="b")
    stage.play("order.paid", key="b")
    assert [run["reason"] for run in stage.runs(key="b")] == ["order.paid happened in time"]
    stage.later(days=2)
    assert {run["key"]: run["outcome"] for run in stage.runs()} == {"a": "acted", "b": "stopped"}
    assert stage.said == ["woke"]


STEPS = st.lists(st.tuples(st.sampled_from(["start", "answer", "walk"]), st.integers(0, 30)), max_size=12)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_result_does_not_depend_on_when_the_worker_looks(
    make_stage: Callable[..., Stage], steps: list[tuple[str, int]]
) -> None:
    """Twenty hours of starts and answers: a lazy worker and an eager one must say the same words."""
    rule = waiting("{event: answer.came, timeout: 20 hours}", LISTEN.split("\n", 4)[4])
    said = []
    for eager in (True, False):
        stage, key = make_stage(), new_id()
        stage.rule(rule)
        before = len(stage.said)
        for number, (what, hours) in enumerate(steps):
            if eager:
                stage.later(hours=hours)
            else:
                stage.clock.advance(timedelta(hours=hours))
            if what == "start":
                stage.take(key=key)
            elif what == "answer":
                stage.take("answer.came", {"word": str(number)}, key=key)
            if eager:
                stage.drain()
        stage.clock.advance(timedelta(days=10))
        stage.drain()
        said.append(sorted(stage.said[before:]))
        stage.close()
    assert said[0] == said[1]
