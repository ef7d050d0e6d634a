"""Calls what plugins bring: builds their `ctx`, keeps them inside their limits, checks what they answer.

Code of built-in plugins runs inside the open transaction. Code of foreign ones never does: it runs on a thread with
a time limit, what it writes is kept aside, and is applied when it has come back.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from types import NoneType
from typing import Any, Protocol

import orjson
import structlog
from sqlalchemy import Connection

from core.accounts import DEFAULT, Account, find_account, full_settings, list_accounts, secret_names
from core.capabilities import Action, ActionCall, Fact, FactKey
from core.clock import Clock
from core.collect import Brought
from core.context import Context, Emit, plain_result
from core.db import Database
from core.errors import Conflict, PluginError
from core.guarded import HungError, translated
from core.host import Host
from core.http import HttpClient
from core.kept import Kept
from core.plugin_store import PluginStore
from core.secrets import Secrets
from core.writer import Tx

#: Seconds that foreign code may take for something local, and any plugin for one outside call.
LOCAL_S, OUTSIDE_S = 5.0, 60.0
#: Events that one call may emit.
_MOST_EVENTS = 1_000


class ShopOf(Protocol):
    """Makes the shop facade for one call."""

    def __call__(self, tx: Tx, emit: Emit | None, now: datetime, source: str) -> Any: ...


class RefreshData(Protocol):
    """Returns an event's data with the shop's records in it as they are now."""

    def __call__(self, conn: Connection, data: Mapping[str, Any]) -> dict[str, Any]: ...


class Invoker:
    """The one place from which actions, facts, operators, pollers, webhooks and checks of plugins are called."""

    def __init__(
        self,
        host: Host,
        db: Database,
        secrets: Secrets,
        http: HttpClient,
        clock: Clock,
        *,
        shop_of: ShopOf,
        refresh_data: RefreshData,
        shop_settings: Mapping[str, Any],
    ) -> None:
        self.host = host
        self._db = db
        self._secrets = secrets
        self._http = http
        self._clock = clock
        self._shop_of = shop_of
        self._refresh_data = refresh_data
        #: What plugins may know of the shop; `allow_hosts` are the inner addresses that its owner opened.
        self._shop_settings = dict(shop_settings)

    def find_action(self, name: str) -> Action | None:
        return self.host.find_action(name)

    def find_fact(self, name: str) -> Fact | None:
        return self.host.find_fact(name)

    def refresh(self, tx: Tx, data: Mapping[str, Any]) -> dict[str, Any]:
        return self._refresh_data(tx.conn, data)

    def create_task(self, tx: Tx, emit: Emit, task: dict[str, Any]) -> None:
        """Create a task for a person, in the engine's own name."""
        self._shop_of(tx, emit, self._clock.now(), "vitrin").create_task(task)

    # Facts

    def load_fact(self, fact: Fact, tx: Tx, keys: list[FactKey], now: datetime) -> Mapping[FactKey, Any]:
        """Ask a fact for all keys of a batch at once."""
        ctx = self._context(fact.plugin, tx.conn, now=now, conn=tx.conn if self.host.is_trusted(fact.plugin) else None)
        answer = self._run(fact.plugin, lambda: fact.load(ctx, keys))
        if not isinstance(answer, Mapping):
            raise PluginError(fact.plugin, f"the fact {fact.name} answered {type(answer).__name__}, not a dict")
        for value in answer.values():
            _check_storable(fact.plugin, value, f"the fact {fact.name}")
        return answer

    # Operators

    def compare(self, plugin: str, operator: str, pairs: Sequence[tuple[Any, Any]]) -> list[bool | None]:
        """Ask a plugin's operator for all (value, wanted) pairs at once; None is "not known"."""
        row = self.host.operators.get(operator)
        if row is None or row.plugin != plugin:
            why = self.host.get(plugin).quarantine or "a person switched it off"
            raise PluginError(plugin, f"its operator {operator} cannot be asked, for the plugin is off: {why}")

        def work() -> list[bool | None]:
            # A copy: what it is asked about is the event that others read, too.
            answers = [row.test(value, wanted) for value, wanted in copy.deepcopy(pairs)]
            for answer in answers:
                if not isinstance(answer, (bool, NoneType)):
                    told = type(answer).__name__
                    raise PluginError(plugin, f"the operator {operator} answered {told}, not True or False")
            return answers

        return self._run(plugin, work)

    # Actions

    def run_local(self, call: ActionCall, tx: Tx, emit: Emit) -> dict[str, Any]:
        """Run a local action for this transaction."""
        run, params = call.action.run, call.params
        answer = self._in(tx, call.action.plugin, lambda ctx: run(ctx, params), emit=emit, call=call)
        return self._answer(call.action, answer)

    def undo_local(self, action: Action, result: Any, tx: Tx, emit: Emit) -> None:
        """Let an action take back what it did, for this transaction."""
        undo = _undo_of(action)
        self._in(tx, action.plugin, lambda ctx: undo(ctx, result), emit=emit)

    def undo_outside(self, action: Action, result: Any, key: str) -> None:
        """Let an outside action take back what it did; no transaction is open."""
        undo = _undo_of(action)
        with self._db.read() as conn:
            ctx = self._context(action.plugin, conn, now=self._clock.now(), out=True, idempotency_key=f"{key}/undo")
        self.limited(action.plugin, lambda: undo(ctx, result), limit_s=OUTSIDE_S)

    def _in(
        self, tx: Tx, plugin: str, work: Callable[[Context], Any], *, emit: Emit, call: ActionCall | None = None
    ) -> Any:
        """Run a plugin's code for a transaction: inside it where it ships with us, beside it where it is foreign."""
        now = self._clock.now()
        counted = _Counted(plugin, emit)
        shop = self._shop_of(tx, counted, now, f"vitrin/{plugin}")
        account = (call.account if call else None) or DEFAULT
        store = PluginStore(conn=tx.conn, plugin=plugin, account=account, now=now)
        ctx = self._context(plugin, tx.conn, now=now, call=call, shop=shop, store=store, emit=counted, conn=tx.conn)
        if self.host.is_trusted(plugin):
            return translated(plugin, lambda: work(ctx))
        with Kept(plugin=plugin) as kept:
            answer = self.limited(plugin, lambda: work(kept.stand_in(ctx)))
        kept.apply(ctx)
        return answer

    def call_outside(self, call: ActionCall) -> dict[str, Any]:
        """Call an outside action; no transaction is open."""
        plugin = call.action.plugin
        with self._db.read() as conn:
            ctx = self._context(plugin, conn, now=self._clock.now(), call=call, out=True)
        answer = self.limited(plugin, lambda: call.action.run(ctx, call.params), limit_s=OUTSIDE_S)
        return self._answer(call.action, answer)

    def preview(self, action: Action, params: dict[str, Any], call: ActionCall, conn: Connection) -> dict[str, Any]:
        """Say what an action would do, with no write and no call; `{"text": {"en": ...}}` or empty."""
        if action.preview is None:
            return {"text": {"en": f"{action.name} cannot be previewed"}}
        ctx = self._context(action.plugin, conn, now=self._clock.now(), call=call)
        preview = action.preview
        return plain_result(action.plugin, self._run(action.plugin, lambda: preview(ctx, params)), "preview")

    def check(self, plugin: str, settings: Mapping[str, Any], account: str = DEFAULT) -> dict[str, Any]:
        """Test a connection with settings that may not be saved yet."""
        with self._db.read() as conn:
            ctx = self._context(plugin, conn, now=self._clock.now(), account=account, settings=settings, out=True)
        return plain_result(plugin, self.host.ask_on(plugin, "vitrin_check", ctx=ctx), "vitrin_check")

    def contexts_of(self, plugin: str) -> list[Context]:
        """Return the ctx of each account of a plugin, with a way out and no transaction: for start and stop."""
        with self._db.read() as conn:
            names = [account.name for account in list_accounts(conn, plugin)] or [DEFAULT]
            return [self._context(plugin, conn, now=self._clock.now(), account=name, out=True) for name in names]

    def context_for(
        self, plugin: str, tx: Tx, emit: Emit | None, *, account: str = DEFAULT, out: bool = False
    ) -> Context:
        """Return the ctx of a webhook, poller or import of a built-in or foreign plugin inside a transaction."""
        now = self._clock.now()
        counted = None if emit is None else _Counted(plugin, emit)
        return self._context(
            plugin,
            tx.conn,
            now=now,
            account=account,
            shop=self._shop_of(tx, counted, now, plugin),
            store=PluginStore(conn=tx.conn, plugin=plugin, account=account, now=now),
            emit=counted,
            conn=tx.conn if self.host.is_trusted(plugin) else None,
            out=out,
        )

    def limited(
        self, plugin: str, work: Callable[[], Any], *, limit_s: float | None = None, counted: bool = True
    ) -> Any:
        """Run a plugin's code on a thread with a time limit.

        A hang quarantines the plugin; so do errors in a row, unless to raise is what the code is for (not `counted`).
        """
        guarded = partial(self.host.guard.call, plugin, work, limit_s=LOCAL_S if limit_s is None else limit_s)
        if counted:
            return self.host.watched(plugin, guarded)
        try:
            return guarded()
        except HungError as exc:
            self.host.set_aside(plugin, exc.message)
            raise

    def _run(self, plugin: str, work: Callable[[], Any]) -> Any:
        return translated(plugin, work) if self.host.is_trusted(plugin) else self.limited(plugin, work)

    def _answer(self, action: Action, answer: Any) -> dict[str, Any]:
        what = f"the action {action.name}"
        result = plain_result(action.plugin, answer, what)
        _check_storable(action.plugin, result, what)
        if not isinstance(result.get("object"), (str, NoneType)):
            raise PluginError(action.plugin, f"{what} answered an object that is no text")
        return result

    def _context(
        self,
        plugin: str,
        conn_for_settings: Connection,
        *,
        now: datetime,
        call: ActionCall | None = None,
        account: str | None = None,
        settings: Mapping[str, Any] | None = None,
        out: bool = False,
        **more: Any,
    ) -> Context:
        brought = self.host.get_on(plugin)
        name = account or (call.account if call else None) or DEFAULT
        if settings is None:
            settings = self._settings(brought, conn_for_settings, name)
        if call is not None:
            more |= {
                "idempotency_key": call.key,
                "attempt": call.attempt,
                "event_data": call.event.data,
                "subject": subject_of(call),
            }
        return Context(
            plugin=plugin,
            account=name,
            settings=settings,
            now=now,
            log=structlog.get_logger(f"vitrin.plugin.{plugin}"),
            shop_settings=self._shop_settings,
            http=self._session(brought, name, settings) if out else None,
            **more,
        )

    def _settings(self, brought: Brought, conn: Connection, name: str) -> dict[str, Any]:
        schema = brought.manifest.get("settings")
        if not schema:
            return {}
        account = find_account(conn, brought.name, name) or Account(plugin=brought.name, name=name, settings={})
        return full_settings(conn, self._secrets, schema, account)

    def _session(self, brought: Brought, account: str, settings: Mapping[str, Any]) -> Any:
        hosts = brought.manifest.get("permissions", {}).get("hosts")
        hidden = secret_names(brought.manifest.get("settings") or {})
        values = tuple(str(settings[name]) for name in hidden if settings.get(name))
        allow = self._shop_settings["allow_hosts"]
        return self._http.session(brought.name, account, hosts, allow=allow, secrets=values)


