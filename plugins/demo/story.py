"""The demo shop's life, told step by step through the shop's own writers, as a real connection would."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from core.shop.snapshots import order_data
from plugins.demo.catalogue import PRODUCTS
from plugins.demo.shop import ISTANBUL, DemoShop

#: Days that lie before the beginning of the demo, and days that can be played after it.
PAST_DAYS, FUTURE_DAYS = 30, 60
_ORDERS_PER_DAY, _CUSTOMERS = 5, 160
_FIRST_NUMBER = 1001
_TITLES = {product.id: product.title for product in PRODUCTS}
#: What a step of an order's life is called when it is told.
_WORDS = {
    "order.created": "was placed",
    "order.approved": "is paid",
    "order.shipped": "was sent",
    "order.delivered": "was delivered",
    "order.canceled": "was cancelled",
}
_STATUSES = {
    "order.created": "awaiting_payment",
    "order.approved": "paid",
    "order.shipped": "shipped",
    "order.delivered": "delivered",
    "order.canceled": "canceled",
}
_STAFF = (
    {"external_id": "staff-1", "name": "Demo manager", "email": "manager@demo.example", "role": "manager"},
    {"external_id": "staff-2", "name": "Demo packer", "email": "packer@demo.example", "role": "warehouse"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One step of the story: "Order `number` `what`"."""

    number: str
    what: str
    total: dict[str, str]
    customer: str
    city: str


class Story:
    """What happens in the demo shop from `start` on; the same seed and start tell the same story."""

    def __init__(self, seed: int, start: datetime, *, currency: str = "TRY", zone: ZoneInfo = ISTANBUL) -> None:
        days = PAST_DAYS + FUTURE_DAYS
        orders = days * _ORDERS_PER_DAY
        self._shop = DemoShop(seed, start, orders=orders, customers=_CUSTOMERS, days=days, currency=currency, zone=zone)
        self._moments: list[datetime] = []
        #: Numbers are given in the order in which orders are placed.
        self._numbers: dict[str, str] = {}
        for step in self._shop.events():
            self._moments.append(step["time"])
            self._numbers.setdefault(step["key"], str(_FIRST_NUMBER + len(self._numbers)))

    @property
    def count(self) -> int:
        """How many steps there are."""
        return len(self._moments)

    def count_until(self, moment: datetime) -> int:
        """Return how many steps lie before or at a moment."""
        return bisect_right(self._moments, moment)

    def steps(self, start: int = 0) -> Iterator[dict[str, Any]]:
        """Yield the steps in time order, without the first `start`."""
        return self._shop.events(start)

    def furnish(self, shop: Any) -> None:
        """Put customers, products, stock and staff into an empty shop."""
        for person in _STAFF:
            shop.upsert_staff(person)
        for product in self._shop.products():
            shop.upsert_product(_product(product))
            if product["weight_g"] is not None:
                shop.set_stock({"sku": product["id"], "place": "main", "on_hand": 1000})
        shop.upsert_customers([_customer(person) for person in self._shop.customers()])

    def tell(self, shop: Any, step: dict[str, Any]) -> Told:
        """Let one step happen in the shop, at the shop's own moment; its events go where the shop's events go."""
        order, kind = step["data"]["order"], step["type"]
        if kind == "review.created":
            self._review(shop, step)
        else:
            _TELLERS[kind](shop, order, {**step, "number": self._numbers[step["key"]]})
        person = step["data"]["customer"]
        what = _WORDS.get(kind) or f"got {step['data']['review']['score']} of 5 in a review"
        return Told(
            number=self._numbers[step["key"]],
            what=what,
            total=order["paid_total"],
            customer=person["id"],
            city=person["city"],
        )

    def _review(self, shop: Any, step: dict[str, Any]) -> None:
        if shop.work.emit is None:
            return
        ours = shop.get_order(step["key"])
        data = order_data(shop.conn, [ours])[ours]
        review = {"id": step["data"]["review"]["id"], "score": step["data"]["review"]["score"]}
        shop.work.emit("review.created", {**data, "review": review}, key=ours, customer=data["order"].get("customer"))


def begin_of(now: datetime) -> datetime:
    """Return when a story begins whose past ends now."""
    return now - timedelta(days=PAST_DAYS)


def _customer(person: dict[str, str]) -> dict[str, Any]:
    # Every fourth one reads another language than the shop's own, so that messages show what they can.
    number = int(person["id"].rpartition("-")[2])
    language = {0: "ru", 2: "en"}.get(number % 8, "tr")
    told = {"name": person["name"], "email": person["email"], "city": person["city"], "language": language}
    return {"external_id": person["id"], **told, "fields": {"zip": person["zip"], "province": person["state"]}}


def _product(product: dict[str, Any]) -> dict[str, Any]:
    wanted = {"external_id": product["id"], "sku": product["id"], "name": product["title"]}
    weight = {} if product["weight_g"] is None else {"weight_g": product["weight_g"]}
    return wanted | weight | {"category": product["category"], "price": product["price"]}


def _place(shop: Any, order: dict[str, Any], step: dict[str, Any]) -> None:
    lines = [_line(line) for line in order["items"]]
    at_counter = order["items"][0]["seller"] == "counter"
    shop.upsert_order(
        {
            "external_id": order["id"],
            "number": step["number"],
            "customer": step["customer"],
            "status": _STATUSES["order.created"],
            "channel": "till" if at_counter else "site",
            "delivery": "pickup" if at_counter else "courier",
            "address": {"city": step["data"]["customer"]["city"], "zip": step["data"]["customer"]["zip"]},
            "items": lines,
            "delivery_cost": order["freight_total"],
        }
    )


def _line(line: dict[str, Any]) -> dict[str, Any]:
    sku = line["product"]["id"]
    return {"external_id": str(line["line"]), "sku": sku, "name": _TITLES[sku], "price": line["price"]}


def _pay(shop: Any, order: dict[str, Any], step: dict[str, Any]) -> None:
    for payment in order["payments"]:
        shop.record_payment(
            {
                "provider": "demo-bank",
                "external_id": f"{order['id']}/{payment['sequence']}",
                "order": order["id"],
                "state": "paid",
                "method": payment["kind"],
                "instalments": payment["instalments"],
                "amount": payment["amount"],
            }
        )
    _move(shop, order, step)


def _send(shop: Any, order: dict[str, Any], step: dict[str, Any]) -> None:
    _carry(shop, order, "shipped")
    _move(shop, order, step)


def _deliver(shop: Any, order: dict[str, Any], step: dict[str, Any]) -> None:
    _carry(shop, order, "delivered")
    _move(shop, order, step)


def _carry(shop: Any, order: dict[str, Any], state: str) -> None:
    tracking = f"DEMO{order['id'].rpartition('-')[2]}TR"
    wanted = {"order": order["id"], "carrier": "demo-courier", "tracking": tracking, "state": state}
    shop.record_shipment({"external_id": tracking, **wanted})


def _move(shop: Any, order: dict[str, Any], step: dict[str, Any]) -> None:
    shop.upsert_order({"external_id": order["id"], "status": _STATUSES[step["type"]]})


_TELLERS = {
    "order.created": _place,
    "order.approved": _pay,
    "order.shipped": _send,
    "order.delivered": _deliver,
    "order.canceled": _move,
}
