"""What things are called in the reader's language: events, fields, facts and actions, from what plugins say of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rules.engine import Engine

_DEEPEST = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of an event's data, as pickers show it."""

    #: Dotted: order.items.category
    path: str
    #: Labels from the outside in: Order, Items, Category.
    labels: tuple[str, ...]
    schema: Mapping[str, Any]
    #: It stands inside a list.
    listed: bool

    @property
    def label(self) -> str:
        return self.labels[-1]


def title_in(titles: Any, language: str, default: str) -> str:
    """Return the title in a language, in English, or the default; a plain text is a title in every language."""
    if isinstance(titles, str):
        return titles or default
    if not isinstance(titles, Mapping):
        return default
    return str(titles.get(language) or titles.get("en") or next(iter(titles.values()), default) or default)


def label_of(schema: Any, name: str, language: str) -> str:
    """Return what a property's schema calls it, or its name as words."""
    if not isinstance(schema, Mapping):
        return plain_words(name)
    return title_in(schema.get("x-title"), language, str(schema.get("title") or plain_words(name)))


def plain_words(name: str) -> str:
    """Return a technical name as words: paid_total is Paid total."""
    text = name.replace("_", " ").replace("-", " ").strip()
    return text[:1].upper() + text[1:]


def fields_of(schema: Mapping[str, Any], language: str) -> list[Field]:
    """Return every field of an event's data, in the order of its schema; objects and lists before what they hold."""
    return list(_walk(schema, (), (), language=language, listed=False))


def _walk(
    schema: Any, path: tuple[str, ...], labels: tuple[str, ...], *, language: str, listed: bool
) -> Iterator[Field]:
    if not isinstance(schema, Mapping) or len(path) > _DEEPEST:
        return
    items = schema.get("items")
    inner = items if isinstance(items, Mapping) else schema
    inside = listed or inner is not schema
    for name, part in (inner.get("properties") or {}).items():
        here, called = (*path, name), (*labels, label_of(part, name, language))
        yield Field(path=".".join(here), labels=called, schema=part, listed=inside)
        yield from _walk(part, here, called, language=language, listed=inside)


class Labels:
    """The labels of one engine in one language; a name nobody explains stands for itself."""

    def __init__(self, engine: "Engine", language: str) -> None:
        self._engine = engine
        self.language = language
        self._fields: dict[str, dict[str, Field]] = {}

    def event(self, name: str) -> str:
        kind = self._engine.host.catalogue.find(name)
        return title_in(kind.title, self.language, name) if kind else name

    def action(self, name: str) -> str:
        action = self._engine.host.find_action(name)
        return title_in(action.title, self.language, name) if action else name

    def fact(self, name: str) -> str:
        fact = self._engine.host.facts.get(name)
        return title_in(fact.title, self.language, name) if fact else name

    def field(self, event_type: str | None, path: str) -> str:
        """Return "Order › Total" for order.total; the last two labels are enough to know it by."""
        found = self._of_type(event_type).get(path) if event_type else None
        if found is None:
            return " › ".join(plain_words(part) for part in path.split(".")[-2:])
        return " › ".join(found.labels[-2:])

    def _of_type(self, event_type: str) -> Mapping[str, Field]:
        if event_type not in self._fields:
            kind = self._engine.host.catalogue.find(event_type)
            found = fields_of(kind.schema, self.language) if kind else []
            self._fields[event_type] = {field.path: field for field in found}
        return self._fields[event_type]
