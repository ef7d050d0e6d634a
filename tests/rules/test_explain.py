"""Why and verdicts: what they say is what happened, in three languages, for any event of the past."""

from datetime import timedelta
from typing import Any

import pytest
from engines import START
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stage import Script, Stage

from core.errors import NotFound, RejectedError
from core.ids import new_id
from rules.explain import near_misses, verdicts, why
from rules.operators import OPERATORS
from rules.runs import cancel_run
from rules.words import OPERATOR_WORDS, SENTENCES, say_row, say_value

HEAD = "rule: r\nwhen: {event: stage.happened}\n"
SAY = "then: [{do: stage.say, with: {text: x}}]\n"


def ask(stage: Stage, event: Any, rule: str = "r", language: str = "en") -> dict[str, Any]:
    with stage.read() as conn:
        return why(stage.engine, conn, rule, event_id=event.id, language=language)


# rule (after its head), data, verdict, sentence in English, Turkish, Russian
STORIES: list[tuple[str, dict[str, Any], str, tuple[str, str, str]]] = [
    (SAY, {}, "acted", ("It acted.", "Yapıldı.", "Сработала.")),
    (
        "if: {field: order.total, is: at_least, value: 100}\n" + SAY,
        {"order": {"total": 90}},
        "stopped",
        (
            "It did not act because of this condition: order.total: at least 100; it was 90.",
            "Şu koşul nedeniyle çalışmadı: order.total: en az 100; değeri 90 idi.",
            "Не сработала из-за условия: order.total: не меньше 100; было 90.",
        ),
    ),
    (
        "if: {field: order.total, is: at_least, value: 100}\n" + SAY,
        {},
        "unknown",
        (
            "It could not be checked: order.total: at least 100; it is not known.",
            "Kontrol edilemedi: order.total: en az 100; bilinmiyor.",
            "Не удалось проверить: order.total: не меньше 100; неизвестно.",
        ),
    ),
    (
        "if: {all: [{field: a, is: yes}, {any: [{field: b, is: equal, value: x}, {field: c, is: in_last, value: 3 days}]}]}\n"
        + SAY,
        {"a": True, "b": "y", "c": "2020-01-01"},
        "stopped",
        (
            "It did not act because of this condition: b: is x; it was y.",
            "Şu koşul nedeniyle çalışmadı: b: şu: x; değeri y idi.",
            "Не сработала из-за условия: b: это x; было y.",
        ),
    ),
    (
        # The first one is unknown, but the second one decides.
        "if: {all: [{field: a, is: yes}, {field: b, is: above, value: 5}]}\n" + SAY,
        {"b": 3},
        "stopped",
        (
            "It did not act because of this condition: b: above 5; it was 3.",
            "Şu koşul nedeniyle çalışmadı: b: şundan fazla: 5; değeri 3 idi.",
            "Не сработала из-за условия: b: больше 5; было 3.",
        ),
    ),
    (
        "if: {none: [{field: b, is: any_of, value: [x, y]}]}\n" + SAY,
        {"b": "Y"},
        "stopped",
        (
            "It did not act because of this condition: b: is any of x, y; it was Y.",
            "Şu koşul nedeniyle çalışmadı: b: şunlardan biri: x, y; değeri Y idi.",
            "Не сработала из-за условия: b: одно из x, y; было Y.",
        ),
    ),
    (
        "then: [{wait: 1 day}, {stop: true}]\n",
        {},
        "waiting",
        (
            "It is waiting until 2026-03-03T09:00+00:00.",
            "Şu ana kadar bekliyor: 2026-03-03T09:00+00:00.",
            "Ожидает до 2026-03-03T09:00+00:00.",
        ),
    ),
    (
        "then: [{stop: enough}]\n",
        {},
        "stopped",
        ("It stopped: enough.", "Durdu: enough.", "Остановилась: enough."),
    ),
    (
        SAY + "limits: {ask: true}\n",
        {},
        "held",
        (
            "It is held for approval: the rule asks before it acts.",
            "Onay bekliyor: the rule asks before it acts.",
            "Задержана до одобрения: the rule asks before it acts.",
        ),
    ),
    (
        "then: [{do: stage.call}]\n",
        {},
        "failed",
        ("It failed: stage: no.", "Başarısız oldu: stage: no.", "Ошибка: stage: no."),
    ),
]


@pytest.mark.parametrize(("text", "data", "verdict", "sentences"), STORIES)
def test_sentence_tells_what_happened(
    stage: Stage, clean_script: Script, text: str, data: dict[str, Any], verdict: str, sentences: tuple[str, str, str]
) -> None:
    clean_script.answers = [RejectedError("stage", "no")]
    stage.rule(HEAD + text)
    event = stage.play(data=data).event
    told = [ask(stage, event, language=language) for language in ("en", "tr", "ru")]
    assert [answer["sentence"] for answer in told] == list(sentences)
    assert {answer["verdict"] for answer in told} == {verdict}
    assert ask(stage, event, language="de")["sentence"] == sentences[0]  # English where there is no translation
    with stage.read() as conn:
        assert verdicts(stage.engine, conn, event.id) == [told[0]]


