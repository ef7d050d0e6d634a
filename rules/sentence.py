"""A rule as one sentence in the reader's language: "When ..., if ..., then ...".

Whole patterns for each language, filled with labels that need no inflection; a reader sees the grammar of a rule by the
kinds of the pieces: w (when), f (if), t (then), p (wait), b (a value), and plain text.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from core.durations import parse_duration, period_words
from core.errors import InvalidInput
from rules.labels import Labels, title_in
from rules.words import LANGUAGES, OPERATOR_WORDS, say_value

#: A piece of a sentence: its kind and its text.
Piece = tuple[str, str]

_MOST_CONDITIONS, _MOST_STEPS = 3, 3

#: Word -> English, Turkish, Russian.
_WORDS: dict[str, tuple[str, str, str]] = {
    "when": ("When", "Şu olunca:", "Когда"),
    "if": ("if", "koşul:", "если"),
    "then": ("then", "yapılacak:", "то"),
    "wait": ("wait", "bekle", "ждать"),
    "and": (" and ", " ve ", " и "),
    "or": (" or ", " veya ", " или "),
    "none": ("none of: ", "hiçbiri: ", "ни одно из: "),
    "more": ("{count} more", "{count} tane daha", "ещё {count}"),
    "schedule": ("it is time: {what}", "zaman: {what}", "наступает время: {what}"),
    "webhook": ("a call comes to {what}", "{what} adresine gelen çağrı", "приходит вызов на {what}"),
    "form": ("somebody starts it by hand", "elle başlatma", "кто-то запускает вручную"),
    "absence": ("{what} does not happen for {time}", "{time} boyunca olmayan: {what}", "{time} не происходит: {what}"),
    "date": ("the day of {what} comes", "{what} günü", "наступает день: {what}"),
    "date_off": ("the day comes: {what}, {time}", "{what} günü, {time}", "наступает день: {what}, {time}"),
    "wait_for": ("{time}", "{time}", "{time}"),
    "wait_until": ("until {what}", "şuna kadar: {what}", "до: {what}"),
    "wait_event": ("for {what}", "şu olay: {what}", "события: {what}"),
    "choose": ("decide, ways: {count}", "karar ver, yol sayısı: {count}", "решить, путей: {count}"),
    "split": ("split, ways: {count}", "kollara ayır, sayısı: {count}", "разделить, ветвей: {count}"),
    "each": (
        "for each of {what}, steps: {count}",
        "her biri için: {what}, adım: {count}",
        "для каждого: {what}, шагов: {count}",
    ),
    "stop": ("stop", "dur", "остановиться"),
    "run": ("start {what}", "{what} otomasyonunu başlat", "запустить {what}"),
}


def say_rule(document: Mapping[str, Any], labels: Labels) -> list[Piece]:
    """Return the pieces of the sentence that explains a rule; a document that is not whole gives what it has."""
    trigger = document.get("when")
    when: Mapping[str, Any] = trigger if isinstance(trigger, Mapping) else {}
    pieces: list[Piece] = [("w", _word("when", labels)), ("", " "), *_trigger(when, labels)]
    conditions = list(_conditions(document.get("if"), _first_type(when), labels))
    if conditions:
        pieces += [("", ", "), ("f", _word("if", labels)), ("", " "), *conditions]
    steps = list(_steps(document.get("then"), labels))
    if steps:
        pieces += [("", ", "), ("t", _word("then", labels)), ("", " "), *steps]
    return pieces


def plain_sentence(pieces: Sequence[Piece]) -> str:
    return "".join(text for _, text in pieces)


def _word(name: str, labels: Labels, **given: Any) -> str:
    text = _WORDS[name][LANGUAGES.index(labels.language) if labels.language in LANGUAGES else 0]
    for key, value in given.items():
        text = text.replace(f"{{{key}}}", str(value))
    return text


def _first_type(when: Mapping[str, Any]) -> str | None:
    types = when.get("event")
    return types if isinstance(types, str) else next(iter(types), None) if isinstance(types, list) else None


def _trigger(when: Mapping[str, Any], labels: Labels) -> Iterator[Piece]:
    if "event" in when:
        types = when["event"] if isinstance(when["event"], list) else [when["event"]]
        yield "b", _word("or", labels).join(labels.event(str(name)) for name in types)
    elif "schedule" in when:
        yield "b", _word("schedule", labels, what=_schedule(when["schedule"]))
    elif "webhook" in when:
        yield "b", _word("webhook", labels, what=when["webhook"])
    elif "form" in when:
        yield "b", _word("form", labels)
    elif "absence" in when:
        span = _period(when.get("for"), labels)
        yield "b", _word("absence", labels, what=labels.event(str(when["absence"])), time=span)
    elif "date" in when:
        field = labels.field(None, str(when["date"]))
        name = "date_off" if when.get("offset") else "date"
        yield "b", _word(name, labels, what=field, time=when.get("offset", ""))


def _schedule(schedule: Any) -> str:
    return (
        ", ".join(f"{key} {value}" for key, value in schedule.items())
        if isinstance(schedule, Mapping)
        else str(schedule)
    )


def _conditions(condition: Any, event_type: str | None, labels: Labels, *, inner: bool = False) -> Iterator[Piece]:
    """Yield a condition; groups inside another stand in brackets, and what is long is counted."""
    joint, parts = _group(condition)
    if joint == "none":
        yield "", _word("none", labels)
    for number, part in enumerate(islice(parts, _MOST_CONDITIONS)):
        if number:
            yield "", _word("and" if joint == "all" else "or", labels)
        if isinstance(part, Mapping) and ("field" in part or "fact" in part):
            yield from _row(part, event_type, labels)
        elif inner:
            yield "", "…"
        else:
            yield "", "("
            yield from _conditions(part, event_type, labels, inner=True)
            yield "", ")"
    if len(parts) > _MOST_CONDITIONS:
        yield "", _word("and" if joint == "all" else "or", labels)
        yield "", _word("more", labels, count=len(parts) - _MOST_CONDITIONS)


def _group(condition: Any) -> tuple[str, list[Any]]:
    if isinstance(condition, list):
        return "all", condition
    if not isinstance(condition, Mapping) or not condition:
        return "all", []
    for name in ("all", "any", "none"):
        if isinstance(condition.get(name), list):
            return name, condition[name]
    return "all", [condition]


def _row(row: Mapping[str, Any], event_type: str | None, labels: Labels) -> Iterator[Piece]:
    subject = labels.fact(str(row["fact"])) if "fact" in row else labels.field(event_type, str(row["field"]))
    operator = str(row.get("is", ""))
    words = OPERATOR_WORDS.get(operator)
    yield "", f"{subject}: {words[LANGUAGES.index(labels.language)] if words else operator}".rstrip()
    if "value" in row:
        yield "", " "
        yield "b", _value(row["value"], labels.language)


def _value(value: Any, language: str) -> str:
    values = value if isinstance(value, list) else [value]
    shown = ", ".join(say_value(item, language).strip("'\"") for item in values[:3])
    return f"{shown}…" if len(values) > 3 else shown


def _steps(steps: Any, labels: Labels) -> Iterator[Piece]:
    parts = steps if isinstance(steps, list) else []
    for number, step in enumerate(islice(parts, _MOST_STEPS)):
        if number:
            yield "", ", "
        yield from _step(step, labels) if isinstance(step, Mapping) else ()
    if len(parts) > _MOST_STEPS:
        yield "", ", "
        yield "", _word("more", labels, count=len(parts) - _MOST_STEPS)


def _step(step: Mapping[str, Any], labels: Labels) -> Iterator[Piece]:
    if "do" in step:
        yield "", labels.action(str(step["do"]))
        detail = _detail(step.get("with"), labels)
        if detail:
            yield "", " "
            yield "b", detail
    elif "wait" in step:
        yield "p", _word("wait", labels)
        yield "", " "
        yield "b", _wait(step["wait"], labels)
    else:
        name = next((name for name in ("choose", "split", "each", "stop", "run") if name in step), "stop")
        inner = step.get(name)
        count = len(inner) if isinstance(inner, list) else len(step.get("then") or ())
        # Where no branch holds is a way too.
        count += name == "choose"
        what = labels.field(None, str(inner)) if name == "each" else inner
        yield "", _word(name, labels, what=what, count=count)


def _detail(given: Any, labels: Labels) -> str:
    """Return what tells one use of an action from another: its template, title, or short text without fields."""
    if not isinstance(given, Mapping):
        return ""
    for name in ("title", "template", "subject", "tag", "status", "name"):
        text = title_in(given.get(name), labels.language, "")
        if text and "{" not in text:
            return f"“{text[:40]}{'…' if len(text) > 40 else ''}”"
    return ""


def _wait(wait: Any, labels: Labels) -> str:
    if not isinstance(wait, Mapping):
        return _period(wait, labels)
    if "for" in wait:
        return _word("wait_for", labels, time=_period(wait["for"], labels))
    if "event" in wait:
        return _word("wait_event", labels, what=labels.event(str(wait["event"])))
    return _word("wait_until", labels, what=wait.get("until", "…"))


def _period(value: Any, labels: Labels) -> str:
    try:
        return period_words(parse_duration(str(value)), labels.language)
    except InvalidInput:
        return str(value)
