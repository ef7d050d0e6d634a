"""Every text of the UI in all languages, with the same placeholders."""

import re
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir

from web.texts import LANGUAGES, SOURCE, read_catalog

WEB = Path(__file__).parents[2] / "web"
KEYWORDS = {"_": None, "ngettext": (1, 2), "say": None, "say_many": (1, 2), "mark": None}
METHODS = [("**.py", "python"), ("templates/**.html", "jinja2")]
_PLACEHOLDER = re.compile(r"%\(\w+\)s")
OTHERS = [language for language in LANGUAGES if language != SOURCE]


def _messages() -> dict[str, str]:
    """Return each message (its first form) and where it stands."""
    found: dict[str, str] = {}
    for name, line, message, _, _ in extract_from_dir(WEB, METHODS, keywords=KEYWORDS):
        first = message[0] if isinstance(message, tuple) else message
        if first:
            found.setdefault(first, f"{name}:{line}")
    return found


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_translated(language: str):
    catalog = read_catalog(language)
    missing = {}
    for text, place in _messages().items():
        message = catalog.get(text)
        forms = message.string if message else ""
        whole = all(forms) if isinstance(forms, (tuple, list)) else bool(forms)
        if not whole:
            missing[text] = place
    assert not missing, f"{len(missing)} texts have no {language} translation; add them to web/translations/{language}/"


@pytest.mark.parametrize("language", OTHERS)
def test_placeholders_are_the_same(language: str):
    for message in read_catalog(language):
        if not message.id:
            continue
        source = message.id if isinstance(message.id, (tuple, list)) else (message.id,)
        wanted = set(_PLACEHOLDER.findall(source[-1]))
        forms = message.string if isinstance(message.string, (tuple, list)) else (message.string,)
        for form in forms:
            named = set(_PLACEHOLDER.findall(form or ""))
            # Forms for one thing may leave the number out.
            assert named <= wanted
            assert wanted - named <= {"%(num)s"}, message.id


@pytest.mark.parametrize("language", OTHERS)
def test_no_translation_is_left_over(language: str):
    known = _messages()
    left = [message.id for message in read_catalog(language) if message.id and _first(message.id) not in known]
    assert not left


def _first(text: str | tuple[str, ...] | list[str]) -> str:
    return text if isinstance(text, str) else text[0]
