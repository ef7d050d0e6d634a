"""What the web layer does with a webhook that came in, for tests of plugins that take webhooks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from core.accounts import Account, save_account
from core.clock import VirtualClock
from core.errors import RemoteError, UserError
from core.tables import events
from rules.engine import Engine
from rules.plugin_hooks import check_account, deliver


@dataclass(kw_only=True)
class Desk:
    """Takes deliveries in as the route /hooks/webhooks/ACCOUNT/in does."""

    engine: Engine
    clock: VirtualClock

    def connect(self, account: str = "default", **settings: Any) -> None:
        """Save an account, checked as the settings page does."""
        schema = self.engine.host.get_on("webhooks").manifest["settings"]
        saved = Account(plugin="webhooks", name=account, settings=settings)
        now = self.clock.now()
        self.engine.writer.do(lambda tx: save_account(tx, self.engine.secrets, schema, saved, actor="test", now=now))

    def deliver(
        self,
        headers: Sequence[Sequence[str]] | Mapping[str, str],
        body: bytes | str,
        *,
        account: str = "default",
        method: str = "POST",
    ) -> dict[str, Any]:
        """Deliver once and return the answer's body; a repeated header is joined as every WSGI server does."""
        joined: dict[str, str] = {}
        for name, value in headers.items() if isinstance(headers, Mapping) else headers:
            before = joined.get(name.lower())
            joined[name.lower()] = value if before is None else f"{before}, {value}"
        raw = body.encode() if isinstance(body, str) else body
        hook = self.engine.host.find_webhook("webhooks", "in")
        assert hook is not None
        check_account(self.engine, "webhooks", account)
        request = {"method": method, "headers": joined, "query": {}, "body": raw, "address": "192.0.2.7"}
        return deliver(self.engine, hook, account, request)["body"]

    def is_taken(self, headers: Any, body: bytes | str, **more: Any) -> bool:
        """Tell whether a delivery is let in; only errors meant for senders count as a refusal."""
        try:
            self.deliver(headers, body, **more)
        except (RemoteError, UserError):
            return False
        return True

    def stored(self) -> list[Any]:
        with self.engine.db.read() as conn:
            return list(conn.execute(select(events).order_by(events.c.id)))
