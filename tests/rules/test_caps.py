"""Caps of the shop: over all rules, by kind of effect, changed while everything runs."""

from datetime import timedelta
from typing import Any

import pytest
from engines import START
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete
from stage import Script, Stage

from core.audit import read
from core.errors import InvalidInput, NotFound
from core.policy.caps import Cap, get_cap, list_caps, measure, remove_cap, save_cap
from core.tables import effects
from rules.explain import why
from rules.runs import decide
from rules.simulate import simulate

KINDS = ("message", "note", "call", "money")


def rule(name: str, *steps: str, more: str = "") -> str:
    return f"rule: {name}\nwhen: {{event: stage.happened}}\nthen: [{', '.join(steps or (SAY,))}]\n{more}"


SAY = "{do: stage.say, with: {text: x}}"
NOTE = "{do: stage.note, with: {text: y}}"


def cap(**given: Any) -> Cap:
    usual = {"name": "c", "kind": "message", "per": "shop", "most": 2, "period": "1 day", "above": "skip"}
    return Cap(**{**usual, **given})


def put(stage: Stage, **given: Any) -> bool:
    now = stage.clock.now()
    return stage.do(lambda tx: save_cap(tx, cap(**given), kinds=KINDS, actor="ann", now=now))


def remove(stage: Stage, name: str = "c") -> None:
    stage.do(lambda tx: remove_cap(tx, name, actor="ann", now=stage.clock.now()))


# cap, outcomes of three events of one customer an hour apart under two rules, oldest run first
REACHED = [
    ({"per": "customer", "above": "skip"}, ["acted", "acted", "skipped", "skipped", "skipped", "skipped"]),
    ({"per": "shop", "above": "skip"}, ["acted", "acted", "skipped", "skipped", "skipped", "skipped"]),
    ({"per": "shop", "above": "hold"}, ["acted", "acted", "held", "held", "held", "held"]),
    ({"per": "shop", "above": "later"}, ["acted", "acted", "waiting", "waiting", "waiting", "waiting"]),
    ({"period": "90 min", "above": "skip"}, ["acted", "acted", "skipped", "skipped", "acted", "acted"]),
    ({"kind": "note", "above": "skip"}, ["acted"] * 6),  # another kind
    ({"most": 0, "above": "skip"}, ["skipped"] * 6),
    ({"most": 0, "above": "hold"}, ["held"] * 6),
    ({"most": 100}, ["acted"] * 6),
]


@pytest.mark.parametrize(("given", "outcomes"), REACHED)
def test_cap_counts_over_all_rules(stage: Stage, given: dict[str, Any], outcomes: list[str]) -> None:
    stage.rule(rule("one"))
    stage.rule(rule("two"))
    put(stage, **given)
    for _ in range(3):
        stage.play(customer="c", key="k")
        stage.later(hours=1)
    assert stage.outcomes() == outcomes


def test_each_customer_has_an_own_count(stage: Stage) -> None:
    stage.rule(rule("one"))
    put(stage, per="customer", most=1)
    for customer in ("c", "d", "c", None, None):
        stage.play(customer=customer)
    assert stage.outcomes() == ["acted", "acted", "skipped", "acted", "acted"]


def test_without_a_cap_nothing_is_held_back(stage: Stage) -> None:
    stage.rule(rule("one"))
    stage.engine.take([stage.event(customer="c") for _ in range(20)])
    stage.drain()
    assert stage.outcomes() == ["acted"] * 20


def test_every_step_counts_not_every_firing(stage: Stage) -> None:
    stage.rule(rule("one", SAY, NOTE, SAY, SAY))
    put(stage)
    stage.play()
    assert stage.states() == ["done", "done", "done", "skipped"]
    assert stage.outcomes() == ["acted"]


def test_reached_cap_is_told_in_words(stage: Stage) -> None:
    stage.rule(rule("one"))
    put(stage, per="customer")
    taken = [stage.play(customer="c") for _ in range(3)][2]
    words = "at most 2 messages a day per customer: reached"
    run = stage.runs()[2]
    assert (run["reason"], stage.effects()[2].reason) == (words, words)
    assert [line["reason"] for line in run["trace"] if line["kind"] == "do"] == [words]
    with stage.read() as conn:
        assert words in why(stage.engine, conn, "one", event_id=taken.event.id)["sentence"]


