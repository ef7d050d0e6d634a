"""The words of the UI in the visitor's language: gettext files, one for each page, joined at first need."""

import io
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

FOLDER = Path(__file__).parent / "translations"
#: English stands in the templates and in the code.
SOURCE = "en"
LANGUAGES = (SOURCE, "tr", "ru")
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
NATIVE = {"en": "English", "tr": "Türkçe", "ru": "Русский"}


@cache
def read_catalog(language: str) -> Catalog:
    """Return all messages of a language; a page's file that says one thing twice differently is refused."""
    whole = Catalog(locale=language)
    for path in sorted((FOLDER / language).glob("*.po")):
        with path.open("rb") as file:
            part = read_po(file, locale=language, abort_invalid=True)
        for message in part:
            if not message.id:
                continue
            known = whole.get(message.id, message.context)
            if known is not None and known.string != message.string:
                raise ValueError(f"{path.name} ({language}): {message.id!r} has another translation in another file")
            whole.add(message.id, message.string, context=message.context, locations=[(path.name, 0)])
    return whole


@cache
def translations(language: str) -> Translations:
    """Return what gettext looks messages up in; for English every message is its own translation."""
    if language == SOURCE:
        return Translations()
    buffer = io.BytesIO()
    write_mo(buffer, read_catalog(language))
    buffer.seek(0)
    return Translations(buffer)


def mark(message: str) -> str:
    """Mark a message that is kept in a table for translation where it is shown."""
    return message


def gettext(language: str, message: str, **given: object) -> str:
    """Return a message in a language, its %(name)s filled in."""
    return _fill(translations(language).ugettext(message), given)


def ngettext(language: str, one: str, many: str, number: int, **given: object) -> str:
    """Return the form for a number, which stands in it as %(num)s."""
    return _fill(translations(language).ungettext(one, many, number), {"num": number, **given})


def _fill(text: str, given: Mapping[str, object]) -> str:
    return _PLACEHOLDER.sub(lambda match: str(given.get(match[1], match[0])), text)
