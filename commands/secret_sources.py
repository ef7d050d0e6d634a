"""Where secrets and settings come from: the environment, a file, stdin; never a flag, which all may read."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core.errors import InvalidInput, UserError
from core.jsontext import loads


def read_document(source: str | None) -> dict[str, Any]:
    """Return the JSON object of a file or of stdin (-); empty without a source."""
    if source is None:
        return {}
    document = loads(_read(source).encode(), path=source)
    if not isinstance(document, dict):
        raise InvalidInput(source, "must hold a JSON object with settings")
    return document


def read_secrets(given: Iterable[str], names: frozenset[str]) -> dict[str, str]:
    """Return the secrets of `NAME=FROM` words; raise InvalidInput for a name that is no secret or a bare value."""
    found: dict[str, str] = {}
    for word in given:
        name, _, source = word.partition("=")
        if name not in names:
            raise InvalidInput(f"secret.{name}", f"is not a secret of this plugin; secrets are {_listed(names)}")
        found[name] = _secret(name, source)
    return found


def _secret(name: str, source: str) -> str:
    kind, _, rest = source.partition(":")
    if source == "-":
        return sys.stdin.read().rstrip("\r\n")
    if kind == "env":
        value = os.environ.get(rest)
        if not value:
            raise InvalidInput(f"secret.{name}", f"the environment has no {rest}")
        return value
    if kind == "file":
        return _read(rest).rstrip("\r\n")
    raise InvalidInput(
        f"secret.{name}", "must be env:VARIABLE, file:PATH or -, because others can read the command line"
    )


def _read(source: str) -> str:
    try:
        return sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise UserError(f"{source} cannot be read: {exc}") from exc


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"
