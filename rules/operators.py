"""The table of operators: what a condition row may ask of a value.

A test answers True, False or None ("not known": the value is missing or of another kind). It never raises.
Plugins add rows with `Operator.from_plugin`.
"""

import operator as op
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from core.durations import add, parse_duration
from core.errors import InvalidInput, RuleError
from core.patterns import compile_pattern
from core.text import fold
from rules.fields import MISSING
from rules.values import as_text, currency_of, read_moment, read_number, read_sum, zone_of

#: test(value, data) -> verdict; `data` is the whole picture, for operators that need time, zone or what changed.
Test = Callable[[Any, Mapping[str, Any]], bool | None]
#: prepare(wanted, field path, where) -> Test; raises RuleError for a wanted value that makes no sense.
Prepare = Callable[[Any, str, str], Test]


#: Name in the picture's `facts` under which the rows of plugins' operators stand that are still to be asked, by slot;
#: None once they have been asked. Where it is missing nobody asks: at intake.
ASKING = "!"
#: What a plugin's operator is to decide: plugin, operator, value, wanted value.
Compared = tuple[str, str, Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One row of the table."""

    name: str
    #: Kinds of value that it reads: number, money, text, choice, yes_no, date, list, any.
    types: tuple[str, ...]
    #: What the rule must give as `value`: number, text, list, duration, none, ...; for forms and messages.
    wants: str
    prepare: Prepare
    #: True when it reads a list as a whole instead of item by item.
    whole: bool = False
    #: The plugin whose code decides; only the runner may ask it. None for our own.
    plugin: str | None = None

    @property
    def foreign(self) -> bool:
        return self.plugin is not None

    @staticmethod
    def from_plugin(name: str, plugin: str, types: tuple[str, ...]) -> "Operator":
        """Make the row of a plugin's operator: its test reads the plugin's answer, or leaves the question behind."""

        def prepare(wanted: Any, path: str, where: str) -> Test:
            def test(value: Any, data: Mapping[str, Any]) -> bool | None:
                slot = _slot(name, value, wanted) if _is_read(value, types, data) else None
                if slot is None:
                    return None
                facts = data.get("facts", {})
                if slot not in facts and facts.get(ASKING) is not None:
                    facts[ASKING][slot] = (plugin, name, value, wanted)
                return facts.get(slot)

            return test

        return Operator(name=name, types=types, wants="any", prepare=prepare, plugin=plugin)


#: How a value is told to be of a kind.
_KINDS: dict[str, Callable[[Any, Mapping[str, Any]], bool]] = {
    "number": lambda value, _data: read_number(value) is not None,
    "money": lambda value, _data: read_number(value) is not None,
    "text": lambda value, _data: isinstance(value, str),
    "choice": lambda value, _data: isinstance(value, str),
    "yes_no": lambda value, _data: isinstance(value, bool),
    "date": lambda value, data: read_moment(value, zone_of(data)) is not None,
    "list": lambda value, _data: isinstance(value, (list, tuple)),
}


def _is_read(value: Any, types: tuple[str, ...], data: Mapping[str, Any]) -> bool:
    """Tell whether a plugin is asked about a value: one that is there, of a kind that its operator reads."""
    if value is MISSING or value is None:
        return False
    return any(kind not in _KINDS or _KINDS[kind](value, data) for kind in types)


def _slot(name: str, value: Any, wanted: Any) -> str | None:
    try:
        return f"{name}?{value!r}&{wanted!r}"
    except ValueError:
        return None  # a whole number beyond any real one


# Numbers and money


def _wanted_number(wanted: Any, where: str) -> tuple[Decimal | int, str | None]:
    number = read_number(wanted)
    if number is None:
        raise RuleError(where, f"needs a number or {{amount, currency}}, not {wanted!r}")
    return number, currency_of(wanted)


def _compare(sign: Callable[[Any, Any], bool]) -> Prepare:
    def prepare(wanted: Any, path: str, where: str) -> Test:
        limit, currency = _wanted_number(wanted, where)

        def test(value: Any, data: Mapping[str, Any]) -> bool | None:
            if currency is None and type(value) is int:
                return sign(value, limit)
            number = read_sum(value, currency)
            return None if number is None else sign(number, limit)

        return test

    return prepare


def _between(wanted: Any, path: str, where: str) -> Test:
    if not isinstance(wanted, (list, tuple)) or len(wanted) != 2:
        raise RuleError(where, "needs two values, the lowest and the highest: [10, 20]")
    (low, currency), (high, other) = _wanted_number(wanted[0], where), _wanted_number(wanted[1], where)
    if low > high or currency != other:
        raise RuleError(where, "the first value must not be above the second, and both in one currency")

    def test(value: Any, data: Mapping[str, Any]) -> bool | None:
        number = read_sum(value, currency)
        return None if number is None else low <= number <= high

    return test


def _moved(direction: int) -> Prepare:
    """Rose or fell by at least `value`: a number, or percent as "10%"."""

    def prepare(wanted: Any, path: str, where: str) -> Test:
        percent = isinstance(wanted, str) and wanted.strip().endswith("%")
        limit, currency = _wanted_number(wanted.strip().rstrip("%").strip() if percent else wanted, where)

        def test(value: Any, data: Mapping[str, Any]) -> bool | None:
            if isinstance(data.get("changes"), Mapping) and path not in data["changes"]:
                return False
            earlier = _change(data, path, "from")
            if currency_of(earlier) != currency_of(value):
                return None
            before, now = read_sum(earlier, currency), read_sum(value, currency)
            if before is None or now is None:
                return None
            try:
                moved = Decimal(now - before) * direction
                if not percent:
                    return moved >= limit and moved > 0
                return None if before <= 0 else moved > 0 and moved * 100 >= Decimal(limit) * before
            except ArithmeticError:
                # Beyond what a Decimal holds: such a number is nobody's price.
                return None

        return test

    return prepare


# Equality and membership


def _plain(wanted: Any, where: str) -> Any:
    """Return what equality compares with: folded text, an exact number, yes/no."""
    if isinstance(wanted, bool):
        return wanted
    if isinstance(wanted, str):
        return fold(wanted)
    if isinstance(wanted, Mapping) and "amount" in wanted:
        number, currency = _wanted_number(wanted, where)
        return number, currency
    number = read_number(wanted)
    if number is None:
        raise RuleError(where, f"cannot compare with {wanted!r}; give text, a number, yes or no")
    return number


def same_as(value: Any, wanted: Any) -> bool | None:
    """Compare a value with what `_plain` made of the wanted one."""
    if value is MISSING or value is None:
        return None
    if isinstance(wanted, bool):
        return value is wanted if isinstance(value, bool) else None
    if isinstance(wanted, str):
        if isinstance(value, str):
            return fold(value) == wanted
        return None if isinstance(value, (bool, Mapping, list)) else fold(as_text(value)) == wanted
    if isinstance(wanted, tuple):
        number = read_sum(value, wanted[1])
        return None if number is None else number == wanted[0]
    number = read_number(value)
    return None if number is None else number == wanted


def _equal(wanted: Any, path: str, where: str) -> Test:
    target = _plain(wanted, where)
    return lambda value, _data: same_as(value, target)


def _negate(prepare: Prepare) -> Prepare:
    def prepared(wanted: Any, path: str, where: str) -> Test:
        inner = prepare(wanted, path, where)

        def test(value: Any, data: Mapping[str, Any]) -> bool | None:
            verdict = inner(value, data)
            return None if verdict is None else not verdict

        return test

    return prepared


def _targets(wanted: Any, where: str) -> list[Any]:
    if not isinstance(wanted, (list, tuple)) or not wanted:
        raise RuleError(where, "needs a list of values: [first, second]")
    return [_plain(item, where) for item in wanted]


def _any_of(wanted: Any, path: str, where: str) -> Test:
    targets = _targets(wanted, where)
    if all(isinstance(target, str) for target in targets):
        folded = frozenset(targets)

        def test_text(value: Any, data: Mapping[str, Any]) -> bool | None:
            if isinstance(value, str):
                return fold(value) in folded
            return (
                None
                if value is None or isinstance(value, (bool, Mapping, list)) or value is MISSING
                else fold(as_text(value)) in folded
            )

        return test_text

    def test(value: Any, data: Mapping[str, Any]) -> bool | None:
        verdicts = [same_as(value, target) for target in targets]
        return True if True in verdicts else None if None in verdicts else False

    return test


# Text


def _text(check: Callable[[str, str], bool]) -> Prepare:
    def prepare(wanted: Any, path: str, where: str) -> Test:
        words = [wanted] if isinstance(wanted, str) else wanted
        if not isinstance(words, (list, tuple)) or not words or not all(isinstance(w, str) and w for w in words):
            raise RuleError(where, "needs text, or a list of texts")
        folded = tuple(fold(word) for word in words)

        def test(value: Any, data: Mapping[str, Any]) -> bool | None:
            if not isinstance(value, str):
                return None
            text = fold(value)
            return any(check(text, word) for word in folded)

        return test

    return prepare


def _matches(wanted: Any, path: str, where: str) -> Test:
    if not isinstance(wanted, str):
        raise RuleError(where, "needs a regular expression as text")
    pattern = compile_pattern(wanted, path=where)
    return lambda value, _data: pattern.search(value) if isinstance(value, str) else None


def _empty(wanted: Any, path: str, where: str) -> Test:
    def test(value: Any, data: Mapping[str, Any]) -> bool | None:
        if value is MISSING:
            return None
        return value is None or value in ("", [], {}) or (isinstance(value, str) and not value.strip())

    return test


# Yes, no, not known


def _is(answer: bool) -> Prepare:
    return lambda _wanted, _path, _where: lambda value, _data: value is answer if isinstance(value, bool) else None


def _not_known(wanted: Any, path: str, where: str) -> Test:
    return lambda value, _data: value is MISSING or value is None


# What changed


def _change(data: Mapping[str, Any], path: str, side: str) -> Any:
    changes = data.get("changes")
    change = changes.get(path) if isinstance(changes, Mapping) else None
    return change.get(side, MISSING) if isinstance(change, Mapping) else MISSING


def _changed(wanted: Any, path: str, where: str) -> Test:
    return lambda _value, data: None if not isinstance(data.get("changes"), Mapping) else path in data["changes"]


def _changed_to(wanted: Any, path: str, where: str) -> Test:
    inner = _any_of(wanted if isinstance(wanted, list) else [wanted], path, where)

    def test(_value: Any, data: Mapping[str, Any]) -> bool | None:
        to = _change(data, path, "to")
        return (False if isinstance(data.get("changes"), Mapping) else None) if to is MISSING else inner(to, data)

    return test


def _changed_from_to(wanted: Any, path: str, where: str) -> Test:
    if not isinstance(wanted, (list, tuple)) or len(wanted) != 2:
        raise RuleError(where, "needs two values, from and to: [new, paid]")
    before, after = _plain(wanted[0], where), _plain(wanted[1], where)

    def test(_value: Any, data: Mapping[str, Any]) -> bool | None:
        if not isinstance(data.get("changes"), Mapping):
            return None
        sides = same_as(_change(data, path, "from"), before), same_as(_change(data, path, "to"), after)
        return sides == (True, True)

    return test


# Dates


def _date(check: Callable[[datetime, datetime], bool]) -> Prepare:
    """Compare with a moment: a date text, or `now`."""

    def prepare(wanted: Any, path: str, where: str) -> Test:
        if wanted != "now" and read_moment(wanted, ZoneInfo("UTC")) is None:
            raise RuleError(where, f"needs a date such as 2026-03-01 or 2026-03-01T10:00:00Z, or now, not {wanted!r}")

        def test(value: Any, data: Mapping[str, Any]) -> bool | None:
            zone = zone_of(data)
            moment = read_moment(value, zone)
            limit = data["now"] if wanted == "now" else read_moment(wanted, zone)
            return None if moment is None or limit is None else check(moment.astimezone(zone), limit.astimezone(zone))

        return test

    return prepare


def _period(check: Callable[[datetime, datetime, datetime], bool], sign: int, *, never: bool | None = None) -> Prepare:
    """Compare with a span before (sign -1) or after (+1) now; `never` is the verdict on null: it did not happen."""

    def prepare(wanted: Any, path: str, where: str) -> Test:
        try:
            span = parse_duration(wanted)
        except InvalidInput as exc:
            raise RuleError(where, exc.reason) from exc

        def test(value: Any, data: Mapping[str, Any]) -> bool | None:
            if value is None:
                return never
            now, zone = data["now"], zone_of(data)
            moment = read_moment(value, zone)
            return None if moment is None else check(moment, now, add(now, span if sign > 0 else -span, zone))

        return test

    return prepare


_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _weekday(wanted: Any, path: str, where: str) -> Test:
    names = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(names, (list, tuple)) or not names or any(str(n).lower() not in _DAYS for n in names):
        raise RuleError(where, f"needs days of the week: {', '.join(_DAYS)}")
    days = frozenset(_DAYS.index(str(name).lower()) for name in names)

    def test(value: Any, data: Mapping[str, Any]) -> bool | None:
        moment = read_moment(value, zone_of(data))
        return None if moment is None else moment.astimezone(zone_of(data)).weekday() in days

    return test


def _birthday(wanted: Any, path: str, where: str) -> Test:
    """The value's day and month are today's, in the shop's zone; 29 February counts on the 28th in other years."""

    def test(value: Any, data: Mapping[str, Any]) -> bool | None:
        moment = read_moment(value, zone_of(data))
        if moment is None:
            return None
        born, today = moment.astimezone(zone_of(data)), data["now"]
        if (born.month, born.day) == (2, 29) and (today + timedelta(days=1)).day == 1:
            return today.month == 2
        return (born.month, born.day) == (today.month, today.day)

    return test


# Lists as a whole


def _include(need: Callable[[list[bool]], bool]) -> Prepare:
    def prepare(wanted: Any, path: str, where: str) -> Test:
        targets = _targets(wanted if isinstance(wanted, list) else [wanted], where)

        def test(value: Any, data: Mapping[str, Any]) -> bool | None:
            if not isinstance(value, (list, tuple)):
                return None
            return need([any(same_as(item, target) is True for item in value) for target in targets])

        return test

    return prepare


def _count(sign: Callable[[Any, Any], bool]) -> Prepare:
    def prepare(wanted: Any, path: str, where: str) -> Test:
        limit, _ = _wanted_number(wanted, where)
        return lambda value, _data: sign(len(value), limit) if isinstance(value, (list, tuple)) else None

    return prepare


def _rows() -> list[Operator]:
    number, text, choice, day, many = ("number", "money"), ("text",), ("choice", "text"), ("date",), ("list",)
    every = ("number", "money", "text", "choice", "yes_no", "date", "list")

    def row(name: str, types: tuple[str, ...], wants: str, prepare: Prepare, *, whole: bool = False) -> Operator:
        return Operator(name=name, types=types, wants=wants, prepare=prepare, whole=whole)

    return [
        row("equal", (*number, *choice, "yes_no"), "same", _equal),
        row("not_equal", (*number, *choice, "yes_no"), "same", _negate(_equal)),
        row("at_least", number, "number", _compare(op.ge)),
        row("at_most", number, "number", _compare(op.le)),
        row("above", number, "number", _compare(op.gt)),
        row("below", number, "number", _compare(op.lt)),
        row("between", number, "pair", _between),
        row("rose_by", number, "number or percent", _moved(1)),
        row("fell_by", number, "number or percent", _moved(-1)),
        row("any_of", (*choice, *number), "list", _any_of),
        row("none_of", (*choice, *number), "list", _negate(_any_of)),
        row("contains", text, "text", _text(op.contains)),
        row("not_contains", text, "text", _negate(_text(op.contains))),
        row("starts_with", text, "text", _text(str.startswith)),
        row("ends_with", text, "text", _text(str.endswith)),
        row("matches", text, "pattern", _matches),
        row("empty", every, "none", _empty, whole=True),
        row("not_empty", every, "none", _negate(_empty), whole=True),
        row("yes", ("yes_no",), "none", _is(True)),
        row("no", ("yes_no",), "none", _is(False)),
        row("not_known", every, "none", _not_known),
        row("known", every, "none", _negate(_not_known)),
        row("changed", every, "none", _changed, whole=True),
        row("changed_to", choice, "choice or list", _changed_to, whole=True),
        row("changed_from_to", choice, "pair", _changed_from_to, whole=True),
        row("before", day, "date", _date(op.lt)),
        row("after", day, "date", _date(op.gt)),
        row("on", day, "date", _date(lambda a, b: a.date() == b.date())),
        row("on_earlier_day_than", day, "date", _date(lambda a, b: a.date() < b.date())),
        row("on_later_day_than", day, "date", _date(lambda a, b: a.date() > b.date())),
        row("in_last", day, "duration", _period(lambda value, now, then: then <= value <= now, -1, never=False)),
        row("not_in_last", day, "duration", _period(lambda value, now, then: not then <= value <= now, -1, never=True)),
        row("more_than_ago", day, "duration", _period(lambda value, _now, then: value < then, -1)),
        row("in_next", day, "duration", _period(lambda value, now, then: now <= value <= then, 1)),
        row("weekday", day, "weekdays", _weekday),
        row("birthday", day, "none", _birthday),
        row("include_any", many, "list", _include(any), whole=True),
        row("include_all", many, "list", _include(all), whole=True),
        row("include_none", many, "list", _include(lambda found: not any(found)), whole=True),
        row("count_at_least", many, "number", _count(op.ge), whole=True),
        row("count_at_most", many, "number", _count(op.le), whole=True),
        row("count_equal", many, "number", _count(op.eq), whole=True),
    ]


OPERATORS: dict[str, Operator] = {row.name: row for row in _rows()}
