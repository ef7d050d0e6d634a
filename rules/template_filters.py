"""The filters of user text: text, lists and numbers, each bounded in what it builds and what it costs.

A filter gets the run first, then the value, then its arguments. What is absent stays absent: nothing
here turns a missing field into 0 or into a word.
"""

import decimal
import html
import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from liquid.exceptions import FilterArgumentError
from liquid.undefined import is_undefined

from core.text import fold
from rules.template_channels import HTML, JSON, Ready, to_json
from rules.template_formats import (
    MAX_NUMBER,
    date_,
    datetime_,
    is_money,
    link,
    money,
    number,
    number_,
    phone,
    plain_number,
    time_,
)

_ARITHMETIC = decimal.Context(
    prec=60, traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow], Emax=999, Emin=-999
)
_TAG = re.compile("<[^<>]*>")
_MISSING = object()


# Text


def _append(run: Any, value: Any, more: Any, /) -> str:
    text, extra = run.text(value), run.text(more)
    run.room(len(text) + len(extra))
    return text + extra


def _prepend(run: Any, value: Any, more: Any, /) -> str:
    return _append(run, more, value)


def _upcase(run: Any, value: Any, /) -> str:
    text = run.text(value)
    return (text.replace("i", "İ") if run.language[:2] == "tr" else text).upper()


def _downcase(run: Any, value: Any, /) -> str:
    text = run.text(value)
    return (text.replace("İ", "i").replace("I", "ı") if run.language[:2] == "tr" else text).lower()


def _capitalize(run: Any, value: Any, /) -> str:
    text = run.text(value)
    return _upcase(run, text[:1]) + _downcase(run, text[1:])


def _replace(run: Any, value: Any, old: Any, new: Any = "", /) -> str:
    text, old, new = run.text(value), run.text(old), run.text(new)
    times = text.count(old)
    run.room(len(text) + times * (len(new) - len(old)))
    return text.replace(old, new)


def _replace_first(run: Any, value: Any, old: Any, new: Any = "", /) -> str:
    text, old, new = run.text(value), run.text(old), run.text(new)
    run.room(len(text) + len(new))
    return text.replace(old, new, 1)


def _remove(run: Any, value: Any, old: Any, /) -> str:
    return run.text(value).replace(run.text(old), "")


def _remove_first(run: Any, value: Any, old: Any, /) -> str:
    return run.text(value).replace(run.text(old), "", 1)


def _truncate(run: Any, value: Any, size: Any = 50, end: Any = "...", /) -> str:
    text, end = run.text(value), run.text(end)
    size = _whole(size)
    return text if len(text) <= size else text[: max(size - len(end), 0)] + end


def _truncatewords(run: Any, value: Any, size: Any = 15, end: Any = "...", /) -> str:
    words = run.text(value).split()
    size = max(_whole(size), 1)
    return " ".join(words) if len(words) <= size else " ".join(words[:size]) + run.text(end)


def _split(run: Any, value: Any, sign: Any = "", /) -> Sequence[str]:
    text, sign = run.text(value), run.text(sign)
    pieces = text.count(sign) if sign else len(text)
    run.items(range(pieces))
    if not sign:
        return list(text)
    return text.split(None if sign == " " else sign) if text else []


def _escape(run: Any, value: Any, /) -> str:
    text = run.text(value)
    # The HTML channel escapes at the end; to do it here as well would show the entities.
    if run.channel is HTML:
        return text
    run.room(len(text) * 2)
    return html.escape(text)


def _newline_to_br(run: Any, value: Any, /) -> str:
    lines = run.text(value).splitlines()
    if run.channel is HTML:
        return Ready("<br>\n".join(html.escape(line) for line in lines))
    return "\n".join(lines)


def _url_encode(run: Any, value: Any, /) -> str:
    return quote_plus(run.text(value), errors="replace")


def _url_decode(run: Any, value: Any, /) -> str:
    return unquote_plus(run.text(value))


# Lists


def _join(run: Any, value: Any, sign: Any = " ", /) -> str:
    sign = run.text(sign)
    parts: list[str] = []
    size = 0
    for item in run.items(value):
        parts.append(run.text(item))
        size += len(parts[-1]) + len(sign)
        run.room(size - len(sign))
    return sign.join(parts)


def _size(run: Any, value: Any, /) -> int:
    return len(value) if isinstance(value, (str, list, tuple, dict, range)) else 0


def _first(run: Any, value: Any, /) -> Any:
    return value[0] if isinstance(value, (list, tuple, range)) and value else None


def _last(run: Any, value: Any, /) -> Any:
    return value[-1] if isinstance(value, (list, tuple, range)) and value else None


