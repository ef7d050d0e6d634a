"""HTML from templates: Jinja with autoescape, and what every template may use."""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any

from babel import Locale
from babel.dates import format_date, format_datetime, format_time, format_timedelta
from babel.numbers import format_currency, format_decimal, format_percent
from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from core.policy.pause import find_pause
from web.nav import items_of
from web.texts import LANGUAGES, NATIVE, gettext, ngettext
from web.visits import Visit

STATIC = Path(__file__).parent / "static"
_DAY = timedelta(days=1)
#: English as most of the world writes it: days before months, 24 hours.
_LOCALES = {"en": "en_GB", "tr": "tr", "ru": "ru"}
#: Signs that locales know only for their own country.
_SIGNS = {"TRY": "₺", "RUB": "₽"}
#: Pieces of our own HTML: what is added to them is escaped.
_TIME, _TITLE, _TAG_END, _TIME_END = Markup('<time datetime="'), Markup('" title="'), Markup('">'), Markup("</time>")


def make_environment() -> Environment:
    """Return the environment of all pages; a name that is not there is an error, not an empty text."""
    env = Environment(
        loader=PackageLoader("web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    env.globals.update(_=_say, ngettext=_say_many, static=static_address, languages=LANGUAGES, native=NATIVE)
    env.filters.update(
        money=_money,
        number=_number,
        percent=_percent,
        moment=_moment,
        day=_day,
        clock=_clock,
        ago=_ago,
        span=_span,
        pretty=_pretty,
    )
    return env


class Pages:
    """Renders templates for visits; the frame around them (menu, pause bar, notes) is filled in here."""

    def __init__(self) -> None:
        self._env = make_environment()

    def __call__(self, visit: Visit, template: str, values: Mapping[str, Any]) -> str:
        frame: dict[str, Any] = {"visit": visit, "language": visit.language, "pause": None, "menu": ()}
        if visit.session is not None and not visit.is_fragment:
            with visit.engine.db.read() as conn:
                frame["pause"] = find_pause(conn)
            frame["menu"] = tuple(items_of(visit))
            if visit.session.notes:
                visit.services.sessions.clear_notes(visit.session)
        return self._env.get_template(template).render(**frame, **values)


@cache
def static_address(name: str) -> str:
    """Return the address of a static file; it changes with the file, so browsers may keep it for ever."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:10]
    return f"/static/{name}?v={digest}"


@pass_context
def _say(context: Context, message: str, **given: object) -> str:
    return gettext(context["language"], message, **given)


@pass_context
def _say_many(context: Context, one: str, many: str, number: int, **given: object) -> str:
    language = context["language"]
    return ngettext(language, one, many, number, **{"num": format_decimal(number, locale=_LOCALES[language]), **given})


@pass_context
def _money(context: Context, value: Any, currency: str | None = None) -> str:
    """Return money as people of the language write it: {amount, currency}, or an amount with the currency given."""
    if isinstance(value, Mapping):
        amount, currency = value.get("amount"), value.get("currency") or currency
    else:
        amount, currency = getattr(value, "amount", value), getattr(value, "currency", currency)
    try:
        number = Decimal(str(amount))
    except InvalidOperation:
        return str(amount)
    if not currency:
        return format_decimal(number, locale=_LOCALES[context["language"]])
    return write_money(number, currency, context["language"])


def write_money(amount: Decimal, currency: str, language: str) -> str:
    """Return money in a language, with the currency's own sign, and without empty cents."""
    locale = Locale.parse(_LOCALES[language])
    pattern = locale.currency_formats["standard"].pattern
    whole = amount == amount.to_integral_value()
    told = {"format": re.sub(r"\.0+", "", pattern), "currency_digits": False} if whole else {}
    text = format_currency(amount, currency, locale=locale, **told)
    sign = _SIGNS.get(currency)
    return re.sub(rf"{currency}\s?", sign, text) if sign and currency in text else text


@pass_context
def _number(context: Context, value: Any) -> str:
    return format_decimal(value, locale=_LOCALES[context["language"]])


@pass_context
def _percent(context: Context, value: Any) -> str:
    """Return a share (0.41) as percent."""
    return format_percent(value, format=None, locale=_LOCALES[context["language"]])


def _local(context: Context, value: datetime) -> datetime:
    visit: Visit = context["visit"]
    return value.astimezone(visit.engine.zone)


@pass_context
def _moment(context: Context, value: datetime | None, style: str = "medium") -> Markup:
    """Return a moment in the shop's zone, exact."""
    if value is None:
        return Markup("–")
    text = format_datetime(_local(context, value).replace(tzinfo=None), style, locale=_LOCALES[context["language"]])
    return _TIME + value.isoformat() + _TAG_END + text + _TIME_END


@pass_context
def _day(context: Context, value: Any, style: str = "medium") -> str:
    """Return a day; a moment is taken in the shop's zone."""
    if value is None:
        return "–"
    found = _local(context, value) if isinstance(value, datetime) else value
    return format_date(found, style, locale=_LOCALES[context["language"]])


@pass_context
def _clock(context: Context, value: datetime) -> str:
    """Return the time of day in the shop's zone."""
    return format_time(_local(context, value).time(), "short", locale=_LOCALES[context["language"]])


@pass_context
def _ago(context: Context, value: datetime | None) -> Markup:
    """Return how long ago (or in how long) something is within a day, and the day otherwise; exact on hover."""
    if value is None:
        return Markup("–")
    visit: Visit = context["visit"]
    language = context["language"]
    distance = value - visit.now
    if abs(distance) < timedelta(seconds=5):
        text = gettext(language, "just now")
    elif abs(distance) < _DAY:
        text = format_timedelta(distance, add_direction=True, locale=_LOCALES[language], threshold=1.2)
    else:
        local = _local(context, value)
        text = format_date(local, "d MMM" if local.year == visit.now.year else "d MMM y", locale=_LOCALES[language])
    exact = format_datetime(_local(context, value).replace(tzinfo=None), "medium", locale=_LOCALES[language])
    return _TIME + value.isoformat() + _TITLE + exact + _TAG_END + text + _TIME_END


@pass_context
def _span(context: Context, value: timedelta) -> str:
    """Return a length of time in words."""
    return format_timedelta(value, locale=_LOCALES[context["language"]], threshold=1.2)


def _pretty(value: Any) -> str:
    """Return data as indented JSON, letters of all languages as they are."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)
