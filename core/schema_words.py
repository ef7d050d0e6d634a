"""What is said about a value that does not fit its schema, in the languages of the people who read it."""

from collections.abc import Mapping
from typing import Any

import orjson

from core.jsontext import FLAWS

LANGUAGES = ("en", "tr", "ru")

#: keyword -> (English, Turkish, Russian). The value itself is never repeated: it may be a secret.
_WORDS: dict[str, tuple[str, str, str]] = {
    "required": ("is required; fill it in", "zorunlu; doldurun", "обязательно; заполните"),
    "type": (
        "must be {expected}, not {actual}",
        "{expected} olmalı, {actual} değil",
        "ожидается {expected}, получено: {actual}",
    ),
    "enum": ("must be one of: {options}", "şunlardan biri olmalı: {options}", "допустимо одно из: {options}"),
    "const": ("must be {limit}", "{limit} olmalı", "должно быть {limit}"),
    "minimum": ("must be at least {limit}", "en az {limit} olmalı", "не меньше {limit}"),
    "maximum": ("must be at most {limit}", "en fazla {limit} olmalı", "не больше {limit}"),
    "exclusiveMinimum": ("must be more than {limit}", "{limit} değerinden büyük olmalı", "больше {limit}"),
    "exclusiveMaximum": ("must be less than {limit}", "{limit} değerinden küçük olmalı", "меньше {limit}"),
    "multipleOf": ("must be a multiple of {limit}", "{limit} sayısının katı olmalı", "должно делиться на {limit}"),
    "minLength": (
        "is too short: at least {limit} characters",
        "çok kısa: en az {limit} karakter",
        "слишком коротко; символов не меньше {limit}",
    ),
    "maxLength": (
        "is too long: at most {limit} characters",
        "çok uzun: en fazla {limit} karakter",
        "слишком длинно; символов не больше {limit}",
    ),
    "minItems": (
        "has too few entries: at least {limit}",
        "çok az kayıt var: en az {limit}",
        "слишком мало записей; не меньше {limit}",
    ),
    "maxItems": (
        "has too many entries: at most {limit}",
        "çok fazla kayıt var: en fazla {limit}",
        "слишком много записей; не больше {limit}",
    ),
    "minProperties": (
        "has too few fields: at least {limit}",
        "çok az alan var: en az {limit}",
        "слишком мало полей; не меньше {limit}",
    ),
    "maxProperties": (
        "has too many fields: at most {limit}",
        "çok fazla alan var: en fazla {limit}",
        "слишком много полей; не больше {limit}",
    ),
    "propertyNames": (
        "has a field name that is not allowed; rename it",
        "izin verilmeyen bir alan adı var; adını değiştirin",
        "недопустимое имя поля; переименуйте",
    ),
    "uniqueItems": (
        "has the same entry twice; leave one",
        "aynı kayıt iki kez var; birini bırakın",
        "запись повторяется; оставьте одну",
    ),
    "pattern": (
        "does not have the expected form ({limit})",
        "beklenen biçimde değil ({limit})",
        "не соответствует формату ({limit})",
    ),
    "format": (
        "is not a valid {limit}; write it like {example}",
        "geçerli bir {limit} değil; örnek: {example}",
        "неверный формат ({limit}); пример: {example}",
    ),
    "additionalProperties": (
        "is not a known field; remove it or correct its name. Known: {options}",
        "bilinmeyen alan; kaldırın ya da adını düzeltin. Bilinenler: {options}",
        "неизвестное поле; удалите или исправьте имя. Известны: {options}",
    ),
    "false": ("is not expected here; remove it", "burada olmamalı; kaldırın", "здесь не ожидается; удалите"),
    "not": ("has a value that is not allowed here", "burada izin verilmeyen bir değer", "недопустимое значение"),
    "anyOf": (
        "fits none of the allowed forms",
        "izin verilen biçimlerin hiçbirine uymuyor",
        "не подходит ни под одну допустимую форму",
    ),
    "oneOf": (
        "fits none of the allowed forms",
        "izin verilen biçimlerin hiçbirine uymuyor",
        "не подходит ни под одну допустимую форму",
    ),
    "oneOf.many": (
        "fits several forms of which only one is allowed; leave the fields of one",
        "yalnız birine izin verilen birden çok biçime uyuyor; birinin alanlarını bırakın",
        "подходит сразу под несколько форм, допустима одна; оставьте поля одной",
    ),
    "dependentRequired": (
        "is required together with {limit}; fill it in",
        "{limit} ile birlikte zorunlu; doldurun",
        "обязательно вместе с полем {limit}; заполните",
    ),
    "schema": ("does not fit its schema", "şemasına uymuyor", "не соответствует схеме"),
    "not_finite": (
        FLAWS["not_finite"],
        "sonlu bir sayı değil (NaN ya da sonsuz)",
        "не конечное число (NaN или бесконечность)",
    ),
    "too_big": (
        FLAWS["too_big"],
        "64 bitten büyük bir tam sayı; metin olarak gönderin",
        "целое число больше 64 бит; передайте его текстом",
    ),
    "too_deep": (
        FLAWS["too_deep"],
        "{limit} düzeyden daha derin; daha düz veri gönderin",
        "вложенность больше {limit} уровней; упростите данные",
    ),
    "bad_text": (
        FLAWS["bad_text"],
        "yarım bir karakter içeriyor; tam karakterler gönderin",
        "содержит половину символа; передайте целые символы",
    ),
    "bad_key": (FLAWS["bad_key"], "metin olmayan bir alan adı var", "имя поля не является текстом"),
    "bad_type": (FLAWS["bad_type"], "JSON'da olmayan bir tür: {type}", "такого типа нет в JSON: {type}"),
}