def _slice(run: Any, value: Any, start: Any, size: Any = 1, /) -> Any:
    taken = value if isinstance(value, (list, tuple, range)) else run.text(value)
    start, size = _whole(start), max(_whole(size), 0)
    start = max(start + len(taken), 0) if start < 0 else start
    part = taken[start : start + size]
    return part if isinstance(part, str) else list(run.items(part))


def _concat(run: Any, value: Any, more: Any, /) -> list[Any]:
    if not isinstance(more, (list, tuple, range)):
        raise FilterArgumentError("concat adds one list to another", token=None)
    first, second = run.items(value), run.items(more)
    run.items(range(len(first) + len(second)))
    return [*first, *second]


def _map(run: Any, value: Any, key: Any, /) -> list[Any]:
    return [_field(item, key) for item in run.items(value)]


def _where(run: Any, value: Any, key: Any, wanted: Any = _MISSING, /) -> list[Any]:
    return [item for item in run.items(value) if _fits(run, item, key, wanted)]


def _reject(run: Any, value: Any, key: Any, wanted: Any = _MISSING, /) -> list[Any]:
    return [item for item in run.items(value) if not _fits(run, item, key, wanted)]


def _find(run: Any, value: Any, key: Any, wanted: Any = _MISSING, /) -> Any:
    return next(iter(_where(run, value, key, wanted)), None)


def _has(run: Any, value: Any, key: Any, wanted: Any = _MISSING, /) -> bool:
    return bool(_where(run, value, key, wanted))


def _sort(run: Any, value: Any, key: Any = None, /) -> list[Any]:
    return _sorted(run, value, key, lambda item: number(item) if is_money(item) else item)


def _sort_natural(run: Any, value: Any, key: Any = None, /) -> list[Any]:
    return _sorted(run, value, key, lambda item: fold(run.text(item)))


def _sorted(run: Any, value: Any, key: Any, order: Callable[[Any], Any]) -> list[Any]:
    """Sort by a field or the items themselves; what lacks the field comes last, mixed kinds are refused."""
    pairs = [(_field(item, key) if key is not None else item, item) for item in run.items(value)]
    known = [pair for pair in pairs if pair[0] is not None]
    try:
        known.sort(key=lambda pair: order(pair[0]))
    except TypeError as exc:
        raise FilterArgumentError("sort needs values of one kind", token=None) from exc
    return [item for _, item in known] + [item for found, item in pairs if found is None]


def _uniq(run: Any, value: Any, key: Any = None, /) -> list[Any]:
    kept: dict[Any, Any] = {}
    for item in run.items(value):
        found = _field(item, key) if key is not None else item
        if isinstance(found, (dict, list, tuple)):
            run.look()  # one group may stand in the list ten thousand times, and each is read
            found = repr(found)
        kept.setdefault((isinstance(found, bool), found), item)
    return list(kept.values())


def _compact(run: Any, value: Any, key: Any = None, /) -> list[Any]:
    return [item for item in run.items(value) if (item if key is None else _field(item, key)) is not None]


def _reverse(run: Any, value: Any, /) -> list[Any]:
    return list(run.items(value))[::-1]


def _field(item: Any, key: Any) -> Any:
    return item.get(key) if isinstance(item, dict) and isinstance(key, str) else None


def _fits(run: Any, item: Any, key: Any, wanted: Any) -> bool:
    found = _field(item, key)
    if wanted is _MISSING or is_undefined(wanted):
        return found is not None and found is not False
    run.tick(1)
    return isinstance(found, bool) == isinstance(wanted, bool) and found == wanted


# Numbers


