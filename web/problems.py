"""Errors as `application/problem+json` (RFC 9457): every error of ours and of the libraries is told here, once."""

import re
from collections.abc import Mapping
from typing import Any

from werkzeug.exceptions import HTTPException

from core.errors import (
    Busy,
    Conflict,
    InvalidInput,
    NotAllowed,
    NotFound,
    PluginError,
    RemoteError,
    RuleError,
    StorageError,
    TemporaryError,
    UserError,
    VitrinError,
)
from core.schemas import Problem as Misfit
from web.routes import PROBLEM, Reply

LANGUAGES = ("en", "tr", "ru")
#: Where the codes are explained.
_TYPE = "urn:vitrin:problem:"

#: In this order: the first class that fits decides.
STATUS: tuple[tuple[type[VitrinError], int], ...] = (
    (InvalidInput, 422),
    (NotFound, 404),
    (NotAllowed, 403),
    (Conflict, 409),
    (Busy, 429),
    (UserError, 400),
    (RuleError, 422),
    (StorageError, 503),
    (TemporaryError, 503),
    (RemoteError, 502),
    (PluginError, 502),
)

_HTTP_CODES = {
    400: "bad_request",
    401: "not_signed_in",
    403: "not_allowed",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    409: "conflict",
    411: "length_required",
    412: "changed",
    413: "too_large",
    414: "too_long",
    415: "wrong_type",
    429: "busy",
    431: "too_large",
    503: "unavailable",
}

#: Code -> title in English, Turkish, Russian.
TITLES: Mapping[str, tuple[str, str, str]] = {
    "bad_request": ("The request cannot be read", "İstek okunamıyor", "Запрос не удалось прочитать"),
    "not_signed_in": ("A valid API token is needed", "Geçerli bir API anahtarı gerekli", "Нужен действующий API-токен"),
    "not_allowed": ("This is not allowed", "Buna izin yok", "Это не разрешено"),
    "not_found": ("There is no such thing", "Böyle bir şey yok", "Ничего не найдено"),
    "method_not_allowed": ("This address has no such method", "Böyle bir yöntem yok", "Метод не поддерживается"),
    "too_slow": ("The request came too slowly", "İstek çok yavaş geldi", "Запрос пришёл слишком медленно"),
    "conflict": ("This conflicts with what is there", "Mevcut durumla çelişiyor", "Противоречит текущему состоянию"),
    "length_required": ("The length of the body is missing", "Gövde uzunluğu eksik", "Не указана длина тела"),
    "changed": ("It was changed meanwhile", "Bu arada değişti", "Уже изменено кем-то другим"),
    "too_large": ("The request is too large", "İstek çok büyük", "Запрос слишком большой"),
    "too_long": ("The address is too long", "Adres çok uzun", "Адрес слишком длинный"),
    "wrong_type": ("This media type is not read here", "Bu içerik türü okunmuyor", "Такой тип данных не читается"),
    "invalid_input": ("A value is wrong", "Bir değer hatalı", "Неверное значение"),
    "rule": ("The rule is wrong", "Kural hatalı", "Ошибка в правиле"),
    "busy": ("Too much at once", "Aynı anda çok fazla istek", "Слишком много запросов"),
    "storage": ("Nothing can be stored right now", "Şu anda kayıt yapılamıyor", "Сейчас сохранить нельзя"),
    "unavailable": ("This is not available right now", "Şu anda kullanılamıyor", "Сейчас недоступно"),
    "remote": ("Another system refused", "Başka bir sistem reddetti", "Другая система отказала"),
    "plugin": ("A plugin failed", "Bir eklenti başarısız oldu", "Ошибка плагина"),
    "error": ("Something went wrong here", "Bizde bir sorun oluştu", "Что-то пошло не так"),
}
_SAME = {"temporary": "remote", "rejected": "remote", "sign_in": "remote", "plugin_hung": "plugin"}

_PART = re.compile(r'\.?([^.\[\]]+)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]')


def to_pointer(path: str) -> str:
    """Return the JSON pointer of a path: `lines[2].price` is /lines/2/price."""
    parts = [match.group(match.lastindex or 1) for match in _PART.finditer(path)]
    return "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in parts)


def pick_language(accept: str) -> str:
    """Return the first language of an Accept-Language header that we have; English otherwise."""
    ranked = []
    for place, part in enumerate(accept[:200].split(",")):
        name, _, quality = part.strip().partition(";q=")
        weight = float(quality) if re.fullmatch(r"[01](\.\d{1,3})?", quality) else 1.0
        ranked.append((-weight, place, name[:2].lower()))
    return next((name for weight, _, name in sorted(ranked) if weight and name in LANGUAGES), "en")


def title_of(code: str, language: str) -> str:
    return TITLES[code if code in TITLES else _SAME.get(code, "error")][LANGUAGES.index(language)]


def make_problem(status: int, code: str, detail: str, language: str = "en", **more: Any) -> Reply:
    """Return the answer for one problem; `more` are further members, and `headers`."""
    headers = more.pop("headers", {})
    told = {"type": f"{_TYPE}{code}", "title": title_of(code, language), "status": status}
    return Reply(status=status, body={**told, "detail": detail, "code": code, **more}, headers=headers, media=PROBLEM)


def from_error(exc: Exception, language: str = "en") -> Reply:
    """Return the answer for an error; what nobody foresaw tells nothing about itself."""
    if isinstance(exc, HTTPException):
        return _from_http(exc, language)
    if isinstance(exc, RecursionError):
        return make_problem(400, "bad_request", "the data is nested too deeply; send flatter data", language)
    status = next((status for kind, status in STATUS if isinstance(exc, kind)), 500)
    if not isinstance(exc, VitrinError) or status == 500:
        detail = "the error was recorded under the request id below; tell it to whoever runs this engine"
        return make_problem(500, "error", detail, language)
    # What the database says is for whoever runs the engine: it stands in the log.
    storage = "nothing can be stored or read right now; the log of the engine says why, under the request id below"
    message = storage if isinstance(exc, StorageError) else exc.message
    more: dict[str, Any] = {}
    if isinstance(exc, (InvalidInput, RuleError)):
        more["errors"] = [{"pointer": to_pointer(exc.path), "message": exc.reason}]
    if status in (429, 503):
        after_s = getattr(exc, "after_s", None) or 1.0
        more["headers"] = {"Retry-After": str(max(1, round(after_s)))}
    return make_problem(status, exc.code, message, language, **more)


def from_misfits(misfits: list[Misfit], language: str) -> Reply:
    """Return the answer for a body that does not fit its schema: everything that is wrong with it."""
    errors = [{"pointer": to_pointer(misfit.path), "message": misfit.message} for misfit in misfits]
    first = misfits[0]
    detail = f"{first.path}: {first.message}" if first.path else first.message
    return make_problem(422, "invalid_input", detail, language, errors=errors)


def _from_http(exc: HTTPException, language: str) -> Reply:
    status = exc.code or 500
    code = _HTTP_CODES.get(status, "bad_request" if status < 500 else "error")
    kept = ("allow", "retry-after", "www-authenticate")
    headers = {name: value for name, value in exc.get_headers() if name.lower() in kept}
    return make_problem(status, code, exc.description or title_of(code, "en"), language, headers=headers)
