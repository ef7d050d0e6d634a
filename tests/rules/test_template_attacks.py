"""Templates of strangers: the table of attacks, attacks on Liquid itself, and any text at all.

Times are this thread's processor time: nothing here waits, and a busy machine must not fail a test.
"""

import copy
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from liquid_from_jinja import NoWordingError, to_liquid
from liquid_shop import SHOP, attempt
from shared_files import vectors

from rules.plain import plain
from rules.templates import compile_template

# The table of attacks, written for Jinja


def attack_rows() -> list[Any]:
    try:
        return [pytest.param(row, id=row["id"]) for row in vectors("template_attacks")["rows"]]
    except pytest.skip.Exception as absent:
        return [pytest.param(None, marks=pytest.mark.skip(reason=str(absent)))]


GENERATORS = {
    "filters": lambda n: "{{ 'a'" + "|upper" * n + " }}",
    "parens": lambda n: "{{ " + "(" * n + "1" + ")" * n + " }}",
    "if": lambda n: "{% if 1 %}" * n + "x" + "{% endif %}" * n,
    "for": lambda n: "{% for i in items %}" * n + "x" + "{% endfor %}" * n,
    "brackets": lambda n: "{{ x" + "[0]" * n + " }}",
    "concat": lambda n: "{{ 'a'" + "~'a'" * n + " }}",
    "add": lambda n: "{{ 1" + "+1" * n + " }}",
}


def attack_text(row: dict[str, Any]) -> str:
    made = row.get("gen")
    return GENERATORS[made["kind"]](made["n"]) if made else row["template"]


def attack_data(row: dict[str, Any]) -> dict[str, Any]:
    data = copy.deepcopy(vectors("template_attacks")["context"])
    for place, value in row.get("set", {}).items():
        target, last = data, place.split(".")
        for step in last[:-1]:
            target = target[step]
        target[last[-1]] = value
    return data


def wordings(row: dict[str, Any]) -> Iterator[str]:
    """The text as it stands, with Jinja's comments as Liquid's, and translated where Liquid has words for it."""
    text = attack_text(row)
    yield text
    yield text.replace("{#", "{% comment %}").replace("#}", "{% endcomment %}")
    try:
        yield to_liquid(text)
    except NoWordingError:
        return


@pytest.mark.parametrize("row", attack_rows())
def test_attack_does_no_harm(row, monkeypatch):
    """All classes: ends in text or in a reason with its line, within the limits, the data as they were."""
    monkeypatch.setenv("SENTINEL", "SENTINEL-SECRET")
    limits = vectors("template_attacks")["limits"]
    for text in wordings(row):
        data = attack_data(row)
        before = copy.deepcopy(data)
        started = time.thread_time()
        ended, words = attempt(text, data, row.get("channel", "text"))
        assert time.thread_time() - started < limits["wall_s"]
        assert len(words) <= limits["output_chars"]
        assert data == before
        assert ended == "text" or words.startswith("line ")
        for forbidden in row.get("forbid", ()):
            assert forbidden not in words


@pytest.mark.parametrize("row", attack_rows())
def test_attack_stays_within_memory(row):
    limit = vectors("template_attacks")["limits"]["memory_mib"]
    for text in wordings(row):
        tracemalloc.start()
        attempt(text + " ", attack_data(row), row.get("channel", "text"))  # another text than before: nothing cached
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < limit * 1024 * 1024


@pytest.mark.parametrize("row", [row for row in attack_rows() if row.values[0] and row.values[0]["expect"] == "exact"])
def test_benign_row_renders_exactly(row):
    try:
        text = to_liquid(row["template"])
    except NoWordingError as exc:
        pytest.skip(f"Liquid has no wording: {exc}")
    ended, words = attempt(text, attack_data(row), row.get("channel", "text"))
    if ended == "save" and "is not offered" in words:
        pytest.skip(f"shops have no such word: {words}")
    assert (ended, words) == ("text", row["exact"])


@pytest.mark.parametrize(
    "row", [row for row in attack_rows() if row.values[0] and row.values[0]["expect"] == "rejected_at_save"]
)
def test_bad_syntax_is_refused_at_save(row):
    text = attack_text(row).replace("{#", "{% comment %}").replace("#}", "{% endcomment %}")
    ended, reason = attempt(text, attack_data(row))
    assert ended == "save"
    assert reason.startswith("line 1: ")


