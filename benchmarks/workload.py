"""The workload of the benches: orders, and rules of which about three concern each order, however many there are.

The more rules there are, the more cities, products, customers and words they tell apart, as in a shop that grows; a
rule asks for something common too (a status, a total, a choice of channels). One seed gives the same orders and rules
on every machine.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

from core.events import Event
from core.ids import new_id

EVENT_TYPE = "order.created"
SOURCE = "bench"
STATUSES = ("new", "paid", "packed", "sent", "delivered", "returned")
CHANNELS = ("web", "till", "phone", "marketplace")
_TOWNS = ("İzmir", "Ankara", "Şile", "Iğdır", "Bursa", "Kazan", "Пермь", "Leipzig")
_WORDS = ("please", "ring", "the", "bell", "twice", "and", "leave", "it", "with", "neighbour")
#: Rules that concern an order, on average.
_MATCHES = 3.0
_MOST_TOTAL = 10_000

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Workload:
    """Orders and rules of one size; what the rules tell apart grows with their number."""

    rules: int
    seed: int = 1

    def documents(self) -> list[Document]:
        """Return the rules, as they would stand in files."""
        random = Random(self.seed)
        return [self._document(number, random) for number in range(self.rules)]

    def orders(self, count: int) -> list[Document]:
        """Return the data of order events."""
        random = Random(self.seed + 1)
        return [self._order(number, random) for number in range(count)]

    def events(self, count: int, now: datetime | None = None) -> list[Event]:
        """Return the order events themselves, each with an id of its own."""
        return [make_event(data, now or datetime.now(UTC)) for data in self.orders(count)]

    def _document(self, number: int, random: Random) -> Document:
        condition = _FAMILIES[number % len(_FAMILIES)](self, random)
        return {
            "rule": f"bench-{number}",
            "when": {"event": EVENT_TYPE},
            "if": condition,
            "then": [{"stop": True}],
        }

    def _choices(self, chance: float, *, each: float = 1.0) -> int:
        """Return among how many values a rule must choose to concern its share of the orders.

        `chance` is that of the rule's other conditions, `each` the values that a rule or an order has.
        """
        return max(round(self.rules * chance * each / _MATCHES), 2)

    @property
    def _cities(self) -> int:
        return self._choices(0.5, each=2)

    @property
    def _products(self) -> int:
        return self._choices(1 / 2, each=2)

    @property
    def _customers(self) -> int:
        return self._choices(1 / 2)

    @property
    def _tags(self) -> int:
        return self._choices(1 / 2, each=2)

    @property
    def _remarks(self) -> int:
        return self._choices(3 / 4)

    def _order(self, number: int, random: Random) -> Document:
        words: list[str] = [*random.sample(_WORDS, 5)]
        words.insert(random.randrange(6), _remark(random.randrange(self._remarks)))
        total = random.randrange(_MOST_TOTAL * 100)
        items = [_item(random.randrange(self._products), random) for _ in range(2)]
        return {
            "order": {
                "id": f"bench-{self.seed}-{number}",
                "number": str(1_000 + number),
                "status": random.choice(STATUSES),
                "channel": random.choice(CHANNELS),
                "items": items,
                "total": {"amount": f"{total // 100}.{total % 100:02}", "currency": "TRY"},
                "tags": [_tag(random.randrange(self._tags)) for _ in range(2)],
                "note": " ".join(words),
            },
            "customer": {
                "id": f"customer-{random.randrange(self._customers)}",
                "city": _city(random.randrange(self._cities)),
            },
        }


def make_event(data: Document, now: datetime) -> Event:
    """Return an order event."""
    ident = new_id()
    return Event(
        id=ident,
        source=SOURCE,
        external_id=ident,
        type=EVENT_TYPE,
        time=now,
        received_at=now,
        key=data["order"]["id"],
        customer=data["customer"]["id"],
        data=data,
    )


def _item(product: int, random: Random) -> Document:
    price = {"amount": f"{random.randrange(10, 5_000)}.00", "currency": "TRY"}
    return {
        "product": {"id": f"p-{product}", "sku": _sku(product), "name": f"Product {product}", "category": "cases"},
        "quantity": random.randrange(1, 4),
        "price": price,
    }


def _city(number: int) -> str:
    return f"{_TOWNS[number % len(_TOWNS)]} {number}"


def _sku(number: int) -> str:
    return f"SKU-{number:06}"


def _tag(number: int) -> str:
    return f"tag-{number}"


def _remark(number: int) -> str:
    return f"gift{number:05}x"


# What rules ask for


def _row(field: str, operator: str, value: Any) -> Document:
    return {"field": field, "is": operator, "value": value}


def _money(amount: int) -> Mapping[str, str]:
    return {"amount": str(amount), "currency": "TRY"}


def _by_city(load: Workload, random: Random) -> Document:
    """Two cities, and a total above (or below) a limit."""
    cities = [_city(random.randrange(load._cities)) for _ in range(2)]
    operator = random.choice(("at_least", "below"))
    limit = _row("order.total", operator, _money(random.randrange(_MOST_TOTAL)))
    return {"all": [_row("customer.city", "any_of", cities), limit]}


def _by_product(load: Workload, random: Random) -> Document:
    """A product among the items, and one of three statuses."""
    sku = _row("order.items.product.sku", "equal", _sku(random.randrange(load._products)))
    return {"all": [_row("order.status", "any_of", random.sample(STATUSES, 3)), sku]}


def _by_customer(load: Workload, random: Random) -> Document:
    """One customer, by channel."""
    customer = _row("customer.id", "equal", f"customer-{random.randrange(load._customers)}")
    return {"all": [customer, _row("order.channel", "any_of", random.sample(CHANNELS, 2))]}


def _by_tag(load: Workload, random: Random) -> Document:
    """A tag, and either a status or a large total."""
    either = [_row("order.status", "equal", random.choice(STATUSES)), _row("order.total", "above", _money(6_000))]
    return {"all": [_row("order.tags", "include_any", [_tag(random.randrange(load._tags))]), {"any": either}]}


def _by_remark(load: Workload, random: Random) -> Document:
    """A word in the note, and not one of the channels."""
    word = _row("order.note", "contains", _remark(random.randrange(load._remarks)))
    return {"all": [word, _row("order.channel", "not_equal", random.choice(CHANNELS))]}


def _by_either(load: Workload, random: Random) -> Document:
    """A city or a product, and a total between two limits."""
    low = random.randrange(_MOST_TOTAL // 2)
    between = _row("order.total", "between", [_money(low), _money(low + _MOST_TOTAL // 2)])
    city = _row("customer.city", "equal", _city(random.randrange(load._cities)))
    sku = _row("order.items.product.sku", "equal", _sku(random.randrange(load._products)))
    return {"all": [{"any": [city, sku]}, between]}


_FAMILIES: Sequence[Callable[[Workload, Random], Document]] = (
    _by_city,
    _by_product,
    _by_customer,
    _by_city,
    _by_tag,
    _by_product,
    _by_remark,
    _by_customer,
    _by_either,
    _by_city,
)