# cap, its words
WORDS = [
    ({"most": 1, "period": "1 hour"}, "at most 1 message an hour"),
    ({"most": 3, "period": "24 hours", "kind": "call"}, "at most 3 calls in 24 hours"),
    ({"most": 2, "kind": "money", "per": "customer"}, "at most 2 money transfers a day per customer"),
    ({"most": 5, "period": "2 gün"}, "at most 5 messages in 2 days"),
]


@pytest.mark.parametrize(("given", "words"), WORDS)
def test_cap_says_what_it_is(given: dict[str, Any], words: str) -> None:
    assert cap(**given).words == words


def test_what_goes_later_goes_in_order(stage: Stage, clean_script: Script) -> None:
    stage.rule(rule("one", "{do: stage.say, with: {text: '{{ event.key }}'}}"))
    put(stage, above="later", period="1 hour")
    for number in range(5):
        stage.take(key=str(number))
        stage.clock.advance(60)
    stage.drain()
    assert stage.said == ["0", "1"]
    told = [line for line in stage.runs()[4]["trace"] if line["kind"] == "later"]
    assert [line["reason"] for line in told] == ["at most 2 messages an hour: reached"]
    with stage.read() as conn:
        sentence = why(stage.engine, conn, "one", key="4")["sentence"]
    assert sentence.endswith(": at most 2 messages an hour: reached.")
    stage.later(minutes=61)
    stage.later(minutes=61)
    assert stage.said == ["0", "1", "2", "3", "4"]


def test_change_holds_at_once(stage: Stage) -> None:
    stage.rule(rule("one"))
    assert put(stage, most=1) is True
    stage.play()
    stage.play()
    assert put(stage, most=2) is False
    stage.play()
    stage.play()
    remove(stage)
    stage.play()
    assert stage.outcomes() == ["acted", "skipped", "acted", "skipped", "acted"]


def test_other_engine_keeps_the_same_cap(stage: Stage, make_stage: Any) -> None:
    other = make_stage(clock=stage.clock)
    stage.rule(rule("one"))
    put(other, most=1)
    stage.play()
    other.engine.sync()
    other.play()
    assert stage.outcomes() == ["acted", "skipped"]


def test_watching_rule_uses_nothing_up(stage: Stage) -> None:
    stage.rule(rule("watched"), "watching")
    put(stage, most=1)
    stage.play()
    stage.play()
    stage.rule(rule("acting"))
    stage.play()
    assert stage.outcomes(rule="watched") == ["acted", "skipped", "skipped"]  # as it would be
    assert stage.outcomes(rule="acting") == ["acted"]


def test_refused_and_failed_effects_do_not_count(stage: Stage, clean_script: Script) -> None:
    clean_script.broken = {"x": ValueError("no")}
    stage.rule(rule("one"))
    put(stage, most=1)
    stage.play()
    clean_script.broken = {}
    stage.play()
    assert stage.outcomes() == ["failed", "acted"]


def test_retried_call_does_not_count_itself(stage: Stage, clean_script: Script) -> None:
    stage.rule(rule("one", "{do: stage.call}"))
    put(stage, most=1)
    stage.take()
    stage.do(lambda tx: stage.engine.runner.advance_in(tx, 10))  # the process dies here
    stage.clock.advance(timedelta(minutes=2))
    stage.drain()
    assert (stage.outcomes(), len(clean_script.calls)) == (["acted"], 1)


# what the cap does above, the outcome once a person has approved what the rule asked for
APPROVED = [("hold", "acted"), ("skip", "skipped"), ("later", "waiting")]


@pytest.mark.parametrize(("above", "outcome"), APPROVED)
def test_approval_passes_only_what_is_held(stage: Stage, above: str, outcome: str) -> None:
    stage.rule(rule("asks", more="limits: {ask: true}\n"))
    stage.rule(rule("acts"), "off")
    put(stage, most=1, above=above)
    stage.play()
    run = stage.runs()[0]
    assert run["outcome"] == "held"
    stage.rule(rule("acts"), "on")
    stage.play()
    stage.do(lambda tx: decide(tx, run["id"], approve=True, actor="ann", now=stage.clock.now()))
    stage.drain()
    assert stage.runs()[0]["outcome"] == outcome