@pytest.mark.parametrize("row", attack_rows())
def test_objects_in_data_are_refused(row):
    class Holder:
        _secret = "SENTINEL-SECRET"

    for name, thing in (("obj", Holder()), ("fn", len), ("log", Holder)):
        for text in wordings(row):
            ended, words = attempt(text, {**attack_data(row), name: thing})
            assert "SENTINEL" not in words
            assert ended == "save" or compile_template(text).is_plain or words.startswith(f"{name} is ")


# Attacks on Liquid itself

#: One large group, thousands of times in one list.
REPEATED = "{% assign g = nested %}{% for i in (1..12) %}{% assign g = g | concat: g %}{% endfor %}"

BOMBS = [
    "{{ (1..1000000000) | join }}",  # a range that would become a list
    "{{ (1..1000000000) | reverse | first }}",
    "{% assign r = (1..1000000000) %}{{ r }}",
    "{% for i in (1..1000000000) reversed limit: 1 %}x{% endfor %}",
    "{% for i in (1..1000000000) offset: 999999000 %}{% endfor %}",
    "{% for i in (1..99999999999999999999) %}{% endfor %}",  # longer than len() can say
    "{% if (1..1000000000) contains 'x' %}{% endif %}",  # compared item by item
    "{% assign n = 1000000000 %}{% if (1..n) contains 'x' %}{% endif %}",
    "{% for i in (1..9999) %}{% for j in (1..9999) %}{% endfor %}{% endfor %}",
    "{% for i in (1..9999) %}{% endfor %}" * 1500,  # one after the other
    "{% for i in (1..9999) %}" + "{% if i %}{% endif %}" * 2000 + "{% endfor %}",
    "{% for i in (1..9999) %}" + "{{ customer.name | upcase }}" * 1000 + "{% endfor %}",
    "{% assign s = 'x' %}{% for i in (1..64) %}{% assign s = s | append: s %}{% endfor %}{{ s }}",
    "{% assign s = 'x' %}{% for i in (1..64) %}{% capture s %}{{ s }}{{ s }}{% endcapture %}{% endfor %}{{ s }}",
    "{% assign s = 'xx' %}{% for i in (1..40) %}{% assign s = s | replace: 'x', s %}{% endfor %}{{ s }}",
    "{% assign s = 'x' %}{% for i in (1..40) %}{% assign s = s | replace: '', s %}{% endfor %}{{ s }}",
    "{% assign s = 'x,x' %}{% for i in (1..40) %}{% assign s = s | split: ',' | join: s %}{% endfor %}{{ s }}",
    "{% assign s = 'x' %}{% for i in (1..40) %}{% assign s = s | prepend: s | escape %}{% endfor %}{{ s }}",
    "{% assign n = 99 %}{% for i in (1..40) %}{% assign n = n | times: n %}{% endfor %}{{ n }}",
    "{% assign n = 0.1 %}{% for i in (1..999) %}{% assign n = n | times: n %}{% endfor %}{{ n }}",
    "{% assign l = 'a,b' | split: ',' %}{% for i in (1..40) %}{% assign l = l | concat: l %}{% endfor %}{{ l | size }}",
    "{% assign l = '' %}{% for i in (1..9999) %}{% assign l = big | sort | uniq | reverse | join %}{% endfor %}",
    "{% for i in (1..9999) %}{% if big contains 'x' %}{% endif %}{% endfor %}",
    "{% for i in (1..9999) %}{% if big == twin %}{% endif %}{% endfor %}",
    "{% for i in (1..9999) %}{{ big | where: 'x', 1 | size }}{% endfor %}",
    "{{ big | json }}",
    REPEATED + "{{ g | json }}",
    REPEATED + "{{ g | uniq }}",
    REPEATED + "{{ g }}",
    "{{ order.at | date: '%999999999d' }}",
    "{{ order.at | date: long }}",
    "{{ long | date }}",
    "{{ long | times: 2 }}",
    "{{ long | split: '' | size }}",
    "{{ long | url_encode }}",
    "{{ long | phone }}",
    "{{ long | strip_html }}",
    "{{ 1 | round: 999999999 }}",
    "{{ '9' | round: -5 }}",
    "{{ long | truncate: 99999999999999999999, long }}",
    "{{ 'x' | slice: 0, 99999999999999999999999999999999999999999999 }}",
    "{{ 5 | divided_by: 0 }}{{ 5.0 | modulo: 0 }}",
    "{{ 99999999999999999999999999999999999999999999 }}",
    "{{ " + "9" * 990 + " }}",
    "{{ items[99999999999999999999] }}",
    "".join(f"{{% assign v{n} = half %}}{{% assign w{n} = v{n} | append: '{n}' %}}" for n in range(900)),
    "{% capture a %}" * 29 + "{{ long }}" + "{% endcapture %}" * 29,
]