def _check_storable(plugin: str, value: Any, what: str) -> None:
    """Refuse what the database cannot keep as JSON: it would fail only at the end of the batch, for all runs in it."""
    try:
        orjson.dumps(value, default=_exact)
    except TypeError as exc:
        raise PluginError(plugin, f"{what} answered a value that cannot be kept: {exc}") from exc


def _exact(value: Any) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"a {type(value).__name__} is no plain data")


def _undo_of(action: Action) -> Callable[[Any, Any], Any]:
    if action.undo is None:
        raise Conflict(f"{action.name} cannot be undone")
    return action.undo


def subject_of(call: ActionCall) -> dict[str, str | None]:
    """Return whom and what an action's event is about."""
    order = call.event.data.get("order")
    order_id = order.get("id") if isinstance(order, dict) else None
    return {"customer": call.event.customer, "order": order_id, "key": call.event.key, "source": call.event.source}


@dataclass(slots=True)
class _Counted:
    """An `emit` that refuses a flood."""

    plugin: str
    emit: Emit
    count: int = 0

    def __call__(self, type: str, data: dict[str, Any], **more: Any) -> None:
        self.count += 1
        if self.count > _MOST_EVENTS:
            raise PluginError(self.plugin, f"emitted more than {_MOST_EVENTS} events in one call")
        if not isinstance(type, str) or not isinstance(data, dict):
            raise PluginError(self.plugin, "emitted an event whose type is no text, or whose data is no dict")
        _check_storable(self.plugin, data, f"the event {type[:80]}")
        self.emit(type, data, **more)
