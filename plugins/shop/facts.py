"""What rules can ask of the shop's records: facts, answered for a whole batch in a few statements."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from core.shop.history import Asked, count_orders, find_available, find_last_bought, find_tags_before, sum_spent
from core.shop.identity import find_customer_ids
from core.shop.snapshots import show_money
from plugins.shop.labels import fields, text, words

Key = tuple[str, datetime, tuple[tuple[str, Any], ...]]
#: (connection, our customers and moments, parameters) -> value by customer and moment
Ask = Callable[[Any, list[Asked], dict[str, Any]], dict[Asked, Any]]


def _of_customers(ask: Ask) -> Callable[[Any, list[Key]], dict[Key, Any]]:
    """Return a load that asks once for all keys with the same parameters; customers nobody knows are left out."""

    def load(ctx: Any, keys: list[Key]) -> dict[Key, Any]:
        ours = find_customer_ids(ctx.conn, {subject for subject, _, _ in keys})
        answers: dict[Key, Any] = {}
        for params, group in _by_params(keys).items():
            known = [key for key in group if key[0] in ours]
            found = ask(ctx.conn, [(ours[subject], at) for subject, at, _ in known], dict(params))
            for key in known:
                asked = ours[key[0]], key[1]
                if asked in found:
                    answers[key] = found[asked]
        return answers

    return load


def _by_params(keys: Iterable[Key]) -> dict[tuple[tuple[str, Any], ...], list[Key]]:
    groups: dict[tuple[tuple[str, Any], ...], list[Key]] = {}
    for key in keys:
        groups.setdefault(key[2], []).append(key)
    return groups


def _orders_count(conn: Any, asked: list[Asked], _params: dict[str, Any]) -> dict[Asked, int]:
    return count_orders(conn, asked)


def _spent_total(conn: Any, asked: list[Asked], params: dict[str, Any]) -> dict[Asked, Any]:
    """Sums in several currencies are not added up: without the parameter such a total is not known."""
    currency = params.get("currency")
    answers: dict[Asked, Any] = {}
    for key, sums in sum_spent(conn, asked).items():
        chosen = currency or (next(iter(sums)) if len(sums) == 1 else None)
        if chosen is not None:
            answers[key] = show_money(sums.get(chosen, 0), chosen)
    return answers


def _bought(conn: Any, asked: list[Asked], params: dict[str, Any]) -> dict[Asked, str | None]:
    found = find_last_bought(conn, asked, words={name: str(value) for name, value in params.items()})
    return {key: None if at is None else at.isoformat() for key, at in found.items()}


def _tags(conn: Any, asked: list[Asked], _params: dict[str, Any]) -> dict[Asked, list[str]]:
    return find_tags_before(conn, asked)


def _stock(ctx: Any, keys: list[Key]) -> dict[Key, Any]:
    """Stock has no history here: of a moment before its last change it is not known."""
    answers: dict[Key, Any] = {}
    for params, group in _by_params(keys).items():
        found = find_available(ctx.conn, (subject for subject, _, _ in group), place=dict(params).get("place"))
        for key in group:
            free, changed_at = found.get(key[0], (None, None))
            if changed_at is not None and changed_at <= key[1]:
                answers[key] = free
    return answers


_NOTHING = fields(closed=True)

FACTS: tuple[dict[str, Any], ...] = (
    {
        "name": "customer.orders_count",
        "title": words("Orders placed before", "Önceki sipariş sayısı", "Заказов раньше"),
        "schema": {"type": "integer"},
        "with": _NOTHING,
        "subject": "customer.id",
        "load": _of_customers(_orders_count),
    },
    {
        "name": "customer.spent_total",
        "title": words("Paid in all", "Toplam harcama", "Оплачено всего"),
        "schema": fields(("amount", "currency"), amount={"type": "string"}, currency={"type": "string"}),
        "with": fields(closed=True, currency=text("Currency", "Para birimi", "Валюта", minLength=3, maxLength=3)),
        "subject": "customer.id",
        "load": _of_customers(_spent_total),
    },
    {
        "name": "history.bought",
        "title": words("Last bought", "Son satın alma", "Последняя покупка"),
        "schema": {"type": ["string", "null"], "format": "date-time"},
        "with": fields(
            closed=True,
            category=text("Category", "Kategori", "Категория", minLength=1),
            sku=text("SKU", "Stok kodu", "Артикул", minLength=1),
            product=text("Product id", "Ürün kimliği", "Код товара", minLength=1),
        ),
        "subject": "customer.id",
        "load": _of_customers(_bought),
    },
    {
        "name": "customer.tags",
        "title": words("Customer's tags", "Müşterinin etiketleri", "Метки клиента"),
        "schema": {"type": "array", "items": {"type": "string"}},
        "with": _NOTHING,
        "subject": "customer.id",
        "load": _of_customers(_tags),
    },
    {
        "name": "product.stock",
        "title": words("Free stock", "Satılabilir stok", "Свободный остаток"),
        "schema": {"type": "number"},
        "with": fields(closed=True, place=text("Place", "Yer", "Склад", minLength=1)),
        "subject": "product.sku",
        "load": _stock,
    },
)
