"""Standard crontab lines: five fields, names, lists, ranges and steps; Sunday is 0 or 7."""

from zoneinfo import ZoneInfo

from core.errors import InvalidInput
from core.plans import LAST_DAY, Calendar

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
#: Field name, first and last number, names with their numbers.
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {"l": LAST_DAY}),
    ("month", 1, 12, {name: number for number, name in enumerate(MONTHS, 1)}),
    ("day of week", 0, 7, {name: number % 7 for number, name in enumerate(WEEKDAYS, 1)}),
)


def is_crontab(text: str) -> bool:
    """Tell whether the text looks like a crontab line rather than words."""
    return text.startswith("@") or (text[:1] in "*0123456789" and len(text.split()) == len(_FIELDS))


def parse_crontab(text: str, zone: ZoneInfo, *, path: str = "schedule") -> Calendar:
    """Read a crontab line; 'L' as day of month is the last day."""
    line = text.strip().lower()
    fields = _MACROS.get(line, line).split()
    if len(fields) != len(_FIELDS):
        raise InvalidInput(
            path, f"{text!r} is not a crontab line; give minute, hour, day, month and weekday, such as '0 9 * * 1-5'"
        )
    minutes, hours, days, months, weekdays = (_read_field(field, index, path) for index, field in enumerate(fields))
    return Calendar(
        zone=zone,
        minutes=tuple(sorted(hour * 60 + minute for hour in hours for minute in minutes)),
        days=frozenset(days),
        months=frozenset(months),
        weekdays=frozenset((day - 1) % 7 for day in weekdays),
        # As cron does it: a field that begins with a star, even '*/2', does not count as given.
        either=fields[2][0] != "*" and fields[4][0] != "*",
    )


def _read_field(text: str, index: int, path: str) -> set[int]:
    numbers: set[int] = set()
    for part in text.split(","):
        numbers |= _read_part(part, index, path)
    return numbers


def _read_part(part: str, index: int, path: str) -> set[int]:
    name, lowest, highest, names = _FIELDS[index]
    span, slash, step_text = part.partition("/")
    first_text, dash, last_text = span.partition("-")
    step = _read_number(step_text, {}, part, index, path) if slash else 1
    if span == "*":
        first, last = lowest, 6 if names.get("sun") == 0 else highest
    else:
        first = _read_number(first_text, names, part, index, path)
        last = _read_number(last_text, names, part, index, path) if dash else (highest if slash else first)
        # 'fri-sun' ends on Sunday's other number.
        last = 7 if dash and last_text == "sun" else last
    single = first == last == LAST_DAY and part == "l"
    if not single and not lowest <= first <= last <= highest:
        raise InvalidInput(
            path, f"crontab field {name} has {part!r}; use numbers from {lowest} to {highest}, the smaller one first"
        )
    if step < 1:
        raise InvalidInput(path, f"crontab field {name} has {part!r}; a step must be 1 or more")
    return set(range(first, last + 1, step))


def _read_number(text: str, names: dict[str, int], part: str, index: int, path: str) -> int:
    if text in names:
        return names[text]
    if not (text.isascii() and text.isdigit() and len(text) < 4):
        raise InvalidInput(path, f"crontab field {_FIELDS[index][0]} has {part!r}, which cron does not know")
    return int(text)
