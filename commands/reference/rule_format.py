"""The page of the rule format, from its JSON Schema and the tables that rules are compiled with."""

from collections.abc import Iterator, Mapping
from typing import Any

from commands.reference.liquid import make_liquid
from commands.reference.markdown import code, page, property_rows, table
from commands.reference.operators import make_operators
from rules.conditions import OVER
from rules.date_fields import DATES, WITH_FIELDS
from rules.rule import rule_schema
from rules.runner import LADDER
from rules.runs import OUTCOMES

_ABOUT = """\
One rule is one YAML document. This page is its grammar; [Write a rule](../howto/write-a-rule.md) shows its use.
`./vitrin schema` prints the JSON Schema for editors; `./vitrin rules lint FILE` checks a file. YAML is read as
version 1.2, without references (`*name`); a file may hold several documents, divided by `---`."""
_KEYS = ("key", "value", "needed", "meaning")
#: First key of a trigger -> (what starts the rule, what it can read then).
_TRIGGERS = {
    "event": ("Something happened.", "the event's data"),
    "schedule": ("It is time.", "`rule`, `planned_at`"),
    "webhook": ("Another system calls the rule's own address.", "`rule`, `body`, `headers`"),
    "form": ("A person starts it.", "`rule`, `form`, `actor`, and the record: `order`, `customer` or `product`"),
    "absence": (
        "An event did not come: in time after another one, or, without `after`, for so long.",
        "the data of the event named by `after`; or `rule`, `silence` (`event`, `since`, `for`, `key`), the record",
    ),
    "date": (
        "A date in a record has come.",
        "`rule`, `date.field`, `date.day`, `date.value`, and the record with its order and customer",
    ),
}
_STEPS = {
    "do": "Run an action: [those of the built-in plugins](events.md#actions).",
    "wait": "Sleep, or wait for an event.",
    "choose": "Take one of several ways.",
    "split": "Take a way by share; who took one keeps it.",
    "each": "Do steps for each item of a list.",
    "stop": "End the run here.",
    "run": "Start another rule with this run's event.",
}
_OUTCOMES = {
    "acted": "at least one action was done (or, when watching, would have been)",
    "stopped": "a condition did not hold, a `stop` was reached, or no step acted",
    "unknown": '"cannot check": a condition could not be answered, because something is missing',
    "waiting": "it sleeps, or listens for an event",
    "held": "it waits for a person's yes",
    "skipped": "a limit, a mode or a person kept it from acting",
    "failed": "an action failed for good: a dead letter",
    "cancelled": "a person or a newer run ended it",
}
_ALWAYS = {
    "event": "`id`, `type`, `time`, `key`, `source` of the event",
    "steps": "results of earlier steps: `steps.NAME...`",
    "shop": "`zone`, `currency`, `language`",
    "now": "the moment, in the shop's zone",
    "changes": "in events that tell what changed: field -> `from`, `to`",
}

_ROW = {
    "field": "a dotted path in the event: `order.items.price`; it reads every item of a list, `items.0` the first",
    "fact": "instead of `field`: [something the event does not tell](events.md#facts)",
    "with": "the fact's parameters; texts may hold Liquid",
    "is": "an operator of the table below",
    "value": "what the operator compares with",
    "over": (
        f"which items of a list must fit: {', '.join(map(code, OVER))}, or "
        "`{count: {is: at_least, value: 2}}`; `any_item` by default"
    ),
    "also": "a condition on the same item: its fields are read from the item first",
    "if_unknown": "`true`: count not known as true",
}


def make_rules() -> str:
    """Return the page of the rule format."""
    return page("The rule format", _ABOUT, *_parts())


