"""A shop of its own for every test of the command line."""

import json
from pathlib import Path

import pytest
from command_line import CommandLine, make_shop


@pytest.fixture
def shop(tmp_path: Path) -> CommandLine:
    return make_shop(tmp_path / "shop")


def order_line(order: str, amount: str) -> str:
    """Return an event as one line of JSON."""
    data = {"order": {"id": order, "total": {"amount": amount, "currency": "TRY"}}, "customer": {"id": f"c-{order}"}}
    return json.dumps({"type": "order.approved", "id": f"approved-{order}", "key": order, "data": data})


@pytest.fixture
def sent_orders(shop: CommandLine) -> int:
    """Hand in a big and a small order; return how many."""
    lines = [order_line("7", "250"), order_line("8", "50")]
    assert shop("events", "send", "-", stdin="\n".join(lines)).code == 0
    return len(lines)
