"""Recipes from the command line."""

from command_line import CommandLine


def test_recipes_are_listed_with_what_they_need(shop: CommandLine):
    found = {row["name"]: row for row in shop.json("rules", "recipes")}
    row = found["thank-you"]
    assert (row["title"], row["plugin"], row["usable"], row["missing"]) == (
        "Thank you for the order",
        "engine",
        True,
        [],
    )
    assert {"event", "action"} <= {need["kind"] for need in row["needs"]}
    words = shop("rules", "recipes").out
    assert words.splitlines()[0].split() == ["NAME", "TITLE", "PLUGIN", "USABLE", "NEEDS", "MISSING"]
    assert "thank-you" in words


def test_titles_come_in_the_language_of_the_shop(shop: CommandLine):
    found = {row["name"]: row for row in shop.json("rules", "recipes", "--language", "tr")}
    assert found["thank-you"]["title"] == "Sipariş için teşekkür"


def test_used_recipe_becomes_a_draft(shop: CommandLine):
    assert shop.json("rules", "recipes", "use", "thank-you", "--dry-run", code=6)["rule"] == "thank-you"
    assert shop.json("rules", "list") == []
    told = shop.json("rules", "recipes", "use", "thank-you", "--as", "thanks-in-may")
    assert told == {"rule": "thanks-in-may", "recipe": "thank-you", "result": "created", "missing": []}
    (row,) = shop.json("rules", "list")
    assert (row["name"], row["state"], row["draft"]) == ("thanks-in-may", "off", True)
    assert shop("rules", "show", "thanks-in-may").out.startswith("rule: thanks-in-may\n")
    assert shop("rules", "recipes", "use", "thank-you", "--as", "thanks-in-may").code == 5
    assert shop("rules", "recipes", "use", "nothing").code == 3
    assert shop("rules", "recipes", "use", "thank-you", "--as", "No Name").code == 2


def test_used_recipe_can_be_tried_and_published(shop: CommandLine, tmp_path):
    shop("rules", "recipes", "use", "thank-you")
    assert shop.json("rules", "test", "thank-you")["events"] == 0
    assert shop("rules", "export", str(tmp_path)).code == 0
    assert shop.json("rules", "publish", str(tmp_path / "thank-you.yaml"), "--state", "on")[0]["state"] == "on"
