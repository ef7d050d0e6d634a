"""Schemas with labels in three languages: `title` is English, `x-title` has them all."""

from typing import Any

Labels = tuple[str, str, str]
Schema = dict[str, Any]


def words(en: str, tr: str, ru: str) -> dict[str, str]:
    return {"en": en, "tr": tr, "ru": ru}


def labelled(schema: Schema, labels: Labels) -> Schema:
    """Return the schema under its labels."""
    return {"title": labels[0], "x-title": words(*labels)} | schema


def fields(required: tuple[str, ...] = (), *, closed: bool = False, **properties: Schema) -> Schema:
    """Return an object schema; open unless `closed`, so that other systems may tell more."""
    schema: Schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = list(required)
    return schema | ({"additionalProperties": False} if closed else {})


def text(en: str, tr: str, ru: str, **more: Any) -> Schema:
    return labelled({"type": "string"} | more, (en, tr, ru))


def number(en: str, tr: str, ru: str, **more: Any) -> Schema:
    return labelled({"type": "number"} | more, (en, tr, ru))


def whole(en: str, tr: str, ru: str, **more: Any) -> Schema:
    return labelled({"type": "integer"} | more, (en, tr, ru))


def yes_no(en: str, tr: str, ru: str) -> Schema:
    return labelled({"type": "boolean"}, (en, tr, ru))


def moment(en: str, tr: str, ru: str) -> Schema:
    return labelled({"type": "string", "format": "date-time"}, (en, tr, ru))


def texts(en: str, tr: str, ru: str) -> Schema:
    return labelled({"type": "array", "items": {"type": "string"}}, (en, tr, ru))


def money(en: str, tr: str, ru: str) -> Schema:
    amount = {"type": ["string", "number"], "title": "Amount", "x-title": words("Amount", "Tutar", "Сумма")}
    currency = {"type": "string", "title": "Currency", "x-title": words("Currency", "Para birimi", "Валюта")}
    pair = fields(("amount", "currency"), amount=amount, currency=currency)
    return labelled(pair, (en, tr, ru)) | {"x-type": "money"}


def many(item: Schema, labels: Labels) -> Schema:
    return labelled({"type": "array", "items": item}, labels)