def _parts() -> Iterator[str]:
    schema = rule_schema()
    parts: Mapping[str, Any] = schema["$defs"]
    yield "## The document"
    yield table(_KEYS, property_rows(schema))
    yield "## Triggers: `when`"
    yield from _variants(parts["when"]["oneOf"], {name: words for name, (words, _) in _TRIGGERS.items()})
    yield "What a rule can read after its trigger:"
    yield table(("trigger", "data"), ((code(name), words) for name, (_, words) in _TRIGGERS.items()))
    yield (
        f"Dates of records: {', '.join(map(code, DATES))}, and custom fields that hold a day or a moment in ISO 8601: "
        f"{', '.join(code(f'{noun}.fields.NAME') for noun in WITH_FIELDS)}. Birthdays come every year."
    )
    yield _schedules()
    yield from _conditions()
    yield from make_operators()
    yield "## Steps: `then`"
    yield from _variants(parts["step"]["oneOf"], _STEPS)
    yield from _inner(parts["step"]["oneOf"])
    yield from _waits(parts["wait"]["oneOf"])
    for name, title in (("limits", "Limits"), ("mode", "Modes"), ("failure", "Failures")):
        yield f"## {title}: `{name}`"
        yield table(_KEYS, property_rows(parts[name]))
    yield _retries()
    yield "## Outcomes of a run"
    yield table(("outcome", "meaning"), ((code(name), _OUTCOMES[name]) for name in OUTCOMES))
    yield from make_liquid()


def _variants(schemas: list[Mapping[str, Any]], titles: Mapping[str, str]) -> Iterator[str]:
    for schema in schemas:
        word = schema["required"][0]
        yield f"### {word}"
        yield titles[word]
        yield table(_KEYS, property_rows(schema))


def _inner(schemas: list[Mapping[str, Any]]) -> Iterator[str]:
    for schema in schemas:
        word = schema["required"][0]
        items = schema["properties"][word].get("items", {})
        if "properties" in items:
            yield f"One {'branch' if word == 'choose' else 'arm'} of `{word}`:"
            yield table(_KEYS, property_rows(items))


def _waits(schemas: list[Mapping[str, Any]]) -> Iterator[str]:
    yield "### Forms of `wait`"
    yield f"The short form is {schemas[0]['description'][0].lower()}{schemas[0]['description'][1:]}"
    for schema in schemas[1:]:
        word = schema["required"][0]
        yield f"`wait: {{{word}: ...}}`"
        yield table(_KEYS, property_rows(schema))
        until = schema["properties"].get("until", {}).get("anyOf", ({}, {}))[-1]
        if "properties" in until:
            yield "As an object, `until` has:"
            yield table(_KEYS, property_rows(until))
    yield (
        "A length of time is a number and a unit, in English, Turkish or Russian, or ISO 8601: `3 days`, `90 "
        "min`, `1h30m`, `2 weeks`, `6 months`, `3 gün`, `2 часа`, `P3DT4H`. Months and years follow the "
        "calendar. `24 hours` are elapsed time; with `at`, days are counted by the calendar, so that summer "
        "time does not shift them."
    )


def _schedules() -> str:
    return (
        "A schedule is words (`every day at 09:00`, `weekdays at 18:30`, `every monday and friday at 10:00`, "
        "`every month on day 1 at 08:00`, `every last day of month at 20:00`, `every 15 minutes`, `hourly`), "
        "a crontab line (`0 9 * * 1-5`), an RRULE (`FREQ=WEEKLY;BYDAY=MO;BYHOUR=9;BYMINUTE=0`), or an object: "
        '`{every: 15 minutes}`, `{every: monday, at: "10:00"}`, `{at: "2026-05-01T09:00"}`, `{cron: ...}`, '
        "`{rrule: ..., start: ...}`. The shortest interval is one minute."
    )


def _conditions() -> Iterator[str]:
    yield "## Conditions: `if`"
    yield (
        "A condition is a row, or a group with one of the words `all`, `any`, `none` over a list of "
        "conditions; a bare list means `all`. The answer is true, false or not known. Not known is not true: "
        "the rule does not act, and says what is missing. `all` with a false part is false, `any` with a true "
        "part is true, whatever is unknown beside it."
    )
    yield table(("key of a row", "meaning"), ((code(name), words) for name, words in _ROW.items()))
    yield "Besides the event's data every condition and text can read:"
    yield table(("name", "what it holds"), ((code(name), words) for name, words in _ALWAYS.items()))


def _retries() -> str:
    units = ((86_400, "h", 3600), (3600, "h", 3600), (60, "min", 60), (1, "s", 1))
    told = []
    for seconds in LADDER:
        _, unit, size = next(row for row in units if seconds >= row[0])
        told.append(f"{seconds // size} {unit}")
    return (
        f"Waits between tries: {', '.join(told)}; with a little jitter, and longer where the other side asks "
        "for it. What can never work (a refusal, wrong parameters, a plugin that is off) fails at once."
    )
