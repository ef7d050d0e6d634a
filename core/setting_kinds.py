"""What a setting's value may be: each kind reads raw text (or a TOML value) and says in words what it allows."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.core import get_global
from phonenumbers import SUPPORTED_REGIONS


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One sort of value; `read` raises ValueError for what is not allowed."""

    #: What is allowed, to stand after "allowed is".
    words: str
    read: Callable[[Any], Any]
    is_flag: bool = False
    is_path: bool = False
    is_list: bool = False


def _text(raw: Any) -> str:
    if not isinstance(raw, str) or not raw.strip() or not raw.isprintable():
        raise ValueError
    return raw.strip()


TEXT = Kind(words="a text in one line", read=_text)
PATH = Kind(words="the path of a file or folder", read=lambda raw: Path(_text(str(raw))).expanduser(), is_path=True)

_FLAGS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _flag(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    if not isinstance(raw, str) or raw.strip().lower() not in _FLAGS:
        raise ValueError
    return _FLAGS[raw.strip().lower()]


FLAG = Kind(words="true or false", read=_flag, is_flag=True)


def number(least: int, most: int) -> Kind:
    """Allow whole numbers from `least` to `most`."""

    def read(raw: Any) -> int:
        if isinstance(raw, str) and re.fullmatch(r"[0-9]{1,12}", raw.strip()):
            raw = int(raw)
        if not isinstance(raw, int) or isinstance(raw, bool) or not least <= raw <= most:
            raise ValueError
        return raw

    return Kind(words=f"a whole number from {least} to {most}", read=read)


def choice(*names: str) -> Kind:
    """Allow one of some words."""

    def read(raw: Any) -> str:
        value = _text(raw).lower()
        if value not in names:
            raise ValueError
        return value

    return Kind(words=f"{', '.join(names[:-1])} or {names[-1]}", read=read)


def url(*schemes: str, bare: bool = False) -> Kind:
    """Allow addresses with one of the schemes; `bare` ones end before the query."""

    def read(raw: Any) -> str:
        value = _text(raw)
        parts = urlsplit(value)
        if parts.scheme.partition("+")[0] not in schemes or "://" not in value:
            raise ValueError
        if bare and (not parts.hostname or parts.query or parts.fragment or parts.username):
            raise ValueError
        return value.rstrip("/") if bare else value

    return Kind(words=f"an address that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}", read=read)


def list_of(item: Callable[[str], str], words: str) -> Kind:
    """Allow a list; as text its items stand between commas."""

    def read(raw: Any) -> tuple[str, ...]:
        parts = raw.split(",") if isinstance(raw, str) else raw
        if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
            raise ValueError
        return tuple(dict.fromkeys(item(part.strip()) for part in parts if part.strip()))

    return Kind(words=words, read=read, is_list=True)


def _zone(raw: Any) -> str:
    try:
        return ZoneInfo(_text(raw)).key
    except (ZoneInfoNotFoundError, OSError) as exc:  # OSError: the name of a folder, such as "Europe"
        raise ValueError from exc


@cache
def _currencies() -> frozenset[str]:
    return frozenset(get_global("all_currencies"))


def _currency(raw: Any) -> str:
    code = _text(raw).upper()
    if code not in _currencies():
        raise ValueError
    return code


def _region(raw: Any) -> str:
    if raw == "":
        return ""
    code = _text(raw).upper()
    if code not in SUPPORTED_REGIONS:
        raise ValueError
    return code


ZONE = Kind(words="a time zone such as Europe/Istanbul", read=_zone)
CURRENCY = Kind(words="an ISO 4217 code such as EUR or TRY", read=_currency)
REGION = Kind(words="a country's two letters such as TR, or empty", read=_region)


def _host_and_port(text: str) -> str:
    parts = urlsplit(f"//{text}")
    if not parts.hostname or not parts.port or parts.path or parts.query or parts.username or not text.isprintable():
        raise ValueError
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{parts.port}"


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text))


def _word(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", text):
        raise ValueError
    return text


HOSTS = list_of(_host_and_port, "a list of host:port such as 127.0.0.1:8025")
NETWORKS = list_of(_network, "a list of networks such as 10.0.0.0/8")
NAMES = list_of(_word, "a list of names such as mail, files")
