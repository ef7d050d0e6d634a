"""Hide secrets and personal data in everything that is written down: logs, error texts, the exchange log."""

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import quote, quote_plus

from core.shapes import MASK, SHAPES

#: Longer text is cut before masking, so that one line can never keep the processor busy.
LIMIT = 256 * 1024


def _vocabulary(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


#: A name with one of these words, or of two neighbours joined (`api_key`, `accessToken`), holds a secret.
SECRET_WORDS = _vocabulary(
    "password passwd pwd pass passphrase passcode secret token jwt bearer cookie auth authorization credential",
    "credentials apikey accesskey privatekey secretkey authkey signingkey encryptionkey licensekey session sessionid",
    "sid signature sign sig salt otp totp pin cvc cvc2 cvv cvv2 pan csrf xsrf authcode verifier",
    "пароль секрет токен пинкод şifre sifre parola",
)
#: ... unless the name ends with one of these, and so tells something about the secret.
HARMLESS_TAILS = _vocabulary(
    "type expires expiry expiration count limit url uri endpoint length ttl in at name field header present valid",
    "status required method policy",
)
#: Names whose whole value is personal and has no shape of its own.
PERSON_WORDS = _vocabulary(
    "address addr adres adresi адрес street улица cadde birthday birthdate dob birth firstname lastname fullname",
    "surname middlename patronymic фио фамилия отчество soyad soyadı passport паспорт pasaport snils снилс tckn",
    "kimlik cardnumber cardholder",
)
#: Names that make a bare run of digits a telephone number.
PHONE_WORDS = _vocabulary(
    "phone telephone tel mobile msisdn gsm cep telefon телефон тел",
)
#: Names that are secret only as a query parameter.
QUERY_NAMES = _vocabulary(
    "key code sig hash t k",
)

_KEY = re.compile(r"""(?<![\w.\-])([\w.\-]{1,80})((?:\\?["'])?\]?\s{0,5}(?:[:=]|%3[AaDd])\s{0,5})""")
_STRING = re.compile(r"""\\"(?:(?!\\").)*(?:\\")?|"(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?""", re.DOTALL)
_BARE = re.compile(r"""(?:(?:bearer|basic|token|oauth|apikey|negotiate)\s+)?[^\s&,;"'<>)}\]]+""", re.IGNORECASE)
_HEADER_LINE = re.compile(r"[^\r\n'\"]*")
_FREE_TEXT = re.compile(r"""[^\r\n&;|"'<>}\]]*""")
_KNOWN_SCHEME = re.compile(r"(?:bearer|basic|token|negotiate)\s+[^\s\"',;]+", re.IGNORECASE)
_LINE_SCHEME = re.compile(r"(?:digest|hawk|oauth|aws4-hmac-sha256|signature)\b[^\r\n]*", re.IGNORECASE)
_NOT_A_VALUE = frozenset({"null", "none", "true", "false", MASK.lower()})
_PHONE_VALUE = re.compile(r"""(["']?)(?:\+|%2[Bb])?\d[\d\s().\-]{4,20}\d""")
_ELEMENT = re.compile(r"<([\w:.\-]{1,80})((?:\s[^<>]{0,200})?)>[^<>]+</")
_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9.\-]{1,100}(?::\d{1,5})?(?:/[A-Za-z_.\-]{1,15}\d{0,6}|/\d{1,9})*/?")
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]*(?:PRIVATE KEY|SECRET)[A-Z0-9 ]*-----.*?(?:-----END [A-Z0-9 ]+-----|\Z)", re.DOTALL
)
# Direction marks and line separators too: they make one line look like another, or like two.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_CONTROL_IN_LINES = re.compile(_CONTROL.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))


def mask_text(text: str, secrets: Iterable[str] = (), *, one_line: bool = True) -> str:
    """Return `text` without secrets or personal data, control characters escaped; `secrets` are known values."""
    if len(text) > LIMIT:
        text = f"{text[:LIMIT]}... ({len(text)} characters)"
    for secret in secrets:
        text = _without(text, secret)
    text = _mask_named(_PEM.sub("[key]", text))
    text = _ELEMENT.sub(_mask_element, text)
    for pattern, replacement in SHAPES:
        text = pattern.sub(replacement, text)
    return (_CONTROL if one_line else _CONTROL_IN_LINES).sub(_escape, text)


