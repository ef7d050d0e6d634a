"""Rules as YAML texts: written from documents, many in one file, and the difference between two."""

import difflib
import io
import re
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML

from core.errors import RuleError
from core.jsontext import find_plain_flaw
from rules.rule import read_yaml

_MARK = re.compile(r"^---(?:[ \t].*)?$", re.MULTILINE)
#: Rules in one file.
_MOST = 1_000


def to_yaml(document: Mapping[str, Any]) -> str:
    """Return the YAML text of a document; reading it gives the same document."""
    text = _write(document, allow_unicode=True)
    # Unusual line ends (NEL) would be read back as blanks: such texts are written with escapes.
    return text if "\x85" not in text and read_yaml(text) == document else _write(document, allow_unicode=False)


def _write(document: Mapping[str, Any], *, allow_unicode: bool) -> str:
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.allow_unicode = allow_unicode
    writer.width = 4096
    # The order in which it was written, not that of the alphabet.
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    out = io.StringIO()
    writer.dump(dict(document), out)
    return out.getvalue()


def read_rule_text(text: str) -> dict[str, Any]:
    """Return the document of a YAML text that can be stored: plain data, with a name; raise RuleError."""
    document = read_yaml(text)
    flaw = find_plain_flaw(document)
    if flaw is not None:
        raise RuleError(flaw.path, str(flaw))
    if "\\" in text:  # NUL can only come as an escape
        _refuse_nul(document, "")
    return document


def split_documents(text: str) -> list[str]:
    """Return the texts of a file with many rules, comments kept; `---` alone in a line stands between them."""
    parts = [part.strip("\n") + "\n" for part in _MARK.split(text)]
    found = [part for part in parts if any(line.strip() and not line.startswith("#") for line in part.splitlines())]
    if len(found) > _MOST:
        raise RuleError("", f"the text holds {len(found)} rules, at most {_MOST} are taken at once; split it")
    return found


def join_documents(texts: list[str]) -> str:
    """Return one file with all these texts."""
    return "---\n".join(text if text.endswith("\n") else f"{text}\n" for text in texts)


def unified_diff(before: str, after: str, *, names: tuple[str, str]) -> str:
    """Return the difference between two texts as a unified diff; empty where there is none."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="")
    return "".join(f"{line}\n" for line in lines)


def _refuse_nul(value: Any, path: str) -> None:
    if isinstance(value, str) and "\0" in value:
        raise RuleError(path, "holds the character NUL, which databases cannot keep; remove it")
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_nul(key, path)
            _refuse_nul(item, f"{path}.{key}" if path else key)
    if isinstance(value, list):
        for number, item in enumerate(value):
            _refuse_nul(item, f"{path}[{number}]")
