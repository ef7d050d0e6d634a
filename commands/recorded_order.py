"""One recorded order: what the files say of it, kept small, and its picture at any moment of its life."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

CURRENCY = "BRL"
#: The steps whose times are recorded, in the order of an order's life.
LIFE = ("created", "approved", "shipped", "delivered")
#: Last statuses that have no time of their own.
CLOSED = ("canceled", "unavailable")
#: Place of the closing step in an order's life; reviews come after it.
CLOSING = len(LIFE)
FIRST_REVIEW = CLOSING + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """What was sold; sizes are None where nobody recorded them."""

    id: str
    category: str | None = None
    weight_g: int | None = None
    length_cm: int | None = None
    height_cm: int | None = None
    width_cm: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One sold piece; money in hundredths."""

    number: int
    product: Product
    seller: str
    price: int
    freight: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Payment:
    """One of the payments of an order; money in hundredths."""

    sequence: int
    kind: str
    instalments: int
    amount: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Review:
    """A customer's answer; times in Unix seconds."""

    id: str
    score: int
    title: str | None
    message: str | None
    created: int
    answered: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Who bought, with the address given for one order."""

    id: str
    city: str
    state: str
    zip: str

    def describe(self) -> dict[str, str]:
        """Return the person as event data."""
        return {"id": self.id, "city": self.city, "state": self.state, "zip": self.zip}


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedOrder:
    """All that is known of an order in the end; the lists grow only while the files are read."""

    id: str
    person: Person
    #: The last status; a step of its own only where it is one of CLOSED.
    status: str
    #: Unix seconds of the steps of LIFE and of the closing, None where it did not happen.
    moments: tuple[int | None, ...]
    estimated: int | None
    estimated_date: str | None
    lines: list[Line] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)

    def steps(self) -> list[tuple[int, int]]:
        """Return (Unix second, step) of all that happened; steps from FIRST_REVIEW on are the reviews."""
        happened = [(moment, step) for step, moment in enumerate(self.moments) if moment is not None]
        return happened + [(review.answered, FIRST_REVIEW + place) for place, review in enumerate(self.reviews)]

    def step_name(self, step: int) -> str:
        """Return the status that this step brings."""
        return LIFE[step] if step < CLOSING else self.status

    def describe(self, moment: int, step: int) -> dict[str, Any]:
        """Return the order as event data, as it stood right after this step."""
        known = [
            at if at is not None and (at, place) <= (moment, step) else None for place, at in enumerate(self.moments)
        ]
        # Recorded times may contradict life (shipped, then approved): a shipped order stays shipped.
        furthest = max((place for place, at in enumerate(known) if at is not None), default=0)
        return {
            "id": self.id,
            "status": self.step_name(furthest),
            **{f"{name}_at": find_rfc3339(at) for name, at in zip(LIFE, known, strict=False)},
            "estimated_delivery": find_rfc3339(self.estimated),
            "estimated_delivery_date": self.estimated_date,
            "items": [describe_line(line) for line in self.lines],
            "payments": [describe_payment(payment) for payment in self.payments],
            "items_total": money(sum(line.price for line in self.lines)),
            "freight_total": money(sum(line.freight for line in self.lines)),
            "paid_total": money(sum(payment.amount for payment in self.payments)),
        }


def money(hundredths: int) -> dict[str, str]:
    """Return an amount as event data."""
    return {"amount": f"{hundredths // 100}.{hundredths % 100:02d}", "currency": CURRENCY}


def find_rfc3339(second: int | None) -> str | None:
    """Return a Unix second as RFC 3339 text in UTC."""
    return None if second is None else datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat() + "Z"


def describe_line(line: Line) -> dict[str, Any]:
    """Return an order line as event data."""
    product = line.product
    return {
        "line": line.number,
        "product": {
            "id": product.id,
            "category": product.category,
            "weight_g": product.weight_g,
            "length_cm": product.length_cm,
            "height_cm": product.height_cm,
            "width_cm": product.width_cm,
        },
        "seller": line.seller,
        "price": money(line.price),
        "freight": money(line.freight),
    }


def describe_payment(payment: Payment) -> dict[str, Any]:
    """Return a payment as event data."""
    return {
        "sequence": payment.sequence,
        "kind": payment.kind,
        "instalments": payment.instalments,
        "amount": money(payment.amount),
    }


def describe_review(review: Review) -> dict[str, Any]:
    """Return a review as event data."""
    return {
        "id": review.id,
        "score": review.score,
        "title": review.title,
        "message": review.message,
        "created_at": find_rfc3339(review.created),
    }