def test_every_word_stands_in_three_languages() -> None:
    assert set(OPERATORS) <= set(OPERATOR_WORDS)
    for words in (*OPERATOR_WORDS.values(), *SENTENCES.values()):
        assert len(words) == 3
        assert all(text.strip() for text in words)
    for name, words in SENTENCES.items():
        marks = [sorted(part.split("}")[0] for part in text.split("{")[1:]) for text in words]
        assert marks[0] == marks[1] == marks[2], name


# value, what people write
VALUES = [
    ({"amount": "5.00", "currency": "TRY"}, "en", "5.00 TRY"),
    ("3 days", "tr", "3 gün"),
    ("2 hours", "ru", "2 часа"),
    ("izmir", "tr", "izmir"),
    (["a", 5], "en", "a, 5"),
    (list(range(12)), "en", "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …"),
    ({"field": "order.total"}, "en", "order.total"),
]


@pytest.mark.parametrize(("value", "language", "text"), VALUES)
def test_value_is_said_as_people_write_it(value: Any, language: str, text: str) -> None:
    assert say_value(value, language) == text


def test_braces_in_data_stay_data() -> None:
    told = {"field": "a", "is": "equal", "expected": "{actual}", "actual": "{field} {operator}", "verdict": False}
    assert say_row(told) == "a: is {actual}; it was {field} {operator}"


def test_off_at_that_time_is_told_from_on_now(stage: Stage) -> None:
    stage.rule(HEAD + SAY, state="off")
    event = stage.play().event
    stage.clock.advance(60)
    stage.engine.switch("r", "on", actor="ann")
    assert ask(stage, event)["verdict"] == "off"
    assert ask(stage, event, language="tr")["sentence"] == "Otomasyon o sırada kapalıydı."
    assert ask(stage, stage.play().event)["verdict"] == "acted"


def test_version_of_that_time_answers(stage: Stage) -> None:
    stage.rule(HEAD + "if: {field: n, is: above, value: 5}\n" + SAY)
    event = stage.play(data={"n": 3}).event
    stage.clock.advance(60)
    stage.rule(HEAD + "if: {field: n, is: above, value: 1}\n" + SAY)
    assert "above 5; it was 3" in ask(stage, event)["sentence"]
    assert ask(stage, stage.play(data={"n": 3}).event)["verdict"] == "acted"


def test_rule_younger_than_the_event_was_off(stage: Stage) -> None:
    event = stage.play().event
    stage.clock.advance(60)
    stage.rule(HEAD + SAY)
    assert ask(stage, event)["verdict"] == "off"


def test_other_events_and_chains_are_told_apart(stage: Stage) -> None:
    stage.rule(HEAD + SAY)
    assert ask(stage, stage.play("other.thing").event)["sentence"] == "The automation does not listen to other.thing."
    deep = ask(stage, stage.play(depth=11).event)
    assert (deep["verdict"], deep["sentence"]) == ("stopped", "The chain of automations was cut off at depth 11.")


def test_called_rule_is_explained_like_any(stage: Stage) -> None:
    stage.rule(HEAD + "then: [{run: s}]\n")
    stage.rule("rule: s\nwhen: {event: never}\nif: {field: n, is: yes}\n" + SAY)
    stage.play(data={"n": True})
    stage.play(data={"n": False})
    called = [row for row in stage.events() if row.type == "rule.called"]
    assert [ask(stage, event, "s")["verdict"] for event in called] == ["acted", "stopped"]
    assert ask(stage, called[0], "r")["verdict"] == "other_event"
    with stage.read() as conn:
        assert [told["rule"] for told in verdicts(stage.engine, conn, called[0].id)] == ["s"]


def test_own_events_concern_their_rule_alone(stage: Stage) -> None:
    for name in ("one", "two"):
        stage.rule(f"rule: {name}\nwhen: {{schedule: every day at 10:00}}\n{SAY}")
    stage.engine.sync()
    stage.clock.advance(timedelta(hours=2))
    stage.engine.scheduler.sweep(stage.clock.now())
    stage.drain()
    events = stage.events()
    assert len(events) == 2
    with stage.read() as conn:
        for event in events:
            told = verdicts(stage.engine, conn, event.id)
            assert [(row["rule"], row["verdict"]) for row in told] == [(event.data["rule"], "acted")]


