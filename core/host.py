"""The host: finds plugins, switches them on and off while the engine runs, asks them, and quarantines the broken."""

import importlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy
import structlog
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from core.audit import Entry, record
from core.capabilities import Action, Comparison, Fact, Poller, Webhook
from core.clock import Clock
from core.collect import Brought, collect
from core.db import Database
from core.errors import Conflict, NotFound, PluginError, RemoteError, VitrinError
from core.events import Catalogue
from core.guarded import Guard, HungError
from core.hookspecs import Hooks
from core.ids import new_id
from core.marks import PLUGINS_STAMP, read_mark, write_mark
from core.tables import plugins as table
from core.writer import Tx, Writer

log = structlog.get_logger("vitrin.host")

GROUP = "vitrin"
#: Seconds that a hook may take.
_HOOK_S = 10.0
#: Unexpected errors in a row after which a plugin is switched off.
_MOST_ERRORS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Builtin:
    """A plugin that ships with the engine."""

    name: str
    module: str
    summary: str
    #: On at the first start.
    on: bool = False
    #: Only for demo mode: its stand-ins have no place in a real shop.
    demo: bool = False


@dataclass(slots=True, kw_only=True)
class Plugin:
    """A plugin that the host knows."""

    name: str
    summary: str
    builtin: bool
    load: Callable[[], Any]
    demo: bool = False
    #: Why the host switched it off; None while it is well.
    quarantine: str | None = None
    brought: Brought | None = None
    #: Why it is on but not ready yet; asked again every minute.
    trouble: str | None = None
    errors: int = 0


@dataclass(frozen=True, slots=True)
class _Registry:
    """What all plugins that are on bring; replaced as a whole, so readers need no lock."""

    actions: Mapping[str, Action] = field(default_factory=dict)
    facts: Mapping[str, Fact] = field(default_factory=dict)
    operators: Mapping[str, Comparison] = field(default_factory=dict)
    pollers: Mapping[str, Poller] = field(default_factory=dict)
    webhooks: Mapping[tuple[str, str], Webhook] = field(default_factory=dict)


