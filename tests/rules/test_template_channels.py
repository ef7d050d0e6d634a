"""What a value may become in HTML and in JSON."""

import json

import pytest
from liquid_shop import render

from core.errors import RuleError

HTML = [
    ("<p>{{ x }}</p>", "<b>", "<p>&lt;b&gt;</p>"),
    ('<p title="{{ x }}">', '" onmouseover=alert(1) x="', '<p title="&quot; onmouseover=alert(1) x=&quot;">'),
    ("<p title={{ x }}>", "a onclick=b", "<p title=a&#32;onclick&#61;b>"),  # quotes forgotten by the author
    ("{% capture c %}<i>{{ x }}</i>{% endcapture %}{{ c }}", "<b>", "<i>&lt;b&gt;</i>"),
    ("{% capture c %}<i>{{ x }}{% endcapture %}{{ c | append: x }}", "<b>", "&lt;i&gt;&lt;b&gt;&lt;b&gt;"),
    ("{{ x | escape }}", "<b>", "&lt;b&gt;"),  # escaped once
    ("{{ x | url_decode }}", "%3Cb%3E", "&lt;b&gt;"),
    ("{{ '&lt;' | replace: '&lt;', x }}", "<b>", "&lt;b&gt;"),
    ("{{ x | split: '' | join: '' }}", "<b>", "&lt;b&gt;"),
    ("{{ x | newline_to_br }}", "<b>\n2", "&lt;b&gt;<br>\n2"),
    ("{{ '<hr>' }}", "", "&lt;hr&gt;"),  # markup is written outside of {{ }}
    ('<a href="{{ x }}">', "https://a.example/?q=1&r=2", '<a href="https://a.example/?q=1&amp;r=2">'),
    ('<a href="{{ x }}">', "mailto:a@b.example", '<a href="mailto:a@b.example">'),
    ('<a href="{{ x }}">', "", '<a href="">'),
    ('<a href="https://a.example/?q={{ x }}">', "javascript:1", '<a href="https://a.example/?q=javascript:1">'),
    ('<a href="page-{{ x }}">', "1", '<a href="page-1">'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value", "expected"), HTML)
def test_html_channel_escapes_everything(text, value, expected):
    assert render(text, {"x": value}, channel="html") == expected


EVIL_LINKS = [
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\tscript:alert(1)", " javascript:alert(1)", "\x01javascript:1",
    "data:text/html,<script>1</script>", "vbscript:x", "//evil.example/x", "/\\evil.example", "\\\\evil.example",
    "file:///etc/passwd", "intent://x", "java\u200bscript:1", "evil.example", "javascript&#58;1",
]  # fmt: skip
LINK_PLACES = [
    '<a href="{{ x }}">',
    "<a href='{{ x }}'>",
    "<a HREF = {{ x }}>",
    '<a class="y" href="  {{ x }}">',
    '<img src="{{ x }}">',
    '<a href="{% if true %}{{ x }}{% endif %}">',
    '<a href="{{ nope }}{{ x }}">',
    '{% capture c %}{{ x }}{% endcapture %}<a href="{{ c }}">',
    '{% capture c %}<a href="{% endcapture %}{{ c }}{{ x }}">',
    "{{ x | link }}",
]


@pytest.mark.parametrize("link", EVIL_LINKS)
@pytest.mark.parametrize("place", LINK_PLACES)
def test_evil_link_is_refused(place, link):
    with pytest.raises(RuleError, match="does not start with"):
        render(place, {"x": link}, channel="html")


SPLIT_LINKS = [
    ('<a href="java{{ x }}">', "script:1"),
    ('<a href="&#106;ava{{ x }}">', "script:1"),
    ('<a href="/{{ x }}">', "/evil.example"),
]


@pytest.mark.parametrize(("text", "value"), SPLIT_LINKS)
def test_link_in_two_parts_is_refused(text, value):
    with pytest.raises(RuleError, match="does not start with"):
        render(text, {"x": value}, channel="html")


@pytest.mark.parametrize("value", ['"; x', "\\", "a\nb", "\u2028", "</script>", "{{ 7 | times: 7 }}"])
def test_json_channel_stays_json(value):
    text = '{"a": "{{ x }}", "b": {{ l }}, "c": {{ x | json }}, "d": {{ n }}, "e": {{ nope | json }}}'
    made = render(text, {"x": value, "l": [value], "n": 5}, channel="json")
    assert json.loads(made) == {"a": value, "b": [value], "c": value, "d": 5, "e": None}
