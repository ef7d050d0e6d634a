"""Expressions typed by users: bounded, refused in words, right in Turkish and Russian."""

import re
import time
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from shared_files import vectors

from core.errors import RuleError
from core.patterns import MAX_INPUT, Pattern, compile_pattern

GENERATORS = {
    "nested_groups": lambda n: "(" * n + "a" + ")" * n,
    "alternatives": lambda n: "a|" * n + "b",
}


def _rows() -> list[Any]:
    try:
        return [pytest.param(row, id=row["id"]) for row in vectors("regex_bombs")["rows"]]
    except pytest.skip.Exception as absent:
        return [pytest.param(None, marks=pytest.mark.skip(reason=str(absent)))]


def _compiled(text: str) -> Pattern | None:
    """Return None for a pattern that was refused with a reason; any other error fails the test."""
    try:
        return compile_pattern(text)
    except RuleError as refused:
        return pytest.fail("refused without a reason") if not refused.reason else None


def _verdict(row: dict[str, Any]) -> str:
    made = row.get("gen")
    text = GENERATORS[made["kind"]](made["n"]) if made else row["pattern"]
    subject = "".join(part if isinstance(part, str) else part[0] * part[1] for part in row["input"])
    pattern = _compiled(text)
    if pattern is not None and row["method"] == "match":
        pattern = _compiled(rf"\A(?:{text})")
    if pattern is None:
        return "rejected_at_save"
    found = pattern.fullmatch(subject) if row["method"] == "fullmatch" else pattern.search(subject)
    return "match" if found else "no_match"


@pytest.mark.parametrize("row", _rows())
def test_bomb_gets_its_verdict(row):
    limit = vectors("regex_bombs")["limits"]["wall_s"]
    started = time.thread_time()
    verdict = _verdict(row)
    took = time.thread_time() - started
    assert took < limit
    if row["expect"] != "bounded":
        assert verdict == row["expect"]


REFUSED = [
    (r"(?=a)b", "looking ahead"),
    (r"(?<!a)b", "looking behind"),
    (r"(a)\1", "refers back"),
    (r"(?P<x>a)(?P=x)", "reference to an earlier group"),
    (r"(?P<x>a)(?P<x>b)", "two groups 'x'"),
    (r"a++", "two repetitions"),
    (r"(?>a)", "atomic"),
    (r"(a", "not closed"),
    (r"a)", "without a ("),
    (r"[a", "not closed by ]"),
    ("a\\", "lone backslash"),
    (r"[z-a]", "range"),
    (r"*a", "repeats nothing"),
    (r"a{2000}", "too often"),
    (r"(\w{1,100}){1,9}\w{1,900}", "too large"),
    (r"(?x)a", "flag 'x'"),
    (r"[\W]", "inside [ ]"),
    (r"\Ba", r"\B"),
    (r"\ya", "means nothing"),
    (r"\x{110000}", "does not exist"),
    ("a" * 1001, "1,000 is the most"),
    ("\ud800", "no text"),
]


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_refusal_names_path_and_reason(text, words):
    with pytest.raises(RuleError) as refused:
        compile_pattern(text, path="if.all[0].value")
    assert refused.value.path == "if.all[0].value"
    assert words in refused.value.reason


FOUND = [
    (r"\bстоп\b", "Пожалуйста, стоп!", True),  # word edges between Cyrillic letters
    (r"\bстоп\b", "стопка", False),
    (r"\bпривет\b \bмир\b", "привет мир", True),  # two edges around one space
    (r"\bdur\b", "durşun", False),  # ş is a letter: no edge after "dur"
    (r"\bdur\b", "dur şun", True),
    (r"^\bстоп\b$", "стоп", True),
    (r"\bскидка\b.{1,9}\bсегодня\b", "скидка есть сегодня", True),
    (r"\bа.в\b", "а б в", False),  # the dot takes one character, never an edge alone
    (r"\b[^в]{3}\b", "абг", True),
    (r"\b[^в]{3}\b", "аб г", True),  # between the space and the next word there is an edge too
    (r"^\w+$", "çağrı", True),
    (r"^\w+$", "два слова", False),
    (r"^[\w ]+$", "два слова", True),
    (r"\s", "10\u00a0000", True),  # no-break space
    (r"(?i)^iptal$", "İPTAL", True),  # decided: where case is ignored i İ ı I are one letter
    (r"(?i)^iptal$", "ıptal", True),
    (r"(?i)^[a-z]+$", "İPTAL", True),
    (r"(?i)^[^i]+$", "İ", False),
    (r"^iptal$", "IPTAL", False),
    (r"(?i:a)b", "AB", False),
    (r"(?i)a(?-i)i", "Aİ", False),
    (r"йод", "и\u0306од", True),  # decomposed letters
    (r"[\u4e00-\u9fff]", "手", True),
    (r"a{,2}b", "aab", True),
    (r"a{x", "a{x", True),
    (r"\Qa.b\E", "a.b", True),
    (r"a(?#note)b", "ab", True),
    (r"[]a]+\Z", "]a", True),
    (r"[a\-z]", "-", True),
    (r"[\w-]", "-", True),
    (r"[\d-a]", "-", True),
    (r"\.", "x", False),
    (r"\p{Lu}", "Ş", True),
    (r"a.b", "a\nb", False),
    (r"(?s)a.b", "a\nb", True),
    (r"(?m)^b$", "a\nb", True),
    ("a\x00b", "a\x00b", True),
]


