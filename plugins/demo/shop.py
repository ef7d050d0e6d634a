"""A synthetic phone shop: the same seed makes the same customers, orders and events on every machine."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from core.errors import InvalidInput
from plugins.demo.catalogue import PLACES, PRODUCTS, Product
from plugins.demo.order import LIFE, REVIEW, Line, Order, make_order

SOURCE = "demo"
ISTANBUL = ZoneInfo("Europe/Istanbul")


class DemoShop:
    """Makes `orders` orders by `customers` customers over `days` days from `start`, local to `zone`."""

    # Two of the seven are the shop, the others are options with defaults.
    def __init__(
        self,
        seed: int,
        start: datetime,
        *,
        orders: int = 1180,
        customers: int = 412,
        days: int = 90,
        currency: str = "TRY",
        zone: ZoneInfo = ISTANBUL,
    ) -> None:
        if start.tzinfo is None:
            raise InvalidInput("start", "expected a moment with its zone, such as 2026-03-01T00:00:00+03:00")
        if orders < 0 or customers < 1 or days < 1:
            raise InvalidInput("orders, customers, days", "expected at least 0 orders, 1 customer and 1 day")
        self._seed = seed
        self._first_day = start.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        self._start = start.astimezone(UTC).replace(microsecond=0)
        self._days = days
        self._currency = currency
        self._zone = zone
        self._people = [self._make_customer(number) for number in range(1, customers + 1)]
        self._orders = [self._make_order(number) for number in range(1, orders + 1)]
        self._timeline = sorted(
            (moment, place, step) for place, order in enumerate(self._orders) for moment, step in order.steps()
        )

    @property
    def count(self) -> int:
        """How many events there are."""
        return len(self._timeline)

    def customers(self) -> Iterator[dict[str, str]]:
        """Yield every customer once; names are numbers, addresses of mail lead nowhere."""
        for person in self._people:
            number = person["id"].removeprefix("customer-")
            yield {**person, "name": f"Customer {number}", "email": f"{person['id']}@demo.example"}

    def products(self) -> Iterator[dict[str, Any]]:
        """Yield what is on the shelf, with title and price."""
        for product in PRODUCTS:
            yield {**_describe_product(product), "title": product.title, "price": self._money(product.price)}

    def events(self, start: int = 0) -> Iterator[dict[str, Any]]:
        """Yield the events in time order, without the first `start`; shaped like those of a recording."""
        for moment, place, step in self._timeline[start:]:
            yield self._event(self._orders[place], moment, step)

    def _dice(self, noun: str, number: int) -> Random:
        # Each thing has dice of its own: one more order, or one more throw for it, changes no other.
        return Random(f"{self._seed}/{noun}/{number}")

    def _make_customer(self, number: int) -> dict[str, str]:
        dice = self._dice("customer", number)
        city, province, prefix = dice.choice(PLACES)
        return {
            "id": f"customer-{number:04d}",
            "city": city,
            "state": province,
            "zip": f"{prefix}{dice.randrange(1000):03d}",
        }

    def _make_order(self, number: int) -> Order:
        dice = self._dice("order", number)
        return make_order(dice, f"demo-{number:05d}", self._choose_opening(dice), len(self._people), self._zone)

    def _choose_opening(self, dice: Random) -> datetime:
        """Return when an order is placed: by day and evening, in the shop's own time."""
        day = self._first_day + timedelta(days=int(dice.random() * self._days))
        second = int(dice.triangular(9 * 3600, 24 * 3600, 20 * 3600))
        opening = (day + timedelta(seconds=min(second, 86_399))).astimezone(UTC)
        return opening if opening >= self._start else opening + timedelta(days=1)

    def _event(self, order: Order, moment: datetime, step: int) -> dict[str, Any]:
        person = self._people[order.customer]
        data: dict[str, Any] = {"order": self._describe(order, moment, step), "customer": dict(person)}
        type_ = f"order.{LIFE[step]}" if step < REVIEW else "review.created"
        event_id = f"{order.id}/{type_}"
        if order.review and step == REVIEW:
            review_id = f"review-{order.id}"
            event_id = f"{order.id}/{review_id}/{type_}"
            # No made-up words are put into customers' mouths: a review is a score.
            data["review"] = {
                "id": review_id,
                "score": order.review[1],
                "title": None,
                "message": None,
                "created_at": _rfc3339(moment),
            }
        return {
            "type": type_,
            "source": SOURCE,
            "id": event_id,
            "time": moment,
            "key": order.id,
            "customer": person["id"],
            "data": data,
        }

    def _describe(self, order: Order, moment: datetime, step: int) -> dict[str, Any]:
        known = [at if at and (at, place) <= (moment, step) else None for place, at in enumerate(order.moments)]
        return {
            "id": order.id,
            "status": LIFE[max(place for place, at in enumerate(known) if at)],
            **{f"{name}_at": _rfc3339(at) if at else None for name, at in zip(LIFE[:4], known, strict=False)},
            "estimated_delivery": _rfc3339(order.estimated),
            "estimated_delivery_date": order.estimated.date().isoformat(),
            "items": [self._describe_line(number, line) for number, line in enumerate(order.lines, start=1)],
            "payments": [
                {
                    "sequence": number,
                    "kind": payment.kind,
                    "instalments": payment.instalments,
                    "amount": self._money(payment.amount),
                }
                for number, payment in enumerate(order.payments, start=1)
            ],
            "items_total": self._money(sum(line.product.price for line in order.lines)),
            "freight_total": self._money(sum(line.freight for line in order.lines)),
            "paid_total": self._money(sum(payment.amount for payment in order.payments)),
        }

    def _describe_line(self, number: int, line: Line) -> dict[str, Any]:
        return {
            "line": number,
            "product": _describe_product(line.product),
            "seller": line.seller,
            "price": self._money(line.product.price),
            "freight": self._money(line.freight),
        }

    def _money(self, hundredths: int) -> dict[str, str]:
        return {"amount": f"{hundredths // 100}.{hundredths % 100:02d}", "currency": self._currency}


def _describe_product(product: Product) -> dict[str, Any]:
    length, height, width = product.size_cm or (None, None, None)
    return {
        "id": product.id,
        "category": product.category,
        "weight_g": product.weight_g,
        "length_cm": length,
        "height_cm": height,
        "width_cm": width,
    }


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