class Host:
    """Keeps the plugins. One that raises is switched off and shown with its reason; the rest go on."""

    def __init__(
        self,
        db: Database,
        writer: Writer,
        clock: Clock,
        builtins: Mapping[str, Builtin],
        *,
        on: tuple[str, ...] = (),
        off: tuple[str, ...] = (),
        demo: bool = False,
        install: Callable[[Brought], None] | None = None,
    ) -> None:
        self.catalogue = Catalogue()
        self.guard = Guard()
        self._db = db
        self._writer = writer
        self._clock = clock
        self._on, self._off = on, off
        self._demo = demo
        self._install = install or (lambda _brought: None)
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(Hooks)
        self._registry = _Registry()
        self._lock = threading.RLock()
        self._listeners: list[Callable[[], None]] = []
        self._contexts: Callable[[str], list[Any]] = lambda _name: []
        #: The last change to stored plugins or accounts that this process has taken in.
        self._stamp: str | None = None
        self._plugins = {plugin.name: plugin for plugin in _find(builtins)}
        self._defaults = {name for name, builtin in builtins.items() if builtin.on} | set(on)

    # Finding

    def __iter__(self) -> Iterator[Plugin]:
        return iter(sorted(self._plugins.values(), key=lambda plugin: plugin.name))

    def get(self, name: str) -> Plugin:
        """Return a plugin by name; names are looked up here and nowhere else."""
        plugin = self._plugins.get(name)
        if plugin is None:
            raise NotFound(f"no plugin {name!r}")
        return plugin

    def get_on(self, name: str) -> Brought:
        """Return what a plugin brings; raise Conflict where it is off."""
        plugin = self.get(name)
        if plugin.brought is None:
            raise Conflict(f"plugin {name} is switched off")
        return plugin.brought

    def hand_contexts(self, contexts: Callable[[str], list[Any]]) -> None:
        """Say how to make the ctx of each account of a plugin, for vitrin_start and vitrin_stop."""
        self._contexts = contexts

    def on_change(self, call: Callable[[], None]) -> None:
        """Call this after plugins came or went."""
        self._listeners.append(call)

    # Switching

    def start(self) -> None:
        """Switch on what the database (or, at first, the default) says; one that fails is quarantined."""
        with self._db.read() as conn:
            self._stamp = read_mark(conn, PLUGINS_STAMP)
            known = {row.name: row for row in conn.execute(select(table))}
        for plugin in self:
            self._follow(plugin, known.get(plugin.name))
        self._changed()

    def follow(self) -> None:
        """Take in what another process switched or set up; one small query when nothing changed."""
        with self._db.read() as conn:
            stamp = read_mark(conn, PLUGINS_STAMP)
            if stamp == self._stamp:
                return
            known = {row.name: row for row in conn.execute(select(table))}
        self._stamp = stamp
        for plugin in self:
            self._follow(plugin, known.get(plugin.name))
        self._changed()

    def _follow(self, plugin: Plugin, row: Any) -> None:
        """Make a plugin be as its row says (or as it is by default, where there is none)."""
        plugin.quarantine = row.quarantine if row else None
        wanted = row.enabled if row else plugin.name in self._defaults
        fits = plugin.name not in self._off and (self._demo or not plugin.demo)
        if not (wanted and fits) or plugin.quarantine:
            self._end(plugin)
            return
        if plugin.brought is None:
            try:
                self._switch_on(plugin)
            except VitrinError as exc:
                self.set_aside(plugin.name, exc.message)
                return
            self._begin(plugin)

    def _begin(self, plugin: Plugin) -> None:
        """Let a plugin that came on get ready, account by account; what it cannot do yet is tried again."""
        plugin.trouble = None
        for ctx in self._contexts(plugin.name):
            try:
                self._ask(plugin.name, "vitrin_start", ctx=ctx)
            except RemoteError as exc:
                plugin.trouble = exc.message
                log.warning("a plugin is not ready", plugin=plugin.name, account=ctx.account, reason=exc.message)
            except VitrinError as exc:
                self.set_aside(plugin.name, exc.message)
                return

    def begin_again(self) -> None:
        """Ask plugins that were not ready once more."""
        for plugin in self:
            if plugin.trouble and plugin.brought is not None:
                self._begin(plugin)

    def _end(self, plugin: Plugin) -> None:
        """Let a plugin let go of what it took, and switch it off whatever it answers."""
        if plugin.brought is None:
            return
        try:
            for ctx in self._contexts(plugin.name):
                self._ask(plugin.name, "vitrin_stop", ctx=ctx)
        except VitrinError as exc:
            log.warning("a plugin did not stop well", plugin=plugin.name, reason=exc.message)
        with self._lock:
            self._switch_off(plugin)

    def stop(self) -> None:
        """Let every plugin let go; the process ends."""
        for plugin in self:
            self._end(plugin)

    def enable(self, name: str, *, actor: str) -> Plugin:
        """Switch a plugin on, now; raise PluginError with the reason where it cannot be."""
        plugin = self.get(name)
        if plugin.demo and not self._demo:
            raise Conflict(f"plugin {name} is for demo mode only; './vitrin demo' makes a shop that has it")
        with self._lock:
            if plugin.brought is None:
                try:
                    missing = self._needs(plugin)
                except VitrinError as exc:
                    self.set_aside(name, exc.message)
                    raise
                if missing:
                    raise Conflict(f"plugin {name} needs the plugin {missing[0]}: switch that on first")
                try:
                    self._switch_on(plugin)
                except VitrinError as exc:
                    self.set_aside(name, exc.message)
                    raise
                self._begin(plugin)
            plugin.quarantine = None
        self._remember(plugin, enabled=True, quarantine=None, actor=actor)
        self._changed()
        return plugin

    def disable(self, name: str, *, actor: str) -> Plugin:
        """Switch a plugin off, now; always works."""
        plugin = self.get(name)
        self._end(plugin)
        self._remember(plugin, enabled=False, quarantine=None, actor=actor)
        self._changed()
        return plugin

    def set_aside(self, name: str, reason: str) -> None:
        """Quarantine a plugin: it is off until a person switches it on again."""
        plugin = self.get(name)
        with self._lock:
            plugin.quarantine = reason
            self._switch_off(plugin)
        log.error("a plugin was switched off", plugin=name, reason=reason)
        # Remembered on its own thread: a plugin may be caught inside a transaction that is still open.
        threading.Thread(target=self._remember_aside, args=(plugin, reason), daemon=True).start()
        self._changed()

    def _remember_aside(self, plugin: Plugin, reason: str) -> None:
        try:
            self._remember(plugin, enabled=True, quarantine=reason, actor="vitrin")
        except VitrinError as exc:
            log.warning("the quarantine could not be stored; it holds until the next start", error=str(exc))

    def _needs(self, plugin: Plugin) -> list[str]:
        module = self.guard.call(plugin.name, plugin.load, limit_s=3 * _HOOK_S)
        manifest = getattr(module, "vitrin_manifest", dict)
        told = self.guard.call(plugin.name, manifest, limit_s=_HOOK_S)
        needed = (told or {}).get("needs", {}).get("plugins", []) if isinstance(told, dict) else []
        return [name for name in needed if name not in self._plugins or self._plugins[name].brought is None]

    def _switch_on(self, plugin: Plugin) -> None:
        module = self.guard.call(plugin.name, plugin.load, limit_s=3 * _HOOK_S)
        try:
            self._manager.register(module, name=plugin.name)
        except (ValueError, pluggy.PluginValidationError) as exc:
            self._switch_off(plugin)
            raise PluginError(plugin.name, str(exc)) from exc
        try:
            brought = collect(plugin.name, lambda hook: self._ask(plugin.name, hook))
            self._install(brought)
            self.catalogue.add(brought.events)
            self._registry = _merge(self._registry, brought)
            plugin.brought = brought
            plugin.errors = 0
        except VitrinError:
            self._switch_off(plugin)
            raise

    def _switch_off(self, plugin: Plugin) -> None:
        if self._manager.has_plugin(plugin.name):
            self._manager.unregister(name=plugin.name)
        self.catalogue.remove(plugin.name)
        self._registry = _without(self._registry, plugin.name)
        plugin.brought = None

    def _ask(self, name: str, hook: str, **given: Any) -> Any:
        """Ask one plugin one hook; None where it has none."""
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            if implementation.plugin_name == name:
                wanted = {key: given[key] for key in implementation.argnames if key in given}
                return self.guard.call(name, partial(implementation.function, **wanted), limit_s=_HOOK_S)
        return None

    def ask_on(self, name: str, hook: str, **given: Any) -> Any:
        """Ask a plugin that is on; what it raises comes as an error of the tree and counts against its health."""
        self.get_on(name)
        return self.watched(name, lambda: self._ask(name, hook, **given))

    def watched(self, name: str, work: Callable[[], Any]) -> Any:
        """Run work of a plugin and keep count of what goes wrong: a hang, or errors in a row, quarantine it."""
        plugin = self.get(name)
        try:
            result = work()
        except HungError as exc:
            self.set_aside(name, exc.message)
            raise
        except PluginError as exc:
            plugin.errors += 1
            if plugin.errors >= _MOST_ERRORS:
                self.set_aside(name, f"{_MOST_ERRORS} errors in a row, the last: {exc.message}")
            raise
        plugin.errors = 0
        return result

    def _remember(self, plugin: Plugin, *, enabled: bool, quarantine: str | None, actor: str) -> None:
        stamp = new_id()

        def write(tx: Tx) -> None:
            now = self._clock.now()
            dialect = sqlite if tx.conn.dialect.name == "sqlite" else postgresql
            values = {"enabled": enabled, "quarantine": quarantine, "at": now, "by": actor}
            row = dialect.insert(table).values(name=plugin.name, **values)
            tx.conn.execute(row.on_conflict_do_update(index_elements=["name"], set_=values))
            write_mark(tx.conn, PLUGINS_STAMP, stamp, now)
            word = "quarantined" if quarantine else "enabled" if enabled else "disabled"
            record(tx, Entry(actor=actor, action=f"plugin.{word}", object=f"plugin:{plugin.name}", after=values), now)

        self._writer.do(write)
        self._stamp = stamp

    def _changed(self) -> None:
        for call in self._listeners:
            call()

    # What they bring

    def find_action(self, name: str) -> Action | None:
        return self._registry.actions.get(name)

    def find_fact(self, name: str) -> Fact | None:
        return self._registry.facts.get(name)

    def find_webhook(self, plugin: str, path: str) -> Webhook | None:
        return self._registry.webhooks.get((plugin, path))

    @property
    def actions(self) -> Mapping[str, Action]:
        return self._registry.actions

    @property
    def facts(self) -> Mapping[str, Fact]:
        return self._registry.facts

    @property
    def operators(self) -> Mapping[str, Comparison]:
        return self._registry.operators

    @property
    def pollers(self) -> Mapping[str, Poller]:
        return self._registry.pollers

    def is_trusted(self, name: str) -> bool:
        """Tell whether the plugin ships with the engine: only then its code may run inside a transaction."""
        return self.get(name).builtin


