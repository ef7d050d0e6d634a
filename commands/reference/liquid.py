"""The part of the rule page about user text: tags, filters with what they make of an example, limits."""

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from commands.reference.markdown import code, table
from core.errors import RuleError
from rules.template_engine import ENVIRONMENTS, MAX_CPU_S, MAX_ITEMS, MAX_TEXT
from rules.template_filters import FILTERS
from rules.templates import compile_template

#: What the examples read.
DATA = {
    "name": "Elif",
    "text": " one  two ",
    "html": "<b>Hi</b>",
    "note": "1 < 2",
    "lines": "a\nb",
    "list": [3, 1, 2, 1],
    "words": ["b", "A"],
    "holes": [1, None, 2],
    "items": [{"sku": "A", "price": 10, "gift": True}, {"sku": "B", "price": 5, "gift": False}],
    "total": {"amount": "1499.90", "currency": "TRY"},
    "day": "2026-03-02T07:30:00+00:00",
    "phone": "+905321234567",
    "page": "https://shop.example/o/7",
    "n": 7,
    "now": datetime(2026, 3, 2, 9, 0, tzinfo=UTC),
}
_ZONE = ZoneInfo("Europe/Istanbul")
#: Filter -> an example; what it makes is worked out when the page is made.
EXAMPLES = {
    "abs": "{{ -3 | abs }}",
    "append": "{{ name | append: '!' }}",
    "at_least": "{{ n | at_least: 10 }}",
    "at_most": "{{ n | at_most: 5 }}",
    "capitalize": "{{ 'hello' | capitalize }}",
    "ceil": "{{ 1.2 | ceil }}",
    "compact": "{{ holes | compact | join: ',' }}",
    "concat": "{{ list | concat: words | join: ',' }}",
    "date": "{{ day | date: 'long' }}",
    "datetime": "{{ day | datetime }}",
    "default": "{{ nothing | default: 'friend' }}",
    "divided_by": "{{ n | divided_by: 2.0 }}",
    "downcase": "{{ name | downcase }}",
    "escape": "{{ note | escape }}",
    "find": "{% assign one = items | find: 'sku', 'B' %}{{ one.price }}",
    "first": "{{ list | first }}",
    "floor": "{{ 1.8 | floor }}",
    "has": "{{ items | has: 'sku', 'B' }}",
    "join": "{{ list | join: ', ' }}",
    "json": "{{ words | json }}",
    "last": "{{ list | last }}",
    "link": "{{ page | link }}",
    "lstrip": "[{{ text | lstrip }}]",
    "map": "{{ items | map: 'sku' | join: ',' }}",
    "minus": "{{ n | minus: 2 }}",
    "modulo": "{{ n | modulo: 4 }}",
    "money": "{{ total | money }}",
    "newline_to_br": "{{ lines | newline_to_br }}",
    "number": "{{ 12345.678 | number: 2 }}",
    "phone": "{{ phone | phone }}",
    "plus": "{{ n | plus: 3 }}",
    "prepend": "{{ name | prepend: 'Dear ' }}",
    "reject": "{{ items | reject: 'gift' | map: 'sku' | join }}",
    "remove": "{{ 'a-b-c' | remove: '-' }}",
    "remove_first": "{{ 'a-b-c' | remove_first: '-' }}",
    "replace": "{{ 'a-b-c' | replace: '-', '+' }}",
    "replace_first": "{{ 'a-b-c' | replace_first: '-', '+' }}",
    "reverse": "{{ list | reverse | join: ',' }}",
    "round": "{{ 2.345 | round: 2 }}",
    "rstrip": "[{{ text | rstrip }}]",
    "size": "{{ list | size }}",
    "slice": "{{ name | slice: 0, 2 }}",
    "sort": "{{ list | sort | join: ',' }}",
    "sort_natural": "{{ words | sort_natural | join: ',' }}",
    "split": "{{ 'a,b' | split: ',' | last }}",
    "squish": "[{{ text | squish }}]",
    "strip": "[{{ text | strip }}]",
    "strip_html": "{{ html | strip_html }}",
    "strip_newlines": "{{ lines | strip_newlines }}",
    "sum": "{{ items | sum: 'price' }}",
    "time": "{{ day | time }}",
    "times": "{{ n | times: 3 }}",
    "truncate": "{{ 'A long sentence' | truncate: 9 }}",
    "truncatewords": "{{ 'A long sentence' | truncatewords: 2 }}",
    "uniq": "{{ list | uniq | join: ',' }}",
    "upcase": "{{ name | upcase }}",
    "url_decode": "{{ 'a%20b' | url_decode }}",
    "url_encode": "{{ 'a b&c' | url_encode }}",
    "where": "{{ items | where: 'gift' | map: 'sku' | join }}",
}
_TAGS = {
    "assign": "keep a value under a name",
    "capture": "keep a rendered block under a name",
    "if": "with `elsif`, `else`, `endif`",
    "unless": "the opposite of `if`",
    "case": "with `when`, `else`, `endcase`",
    "for": "with `else`, `limit`, `offset`, `reversed`, and `forloop` inside",
    "break": "leave the loop",
    "continue": "go on with the next item",
    "comment": "left out of the text",
    "#": "a comment in one line",
}


def make_liquid() -> Iterator[str]:
    """Yield the parts about Liquid."""
    yield "## Texts: Liquid"
    yield (
        "Texts under `with` may hold [Liquid](https://shopify.github.io/liquid/): `{{ order.number }}` puts a "
        "field in, `{% if ... %}` decides. A text that is one `{{ field }}` and nothing else keeps the "
        "field's type. Fields are read through objects and lists only. A field that is missing leaves nothing "
        "in the text. Dates, numbers and money are written in the customer's language where it is known, else "
        "in the shop's, and in the shop's time zone."
    )
    offered = sorted(ENVIRONMENTS["text"].tags)
    rows = [(code(name), words) for name, words in _TAGS.items() if name in offered]
    yield table(("tag", "what it does"), rows)
    yield "`raw` ... `endraw` leaves markup as it is. Other tags are refused when the rule is saved."
    yield "### Filters"
    filters = [(code(name), code(text), code(made(text))) for name, text in sorted(EXAMPLES.items())]
    yield table(("filter", "example", "result"), filters)
    yield _about()


def made(text: str) -> str:
    """Return what an example makes; the page shows a line break as ⏎."""
    try:
        return compile_template(text).render(DATA, zone=_ZONE, language="en", currency="TRY").replace("\n", "⏎")
    except RuleError as exc:
        raise AssertionError(f"the example {text!r} fails: {exc.message}") from exc


def _about() -> str:
    return (
        "Values are put in as they are, and escaped in a parameter called `html`. Limits of one text: "
        f"{MAX_TEXT:,} characters, {MAX_ITEMS:,} items of a list, {MAX_CPU_S * 1000:g} ms of work. What goes beyond "
        f"fails, and the step with it. There are {len(FILTERS)} filters; those with Shopify's names do what Shopify's "
        "do."
    )
