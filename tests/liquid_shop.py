"""A shop's data for template tests, and one way to save and render a text for it."""

from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from core.errors import RuleError
from rules.templates import compile_template

ISTANBUL = ZoneInfo("Europe/Istanbul")
SHOP = {
    "customer": {"name": "Ayşe", "phone": "+905321112233", "tags": ["vip", "izmir"], "note": None},
    "order": {
        "id": "A-1",
        "total": Decimal("1234.50"),
        "paid": {"amount": "5000", "currency": "TRY"},
        "at": "2026-05-03T10:00:00Z",
        "url": "https://shop.example/p/abc",
        "lines": [{"sku": "s1", "qty": 2, "price": "10.50"}, {"sku": "s2", "qty": 1, "price": "4"}],
    },
    "items": [3, 1, 2],
}


def render(text: str, data: Any = SHOP, *, channel: str = "text", language: str = "tr", **options: Any) -> str:
    template = compile_template(text, path="then[0].with.text", channel=channel)
    return template.render(data, zone=ISTANBUL, language=language, currency="TRY", **options)


def attempt(text: str, data: Any, channel: str = "text") -> tuple[str, str]:
    """Save and render; tell where it ended and with which text or reason. No other error is allowed out."""
    try:
        template = compile_template(text, path="p", channel=channel)
    except RuleError as refused:
        return "save", refused.reason
    try:
        return "text", template.render(data, zone=ISTANBUL, currency="TRY")
    except RuleError as refused:
        return "run", refused.reason