def mask_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers as they may be stored: secret ones emptied, the others masked as text."""
    return {name: MASK if _is_secret(name) else mask_text(value) for name, value in headers.items()}


def mask_json(value: Any, *, depth: int = 0) -> Any:
    """Return a copy of plain data (dict, list, scalars) with secret and personal values replaced."""
    if depth > 50:
        return MASK
    if isinstance(value, Mapping):
        return {key: _mask_member(str(key), member, depth) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [mask_json(member, depth=depth + 1) for member in value]
    if isinstance(value, str):
        return mask_text(value, one_line=False)
    if isinstance(value, int) and not isinstance(value, bool) and 13 < len(str(abs(value) % 10**20)) < 20:
        return value if mask_text(str(value)) == str(value) else MASK
    return value


def mask_url(url: str, secrets: Sequence[str] = ()) -> str:
    """Return scheme, host and path of a URL: never its query or user info, long tokens of the path hidden."""
    head = re.split(r"[?#]", url, maxsplit=1)[0][:500]
    head = re.sub(r"^([A-Za-z][\w+.\-]*:(?=[/\\]))?([/\\]*)[^/\\]*@", r"\1\2", head)
    # Most addresses are a host and a few short words: they need none of the patterns.
    if not secrets and _PLAIN_URL.fullmatch(head):
        return head
    return mask_text(head, secrets)


def _without(text: str, secret: str) -> str:
    # Shorter values would blot out ordinary words.
    if len(secret) < 4:
        return text
    coded = base64.b64encode(secret.encode("utf-8", "replace")).decode("ascii").rstrip("=")
    quoted = quote(secret, safe="", errors="replace")
    as_json = json.dumps(secret)[1:-1]
    for form in (secret, quoted, quote_plus(secret, errors="replace"), as_json, coded):
        text = text.replace(form, MASK)
    return text


def _mask_member(key: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    words = _words(key)
    if _is_secret(key) or words & PERSON_WORDS or (words & PHONE_WORDS and not isinstance(value, Mapping | list)):
        return MASK
    return mask_json(value, depth=depth + 1)


def _word_list(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-zа-я0-9])(?=[A-ZА-Я])", "_", name)
    return [word for word in re.split(r"[\W_]+", spaced.lower()) if word]


def _words(name: str) -> set[str]:
    words = _word_list(name)
    return {*words, *(first + second for first, second in pairwise(words))}


def _is_secret(name: str) -> bool:
    words = _word_list(name)
    if not words or (len(words) > 1 and words[-1] in HARMLESS_TAILS):
        return False
    return bool(_words(name) & SECRET_WORDS)


def _mask_named(text: str) -> str:
    """Replace the values of `name: value`, `name=value`, `"name": {...}` where the name says it is a secret."""
    pieces: list[str] = []
    done = at = 0
    cookies = "cookie" in text.lower()
    while found := _KEY.search(text, at):
        at = found.end()
        end, shown = _value_end(text, found, cookies=cookies)
        if end <= at or text[at:end].strip("\"' ").lower() in _NOT_A_VALUE:
            continue
        pieces += [text[done:at], shown]
        done = at = end
    return "".join((*pieces, text[done:]))


def _value_end(text: str, found: re.Match[str], *, cookies: bool) -> tuple[int, str]:
    """Say where the value after a name ends (its start, if it is harmless) and what stands there instead."""
    name, start = found[1], found.end()
    words = _words(name)
    if _is_secret(name) or (cookies and words == {"value"}) or _is_query_secret(text, found):
        is_line = name.lower().endswith(("authorization", "cookie"))
        if is_line and not text.startswith(('"', "'", "\\", "[", "{"), start):
            return _header_end(text, start), MASK
        return _secret_end(text, start)
    if words & PERSON_WORDS:
        return _secret_end(text, start, bare=_FREE_TEXT)
    if words & PHONE_WORDS:
        number = _PHONE_VALUE.match(text, start)
        return (number.end(), number[1] + MASK) if number else (start, "")
    return start, ""


def _is_query_secret(text: str, found: re.Match[str]) -> bool:
    before = text[found.start() - 1 : found.start()]
    return before in ("?", "&") and found[1].lower() in QUERY_NAMES and "=" in found[2]


def _header_end(text: str, start: int) -> int:
    for pattern in (_KNOWN_SCHEME, _LINE_SCHEME, _HEADER_LINE):
        if match := pattern.match(text, start):
            return match.end()
    return start


def _secret_end(text: str, start: int, bare: re.Pattern[str] = _BARE) -> tuple[int, str]:
    first = text[start : start + 1]
    if first in ("{", "["):
        return _bracket_end(text, start), f'"{MASK}"'
    if first in ('"', "'", "\\") and (match := _STRING.match(text, start)):
        mark = '\\"' if first == "\\" else first
        return (match.end() if len(match[0]) > 2 * len(mark) else start), f"{mark}{MASK}{mark}"
    match = bare.match(text, start)
    return (match.end() if match else start), MASK


def _bracket_end(text: str, start: int) -> int:
    depth, at = 0, start
    while at < len(text):
        if text[at] in "\"'" and (string := _STRING.match(text, at)):
            at = string.end()
            continue
        depth += (text[at] in "{[") - (text[at] in "}]")
        at += 1
        if depth == 0:
            return at
    return at


def _mask_element(match: re.Match[str]) -> str:
    words = _words(match[1])
    if _is_secret(match[1]) or words & (PERSON_WORDS | PHONE_WORDS):
        return f"<{match[1]}{match[2]}>{MASK}</"
    return match[0]


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    short = {10: "\\n", 13: "\\r", 9: "\\t"}.get(code)
    return short or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")
