"""Incoming webhooks of plugins: verified and run, with everything they write and emit in one transaction.

Code of built-in plugins runs inside that transaction. Code of foreign ones runs before it, on a thread with a time
limit; what it wants written is kept and applied when it has come back.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import structlog

from core.accounts import DEFAULT, find_account, full_settings
from core.capabilities import Webhook
from core.context import Emit, plain_result
from core.errors import (
    Conflict,
    NotAllowed,
    PluginError,
    RejectedError,
    RemoteError,
    StorageError,
    UserError,
)
from core.events import Event, text_at
from core.guarded import HungError, translated
from core.ids import new_id
from core.kept import Kept
from core.schemas import compile_schema
from core.writer import Tx

if TYPE_CHECKING:
    from rules.engine import Engine

log = structlog.get_logger("vitrin.hooks")

_FORGED = "the signature or token of this call is missing or wrong"


def check_account(engine: "Engine", plugin: str, account: str) -> None:
    """Raise Conflict until the account is set up: a webhook without its secret is closed, not open."""
    schema = engine.host.get_on(plugin).manifest.get("settings")
    if not schema and account == DEFAULT:
        return
    with engine.db.read() as conn:
        stored = find_account(conn, plugin, account)
        settings = full_settings(conn, engine.secrets, schema, stored) if schema and stored else None
    if settings is None or not compile_schema(dict(schema or {})).is_valid(settings):
        raise Conflict("this webhook is closed until its account is set up")


def deliver(engine: "Engine", hook: Webhook, account: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Verify and run one delivery; return what the plugin answers, after the commit.

    Raise NotAllowed for a forged one; other errors of the tree as the plugin raised them.
    """
    if engine.host.is_trusted(hook.plugin):
        return engine.writer.do(lambda tx: _deliver_inside(engine, tx, hook, account, request))
    kept, result = _run_apart(engine, hook, account, request)
    engine.writer.do(lambda tx: _apply(engine, tx, hook.plugin, account, kept))
    return result


def _deliver_inside(
    engine: "Engine", tx: Tx, hook: Webhook, account: str, request: Mapping[str, Any]
) -> dict[str, Any]:
    ctx = engine.invoker.context_for(hook.plugin, tx, emitter(engine, tx, hook.plugin, account), account=account)
    _verify(hook, lambda: translated(hook.plugin, lambda: hook.verify(ctx, request)))
    answer = translated(hook.plugin, lambda: hook.run(ctx, request))
    return plain_result(hook.plugin, answer, f"the webhook {hook.path}")


def _verify(hook: Webhook, work: Callable[[], Any]) -> None:
    """Run a check of a delivery; whatever it finds wrong is one answer to the sender, and one line for us."""
    try:
        work()
    except (HungError, StorageError):
        raise
    except (UserError, RejectedError, PluginError) as exc:
        log.warning("a webhook was refused", plugin=hook.plugin, webhook=hook.path, why=exc.message)
        raise NotAllowed(_FORGED) from exc
    except RemoteError as exc:
        # The secret is missing, or cannot be read right now: the sender is told to come again.
        raise Conflict("this webhook is closed until its account is set up") from exc


def emitter(engine: "Engine", tx: Tx, plugin: str, account: str) -> Emit:
    """Return an `emit` whose events are checked, and taken in this transaction; an `id` is taken once."""

    def emit(
        type: str, data: dict[str, Any], *, key: str | None = None, customer: str | None = None, id: str | None = None
    ) -> None:
        kind = engine.host.catalogue.check(type, data)
        now = engine.clock.now()
        event = Event(
            id=new_id(),
            source=f"{plugin}/{account}",
            external_id=id or new_id(),
            type=type,
            time=now,
            received_at=now,
            key=key or (text_at(data, kind.key) if kind.key else None),
            customer=customer or (text_at(data, kind.customer) if kind.customer else None),
            data=data,
        )
        engine.intake.take(tx, [event])

    return emit


def _run_apart(
    engine: "Engine", hook: Webhook, account: str, request: Mapping[str, Any]
) -> tuple[Kept, dict[str, Any]]:
    limited = engine.invoker.limited
    with engine.db.read() as conn, Kept(plugin=hook.plugin) as kept:
        ctx = kept.stand_in(engine.invoker.context_for(hook.plugin, Tx(conn), None, account=account))
        # A check that raises is what a check does: only a hang speaks against the plugin.
        _verify(hook, lambda: limited(hook.plugin, lambda: hook.verify(ctx, request), counted=False))
        answer = limited(hook.plugin, lambda: hook.run(ctx, request))
    return kept, plain_result(hook.plugin, answer, f"the webhook {hook.path}")


def _apply(engine: "Engine", tx: Tx, plugin: str, account: str, kept: Kept) -> None:
    kept.apply(engine.invoker.context_for(plugin, tx, emitter(engine, tx, plugin, account), account=account))
