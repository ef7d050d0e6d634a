"""Count from the CSV rows alone what the eight rules must have done; shares no code with the engine."""

import csv
import gzip
import json
import sys
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

SHOP_ZONE = ZoneInfo("America/Sao_Paulo")
STEPS = {
    "created": "order_purchase_timestamp",
    "approved": "order_approved_at",
    "shipped": "order_delivered_carrier_date",
    "delivered": "order_delivered_customer_date",
}

Rows = list[dict[str, str]]
#: What one run did, per rule and order (or review): the kinds of its effects.
Acts = dict[str, list[tuple[str, ...]]]


def read_rows(folder: Path, noun: str) -> Rows:
    """Return one file's rows as text, under any of the names it is published with."""
    for stem in (noun, f"olist_{noun}_dataset", f"olist_{noun}", f"{noun}_dataset"):
        plain, packed = folder / f"{stem}.csv", folder / f"{stem}.csv.gz"
        if plain.exists():
            with plain.open(encoding="utf-8-sig", newline="") as file:
                return list(csv.DictReader(file))
        if packed.exists():
            with gzip.open(packed, "rt", encoding="utf-8-sig", newline="") as file:
                return list(csv.DictReader(file))
    raise FileNotFoundError(f"no {noun} file in {folder}")


def moment(text: str) -> datetime | None:
    """Return the UTC moment of a local time of the shop; None where nothing is recorded."""
    if not text:
        return None
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=SHOP_ZONE).astimezone(UTC)


def by_order(rows: Rows) -> dict[str, Rows]:
    """Group rows by the order they belong to."""
    groups: dict[str, Rows] = defaultdict(list)
    for row in rows:
        groups[row["order_id"]].append(row)
    return groups


class Shop:
    """The rows of a folder, joined; times as UTC moments."""

    def __init__(self, folder: Path, products: Path | None) -> None:
        person = {row["customer_id"]: row["customer_unique_id"] for row in read_rows(folder, "customers")}
        self.orders = {row["order_id"]: row for row in read_rows(folder, "orders")}
        self.person = {order_id: person[row["customer_id"]] for order_id, row in self.orders.items()}
        self.times = {
            order_id: {step: moment(row[column]) for step, column in STEPS.items()}
            for order_id, row in self.orders.items()
        }
        self.items = by_order(read_rows(folder, "order_items"))
        self.payments = by_order(read_rows(folder, "order_payments"))
        self.review_rows = read_rows(folder, "order_reviews")
        self.reviews = by_order(self.review_rows)
        self.weight = {row["product_id"]: row["product_weight_g"] for row in read_rows(products or folder, "products")}

    def happened(self, step: str) -> list[tuple[str, datetime]]:
        """Return (order, moment) of each order that reached a step."""
        return [(order_id, at) for order_id, times in self.times.items() if (at := times[step]) is not None]


def count_events(shop: Shop) -> int:
    """Count recorded steps, closings without a time, and reviews."""
    steps = sum(at is not None for times in shop.times.values() for at in times.values())
    closed = sum(row["order_status"] in ("canceled", "unavailable") for row in shop.orders.values())
    return steps + closed + len(shop.review_rows)


def thank_you(shop: Shop) -> list[tuple[str, ...]]:
    """Approved: one message."""
    return [("message",) for _ in shop.happened("approved")]


def late_apology(shop: Shop) -> list[tuple[str, ...]]:
    """Delivered on a later day of the shop's calendar than estimated: a message and a task."""
    acts = []
    for order_id, delivered in shop.happened("delivered"):
        estimated = shop.orders[order_id]["order_estimated_delivery_date"][:10]
        if estimated and delivered.astimezone(SHOP_ZONE).date().isoformat() > estimated:
            acts.append(("message", "task"))
    return acts


def ask_review(shop: Shop) -> list[tuple[str, ...]]:
    """Delivered, and no review of this order from then up to 7 days later: a message."""
    acts = []
    for order_id, delivered in shop.happened("delivered"):
        answers = [moment(row["review_answer_timestamp"]) for row in shop.reviews[order_id]]
        if not any(at is not None and delivered <= at <= delivered + timedelta(days=7) for at in answers):
            acts.append(("message",))
    return acts