def _arithmetic(work: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Make a filter of two numbers: an absent value stays absent, money keeps its currency."""

    def calculate(run: Any, value: Any, other: Any, /) -> Any:
        if value is None or is_undefined(value):
            return None
        if is_money(value) and is_money(other) and value["currency"] != other["currency"]:
            raise FilterArgumentError("two currencies cannot be calculated with each other", token=None)
        with decimal.localcontext(_ARITHMETIC):
            result = _tidy(work(number(value), number(other)))
        return {"amount": plain_number(result), "currency": value["currency"]} if is_money(value) else result

    return calculate


def _rounding(work: Callable[[Any, int], Any]) -> Callable[..., Any]:
    def calculate(run: Any, value: Any, places: Any = 0, /) -> Any:
        if value is None or is_undefined(value):
            return None
        places = _whole(places)
        if not 0 <= places <= 10:
            raise FilterArgumentError("decimals are a whole number from 0 to 10", token=None)
        with decimal.localcontext(_ARITHMETIC):
            result = work(number(value), places)
        return {"amount": plain_number(result), "currency": value["currency"]} if is_money(value) else result

    return calculate


def _divide(one: Any, other: Any) -> Any:
    return one // other if isinstance(one, int) and isinstance(other, int) else Decimal(one) / Decimal(other)


def _modulo(one: Any, other: Any) -> Any:
    """Keep the sign of the divisor for fractions too, as whole numbers do."""
    rest = one % other
    return rest + other if rest and isinstance(rest, Decimal) and (rest < 0) != (other < 0) else rest


def _round(one: Any, places: int) -> Any:
    if isinstance(one, int):
        return one
    rounded = one.quantize(Decimal(1).scaleb(-places), decimal.ROUND_HALF_UP)
    return rounded if places else int(rounded)


def _tidy(value: Any) -> Any:
    """Cut the endless digits of a division, and refuse what is no longer a number of a shop."""
    if abs(value) >= MAX_NUMBER:
        raise FilterArgumentError("the number is too large", token=None)
    exponent = value.as_tuple().exponent if isinstance(value, Decimal) else 0
    if int(exponent) < -10:
        return value.quantize(Decimal("1e-10"), decimal.ROUND_HALF_UP).normalize()
    return value


def _abs(run: Any, value: Any, /) -> Any:
    return None if value is None or is_undefined(value) else abs(number(value))


def _sum(run: Any, value: Any, key: Any = None, /) -> Any:
    found = [item if key is None else _field(item, key) for item in run.items(value)]
    known = [item for item in found if item is not None]
    currencies = {item["currency"] for item in known if is_money(item)}
    if len(currencies) > 1 or (currencies and not all(map(is_money, known))):
        raise FilterArgumentError("sums of several currencies are not one amount", token=None)
    with decimal.localcontext(_ARITHMETIC):
        total = _tidy(sum((number(item) for item in known), 0))
    return {"amount": plain_number(total), "currency": currencies.pop()} if currencies else total


def _whole(value: Any) -> int:
    if isinstance(value, str) and len(value) <= 10 and value.lstrip("-").isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise FilterArgumentError("this filter needs a whole number", token=None)
    return min(max(value, -MAX_NUMBER), MAX_NUMBER)


# Other


def _default(run: Any, value: Any, instead: Any = "", /, *, allow_false: Any = False) -> Any:
    if value is False:
        return value if allow_false is True else instead
    if value is None or is_undefined(value) or (isinstance(value, (str, list, tuple, dict)) and not value):
        return instead
    return value


def _json(run: Any, value: Any, /) -> str:
    made = to_json(run, list(run.items(value)) if isinstance(value, range) else value)
    return Ready(made) if run.channel is JSON else made


def _stripped(method: Callable[[str], str]) -> Callable[..., str]:
    return lambda run, value, /: method(run.text(value))


#: Name in the text, and what it does. Shopify's names where Shopify has the filter.
FILTERS: dict[str, Callable[..., Any]] = {
    "abs": _abs,
    "append": _append,
    "at_least": _arithmetic(max),
    "at_most": _arithmetic(min),
    "capitalize": _capitalize,
    "ceil": _rounding(lambda one, _: math.ceil(one)),
    "compact": _compact,
    "concat": _concat,
    "date": date_,
    "datetime": datetime_,
    "default": _default,
    "divided_by": _arithmetic(_divide),
    "downcase": _downcase,
    "escape": _escape,
    "find": _find,
    "first": _first,
    "floor": _rounding(lambda one, _: math.floor(one)),
    "has": _has,
    "join": _join,
    "json": _json,
    "last": _last,
    "link": link,
    "lstrip": _stripped(str.lstrip),
    "map": _map,
    "minus": _arithmetic(lambda one, other: one - other),
    "modulo": _arithmetic(_modulo),
    "money": money,
    "newline_to_br": _newline_to_br,
    "number": number_,
    "phone": phone,
    "plus": _arithmetic(lambda one, other: one + other),
    "prepend": _prepend,
    "reject": _reject,
    "remove": _remove,
    "remove_first": _remove_first,
    "replace": _replace,
    "replace_first": _replace_first,
    "reverse": _reverse,
    "round": _rounding(_round),
    "rstrip": _stripped(str.rstrip),
    "size": _size,
    "slice": _slice,
    "sort": _sort,
    "sort_natural": _sort_natural,
    "split": _split,
    "squish": _stripped(lambda text: " ".join(text.split())),
    "strip": _stripped(str.strip),
    "strip_html": _stripped(lambda text: _TAG.sub("", text)),
    "strip_newlines": _stripped(lambda text: "".join(text.splitlines())),
    "sum": _sum,
    "time": time_,
    "times": _arithmetic(lambda one, other: one * other),
    "truncate": _truncate,
    "truncatewords": _truncatewords,
    "uniq": _uniq,
    "upcase": _upcase,
    "url_decode": _url_decode,
    "url_encode": _url_encode,
    "where": _where,
}