@pytest.fixture(scope="module")
def heavy() -> dict[str, Any]:
    return {
        **SHOP,
        "long": "<1" * 100_000,
        "half": "x" * 30_000,
        "big": list(range(9_000)),
        "twin": list(range(9_000)),
        "nested": [{"rows": [{"k": n} for n in range(5_000)]}, {"rows": "é" * 50_000}],
    }


@pytest.mark.parametrize("text", BOMBS, ids=range(len(BOMBS)))
def test_bomb_is_bounded(text, heavy):
    data = plain(heavy)
    started = time.thread_time()
    ended, words = attempt(text, data)
    assert time.thread_time() - started < 1.0
    assert len(words) <= 65_536
    assert ended == "text" or words.startswith("line ")


@pytest.mark.parametrize("text", BOMBS, ids=range(len(BOMBS)))
def test_bomb_stays_within_memory(text, heavy):
    data = plain(heavy)
    tracemalloc.start()
    attempt(text + " ", data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * 1024 * 1024


COMPILE_BOMBS = [
    "{{" * 30_000,  # the parser's own patterns are quadratic on these
    "{%" * 30_000,
    "{{ " + " " * 60_000 + "}}",
    ("{{" + " " * 99 + "x" + " " * 99 + "}}") * 300,
    "{% raw %}" * 7_000,
    "{% doc %}" * 7_000,
    "{% comment %}" * 5_000,
    "{% comment %}" + "{{ x }}" * 4_000,
    "{{ " + "(" * 60_000 + " }}",
    "{{ " + "a[" * 30_000 + " }}",
    "{% if " + "a and " * 10_000 + "a %}{% endif %}",
    "{% if " + "a and " * 150 + "a %}{% endif %}",
    "{% if a %}" * 31 + "{% endif %}" * 31,
    "{% if a %}" + "{% elsif a %}" * 4_000 + "{% endif %}",
    "{{ a" + " | upcase" * 100 + " }}",
    "{{a}}" * 13_000,
    "{{a}}" * 4_900,
    "{{ " + "['x" * 300 + " }}",
    "{% case a %}" + "{% when 1 or 2, 3 %}" * 3_000 + "{% endcase %}",
]


@pytest.mark.parametrize("text", COMPILE_BOMBS, ids=range(len(COMPILE_BOMBS)))
def test_compile_bomb_is_bounded(text):
    started = time.thread_time()
    ended, words = attempt(text, SHOP)
    assert time.thread_time() - started < 1.0
    assert ended == "text" or words.startswith("line ")
    tracemalloc.start()
    attempt(text + " ", SHOP)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * 1024 * 1024


def test_deep_stack_gives_one_error_type():
    def sink(depth: int) -> tuple[str, str]:
        return (
            attempt("{% if " + "a and " * 150 + f"a %}}{{% endif %}}{depth}", {"a": 1})
            if not depth
            else sink(depth - 1)
        )

    ended, words = sink(800)
    assert ended != "text"
    assert "nested too deep" in words


PIECES = st.sampled_from(
    """
    {{ }} {% %} {{x}} {{l| join upcase | : , ' " (1..3) [ ] . x {%if&x%} {%endif%} {%for&i&in&l%} {%endfor%} {%assign&x=
    5 & and contains {%raw%} {%endraw%} {%comment%} {%endcomment%} {%else%} {%case&x%} {%when&1%} {%endcase%}
    {%capture&x%} {%endcapture%} {%break%} - == times date money sort json nil
    """.replace("\n", " ").split()
)
TEXTS = st.lists(PIECES, max_size=14).map(lambda pieces: "".join(pieces).replace("&", " "))


@settings(max_examples=600)
@given(TEXTS, st.sampled_from(["text", "html", "json"]))
def test_any_text_answers_or_is_refused(text, channel):
    ended, words = attempt(text, {"x": 5, "l": [1, "a", None, {"k": 1}]}, channel)
    assert ended == "text" or words.startswith("line ")