def test_queued_run_waits_for_its_turn(stage: Stage) -> None:
    stage.rule(HEAD + "then: [{wait: 1 day}, {stop: true}]\nmode: {run: queued}\n")
    stage.play(key="k")
    event = stage.play(key="k").event
    sentences = [ask(stage, event, language=language)["sentence"] for language in ("en", "tr", "ru")]
    assert sentences == ["It is waiting for its turn.", "Sırasını bekliyor.", "Ждёт своей очереди."]


def test_cancelled_run_says_by_whom(stage: Stage) -> None:
    stage.rule(HEAD + "then: [{wait: 1 day}, {stop: true}]\n")
    event = stage.play().event
    run_id = stage.runs()[0]["id"]
    stage.do(lambda tx: cancel_run(tx, run_id, actor="ann", now=START))
    assert ask(stage, event)["sentence"] == "It was cancelled: cancelled by ann."
    assert ask(stage, event)["run"] == run_id


def test_removed_run_is_answered_from_its_event(stage: Stage) -> None:
    stage.rule(HEAD + SAY)
    event = stage.play().event
    stage.do(lambda tx: tx.conn.exec_driver_sql("DELETE FROM runs"))
    told = ask(stage, event)
    assert (told["verdict"], "removed after its retention time" in told["sentence"]) == ("holds", True)


def test_key_finds_the_newest_event_that_was_heard(stage: Stage) -> None:
    stage.rule(HEAD + "if: {field: n, is: yes}\n" + SAY)
    stage.play(data={"n": True}, key="A1")
    stage.clock.advance(60)
    newest = stage.play(data={"n": False}, key="A1").event
    stage.clock.advance(60)
    stage.play("other.thing", key="A1")
    with stage.read() as conn:
        told = why(stage.engine, conn, "r", key="A1")
        assert (told["event"], told["verdict"]) == (newest.id, "stopped")
        assert why(stage.engine, conn, "r", key="nobody")["verdict"] == "no_event"
        for given, words in (({"event_id": "x"}, "no event 'x'"), ({}, "name an event or an order")):
            with pytest.raises(NotFound, match=words):
                why(stage.engine, conn, "r", **given)
        with pytest.raises(NotFound, match="no rule 'x'"):
            why(stage.engine, conn, "x", key="A1")


def test_near_misses_name_what_was_missing(stage: Stage) -> None:
    stage.rule(HEAD + "if: {field: n, is: above, value: 5}\n" + SAY)
    for number in (1, 9, 3):
        stage.play(data={"n": number})
        stage.clock.advance(1)
    stage.play("other.thing")
    with stage.read() as conn:
        told = near_misses(stage.engine, conn, "r")
    assert [row["condition"]["actual"] for row in told] == [3, 1]
    assert [row["condition"]["gap"] for row in told] == ["2", "4"]
    stage.rule("rule: quiet\nwhen: {event: x}\n" + SAY, state="off")
    with stage.read() as conn:
        assert near_misses(stage.engine, conn, "quiet") == []


def test_facts_are_asked_as_of_the_event(stage: Stage, clean_script: Script) -> None:
    clean_script.levels = {"A": 1}
    stage.rule(HEAD + "if: {fact: stage.level, is: at_least, value: 3}\n" + SAY)
    event = stage.play(data={"order": {"id": "A"}}).event
    assert ask(stage, event)["sentence"] == "It stopped: the condition does not hold."
    stage.do(lambda tx: tx.conn.exec_driver_sql("DELETE FROM runs"))
    assert "stage.level: at least 3; it was 1" in ask(stage, event)["sentence"]


CONDITIONS = st.sampled_from(
    [
        "{field: n, is: above, value: 5}",
        "{field: n, is: known}",
        "{any: [{field: n, is: equal, value: 3}, {field: t, is: contains, value: a}]}",
        "{none: [{field: t, is: equal, value: b}]}",
        "{all: [{field: n, is: at_most, value: 7}, {field: items.x, is: yes, over: every_item}]}",
    ]
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "n": st.integers(0, 9) | st.none() | st.text(max_size=2),
        "t": st.sampled_from("ab"),
        "items": st.lists(st.fixed_dictionaries({}, optional={"x": st.booleans()}), max_size=2),
    },
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CONDITIONS, st.lists(EVENTS, min_size=1, max_size=6))
def test_verdicts_agree_with_what_the_engine_did(make_stage: Any, condition: str, events: list[dict[str, Any]]) -> None:
    stage, name = make_stage(), f"r-{new_id()}"
    stage.rule(HEAD.replace("rule: r", f"rule: {name}") + f"if: {condition}\n" + SAY)
    for data in events:
        taken = stage.play(data=data)
        told = ask(stage, taken.event, name)
        assert (told["verdict"] == "acted") is (name in taken.rules)
        if "condition" in told:
            assert told["condition"]["verdict"] is {"stopped": False, "unknown": None}[told["verdict"]]
    stage.engine.switch(name, "off", actor="ann")
    stage.close()
