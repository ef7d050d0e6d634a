"""Files: what automations hear of imports; reading and writing files is a service of the core."""

from typing import Any

import pluggy

hookimpl = pluggy.HookimplMarker("vitrin")

_COUNT = {"type": "integer", "minimum": 0}
_KINDS = ["customers", "products", "prices", "stock", "orders"]


def _schema(extra: dict[str, Any]) -> dict[str, Any]:
    about = {
        "id": {"type": "string", "title": "Import"},
        "kind": {"type": "string", "enum": _KINDS, "title": "What was imported"},
        "file": {"type": "string", "title": "File"},
        "by": {"type": "string", "title": "Started by"},
        "new": {**_COUNT, "title": "New"},
        "updated": {**_COUNT, "title": "Updated"},
        "unchanged": {**_COUNT, "title": "Unchanged"},
        "errors": {**_COUNT, "title": "Refused"},
        "left": {**_COUNT, "title": "Written in part"},
    }
    known = {"type": "object", "additionalProperties": False, "required": list(about), "properties": about | extra}
    return {"type": "object", "additionalProperties": False, "required": ["import"], "properties": {"import": known}}


_SAMPLE: dict[str, Any] = {
    "id": "019bc0de-0000-7000-8000-000000000001",
    "kind": "customers",
    "file": "customers.csv",
    "by": "elif@shop.example",
    "new": 120,
    "updated": 14,
    "unchanged": 900,
    "errors": 3,
    "left": 1,
}

EVENTS: list[dict[str, Any]] = [
    {
        "name": "import.finished",
        "title": {"en": "Import finished", "tr": "İçe aktarma bitti", "ru": "Импорт завершён"},
        "schema": _schema({}),
        "sample": {"import": _SAMPLE},
        "key": "import.id",
    },
    {
        "name": "import.failed",
        "title": {"en": "Import failed", "tr": "İçe aktarma başarısız", "ru": "Импорт не удался"},
        "schema": _schema({"error": {"type": "string", "title": "Reason"}}),
        "sample": {"import": {**_SAMPLE, "error": "row 7: is not utf-8 text; say which encoding the file has"}},
        "key": "import.id",
    },
]


@hookimpl
def vitrin_manifest() -> dict[str, Any]:
    return {
        "title": {"en": "Files", "tr": "Dosyalar", "ru": "Файлы"},
        "summary": {
            "en": "Tells automations when an import of customers, products, prices, stock or orders has ended.",
            "tr": "Müşteri, ürün, fiyat, stok veya sipariş içe aktarımı bitince otomasyonlara bildirir.",
            "ru": "Сообщает автоматизациям, что импорт клиентов, товаров, цен, остатков или заказов закончен.",
        },
        "category": "data",
        "version": "0.1.0",
    }


@hookimpl
def vitrin_events() -> list[dict[str, Any]]:
    return EVENTS
