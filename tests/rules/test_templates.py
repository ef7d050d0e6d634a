"""Templates of strangers: what they may do, what they get, and that nothing they do hurts."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from liquid_shop import ISTANBUL, SHOP, render

from core.errors import RuleError
from rules.plain import plain
from rules.templates import compile_template, resolve_value

# Errors at save

REFUSED = [
    ("a\nb {{ x | attr: 1 }}", "line 2: the filter 'attr' is not offered"),
    ("{{ x | upcas }}", "did you mean upcase"),
    ("{{ x | truncate: 1, 2, 3 }}", "does not take these arguments"),
    ("{{ x | default: 1, color: 2 }}", "does not take these arguments"),
    ("\n\n{% include 'x' %}", "line 3: the tag 'include' is not offered"),
    ("{% render 'x' %}", "not offered"),
    ("{% layout 'x' %}", "not offered"),
    ("{% liquid\nassign x = 1 %}", "not offered"),
    ("{% fro x in y %}{% endfor %}", "did you mean for"),
    ("ok\n{{ }}", "line 2: expected a primitive expression"),
    ("ok\n\n{% assign x = %}", "line 3:"),
    ("ok\n{% for x in %}{% endfor %}", "line 2:"),
    ("{% if a %}\n\n{% elsif b == %}{% endif %}", "line 3:"),
    ("{% if a %}\n", "line 2: expected tag endif"),
    ("ok\n{{ a", "line 2: {{ is not closed"),
    ("x\n{% raw %}", "line 2: raw is not closed"),
    ("{% if (1..n) contains 2 %}{% endif %}", "a range in a condition"),
    ("x" * 65_537, "65,536 is the most"),
    ("{{ x }}" + "x" * 65_537, "65,536 is the most"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_mistake_is_named_with_its_line(text, reason):
    with pytest.raises(RuleError) as refused:
        compile_template(text, path="then[2].with.text")
    assert refused.value.path == "then[2].with.text"
    assert reason in refused.value.reason


def test_unknown_channel_is_refused():
    with pytest.raises(RuleError, match="no channel 'htm'"):
        compile_template("x", channel="htm")


# Values as people read them

RENDERED = [
    ("{{ customer.name }} {{ order.total }}", "Ayşe 1234.50"),
    ("{{ order.total | money }}", "₺1.234,50"),
    ("{{ order.total | money: 'USD' }}", "$1.234,50"),
    ("{{ order.paid }}", "₺5.000,00"),  # money in the data reads as money
    ("{{ order.paid | times: 1.5 }}", "₺7.500,00"),  # and stays money
    ("{{ order.lines | map: 'price' | sum }}", "14.50"),
    ("{{ order.lines | sum: 'qty' }}", "3"),
    ("{{ 10 | divided_by: 4 }} {{ 10 | divided_by: 4.0 }} {{ 10 | divided_by: 3.0 }}", "2 2.5 3.3333333333"),
    ("{{ 2.5 | round }} {{ 2.345 | round: 2 }} {{ 2.1 | ceil }} {{ -2.1 | floor }} {{ -5 | abs }}", "3 2.35 3 -3 5"),
    ("{{ 7 | modulo: 3 }} {{ 1 | plus: 2 | minus: 4 }} {{ 3 | at_least: 5 | at_most: 4 }}", "1 -1 4"),
    ("{{ 1234567.891 | number: 2 }}", "1.234.567,89"),
    ("{{ order.at | date }} {{ order.at | time }}", "3 May 2026 13:00"),
    ("{{ order.at | date: '%d %B %Y, %H:%M' }}", "03 Mayıs 2026, 13:00"),
    ("{{ order.at | date: 'long' }}", "3 Mayıs 2026"),
    ("{{ order.at | date: '%-d.%-m.%y %%' }}", "3.5.26 %"),
    ("{{ customer.phone | phone }} {{ customer.name | phone }}", "+90 532 111 22 33 Ayşe"),
    ("{{ 'istanbul' | upcase }} {{ 'ISPARTA' | downcase }} {{ 'izmir' | capitalize }}", "İSTANBUL ısparta İzmir"),
    ("{{ customer.tags | join: ', ' }} {{ customer.tags }}", "vip, izmir vipizmir"),
    ("{{ items | sort | join: '' }} {{ items | first }}{{ items | last }} {{ items | size }}", "123 32 3"),
    ("{% assign l = order.lines | sort: 'qty' %}{{ l[0].sku }}", "s2"),
    ("{{ order.lines | where: 'sku', 's2' | map: 'qty' }}", "1"),
    ("{% assign l = order.lines | find: 'sku', 's1' %}{{ l.qty }}", "2"),
    ("{{ 'a,b,a' | split: ',' | uniq | reverse | join: '-' }}", "b-a"),
    ("{{ order.nope }}|{{ order.nope | times: 2 }}|{{ order.nope | money }}|{{ order.nope.deeper | date }}", "|||"),
    ("{{ order.nope | default: 'yok' }} {{ 0 | default: 5 }}", "yok 0"),
    ("{% for l in order.lines %}{{ l.sku }}{% unless forloop.last %},{% endunless %}{% endfor %}", "s1,s2"),
    ("{% for i in items %}{{ forloop.rindex0 }}{{ forloop.first }};{% endfor %}", "2true;1false;0false;"),
    ("{% for a in items %}{% for b in items %}{{ forloop.parentloop.index }}{% endfor %}{% endfor %}", "111222333"),
    ("{% for a in items %}{% if a == 2 %}{% break %}{% endif %}{{ a }}{% endfor %}", "31"),
    ("{% for a in items %}{% if a == 1 %}{% continue %}{% endif %}{{ a }}{% endfor %}", "32"),
    ("{% for i in (1..4) limit: 2 %}{{ i }}{% endfor %}{% for i in (1..4) offset: continue %}-{% endfor %}", "12--"),
    ("{% for i in items reversed %}{{ i }}{% endfor %}{% for i in nope %}{% else %}none{% endfor %}", "213none"),
    ("{% case order.id %}{% when 'A-1', 'A-2' %}yes{% else %}no{% endcase %}", "yes"),
    ("{% if order.total > 1000 and customer.tags contains 'vip' %}VIP{% endif %}", "VIP"),
    ("{% if order.nope %}a{% elsif order.nope == nil %}b{% endif %}", "b"),
    ("{% capture x %}{{ order.id }}!{% endcapture %}{{ x | upcase }}", "A-1!"),
    ("{% raw %}{{ x }}{% endraw %}{% comment %}{{ y }}{% endcomment %}{% # note %}", "{{ x }}"),
    ("{{ order.lines[0].sku }}{{ order['lines'][1]['sku'] }} {{ order.lines.size }}", "s1s2 2"),
    ("{{ order.lines.first.sku }}{{ order.lines.last.sku }}{{ order.lines[9].sku }}{{ order.id.size }}", "s1s23"),
    ("{{ order.lines | json }}", '[{"sku": "s1", "qty": 2, "price": "10.50"}, {"sku": "s2", "qty": 1, "price": "4"}]'),
    ("{{ true }} {{ nil }} {{ 1.0 }}", "true  1.0"),
    ("{{ 'Tom & <b>' | escape }}", "Tom &amp; &lt;b&gt;"),
    ("{{ 'a b&c' | url_encode }} {{ '<b>x</b>' | strip_html }} {{ ' a  b ' | squish }}", "a+b%26c x a b"),
    ("{{ 'bir iki üç' | truncatewords: 2 }} {{ 'abcdef' | truncate: 5 }}", "bir iki... ab..."),
    ("{{ 'abc' | slice: -2, 2 }} {{ 'abc' | slice: 1 }} {{ items | slice: 1, 5 | join }}", "bc b 1 2"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), RENDERED)
def test_text_renders_as_expected(text, expected):
    assert render(text) == expected


LANGUAGES = [
    ("en", "₺5,000.00|May 3, 2026|I"),
    ("tr", "₺5.000,00|3 May 2026|İ"),
    ("ru", "5 000,00 ₺|3 мая 2026 г.|I"),
    ("tr-TR", "₺5.000,00|3 May 2026|İ"),
    ("de", "₺5,000.00|May 3, 2026|I"),  # a language we do not speak reads English
]


@pytest.mark.parametrize(("language", "expected"), LANGUAGES)
def test_values_follow_the_language(language, expected):
    text = render("{{ order.paid }}|{{ order.at | date }}|{{ 'i' | upcase }}", language=language)
    assert text.replace("\u00a0", " ").replace("\u202f", " ") == expected


NOT_WRITTEN = [
    ("{{ customer.name | money }}", "not a number"),  # never 0,00
    ("{{ customer.tags | money }}", "not a number"),
    ("{{ true | money }}", "not a number"),
    ("{{ 5 | money: 'lira' }}", "currency"),
    ("{{ customer }}", "group of fields"),
    ("{{ order.paid | plus: usd }}", "two currencies"),
    ("{{ inf }}", "not finite"),
    ("{{ nan | money }}", "not finite"),
    ("{{ huge }}", "too large"),
    ("{{ tiny }}", "too many digits"),
    ("{{ 5 | divided_by: 0 }}", "divides by zero"),
    ("{{ 'x' | date }}", "not a date"),
    ("{{ order.at | date: 'dd.MM' }}", "form"),
    ("{{ order.at | date: '%Q' }}", "%Q"),
    ("{{ 'now' | date }}", "no current time"),
    ("{{ customer.name | link }}", "does not start with"),
    ("{{ mixed | sort }}", "one kind"),
    ("{% if customer.name > 5 %}{% endif %}", "not supported"),
    ("{% for i in items limit: 'x' %}{% endfor %}", "cannot use"),
    ("ok{% break %}", "outside of a loop"),
]


@pytest.mark.parametrize(("text", "reason"), NOT_WRITTEN)
def test_wrong_value_is_refused_in_words(text, reason):
    data = {
        **SHOP,
        "usd": {"amount": "1", "currency": "USD"},
        "inf": float("inf"),
        "nan": Decimal("NaN"),
        "huge": Decimal("1E+999999"),
        "tiny": Decimal("1E-999999"),
        "mixed": [1, "a"],
    }
    with pytest.raises(RuleError) as refused:
        render("\n" + text, data)
    assert refused.value.path == "then[0].with.text"
    assert refused.value.reason.startswith("line 2: ")
    assert reason in refused.value.reason
    assert "Ayşe" not in refused.value.reason


def test_clock_comes_from_the_data():
    data = {**SHOP, "now": datetime(2026, 1, 2, 21, 30, tzinfo=UTC)}
    assert render("{{ 'now' | date: '%Y-%m-%d' }} {{ now | time }}", data) == "2026-01-03 00:30"


def test_times_are_read_in_the_shop_zone():
    data = {"a": datetime(2026, 1, 2, 21, 30, tzinfo=UTC), "b": date(2026, 1, 2), "c": "2026-01-02T21:30:00", "d": 0}
    assert (
        render("{{ a | time }} {{ b | date: '%d.%m' }} {{ c | time }} {{ d | time }}", data)
        == "00:30 02.01 21:30 02:00"
    )


@given(st.text(max_size=40))
def test_data_is_never_a_template(name):
    assert render("Hi {{ customer.name }}!", {"customer": {"name": name}}) == f"Hi {name}!"


# What is in a template


def test_fields_are_dotted_paths():
    template = compile_template(
        "{{ order.lines[0].sku | append: shop.name }}{% for l in order.lines %}{{ l.price.amount }}{{ forloop.index }}"
        "{% endfor %}{% assign q = cart.size %}{{ q }}{% case kind %}{% when other.kind %}{% endcase %}"
        "{% if a.b == c and d contains e %}{% endif %}{{ f[g.h].i }}"
    )
    assert template.fields == {
        "order.lines", "order.lines.sku", "order.lines.price.amount", "shop.name", "cart", "kind", "other.kind",
        "a.b", "c", "d", "e", "f", "g.h",
    }  # fmt: skip


def test_plain_text_costs_nothing():
    template = compile_template("Merhaba { {x} % } 100%")
    assert template.is_plain
    assert template.fields == frozenset()
    assert template.render({}, zone=ISTANBUL) == "Merhaba { {x} % } 100%"


def test_missing_lists_what_would_be_empty():
    template = compile_template(
        "{{ customer.name }}{{ customer.note }}{{ order.nope }}{{ order.gap | upcase }}{{ order.x | default: 'y' }}"
        "{% if order.coupon %}{{ order.coupon }}{% endif %}{{ order.nope }}"
    )
    assert template.missing(SHOP, zone=ISTANBUL) == ["customer.note", "order.nope", "order.gap"]


def test_strict_refuses_empty_fields():
    assert render("{{ order.nope }}") == ""
    with pytest.raises(RuleError, match=r"these fields are empty: order\.nope"):
        render("{{ order.nope }}", strict=True)
    assert render("{{ customer.name }}", strict=True) == "Ayşe"


def test_lone_path_keeps_its_type():
    assert resolve_value("{{ order.total }}", SHOP) == Decimal("1234.50")
    assert resolve_value("{{ order.lines }}", SHOP) is SHOP["order"]["lines"]
    assert resolve_value("{{order.paid}}", SHOP) == {"amount": "5000", "currency": "TRY"}
    assert resolve_value("{{ order.nope }}", SHOP) is None
    assert resolve_value("{{ order.id }} ", SHOP) == "A-1 "
    assert resolve_value("{{ order.total | times: 2 }}", SHOP) == "2469.00"
    assert resolve_value("plain", SHOP) == "plain"
    assert resolve_value(compile_template("{{ items }}"), SHOP) == [3, 1, 2]


@pytest.mark.parametrize("name", ["keys", "items", "__class__", "get", "__len__", "update"])
def test_names_of_methods_are_just_names(name):
    assert render(f"{{{{ customer.{name} }}}}", {"customer": {}}) == ""
    assert render(f"{{{{ customer.{name} }}}}", {"customer": {name: "mine"}}) == "mine"


class Text(str):
    """A subclass of a plain type may do anything."""

    def __html__(self) -> str:
        return "<script>"


@pytest.mark.parametrize(
    "value", [object(), Text("x"), {1}, b"x", lambda: 1, range(3), datetime.now, {1: 2}, float, 1j]
)
def test_only_plain_data_goes_in(value):
    with pytest.raises(RuleError, match=r"order\.lines\.0\.thing"):
        render("{{ customer.name }}", {"order": {"lines": [{"thing": value}]}})


def test_endless_data_are_refused():
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(RuleError, match="too deep or too large"):
        render("{{ x }}", {"x": loop})


def test_checked_data_are_taken_as_they_are():
    data = plain(SHOP)
    assert plain(data) is data
    assert render("{{ customer.name }}", data) == "Ayşe"


def test_equal_texts_share_one_tree():
    one = compile_template("{{ shared.tree }}", path="a")
    two = compile_template("{{ shared.tree }}", path="b")
    assert one.fields is two.fields
    assert (one.path, two.path) == ("a", "b")
    assert compile_template("{{ shared.tree }}", channel="html").fields is not one.fields


def test_one_render_leaves_no_trace_in_the_next():
    template = compile_template("{% assign x = y %}{{ x }}{{ z }}{% assign z = 'kept' %}")
    assert template.render({"y": "1"}, zone=ISTANBUL) == "1"
    assert template.render({"y": "2"}, zone=ISTANBUL) == "2"