def unpaid_reminder(shop: Shop) -> list[tuple[str, ...]]:
    """Not approved 24 hours after it was created: a message; not after 7 days: a task as well."""
    acts = []
    for order_id, created in shop.happened("created"):
        approved = shop.times[order_id]["approved"]
        late_for = [
            kind
            for kind, limit in (("message", timedelta(hours=24)), ("task", timedelta(days=7)))
            if approved is None or approved > created + limit
        ]
        if late_for:
            acts.append(tuple(late_for))
    return acts


def big_instalments(shop: Shop) -> list[tuple[str, ...]]:
    """Approved, paid 500 or more in all, some payment in 6 or more instalments: a tag."""
    acts = []
    for order_id, _ in shop.happened("approved"):
        payments = shop.payments[order_id]
        paid = sum((Decimal(row["payment_value"]) for row in payments), Decimal(0))
        if paid >= 500 and any(Decimal(row["payment_installments"]) >= 6 for row in payments):
            acts.append(("tag",))
    return acts


def bad_review(shop: Shop) -> list[tuple[str, ...]]:
    """Score 2 or less: a task, unless the same person had one less than 30 days before."""
    bad = []
    for row in shop.review_rows:
        answered = moment(row["review_answer_timestamp"])
        if answered is not None and Decimal(row["review_score"]) <= 2:
            bad.append((answered, row["order_id"], row["review_id"]))
    last_task: dict[str, datetime] = {}
    acts = []
    for answered, order_id, _ in sorted(bad):
        person = shop.person[order_id]
        if person not in last_task or answered - last_task[person] >= timedelta(days=30):
            last_task[person] = answered
            acts.append(("task",))
    return acts


def second_order(shop: Shop) -> list[tuple[str, ...]]:
    """Approved, and the same person had another order approved before, at most 180 days: one effect."""
    approvals: dict[str, list[datetime]] = defaultdict(list)
    for order_id, approved in shop.happened("approved"):
        approvals[shop.person[order_id]].append(approved)
    acts = []
    for moments in approvals.values():
        acts += [
            ("effect",)
            for this in moments
            if any(timedelta(0) < this - other <= timedelta(days=180) for other in moments)
        ]
    return acts


def heavy_parcel(shop: Shop) -> list[tuple[str, ...]]:
    """Approved, and any product known to weigh more than 10 kg: a task."""
    acts = []
    for order_id, _ in shop.happened("approved"):
        weights = [shop.weight.get(row["product_id"]) for row in shop.items[order_id]]
        if any(weight and Decimal(weight) > 10_000 for weight in weights):
            acts.append(("task",))
    return acts


RULES = {
    "thank-you": thank_you,
    "late-apology": late_apology,
    "ask-review": ask_review,
    "unpaid-reminder": unpaid_reminder,
    "big-instalments": big_instalments,
    "bad-review": bad_review,
    "second-order": second_order,
    "heavy-parcel": heavy_parcel,
}


def expected(folder: Path, products: Path | None = None) -> dict[str, Any]:
    """Return the counts: events, runs that acted per rule, effects per rule and kind, and totals per kind.

    `only` tells per rule how many runs did nothing but the one kind of effect.
    """
    shop = Shop(folder, products)
    acts: Acts = {rule: find(shop) for rule, find in RULES.items()}
    kinds = ("message", "task", "tag", "effect")
    effects = {
        rule: {kind: n for kind in kinds if (n := sum(kind in run for run in runs))} for rule, runs in acts.items()
    }
    only = {
        rule: {kind: n for kind in kinds if (n := sum(run == (kind,) for run in runs))} for rule, runs in acts.items()
    }
    totals = {kind: sum(of_rule.get(kind, 0) for of_rule in effects.values()) for kind in kinds}
    return {
        "events": count_events(shop),
        "acted": {rule: len(runs) for rule, runs in acts.items()},
        "messages": totals["message"],
        "tasks": totals["task"],
        "tags": totals["tag"],
        "second_order_effects": totals["effect"],
        "effects": effects,
        "only": only,
    }


if __name__ == "__main__":
    json.dump(expected(*(Path(argument) for argument in sys.argv[1:3])), sys.stdout, indent=2)
    sys.stdout.write("\n")
