"""The ready-made rules: texts to start from, each a whole rule with its title in three languages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import NotFound
from rules.rule import read_yaml

FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One ready-made rule."""

    name: str
    #: As it is published, comments included.
    text: str
    document: Mapping[str, Any]

    def title(self, language: str = "en") -> str:
        """Return the title in a language, else in English."""
        title = self.document["title"]
        return title.get(language) or title["en"]

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


def _read(text: str) -> Recipe:
    document = read_yaml(text)
    return Recipe(name=document["rule"], text=text, document=document)
