"""What the web layer does with a webhook that came in, for tests of plugins that take webhooks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from core.accounts import Account, save_account
from core.clock import VirtualClock
from core.errors import RemoteError, UserError
from core.events import Event
from core.ids import new_id
from core.tables import events
from core.writer import Tx
from rules.engine import Engine


@dataclass(kw_only=True)
class Desk:
    """Takes deliveries in as the route /hooks/webhooks/ACCOUNT/in does."""

    engine: Engine
    clock: VirtualClock

    def connect(self, account: str = "default", **settings: Any) -> None:
        """Save an account; nothing of it is checked less than the settings page does."""
        schema = self.engine.host.get_on("webhooks").manifest["settings"]
        saved = Account(plugin="webhooks", name=account, settings=settings)
        self.engine.writer.do(
            lambda tx: save_account(tx, self.engine.secrets, schema, saved, actor="test", now=self.clock.now())
        )

    def deliver(
        self,
        headers: Sequence[Sequence[str]] | Mapping[str, str],
        body: bytes | str,
        *,
        account: str = "default",
        method: str = "POST",
    ) -> dict[str, Any]:
        """Verify and run one delivery in its transaction; a repeated header is joined as every WSGI server does."""
        joined: dict[str, str] = {}
        for name, value in headers.items() if isinstance(headers, Mapping) else headers:
            before = joined.get(name.lower())
            joined[name.lower()] = value if before is None else f"{before}, {value}"
        raw = body.encode() if isinstance(body, str) else body
        request = {"method": method, "headers": joined, "query": {}, "body": raw, "address": "192.0.2.7"}
        return self.engine.writer.do(lambda tx: self._run(tx, account, request))

    def _run(self, tx: Tx, account: str, request: dict[str, Any]) -> dict[str, Any]:
        hook = self.engine.host.find_webhook("webhooks", "in")
        assert hook is not None
        ctx = self.engine.invoker.context_for("webhooks", tx, self._emitter(tx), account=account)
        hook.verify(ctx, request)
        return hook.run(ctx, request)

    def _emitter(self, tx: Tx) -> Any:
        def emit(type: str, data: dict[str, Any], *, key: Any = None, customer: Any = None, id: Any = None) -> None:
            now = self.clock.now()
            self.engine.host.catalogue.check(type, data)
            fields = {"time": now, "received_at": now, "key": key, "customer": customer, "data": data}
            event = Event(id=new_id(), source="vitrin/webhooks", external_id=id or new_id(), type=type, **fields)
            self.engine.intake.take(tx, [event])

        return emit

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
