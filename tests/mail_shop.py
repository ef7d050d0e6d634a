"""An engine with the mail plugin on, one rule that writes to customers, and a clock to move."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from engines import START, make_engine, make_event, put_rule
from mail_servers import PASSWORD, USER
from sqlalchemy import select

from core.accounts import Account, save_account
from core.clock import VirtualClock
from core.effects import list_effects
from core.marks import read_mark
from core.tables import events
from rules.engine import Engine
from rules.runs import get_run, list_runs

RULE = """
rule: thank-you
when: {event: order.paid}
then:
  - do: mail.send_message
    with: {subject: "Order {{ order.id }}", text: "Thank you, {{ customer.name }}!"}
owner: shop
"""
POLLER = "poller:mail:default:poll_bounces"
RIGHT = {
    "host": "localhost",
    "user": USER,
    "password": PASSWORD,
    "sender_address": "shop@shop.test",
    "sender_name": "The Shop",
}
CUSTOMER = {"id": "c-1", "name": "Ada", "email": "ada@customer.test"}


@dataclass(kw_only=True)
class MailShop:
    """The engine, and what tests ask of it."""

    engine: Engine
    clock: VirtualClock
    settings: dict[str, Any] = field(default_factory=lambda: dict(RIGHT))

    def connect(self, **settings: Any) -> None:
        """Save the account; what a test does not name stays as it was."""
        self.settings |= settings
        schema = self.engine.host.get_on("mail").manifest["settings"]
        saved = Account(plugin="mail", name="default", settings=self.settings)
        now = self.clock.now()
        self.engine.writer.do(lambda tx: save_account(tx, self.engine.secrets, schema, saved, actor="test", now=now))

    def pay(self, rule: str = RULE, **more: Any) -> None:
        """Let an order be paid under one rule."""
        put_rule(self.engine, rule)
        data = {"order": {"id": "A-1"}, "customer": CUSTOMER, **more}
        self.engine.take([make_event(self.engine, "order.paid", data, customer="c-1", key="A-1")])
        self.engine.drain()

    def send(self, params: str, **more: Any) -> Any:
        """Run one mail.send_message with these parameters, as YAML; return its effect."""
        head, _, _ = RULE.partition("    with:")
        self.pay(f"{head}    with: {{{params}}}\nowner: shop\n", **more)
        return self.effect

    def wait_out(self, most: timedelta = timedelta(days=4)) -> int:
        """Move the clock from try to try until nothing is due; return how many tries there were."""
        end, tries = self.clock.now() + most, 0
        while (due := self.engine.runner.next_due()) is not None and due <= end:
            self.clock.set(max(due, self.clock.now()))
            self.engine.drain()
            tries += 1
        return tries

    def poll(self) -> dict[str, Any]:
        """Look for bounces once, as the schedule does; return what is remembered of it: cursor and error."""
        self.engine.polling.rebuild()
        self.engine.writer.do(lambda tx: self.engine.polling.ask(tx, POLLER))
        self.engine.queue.drain()
        with self.engine.db.read() as conn:
            return read_mark(conn, POLLER) or {}

    @property
    def effect(self) -> Any:
        """The newest effect."""
        with self.engine.db.read() as conn:
            return list_effects(conn)[0]

    @property
    def run(self) -> dict[str, Any]:
        with self.engine.db.read() as conn:
            return get_run(conn, list_runs(conn)[0]["id"])

    def bounced(self) -> list[Any]:
        with self.engine.db.read() as conn:
            return list(conn.execute(select(events).where(events.c.type == "mail.bounced").order_by(events.c.id)))


@contextmanager
def open_shop(home: Path, *, allow: tuple[str, ...] = ()) -> Iterator[MailShop]:
    """Open a shop whose owner allows these inner hosts."""
    clock = VirtualClock(START)
    engine = make_engine(home, clock=clock, plugins_on=("mail",), allow_hosts=allow)
    yield MailShop(engine=engine, clock=clock)
    engine.close()
