"""Edits of a draft: each a step that can be undone and redone, and nobody overwrites somebody else's."""

from pathlib import Path
from typing import Any

import pytest
from engines import make_engine, put_rule
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Conflict, RuleError
from rules.drafts import edit, find_editor, forget_steps, open_draft, redo, take_seat, undo
from rules.engine import Engine
from rules.rule import read_yaml
from rules.yaml_edit import find_at, insert_at, move_at, remove_at, set_at

RULE = """\
# what the shop wants
rule: thanks  # its name
when: {event: order.paid}
if:
  all:
    - {field: order.total, is: at_least, value: 500}  # big ones only
    - {field: customer.city, is: equal, value: "Ankara"}
then:
  # say it first
  - do: messages.send
    with: {text: "Thank you, {{ customer.name }}"}
  - wait: {for: 3 days}
  - do: tasks.create
    with: {title: Call}
"""


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    engine = make_engine(tmp_path)
    put_rule(engine, RULE.replace("messages.send", "tasks.create").replace("{text:", "{title:"), state="off")
    yield engine
    engine.close()


def _do(engine: Engine, work: Any, *given: Any, **more: Any) -> Any:
    now = engine.clock.now()
    return engine.writer.do(lambda tx: work(tx, *given, **more, actor="user:1", now=now))


def _edit(engine: Engine, text: str, expected: int, label: str = "Changed") -> int:
    return _do(engine, edit, "thanks", text, label={"text": label, "values": {}}, expected=expected)


def _draft(engine: Engine) -> Any:
    with engine.db.read() as conn:
        return open_draft(conn, "thanks")


def test_edits_are_undone_and_redone_one_by_one(engine: Engine):
    first = _draft(engine).text
    second = set_at(first, ["if", "all", 0, "value"], 700)
    number = _edit(engine, second, 0, "Total")
    third = remove_at(second, ["then", 1])
    number = _edit(engine, third, number, "Wait removed")
    assert _do(engine, undo, "thanks", expected=number)["text"] == "Wait removed"
    assert _draft(engine).text == second
    assert _do(engine, undo, "thanks", expected=number - 1)["text"] == "Total"
    shown = _draft(engine)
    assert (shown.text, shown.undo, shown.redo["text"]) == (first, None, "Total")
    with pytest.raises(Conflict):
        _do(engine, undo, "thanks", expected=shown.number)
    _do(engine, redo, "thanks", expected=shown.number)
    assert _draft(engine).text == second


def test_edit_after_undo_forgets_what_was_undone(engine: Engine):
    first = _draft(engine).text
    number = _edit(engine, set_at(first, ["owner"], "a@shop.example"), 0)
    _do(engine, undo, "thanks", expected=number)
    number = _edit(engine, set_at(first, ["owner"], "b@shop.example"), number - 1)
    assert _draft(engine).redo is None
    with pytest.raises(Conflict):
        _do(engine, redo, "thanks", expected=number)


def test_edit_of_an_old_page_is_refused(engine: Engine):
    text = _draft(engine).text
    number = _edit(engine, set_at(text, ["owner"], "a@shop.example"), 0)
    with pytest.raises(Conflict, match="somebody else"):
        _edit(engine, set_at(text, ["owner"], "b@shop.example"), 0)
    assert "a@shop.example" in _draft(engine).text
    assert _draft(engine).number == number


def test_same_text_is_no_step(engine: Engine):
    number = _edit(engine, set_at(_draft(engine).text, ["owner"], "a@shop.example"), 0)
    assert _edit(engine, _draft(engine).text, number) == number


def test_steps_are_forgotten_with_the_draft(engine: Engine):
    _edit(engine, set_at(_draft(engine).text, ["owner"], "a@shop.example"), 0)
    engine.writer.do(lambda tx: forget_steps(tx, _rule_id(engine)))
    assert (_draft(engine).number, _draft(engine).undo) == (0, None)


def test_second_editor_looks_on_until_they_take_over(engine: Engine):
    rule = _rule_id(engine)
    assert _do(engine, take_seat, rule, session="a").session == "a"
    assert _do(engine, take_seat, rule, session="b").session == "a"
    assert _do(engine, take_seat, rule, session="b", force=True).session == "b"


def test_editor_who_left_gives_the_seat_free(engine: Engine):
    rule = _rule_id(engine)
    _do(engine, take_seat, rule, session="a")
    engine.clock.advance(60)  # type: ignore[attr-defined]
    with engine.db.read() as conn:
        assert find_editor(conn, rule, engine.clock.now()) is None
    assert _do(engine, take_seat, rule, session="b").session == "b"


def _rule_id(engine: Engine) -> str:
    return _draft(engine).rule_id


def test_comments_and_quotes_stay_when_a_value_changes():
    changed = set_at(RULE, ["if", "all", 0, "value"], 700)
    assert read_yaml(changed)["if"]["all"][0]["value"] == 700
    for kept in ("# what the shop wants", "# its name", "# big ones only", "# say it first", '"Ankara"'):
        assert kept in changed


def test_group_that_becomes_empty_goes():
    text = set_at(RULE, ["limits"], {"per_hour": 5})
    assert "limits" not in read_yaml(remove_at(text, ["limits", "per_hour"]))


#: Path of a change -> why it is refused.
REFUSED = [
    (["then", 9], "beyond the end"),
    (["then", "x"], "no place"),
    (["if", "any", 0], "no such group"),
    (["rule", "name"], "inside a text"),
]


@pytest.mark.parametrize(("path", "why"), REFUSED, ids=[why for _, why in REFUSED])
def test_place_that_is_gone_is_told(path: list[Any], why: str):
    with pytest.raises(RuleError):
        remove_at(RULE, path)


def test_step_cannot_be_moved_into_itself():
    text = insert_at(RULE, ["then", "end"], {"choose": [{"if": {"all": []}, "then": []}]})
    with pytest.raises(RuleError, match="itself"):
        move_at(text, ["then", 3], ["then", 3, "choose", 0, "then", 0])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2), st.integers(0, 3))
def test_moving_keeps_every_step(source: int, target: int):
    before = read_yaml(RULE)["then"]
    after = read_yaml(move_at(RULE, ["then", source], ["then", target]))["then"] if source != target else before
    expected = [*before]
    expected.insert(target if target <= source else target - 1, expected.pop(source))
    assert after == (expected if source != target else before)


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.text(max_size=20).filter(lambda text: "\0" not in text),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abcdef_", min_size=1, max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None)
@given(_VALUES)
def test_what_was_set_is_read_back(value: Any):
    text = set_at(RULE, ["then", 0, "with", "title"], value)
    assert find_at(read_yaml(text), ["then", 0, "with", "title"]) == value


@pytest.mark.parametrize("text", ["a\x85b", "a\u2028b", "tab\tand\nline", "# no comment", "yes", "12:30", "ş ğ İ ı Ж"])
def test_odd_texts_are_read_back(text: str):
    assert read_yaml(set_at(RULE, ["about"], text))["about"] == text