def test_approved_effect_counts(stage: Stage) -> None:
    stage.rule(rule("one"))
    put(stage, most=1, above="hold")
    stage.play()
    stage.play()
    held = stage.runs()[1]["id"]
    stage.do(lambda tx: decide(tx, held, approve=True, actor="ann", now=stage.clock.now()))
    stage.drain()
    assert stage.outcomes() == ["acted", "acted"]
    with stage.read() as conn:
        use = measure(conn, get_cap(conn, "c"), stage.clock.now(), stage.engine.zone)
    assert (use.used, use.reached) == (2, 1)


def test_use_counts_customers_that_reached_it(stage: Stage) -> None:
    stage.rule(rule("one"))
    put(stage, per="customer", most=2)
    for customer in ("c", "c", "d", "e", "e", None):
        stage.play(customer=customer)
    with stage.read() as conn:
        use = measure(conn, get_cap(conn, "c"), START, stage.engine.zone)
        later = measure(conn, get_cap(conn, "c"), START + timedelta(days=1), stage.engine.zone)
    assert (use.used, use.reached) == (2, 2)
    assert (later.used, later.reached) == (0, 0)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from("abc")), min_size=1, max_size=12), st.integers(1, 3))
def test_no_hour_of_a_customer_holds_more_than_the_cap(stage: Stage, gaps: list[tuple[int, str]], most: int) -> None:
    stage.rule(rule("one"))
    stage.rule(rule("two"))
    put(stage, per="customer", most=most, period="1 hour", above="later")
    for minutes, customer in gaps:
        stage.later(minutes=minutes)
        stage.play(customer=customer)
    stage.later(hours=40)
    done = [row for row in stage.effects() if row.state == "done"]
    assert len(done) == 2 * len(gaps)
    for customer in "abc":
        at = [row.at for row in done if row.customer == customer]
        assert all(after - before >= timedelta(hours=1) for before, after in zip(at, at[most:], strict=False))
    stage.do(lambda tx: tx.conn.execute(delete(effects)))


# what is wrong, its place and words
WRONG = [
    ({"name": "No Good"}, "name", "small letters"),
    ({"kind": "mesage"}, "kind", "did you mean message?"),
    ({"kind": "refund"}, "kind", "known are call, message, money, note"),
    ({"per": "rule"}, "per", "shop, customer"),
    ({"above": "drop"}, "above", "skip, later, hold"),
    ({"most": -1}, "most", "from 0"),
    ({"most": 10**12}, "most", "from 0"),
    ({"most": 0, "above": "later"}, "above", "skip or hold"),
    ({"period": "soon"}, "period", "is not a length of time"),
    ({"period": "0 days"}, "period", "longer than nothing"),
]


@pytest.mark.parametrize(("given", "path", "words"), WRONG)
def test_wrong_cap_is_refused(stage: Stage, given: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as raised:
        put(stage, **given)
    assert raised.value.path == path
    with stage.read() as conn:
        assert list_caps(conn) == []


def test_kind_of_a_plugin_that_is_off_is_known_by_its_effects(stage: Stage) -> None:
    stage.rule(rule("one", NOTE))
    stage.play()
    now = stage.clock.now()
    assert stage.do(lambda tx: save_cap(tx, cap(kind="note"), kinds=("message",), actor="ann", now=now))


def test_changes_are_audited(stage: Stage) -> None:
    put(stage)
    put(stage)  # the same: no change
    put(stage, most=5)
    remove(stage)
    with pytest.raises(NotFound, match="no cap 'c'"):
        remove(stage)
    with stage.read() as conn:
        rows = read(conn, about="cap:c")[::-1]
    told = [(row.action, (row.before or {}).get("most"), (row.after or {}).get("most")) for row in rows]
    assert told == [("cap.saved", None, 2), ("cap.saved", 2, 5), ("cap.removed", 5, None)]
    assert {row.actor for row in rows} == {"ann"}


def test_trial_shows_what_the_caps_would_hold_back(stage: Stage) -> None:
    put(stage, per="customer", most=1)
    for customer in ("c", "c", "d"):
        stage.take(customer=customer)
    told = simulate(stage.engine, rule("one"))
    assert told["counts"] == {"acted": 2, "skipped": 1}