def _find(builtins: Mapping[str, Builtin]) -> Iterator[Plugin]:
    for builtin in builtins.values():
        load = _loader(builtin.module)
        yield Plugin(name=builtin.name, summary=builtin.summary, builtin=True, demo=builtin.demo, load=load)
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        if point.name not in builtins:
            yield Plugin(name=point.name, summary=_summary(point), builtin=False, load=point.load)


def _loader(module: str) -> Callable[[], Any]:
    return lambda: sys.modules.get(module) or importlib.import_module(module)


def _summary(point: EntryPoint) -> str:
    return (point.dist.metadata["Summary"] or "") if point.dist else ""


def _merge(registry: _Registry, brought: Brought) -> _Registry:
    def joined(have: Mapping[Any, Any], new: Mapping[Any, Any], what: str) -> dict[Any, Any]:
        taken = sorted(str(key) for key in have.keys() & new.keys())
        if taken:
            raise PluginError(brought.name, f"brings the {what} {taken[0]}, which another plugin brings already")
        return {**have, **new}

    return replace(
        registry,
        actions=joined(registry.actions, {action.name: action for action in brought.actions}, "action"),
        facts=joined(registry.facts, {fact.name: fact for fact in brought.facts}, "fact"),
        operators=joined(registry.operators, {row.name: row for row in brought.operators}, "operator"),
        pollers=joined(registry.pollers, {f"{brought.name}.{p.name}": p for p in brought.pollers}, "poller"),
        webhooks=joined(registry.webhooks, {(brought.name, hook.path): hook for hook in brought.webhooks}, "webhook"),
    )


def _without(registry: _Registry, plugin: str) -> _Registry:
    def kept(have: Mapping[Any, Any]) -> dict[Any, Any]:
        return {key: value for key, value in have.items() if value.plugin != plugin}

    return _Registry(
        actions=kept(registry.actions),
        facts=kept(registry.facts),
        operators=kept(registry.operators),
        pollers=kept(registry.pollers),
        webhooks=kept(registry.webhooks),
    )
