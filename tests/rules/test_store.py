"""Rules as kept: drafts apart, versions immutable, states that always switch off, and what each process sees of it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from engines import START
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from stage import Stage

from core.errors import Conflict, InvalidInput, NotFound, RuleError, StorageError
from core.tables import audit
from rules import store
from rules.tables import rule_versions

TEXT = """\
# Why: everybody likes to be greeted.
rule: greet   # the name
when: {event: stage.happened}   # on everything

if:
  - {field: order.city, is: equal, value: "İzmir"}  # only there
then:
  - do: stage.say
    with: {text: 'hi'}
"""


def by(stage: Stage) -> dict[str, Any]:
    return {"actor": "ann", "now": stage.clock.now()}


def play(stage: Stage, city: str = "izmir") -> None:
    stage.play(data={"order": {"city": city}})


def test_text_is_kept_to_the_letter(stage: Stage) -> None:
    stage.engine.publish(TEXT, actor="ann", note="first", state="on")
    with stage.read() as conn:
        row = store.get_rule(conn, "greet")
        version = store.get_version(conn, row.id, 1)
    assert version.text == TEXT
    assert (version.author, version.note, version.at) == ("ann", "first", START)
    assert version.document["if"][0]["value"] == "İzmir"
    assert (row.state, row.version, row.draft) == ("on", 1, None)


def test_same_text_makes_no_new_version(stage: Stage) -> None:
    for text in (TEXT, TEXT, TEXT + "# more\n", TEXT):
        stage.engine.publish(text, actor="ann", state="on")
    with stage.read() as conn:
        row = store.get_rule(conn, "greet")
        assert [version.version for version in store.list_versions(conn, row.id)] == [3, 2, 1]


def test_versions_never_change(stage: Stage) -> None:
    stage.engine.publish(TEXT, actor="ann", state="on")
    stage.engine.publish(TEXT.replace("'hi'", "'hello'"), actor="bob", state="on")
    with stage.read() as conn:
        texts = conn.execute(select(rule_versions.c.text).order_by(rule_versions.c.version)).scalars().all()
    assert texts == [TEXT, TEXT.replace("'hi'", "'hello'")]
    play(stage)
    assert stage.said == ["hello"]


def test_draft_changes_nothing_that_is_live(stage: Stage) -> None:
    stage.engine.publish(TEXT, actor="ann", state="on")
    stage.do(lambda tx: store.save_draft(tx, "greet", "rule: {not even", **by(stage)))
    play(stage)
    assert stage.said == ["hi"]
    with stage.read() as conn:
        row = store.get_rule(conn, "greet")
    assert (row.draft, row.version, row.state) == ("rule: {not even", 1, "on")


def test_restore_makes_the_old_text_the_draft(stage: Stage) -> None:
    stage.engine.publish(TEXT, actor="ann", state="on")
    stage.engine.publish(TEXT.replace("'hi'", "'hello'"), actor="ann")
    stage.do(lambda tx: store.restore(tx, "greet", 1, **by(stage)))
    with stage.read() as conn:
        draft = store.get_rule(conn, "greet").draft
    assert draft == TEXT
    play(stage)
    assert stage.said == ["hello"]
    stage.engine.publish(draft, actor="ann")
    play(stage)
    assert stage.said == ["hello", "hi"]
    with pytest.raises(NotFound, match="no version 9"):
        stage.do(lambda tx: store.restore(tx, "greet", 9, **by(stage)))


def test_bad_text_changes_nothing(stage: Stage) -> None:
    stage.engine.publish(TEXT, actor="ann", state="on")
    for bad in (TEXT.replace("equal", "equals"), "rule: greet\nrule: greet", TEXT.replace("then:", "than:")):
        with pytest.raises(RuleError):
            stage.engine.publish(bad, actor="ann")
    play(stage)
    assert stage.said == ["hi"]


# state, whether events start runs
STATES = [("off", 0), ("watching", 1), ("on", 1), ("paused", 0)]


@pytest.mark.parametrize(("state", "count"), STATES)
def test_state_decides_whether_events_start_runs(stage: Stage, state: str, count: int) -> None:
    stage.engine.publish(TEXT, actor="ann")
    stage.engine.switch("greet", state, actor="ann", reason="because")
    play(stage)
    assert len(stage.outcomes()) == count
    with stage.read() as conn:
        row = store.get_rule(conn, "greet")
    assert (row.state, row.state_reason) == ((state, "because") if state != "off" else ("off", "because"))


def test_off_works_even_where_the_rule_no_longer_compiles(stage: Stage) -> None:
    stage.engine.publish(TEXT, actor="ann", state="on")
    stage.do(lambda tx: tx.conn.exec_driver_sql("UPDATE rule_versions SET document = '{\"rule\": 5}', text = 'x'"))
    stage.engine.book.forget()
    stage.engine.sync()
    assert "greet" in stage.engine.book.broken
    stage.engine.switch("greet", "off", actor="ann")
    assert stage.engine.book.broken == {}
    with pytest.raises(RuleError):
        stage.engine.switch("greet", "on", actor="ann")


def test_switching_is_refused_where_it_makes_no_sense(stage: Stage) -> None:
    stage.do(lambda tx: store.save_draft(tx, "new", TEXT, **by(stage)))
    with pytest.raises(Conflict, match="has no published version yet: publish it first"):
        stage.engine.switch("new", "on", actor="ann")
    with pytest.raises(InvalidInput, match="must be one of off, watching, on, paused"):
        stage.engine.switch("new", "asleep", actor="ann")
    with pytest.raises(NotFound, match="no rule 'nobody'"):
        stage.engine.switch("nobody", "off", actor="ann")
    with pytest.raises(RuleError, match="no action stage.shout; did you mean stage"):
        stage.engine.publish(TEXT.replace("stage.say", "stage.shout"), actor="ann", state="on")
    stage.engine.publish(TEXT.replace("stage.say", "stage.shout"), actor="ann")
    with pytest.raises(RuleError, match="no action stage.shout"):
        stage.engine.switch("greet", "watching", actor="ann")


def test_archived_rule_is_off_and_comes_back_when_published(stage: Stage) -> None:
    stage.engine.publish(TEXT, actor="ann", state="on")
    stage.do(lambda tx: store.archive(tx, "greet", **by(stage)))
    play(stage)
    with stage.read() as conn:
        assert store.list_rules(conn) == []
        assert [row.name for row in store.list_rules(conn, archived=True)] == ["greet"]
    stage.engine.publish(TEXT, actor="ann", state="on")
    play(stage)
    assert stage.said == ["hi"]
    with stage.read() as conn:
        assert [row.name for row in store.list_rules(conn)] == ["greet"]


def test_past_states_can_be_asked(stage: Stage) -> None:
    steps = [("publish", None), ("on", "on"), ("off", "off"), ("watching", "watching")]
    for _word, state in steps:
        if state is None:
            stage.engine.publish(TEXT, actor="ann")
        else:
            stage.engine.switch("greet", state, actor="ann")
        stage.clock.advance(timedelta(hours=1))
    stage.engine.publish(TEXT + "# 2\n", actor="ann")
    with stage.read() as conn:
        rule_id = store.get_rule(conn, "greet").id
        asked = [
            store.live_at(conn, rule_id, START + timedelta(minutes=minutes))
            for minutes in (-1, 0, 59, 60, 125, 200, 240)
        ]
    assert asked == [("off", None), ("off", 1), ("off", 1), ("on", 1), ("off", 1), ("watching", 1), ("watching", 2)]


def test_every_change_is_in_the_audit_trail(stage: Stage) -> None:
    stage.engine.publish(TEXT, actor="ann", state="on")
    stage.engine.switch("greet", "off", actor="bob")
    stage.engine.switch("greet", "off", actor="bob")  # nothing changed: nothing to tell
    with stage.read() as conn:
        told = conn.execute(select(audit.c.actor, audit.c.action).where(audit.c.object == "rule:greet")).all()
    assert [tuple(row) for row in told] == [("ann", "rule.created"), ("ann", "rule.published"), ("bob", "rule.off")]


# Several processes


def test_other_process_takes_changes_in(make_stage: Callable[..., Stage]) -> None:
    one, two = make_stage(), make_stage()
    one.engine.publish(TEXT, actor="ann", state="on")
    play(two)
    assert len(two.outcomes()) == 1
    two.engine.switch("greet", "off", actor="ann")
    play(one)
    assert len(one.outcomes()) == 1
    one.engine.publish(TEXT.replace("izmir", "x").replace("İzmir", "Ankara"), actor="ann", state="on")
    play(two)
    play(two, "ankara")
    assert len(one.outcomes()) == 2


def test_undone_change_leaves_no_ghost(stage: Stage) -> None:
    """A rule is published and hears an event in one transaction, which then fails: neither may stay in memory."""
    stage.engine.publish(TEXT, actor="ann", state="on")
    loud = TEXT.replace("rule: greet", "rule: loud").replace("'hi'", "'LOUD'")

    def publish_and_fail(tx: Any) -> None:
        store.publish(tx, loud, stage.engine.book.scope, actor="ann", now=START, state="on")
        store.set_state(tx, "greet", "off", actor="ann", now=START)
        taken = stage.engine.intake.take(tx, [stage.event(data={"order": {"city": "izmir"}})])
        assert taken[0].rules == ["loud"]
        raise StorageError("the disk is full")

    with pytest.raises(StorageError):
        stage.do(publish_and_fail)
    play(stage)
    assert stage.said == ["hi"]
    # The next change gets the number that was undone, and must be seen all the same.
    stage.engine.publish(TEXT.replace("rule: greet", "rule: third").replace("'hi'", "'third'"), actor="ann", state="on")
    play(stage)
    assert sorted(stage.said) == ["hi", "hi", "third"]


NAMES = st.sampled_from(["a", "b", "c"])
MOVES = st.lists(st.tuples(NAMES, st.sampled_from(["publish", "on", "off", "watching", "archive"])), max_size=10)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MOVES)
def test_book_in_step_with_a_book_read_afresh(make_stage: Callable[..., Stage], moves: list[tuple[str, str]]) -> None:
    stage = make_stage()
    for number, (name, move) in enumerate(moves):
        try:
            if move == "publish":
                text = TEXT.replace("rule: greet", f"rule: {name}").replace("'hi'", f"'{number}'")
                stage.engine.publish(text, actor="ann")
            elif move == "archive":
                stage.do(lambda tx, name=name: store.archive(tx, name, **by(stage)))
            else:
                stage.engine.switch(name, move, actor="ann")
        except (NotFound, Conflict):
            continue
    stage.engine.sync()
    fresh = store.Book(stage.engine.book.scope)
    with stage.read() as conn:
        fresh.refresh(conn)

    def seen(book: store.Book) -> tuple[Any, ...]:
        return {(rule.id, rule.version) for rule in book}, book.watching, book.stamp, book.wait_fields

    assert seen(stage.engine.book) == seen(fresh)
    stage.close()
