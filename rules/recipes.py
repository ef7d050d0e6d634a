"""The ready-made rules: texts to start from, each a whole rule with its title in three languages."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import Connection

from core.errors import Conflict, InvalidInput, NotFound, RuleError
from core.writer import Tx
from rules.recipe_needs import find_needs
from rules.rule import read_yaml, rule_schema
from rules.simulate import simulate
from rules.store import find_rule, save_draft

if TYPE_CHECKING:
    from rules.engine import Engine

log = structlog.get_logger("vitrin.recipes")

FOLDER = Path(__file__).parent / "recipes"
#: Whose the engine's own recipes are.
ENGINE = "engine"
_NAME = re.compile(rule_schema()["properties"]["rule"]["pattern"])
_NAME_LINE = re.compile(r"^rule:[^\n#]*?(?=\s*(?:#[^\n]*)?$)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One ready-made rule."""

    name: str
    #: As it is published, comments included.
    text: str
    document: Mapping[str, Any]
    #: The plugin that brought it.
    plugin: str = ENGINE

    def title(self, language: str = "en") -> str:
        """Return the title in a language, else in English."""
        title = self.document.get("title") or self.name
        if isinstance(title, str):
            return title
        return title.get(language) or title.get("en") or next(iter(title.values()))

    @property
    def about(self) -> str:
        return self.document.get("about", "")

    @property
    def area(self) -> str:
        return self.document.get("area", "")


def list_recipes(brought: Iterable[str] = ()) -> list[Recipe]:
    """Return the engine's own recipes and those that plugins brought (YAML texts), by area and name."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.yaml"))]
    found = [_read(text) for text in (*texts, *brought)]
    return sorted(found, key=lambda recipe: (recipe.area, recipe.name))


def get_recipe(name: str, brought: Iterable[str] = ()) -> Recipe:
    """Return the recipe of this name; raise NotFound."""
    for recipe in list_recipes(brought):
        if recipe.name == name:
            return recipe
    raise NotFound(f"no recipe {name!r}")


def _read(text: str, plugin: str = ENGINE) -> Recipe:
    document = read_yaml(text)
    name = document.get("rule")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise RuleError("rule", "needs a name of small letters, digits and dashes, 80 at most")
    return Recipe(name=name, text=text, document=document, plugin=plugin)


# Offering them in a shop


def offered(engine: "Engine") -> list[Recipe]:
    """Return the recipes of the engine and of every plugin that is on, by area and name; the first of a name counts."""
    found = {recipe.name: recipe for recipe in list_recipes()}
    for recipe in _brought(engine):
        found.setdefault(recipe.name, recipe)
    return sorted(found.values(), key=lambda recipe: (recipe.area, recipe.name))


def _brought(engine: "Engine") -> Iterator[Recipe]:
    for plugin in engine.host:
        for text in plugin.brought.recipes if plugin.brought is not None else ():
            try:
                yield _read(text, plugin.name)
            except RuleError as exc:
                # One bad text of a plugin must not take the others from the gallery.
                log.warning("a recipe cannot be read", plugin=plugin.name, reason=str(exc))


def find_offered(engine: "Engine", name: str) -> Recipe:
    """Return an offered recipe; raise NotFound."""
    for recipe in offered(engine):
        if recipe.name == name:
            return recipe
    raise NotFound(f"no recipe {name!r}: './vitrin rules recipes' lists them; one of a plugin needs that plugin on")


def describe(engine: "Engine", conn: Connection, recipe: Recipe, *, language: str = "en") -> dict[str, Any]:
    """Return what a gallery shows of a recipe: what it is, what it needs, what of that is missing here."""
    needs = find_needs(engine, conn, recipe.document)
    missing = [need.missing for need in needs if need.missing]
    return {
        "name": recipe.name,
        "title": recipe.title(language),
        "about": recipe.about,
        "area": recipe.area,
        "plugin": recipe.plugin,
        "needs": [asdict(need) for need in needs],
        "missing": missing,
        "usable": not missing,
        "used": find_rule(conn, recipe.name) is not None,
    }


def use_recipe(tx: Tx, recipe: Recipe, name: str | None, *, actor: str, now: datetime) -> str:
    """Make a draft of the recipe, under its own or another name, comments kept; raise Conflict where the name is taken.

    What is missing keeps nobody from a draft: it is told, and publishing checks again.
    """
    name = recipe.name if name is None else name
    if not _NAME.fullmatch(name):
        raise InvalidInput("as", f"{name!r} is no name: use small letters, digits and dashes, 80 at most")
    if find_rule(tx.conn, name) is not None:
        raise Conflict(f"there is a rule {name!r} already: give the new one another name")
    save_draft(tx, name, renamed(recipe, name), actor=actor, now=now)
    return name


def renamed(recipe: Recipe, name: str) -> str:
    """Return the recipe's text as the text of a rule of that name."""
    text = _NAME_LINE.sub(f"rule: {name}", recipe.text, count=1)
    if read_yaml(text) != {**recipe.document, "rule": name}:
        raise RuleError(
            "rule", f"the recipe {recipe.name} does not begin a line with its name, so it cannot be renamed"
        )
    return text


def try_recipe(engine: "Engine", recipe: Recipe, *, last: int = 50) -> dict[str, Any]:
    """Return what the recipe would have done on this shop's last events; nothing is written or sent."""
    return simulate(engine, recipe.document, last=last)