@pytest.mark.parametrize(("text", "subject", "expected"), FOUND)
def test_letters_of_all_scripts_count(text, subject, expected):
    assert compile_pattern(text).search(subject) is expected


def test_option_ignores_case():
    assert compile_pattern("iptal", ignore_case=True).search("SİPARİŞ İPTAL")
    assert not compile_pattern("iptal").search("SİPARİŞ İPTAL")


def test_find_returns_group_or_match():
    assert compile_pattern(r"№\s*(\d+)").find("заказ № 42, спасибо") == "42"
    assert compile_pattern(r"\b[а-я]+\b").find("42 да нет") == "да"
    assert compile_pattern(r"x(y)?").find("x") is None
    assert compile_pattern("z").find("x") is None


def test_fullmatch_wants_the_whole_text():
    pattern = compile_pattern(r"\bстоп\b")
    assert pattern.fullmatch("стоп")
    assert not pattern.fullmatch("стоп!")
    assert not pattern.fullmatch(" стоп")


def test_text_beyond_cap_is_unseen():
    long = "a" * MAX_INPUT + "!"
    assert not compile_pattern("!").search(long)
    assert not compile_pattern("^a*$").search(long)  # the cut is not the end
    assert not compile_pattern("a*").fullmatch(long)
    assert compile_pattern("a+.*").find(long) == "a" * MAX_INPUT


@pytest.mark.parametrize("text", ["\ud800", "a\ud83d", "\ue000", "\x00", "\uffff", ""])
def test_strange_text_raises_nothing(text):
    for pattern in (r"\bstop\b", r"^.*$", r"\w"):
        compile_pattern(pattern).search(text)


HEAVY = [
    r".*a.{900}b$",  # many states: RE2 falls back to its slower machine
    r"(?s).*a(a|b){900}c",
    r"(?i)(b.{1,300}){3}c",
    r"\b.*ş.{90}\b.{90}\bb$",
    r"(\w{1,20} ){1,9}x",
]


@pytest.mark.parametrize("text", HEAVY)
def test_heavy_pattern_is_bounded(text):
    started = time.thread_time()
    pattern = _compiled(text)
    if pattern is not None:
        pattern.search("ab" * 2048)
        pattern.search("şa b" * 1024)
    assert time.thread_time() - started < 0.25


ATOMS = st.sampled_from(
    ["a", "ş", "я", "i", ".", r"\w", r"\W", r"\s", r"\d", "[aя]", "[^a]", "[a-z]", r"\.", " ", "(?:a|я)"]
)
REPEATED = st.builds(lambda atom, sign: atom + sign, ATOMS, st.sampled_from("*+?"))
#: Not more than three edges: more than three in one place are not told apart.
PATTERNS = (
    st.lists(ATOMS | REPEATED | st.just(r"\b"), max_size=6).filter(lambda parts: parts.count(r"\b") <= 3).map("".join)
)


@settings(max_examples=400)
@given(PATTERNS, st.text(alphabet="aşяi 1.Z\n", max_size=12))
def test_search_agrees_with_python(text, subject):
    assert compile_pattern(text).search(subject) == (re.search(text, subject) is not None)


@settings(max_examples=400)
@given(PATTERNS, st.text(alphabet="aşя 1.\n", max_size=12))
def test_found_text_agrees_with_python(text, subject):
    expected = re.search(text, subject)
    assume(expected is None or expected.group())
    assert compile_pattern(text).find(subject) == (expected.group() if expected else None)


@settings(max_examples=500)
@given(st.text(alphabet=st.sampled_from("ab\\[](){}?*+|^$.-,<>=!:#iPQEux0129 şİ"), max_size=14), st.text(max_size=8))
def test_any_pattern_answers_or_is_refused(text, subject):
    pattern = _compiled(text)
    if pattern is not None:
        pattern.search(subject)
        pattern.fullmatch(subject)
        pattern.find(subject)
