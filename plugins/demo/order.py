"""One synthetic order: thrown with dice from its lines to its review."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from plugins.demo.catalogue import CABINET, EXTRAS, INSTALMENTS, PHONES, SELLERS, Product

#: The steps of an order's life; the review comes after them.
LIFE = ("created", "approved", "shipped", "delivered", "canceled")
REVIEW = len(LIFE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One sold piece; money in hundredths."""

    product: Product
    seller: str
    freight: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Payment:
    """One payment; money in hundredths."""

    kind: str
    instalments: int
    amount: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """All that will ever happen to an order; times are UTC."""

    id: str
    customer: int
    #: Moments of LIFE; None where it did not happen.
    moments: tuple[datetime | None, ...]
    estimated: datetime
    lines: tuple[Line, ...]
    payments: tuple[Payment, ...]
    #: Moment and score of the review, if one was written.
    review: tuple[datetime, int] | None

    def steps(self) -> Iterator[tuple[datetime, int]]:
        """Yield when each step happened, the review as step REVIEW."""
        for step, moment in enumerate(self.moments):
            if moment is not None:
                yield moment, step
        if self.review:
            yield self.review[0], REVIEW


def make_order(dice: Random, order_id: str, created: datetime, customers: int, zone: ZoneInfo) -> Order:
    """Throw everything about an order but when it was placed."""
    lines = _choose_lines(dice)
    promised = created.astimezone(zone).date() + timedelta(days=dice.randint(4, 8))
    moments = _live(dice, created)
    return Order(
        id=order_id,
        # The product of two throws: some customers come often, most once or twice.
        customer=int(dice.random() * dice.random() * customers),
        moments=moments,
        estimated=datetime(promised.year, promised.month, promised.day, tzinfo=zone),
        lines=lines,
        payments=_choose_payments(dice, sum(line.product.price + line.freight for line in lines)),
        review=_choose_review(dice, moments[3]),
    )


def _live(dice: Random, created: datetime) -> tuple[datetime | None, ...]:
    """Throw an order's life: paid at once, late or never; sent, delivered, now and then called off."""
    fate = dice.random()
    if fate < 0.04:
        return created, None, None, None, None
    if fate < 0.07:
        return created, None, None, None, created + _span(dice, 20, 190)
    approved = created if fate < 0.12 else created + _span(dice, 0.01, 2)
    if fate > 0.88:
        approved = created + _span(dice, 8, 200)
    if dice.random() < 0.03:
        return created, approved, None, None, approved + _span(dice, 1, 40)
    shipped = approved + _span(dice, 3, 40)
    delivered = shipped + _span(dice, 14, 60 if dice.random() < 0.85 else 240)
    return created, approved, shipped, delivered, None


def _span(dice: Random, least_hours: float, most_hours: float) -> timedelta:
    return timedelta(seconds=int(3600 * (least_hours + dice.random() * (most_hours - least_hours))))


def _choose_lines(dice: Random) -> tuple[Line, ...]:
    if dice.random() < 0.015:
        goods = [CABINET]
    else:
        goods = [dice.choice(PHONES)] if dice.random() < 0.7 else []
        goods += [dice.choice(EXTRAS) for _ in range(dice.randint(0 if goods else 1, 2))]
    seller = dice.choice(SELLERS)
    # Insurance travels by mail of the electronic kind.
    return tuple(
        Line(product=good, seller=seller, freight=0 if good.weight_g is None else 4_990 + good.weight_g)
        for good in goods
    )


def _choose_payments(dice: Random, total: int) -> tuple[Payment, ...]:
    if dice.random() < 0.2:
        return (Payment(kind="transfer", instalments=1, amount=total),)
    instalments = dice.choice(INSTALMENTS) if total >= 100_000 else 1
    if dice.random() < 0.1:
        gift = total // 10
        return (
            Payment(kind="card", instalments=instalments, amount=total - gift),
            Payment(kind="gift_card", instalments=1, amount=gift),
        )
    return (Payment(kind="card", instalments=instalments, amount=total),)


def _choose_review(dice: Random, delivered: datetime | None) -> tuple[datetime, int] | None:
    if delivered is None or dice.random() > 0.35:
        return None
    return delivered + _span(dice, 2, 260), dice.choice((1, 2, 3, 4, 4, 5, 5, 5, 5))