_TYPES: dict[str, tuple[str, str, str]] = {
    "string": ("text", "metin", "текст"),
    "number": ("a number", "sayı", "число"),
    "integer": ("a whole number", "tam sayı", "целое число"),
    "boolean": ("true or false", "evet ya da hayır", "да или нет"),
    "array": ("a list", "liste", "список"),
    "object": ("an object with fields", "alanları olan bir nesne", "объект с полями"),
    "null": ("empty (null)", "boş (null)", "пусто (null)"),
}
_OR = (" or ", " ya da ", " или ")

#: Formats that a schema may name, each with the example that its message shows.
FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T09:30:00Z",
    "time": "09:30:00Z",
    "duration": "P3DT2H",
    "email": "name@shop.example",
    "idn-email": "имя@shop.example",
    "hostname": "shop.example",
    "idn-hostname": "магазин.example",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://shop.example/page",
    "uri-reference": "/page?q=1",
    "iri": "https://shop.example/страница",
    "iri-reference": "/страница",
    "uuid": "0190a5a8-0000-7000-8000-000000000000",
    "json-pointer": "/lines/0/price",
    "regex": "^[A-Z]{3}$",
    "color": "#1a7f37",
    "phone": "+905321112233",
    "decimal": "24990.00",
    "password": "********",
}


def say(keyword: str, language: str, **details: Any) -> str:
    """Return the sentence for a broken keyword in the language asked, else in English."""
    column = _find_column(language)
    if keyword == "type":
        wanted = details["limit"]
        names = [wanted] if isinstance(wanted, str) else wanted
        details["expected"] = _OR[column].join(_TYPES[name][column] for name in names)
        details["actual"] = _TYPES[details["actual"]][column]
    if keyword == "format":
        details["example"] = FORMATS.get(details["limit"], "")
    if keyword == "const":
        details["limit"] = _show(details["limit"])
    if "options" in details:
        details["options"] = _list(details["options"])
    return _WORDS[keyword if keyword in _WORDS else "schema"][column].format(**details)


def pick_language(words: Any, language: str) -> str:
    """Return text that an author gave once or by language (`x-error`): the one asked, else English, else any."""
    if not isinstance(words, Mapping):
        return str(words)
    return str(words.get(LANGUAGES[_find_column(language)]) or words.get("en") or next(iter(words.values()), ""))


def name_type(value: Any) -> str:
    """Return JSON Schema's name of a value's type."""
    for kinds, name in _KINDS:
        if isinstance(value, kinds):
            return name
    return "number"


_KINDS: tuple[tuple[Any, str], ...] = (
    (str, "string"),
    (bool, "boolean"),
    (int, "integer"),
    (dict, "object"),
    ((list, tuple), "array"),
    (type(None), "null"),
)


def _find_column(language: str) -> int:
    short = language.replace("_", "-").partition("-")[0].lower()
    return LANGUAGES.index(short) if short in LANGUAGES else 0


def _list(options: Any) -> str:
    shown = [_show(option) for option in options[:12]]
    return ", ".join(shown) + (", …" if len(options) > len(shown) else "")


def _show(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= 60 else f"{text[:60]}…"
