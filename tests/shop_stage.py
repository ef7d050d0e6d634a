"""A shop with a few records in a real engine, for tests of the pages that show them."""

from collections.abc import Callable
from typing import Any

from core.shop import Shop
from rules.engine import Engine

#: A rule that gives people something to do.
ASKS = """
rule: pack
title: Pack what was ordered
when: {event: order.created}
then:
  - do: tasks.create
    with: {title: "Pack order {{ order.number }}"}
"""


def in_shop(engine: Engine, write: Callable[[Shop], Any], *, emit: bool = False) -> Any:
    """Run writers as the site would; with `emit`, automations hear of it."""

    def work(tx: Any) -> Any:
        told = engine.intake.emitter(tx, "site") if emit else None
        return write(engine.shop_of(tx, told, engine.clock.now(), "site"))

    return engine.writer.do(work)


def put_order(engine: Engine, number: str = "1042", *, emit: bool = False, **more: Any) -> str:
    """Store an order of one phone for a customer; return its id."""
    wanted = {
        "external_id": f"site-{number}",
        "number": number,
        "currency": "TRY",
        "customer": {"external_id": "c1", "name": "Ada Deniz", "phone": "+905321112233", "email": "ada@shop.example"},
        "items": [{"sku": "K3", "name": "Kelvara 3", "quantity": 2, "price": "1500.00"}],
        **more,
    }
    return in_shop(engine, lambda shop: shop.upsert_order(wanted), emit=emit).id


def customer_of(engine: Engine, external_id: str = "c1") -> str:
    """Return our id of the site's customer."""
    return in_shop(engine, lambda shop: shop.find_customer(external_id))
