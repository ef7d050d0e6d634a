"""Recipes as a shop sees them: listed with what they need, tried on its events, made into drafts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from demo_shops import demo_shop, play_past
from stage import Stage

from core.errors import Conflict, InvalidInput, NotFound
from rules.engine import Engine
from rules.recipe_needs import find_needs
from rules.recipes import describe, find_offered, offered, try_recipe, use_recipe
from rules.rule import read_yaml
from rules.store import get_rule, list_rules


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with demo_shop(tmp_path_factory.mktemp("demo"), days=3) as shop:
        play_past(shop)
        yield shop.engine


def told(engine: Engine, name: str, language: str = "en") -> dict[str, Any]:
    with engine.db.read() as conn:
        return describe(engine, conn, find_offered(engine, name), language=language)


def use(engine: Engine, name: str, new: str | None = None) -> str:
    recipe, now = find_offered(engine, name), engine.clock.now()
    return engine.writer.do(lambda tx: use_recipe(tx, recipe, new, actor="ann", now=now))


def test_recipes_of_the_engine_and_of_plugins_are_offered(engine: Engine):
    names = [recipe.name for recipe in offered(engine)]
    assert {"thank-you", "tell-the-team"} <= set(names)
    assert len(names) == len(set(names))
    assert find_offered(engine, "tell-the-team").plugin == "demo"
    assert find_offered(engine, "thank-you").plugin == "engine"


def test_recipes_of_a_plugin_that_is_off_are_not_offered(stage: Stage):
    with pytest.raises(NotFound, match="no recipe 'tell-the-team'"):
        find_offered(stage.engine, "tell-the-team")


def test_offer_tells_what_it_needs_and_who_brings_it(engine: Engine):
    found = told(engine, "tell-the-team")
    assert [(need["kind"], need["name"], need["plugin"]) for need in found["needs"]] == [
        ("event", "order.paid", "shop"),
        ("action", "demo.notify_chat", "demo"),
    ]
    assert (found["missing"], found["usable"], found["used"]) == ([], True, True)
    assert told(engine, "thank-you", "tr")["title"] == "Sipariş için teşekkür"


# document, what is missing
NEEDS = [
    ("when: {event: order.paid}\nthen: [{do: tasks.create, with: {title: x}}]", []),
    (
        "when: {event: [order.paid, letters.bounced]}\nthen: [{stop: true}]",
        ["the event letters.bounced: no plugin that is on brings it"],
    ),
    (
        "when: {event: order.paid}\nthen: [{do: files.export_all}]",
        ["the action files.export_all: switch on the plugin files"],
    ),
    (
        "when: {event: order.paid}\nif: {any: [{fact: moon.phase, is: equal, value: full}]}\nthen: [{stop: true}]",
        ["the fact moon.phase: no plugin that is on brings it"],
    ),
    (
        "when: {event: order.paid}\nif: {field: a, is: tastes_of, value: b}\nthen: [{stop: true}]",
        ["the operator tastes_of: no plugin that is on brings it"],
    ),
    (
        "when: {date: customer.fields.until}\nthen: [{do: orders.add_tag, with: {tag: '{{ order.fields.lot.code }}'}}]",
        [
            "no customer has the field customer.fields.until yet: fill it in",
            "no order has the field order.fields.lot.code yet: fill it in",
        ],
    ),
    ("when: {event: order.paid}\nthen: [{run: other}]", ["there is no rule other yet: make it first"]),
    (
        "when: {absence: order.lost, for: 1 day}\nthen: [{wait: {event: order.found, timeout: 1 day}}]",
        [
            "the event order.lost: no plugin that is on brings it",
            "the event order.found: no plugin that is on brings it",
        ],
    ),
    ("when: {event: order.paid}\nthen: [{do: tasks.create, with: {is: odd, do: nothing.at_all, title: x}}]", []),
    ("when: {event: order.paid}\nthen: [{wait: soon}]", ["this engine does not take it: "]),
]


@pytest.mark.parametrize(("body", "missing"), NEEDS)
def test_what_is_missing_is_told_with_what_to_do(stage: Stage, body: str, missing: list[str]):
    stage.engine.host.disable("files", actor="ann")
    document = read_yaml(f"rule: r\n{body}\n")
    with stage.read() as conn:
        found = [need.missing for need in find_needs(stage.engine, conn, document) if need.missing]
    assert len(found) == len(missing)
    assert all(one.startswith(words) for one, words in zip(found, missing, strict=True))


def test_field_that_some_record_has_is_there(stage: Stage):
    document = read_yaml("rule: r\nwhen: {date: customer.fields.until}\nthen: [{stop: true}]\n")
    now = stage.clock.now()
    wanted = {"external_id": "ann", "fields": {"until": "2026-03-03"}}
    stage.do(lambda tx: stage.engine.shop_of(tx, None, now, "test").upsert_customer(wanted))
    with stage.read() as conn:
        assert [need.missing for need in find_needs(stage.engine, conn, document)] == [None]


def test_used_recipe_is_a_draft_that_does_nothing_yet(stage: Stage):
    assert use(stage.engine, "thank-you") == "thank-you"
    with stage.read() as conn:
        row = get_rule(conn, "thank-you")
        assert (row.state, row.version, row.draft) == ("off", None, find_offered(stage.engine, "thank-you").text)
        assert describe(stage.engine, conn, find_offered(stage.engine, "thank-you"))["used"] is True
    with pytest.raises(Conflict, match="there is a rule 'thank-you' already"):
        use(stage.engine, "thank-you")
    stage.engine.publish(row.draft, actor="ann", state="on")


def test_every_recipe_can_take_another_name(engine: Engine):
    for number, recipe in enumerate(offered(engine)):
        name = use(engine, recipe.name, f"mine-{number}")
        with engine.db.read() as conn:
            draft = get_rule(conn, name).draft
        assert read_yaml(draft) == {**recipe.document, "rule": name}
        assert draft.count("#") == recipe.text.count("#")  # comments are kept


@pytest.mark.parametrize("name", ["", "Thank You", "../x", "x" * 81, "-x"])
def test_name_that_no_rule_may_have_is_refused(stage: Stage, name: str):
    with pytest.raises(InvalidInput, match="is no name"):
        use(stage.engine, "thank-you", name)
    with stage.read() as conn:
        assert list_rules(conn) == []


def test_recipe_is_tried_on_the_shops_own_events(engine: Engine):
    before = engine.db
    result = try_recipe(engine, find_offered(engine, "thank-you"), last=20)
    assert result["events"] > 0
    assert sum(result["counts"].values()) == result["events"]
    assert before is engine.db


def test_bad_text_of_a_plugin_leaves_the_others(stage: Stage, logs: list[Any]):
    brought = stage.engine.host.get_on("stage")
    brought.recipes.extend(
        ["rule: [", "when: {event: a.b}\n", "rule: good\nwhen: {event: a.b}\nthen: [{stop: true}]\n"]
    )
    try:
        names = [recipe.name for recipe in offered(stage.engine)]
        assert "good" in names
        assert find_offered(stage.engine, "good").title() == "good"
    finally:
        brought.recipes.clear()
    assert [entry["plugin"] for entry in logs if entry["event"] == "a recipe cannot be read"] == ["stage"] * 4


def test_recipe_of_the_engine_is_not_replaced_by_a_plugin(stage: Stage):
    brought = stage.engine.host.get_on("stage")
    brought.recipes.append("rule: thank-you\nwhen: {event: a.b}\nthen: [{stop: true}]\n")
    try:
        assert find_offered(stage.engine, "thank-you").plugin == "engine"
    finally:
        brought.recipes.clear()


def test_folder_of_recipes_is_found_wherever_we_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stage: Stage):
    monkeypatch.chdir(tmp_path)
    assert offered(stage.engine)
