"""The ready-made rules are whole: they read, they check clean in the demo shop, and they speak three languages."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_shops import demo_shop

from core.errors import NotFound
from rules.check import check_rule
from rules.engine import Engine
from rules.recipes import FOLDER, Recipe, get_recipe, list_recipes
from rules.rule import compile_rule
from rules.steps import Do, templates_in

OURS = list_recipes()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with demo_shop(tmp_path_factory.mktemp("demo")) as shop:
        yield shop.engine


def test_recipes_are_listed_by_area():
    assert len(OURS) == len(list(FOLDER.glob("*.yaml"))) >= 8
    assert [(one.area, one.name) for one in OURS] == sorted((one.area, one.name) for one in OURS)


def test_recipe_is_found_by_name():
    recipe = get_recipe("thank-you")
    assert recipe.text == (FOLDER / "thank-you.yaml").read_text(encoding="utf-8")
    assert recipe.title("tr") == "Sipariş için teşekkür"
    assert recipe.title("de") == recipe.title("en") == "Thank you for the order"


def test_unknown_recipe_is_named():
    with pytest.raises(NotFound, match="no recipe 'nothing'"):
        get_recipe("nothing")


def test_plugin_brings_recipe_of_its_own(engine: Engine):
    brought = engine.host.get_on("demo").recipes
    assert get_recipe("tell-the-team", brought).area == "Team"
    assert len(list_recipes(brought)) == len(OURS) + 1


def test_every_recipe_checks_without_error(engine: Engine):
    for recipe in list_recipes(engine.host.get_on("demo").recipes):
        errors = [found for found in check_rule(engine, recipe.document) if found["severity"] == "error"]
        assert errors == [], recipe.name


def test_bad_recipe_would_be_caught(engine: Engine):
    broken = {**get_recipe("thank-you").document, "then": [{"do": "messages.sned", "with": {"text": "x"}}]}
    assert [found["severity"] for found in check_rule(engine, broken)] == ["error"]


@pytest.mark.parametrize("recipe", OURS, ids=lambda recipe: recipe.name)
def test_recipe_is_whole(recipe: Recipe):
    assert (FOLDER / f"{recipe.name}.yaml").is_file()
    assert set(recipe.document["title"]) == {"en", "tr", "ru"}
    assert recipe.about
    assert recipe.area


@pytest.mark.parametrize("recipe", OURS, ids=lambda recipe: recipe.name)
def test_message_is_written_in_three_languages(recipe: Recipe):
    texts = [
        step.params["text"]
        for step in compile_rule(recipe.document).program
        if isinstance(step, Do) and step.action == "messages.send"
    ]
    for template in templates_in(texts):
        assert "customer.language" in template.fields


def test_files_hold_nothing_but_recipes():
    assert {path.suffix for path in Path(FOLDER).iterdir()} == {".yaml"}
