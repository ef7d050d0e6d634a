"""An event's data with the shop's records in it as they are now: what a rule sees when it checks again after a wait."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from core.shop.snapshots import snapshot_customers, snapshot_orders


def refresh_data(conn: Connection, data: Mapping[str, Any]) -> dict[str, Any]:
    """Replace order and customer by today's snapshots; records that the shop does not hold stay as they came."""
    fresh = dict(data)
    for noun, read in (("order", snapshot_orders), ("customer", snapshot_customers)):
        record = data.get(noun)
        if isinstance(record, Mapping) and isinstance(record.get("id"), str):
            found = read(conn, [record["id"]])
            if record["id"] in found:
                fresh[noun] = found[record["id"]]
    return fresh
