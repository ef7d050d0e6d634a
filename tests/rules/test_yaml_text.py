"""Rules as texts: what is written reads back equal, whatever characters it holds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_files import vectors

from core.errors import RuleError
from rules.yaml_text import join_documents, read_rule_text, split_documents, to_yaml, unified_diff

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=30)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.floats(-1e9, 1e9) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300)
@given(st.dictionaries(TEXT, VALUE, max_size=5))
def test_written_document_reads_back_equal(document):
    assert read_rule_text(to_yaml(document)) == document


def test_order_of_fields_is_kept():
    document = {"rule": "z", "when": {"event": "b"}, "if": [], "a": 1}
    assert list(read_rule_text(to_yaml(document))) == list(document)


def test_odd_texts_read_back_or_are_refused():
    for row in vectors("naughty_strings")["rows"]:
        text = row["value"] if "value" in row else row["repeat"][0] * min(row["repeat"][1], 10_000)
        document = {"rule": "a", "title": text, "list": [{"x": text}]}
        try:
            back = read_rule_text(to_yaml(document))
        except RuleError:
            assert "\0" in text or any(0xD800 <= ord(letter) < 0xE000 for letter in text), row["id"]
            continue
        assert back == document, row["id"]


@pytest.mark.parametrize(
    "text",
    [
        'rule: a\ntitle: "\\0"',
        'rule: a\ntitle: "\\x00"',
        'rule: a\ntitle: "\\u0000"',
        'rule: a\ntitle: "\\ud800"',
        "rule: a\nn: 123456789012345678901234567890",
        "rule: a\nn: .nan",
        "rule: a\nn: .inf",
        "- rule",
        "rule: [",
        "a: &x 1\nb: *x",
        "rule: !!python/object/apply:os.system [id]",
    ],
)
def test_what_cannot_be_stored_is_refused(text):
    with pytest.raises(RuleError):
        read_rule_text(text)


def test_file_of_rules_splits_and_joins():
    texts = ["# one\nrule: a\nabout: |\n  ---x\n  --- not a mark\n", "rule: b\n"]
    assert split_documents(join_documents(texts)) == texts
    assert split_documents("---\nrule: a\n---\n# only a comment\n---   \nrule: b") == ["rule: a\n", "rule: b\n"]
    with pytest.raises(RuleError, match="at most 1000"):
        split_documents("---\nrule: a\n" * 1001)


def test_difference_names_both_sides():
    diff = unified_diff("a\nb\n", "a\nc\n", names=("x 1", "x 2"))
    assert diff.splitlines() == ["--- x 1", "+++ x 2", "@@ -1,2 +1,2 @@", " a", "-b", "+c"]
    assert unified_diff("a", "a", names=("1", "2")) == ""
