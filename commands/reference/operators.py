"""The part of the rule page about operators: the table, what each wants, and an example that compiles."""

from collections.abc import Iterator
from typing import Any

from commands.reference.markdown import as_json, code, codes, table
from rules.operators import OPERATORS, Operator
from rules.words import OPERATOR_WORDS

#: What an operator wants as `value` -> (in words, an example).
WANTS: dict[str, tuple[str, Any]] = {
    "same": ("a value of the field's kind", "paid"),
    "number": ("a number, or an amount with its currency", 10),
    "pair": ("two values", [10, 20]),
    "number or percent": ("a number, or a share of what it was before", "10%"),
    "list": ("a list of values", ["paid", "new"]),
    "text": ("text, or a list of texts of which one is enough", "gift"),
    "pattern": ("a regular expression (RE2: no look-around, no back references)", "^TR[0-9]{9}$"),
    "none": ("no value", None),
    "choice or list": ("a value, or a list of which one is enough", "paid"),
    "date": ("a date, a moment, `now`, or `{field: ...}`", "2026-03-01"),
    "duration": ("a length of time", "30 days"),
    "weekdays": ("a day of the week, or a list of them", ["saturday", "sunday"]),
    "any": ("whatever the plugin says", "x"),
}
#: What the name alone does not say.
_NOTES = {
    "equal": "Text is compared without regard to capitals; numbers and money exactly.",
    "not_equal": 'Not known where the value is missing: a missing status is not "not paid".',
    "between": "Both ends count.",
    "rose_by": "Reads `changes`: only in events that tell what changed.",
    "fell_by": "Reads `changes`: only in events that tell what changed.",
    "empty": "Null, an empty text or an empty list. A field that is not there at all is not known.",
    "not_known": "The only way to ask for a missing value: true where it is missing or null.",
    "changed": "Reads `changes`: only in events that tell what changed.",
    "changed_to": "False where the field did not change.",
    "changed_from_to": "From the first value to the second.",
    "on": "The same day in the shop's zone.",
    "on_earlier_day_than": "Days, not hours: in the shop's zone.",
    "on_later_day_than": "Days, not hours: in the shop's zone.",
    "in_last": "False where the value is null: it never happened.",
    "not_in_last": "True where the value is null: it never happened.",
    "birthday": "Day and month are today's; 29 February counts on the 28th in other years.",
    "include_any": "Reads the list as a whole.",
    "include_all": "Reads the list as a whole.",
    "include_none": "Reads the list as a whole.",
}


def example(operator: Operator) -> dict[str, Any]:
    """Return a condition row with this operator that compiles."""
    row: dict[str, Any] = {"field": "order.field", "is": operator.name}
    value = WANTS[operator.wants][1]
    if operator.wants == "pair" and "number" not in operator.types:
        value = ["new", "paid"]
    return row if operator.wants == "none" else {**row, "value": value}


def make_operators() -> Iterator[str]:
    """Yield the parts about operators."""
    yield "### Operators"
    rows = []
    for operator in OPERATORS.values():
        words = OPERATOR_WORDS.get(operator.name, (operator.name,))[0]
        wanted = WANTS[operator.wants][0]
        shown = code(as_json(example(operator)["value"])) if operator.wants != "none" else ""
        said = _NOTES.get(operator.name, "")
        rows.append((code(operator.name), words, codes(operator.types), wanted, shown, said))
    yield table(("`is`", "in words", "for", "value", "such as", "note"), rows)
    yield (
        "Plugins may add operators. Instead of a constant, `value` may be `{field: order.other}` or a text with "
        "`{{ ... }}`: it is then read when the condition is asked."
    )
