"""The contract that every plugin keeps, as checks that run on any of them; together they name its tier.

Nothing leaves the machine: where a plugin reaches out, another side answers that refuses.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import Connection

from core.capabilities import Action
from core.collect import Brought
from core.context import Context, plain_result
from core.errors import InvalidInput, PluginError, RejectedError, RemoteError, TemporaryError, UserError, VitrinError
from core.guarded import HungError, translated
from core.host import Host
from core.http.requests import Outgoing
from core.http.response import Headers, Response
from core.http.session import Grant, Options, Session, parse_hosts
from core.samples import sample_of, wrong_samples
from core.schema_version import plugin_branch
from core.schemas import check_schema, compile_schema, with_defaults

TIERS = ("bronze", "silver", "gold")
LANGUAGES = ("en", "tr", "ru")
_CALL_S = 5.0
_NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found; passed where there is no reason."""

    name: str
    tier: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All checks of a plugin."""

    plugin: str
    checks: tuple[Check, ...]

    @property
    def tier(self) -> str | None:
        """Return the highest tier of which, and of those below it, every check passed; None below bronze."""
        reached = None
        for tier in TIERS:
            if any(check.reasons for check in self.checks if check.tier == tier):
                break
            reached = tier
        return reached

    def to_dict(self) -> dict[str, Any]:
        rows = [
            {"check": one.name, "tier": one.tier, "passed": not one.reasons, "reason": "; ".join(one.reasons) or None}
            for one in self.checks
        ]
        return {"plugin": self.plugin, "tier": self.tier, "checks": rows}


@dataclass(slots=True)
class _Trial:
    """One plugin on trial, in a host of its own."""

    host: Host
    conn: Connection
    name: str
    shop_settings: Mapping[str, Any]
    brought: Brought = field(init=False)

    @property
    def manifest(self) -> Mapping[str, Any]:
        return self.brought.manifest

    def context(self, *, http: Any = None) -> Context:
        schema = dict(self.manifest.get("settings") or {"type": "object"})
        return Context(
            plugin=self.name,
            settings=_addresses(schema, "url") | with_defaults(schema, sample_of(schema)) | _addresses(schema),
            now=_NOW,
            log=structlog.get_logger(f"vitrin.plugin.{self.name}"),
            shop_settings=self.shop_settings,
            http=http,
            idempotency_key="contract",
            subject={"customer": None, "order": None, "key": None},
            conn=self.conn if self.host.is_trusted(self.name) else None,
        )

    def call(self, work: Callable[[], Any]) -> Any:
        if self.host.is_trusted(self.name):
            return translated(self.name, work)
        return self.host.guard.call(self.name, work, limit_s=_CALL_S)

    def session(self, status: int | None) -> Session:
        hosts = self.manifest.get("permissions", {}).get("hosts")
        grant = Grant(plugin=self.name, account=None, hosts=parse_hosts(hosts), allowed=frozenset(), rates=())
        return Session(_Refusing(status), grant)


#: A setting's name, or its end -> a place where nobody is, so that no plugin finds a real server.
_NOWHERE = {"host": "127.0.0.1", "port": 1, "address": "someone@shop.invalid", "url": "https://refusing.invalid/"}


def _addresses(schema: Mapping[str, Any], *ends: str) -> dict[str, Any]:
    """Return settings that say where to connect, leading nowhere."""
    wanted = {end: _NOWHERE[end] for end in ends or ("host", "port", "address")}
    names = schema.get("properties", {})
    return {name: place for name in names for end, place in wanted.items() if name.rpartition("_")[2] == end}


@dataclass(frozen=True, slots=True)
class _Refusing:
    """The other side on a bad day: answers with a status, or not at all."""

    status: int | None

    def send(self, grant: Grant, outgoing: Outgoing, options: Options) -> Response:
        if self.status is None:
            raise TemporaryError(grant.plugin, "the other side does not answer")
        content = b"<html>refused</html>"
        return Response(
            status=self.status,
            headers=Headers([("content-type", "text/html")]),
            content=content,
            url="https://refusing.invalid/",
            elapsed_s=0.0,
            plugin=grant.plugin,
            where="a refusing server",
        )


def judge(host: Host, conn: Connection, name: str, *, shop_settings: Mapping[str, Any] | None = None) -> Verdict:
    """Try a plugin in a host made for this; it is switched on and off, and stays on."""
    trial = _Trial(host, conn, name, shop_settings or {})
    started = Check("starts and stops", "bronze", tuple(_switching(trial)))
    if started.reasons:
        return Verdict(plugin=name, checks=(started,))
    trial.brought = host.get_on(name)
    return Verdict(plugin=name, checks=(started, *(_run(trial, *row) for row in CHECKS)))


def _run(trial: _Trial, name: str, tier: str, check: Callable[[_Trial], Iterator[str]]) -> Check:
    return Check(name, tier, tuple(dict.fromkeys(check(trial))))


def _switching(trial: _Trial) -> Iterator[str]:
    """Twice on and off: what a plugin leaves behind shows at the second time."""
    try:
        for _ in range(2):
            trial.host.enable(trial.name, actor="contract")
            trial.host.disable(trial.name, actor="contract")
        trial.host.enable(trial.name, actor="contract")
    except VitrinError as exc:
        yield exc.message


# Bronze: what the engine needs


def _names(trial: _Trial) -> Iterator[str]:
    brought = trial.brought
    for kind in ("events", "actions", "facts", "operators", "pollers"):
        names = [one.name for one in getattr(brought, kind)]
        yield from (f"{kind}: {name} comes twice" for name in sorted({one for one in names if names.count(one) > 1}))
    if not any((brought.events, brought.actions, brought.facts, brought.operators, brought.pollers, brought.webhooks)):
        yield "it brings nothing: no event, action, fact, operator, poller or webhook"


def _schemas(trial: _Trial) -> Iterator[str]:
    brought = trial.brought
    found = [(f"event {kind.name}", kind.schema) for kind in brought.events]
    found += [(f"action {action.name}", action.params) for action in brought.actions]
    found += [(f"fact {fact.name}", fact.schema) for fact in brought.facts]
    found += [(f"fact {fact.name}.with", fact.params) for fact in brought.facts]
    found += [("settings", trial.manifest["settings"])] if trial.manifest.get("settings") else []
    for where, schema in found:
        try:
            check_schema(dict(schema), path=where)
        except InvalidInput as exc:
            yield exc.message


def _samples(trial: _Trial) -> Iterator[str]:
    for kind in trial.brought.events:
        try:
            compile_schema(dict(kind.schema)).check(dict(kind.sample), path=f"event {kind.name}.sample")
        except InvalidInput as exc:
            yield exc.message
        for path in filter(None, (kind.key, kind.customer)):
            if _at(kind.sample, path) is None:
                yield f"event {kind.name}: its sample has nothing at {path}"


def _at(data: Any, path: str) -> Any:
    for part in path.split("."):
        data = data.get(part) if isinstance(data, Mapping) else None
    return data


def _permissions(trial: _Trial) -> Iterator[str]:
    declared = trial.manifest.get("permissions", {})
    effects = declared.get("effects", ())
    for action in trial.brought.actions:
        if action.effect not in effects:
            yield f"action {action.name}: its effect {action.effect!r} is not among permissions.effects"
    settings = trial.manifest.get("settings") or {}
    reaches_out = any(action.scope == "outside" for action in trial.brought.actions) or trial.brought.pollers
    if reaches_out and "hosts" not in declared and not _addresses(settings, "host", "url"):
        yield "it reaches out and does not say where: neither in permissions.hosts nor by a setting"
    for host in declared.get("hosts", ()):
        try:
            parse_hosts([host])
        except InvalidInput as exc:
            yield exc.message


def _tables(trial: _Trial) -> Iterator[str]:
    tables = trial.brought.tables
    if tables is None:
        return
    try:
        plugin_branch(trial.name, tables["migrations"], tables["metadata"])
    except VitrinError as exc:
        yield exc.message


def _bad_params(trial: _Trial) -> Iterator[str]:
    for action in trial.brought.actions:
        good = sample_of(action.params, whole=True)
        if not isinstance(good, dict) or action.checker is None:
            yield f"action {action.name}: its params are no object"
            continue
        for wrong, params in wrong_samples(action.params, good):
            if action.checker.is_valid(params):
                yield f"action {action.name} takes params of which one {wrong}"


# Silver: what people need


def _languages(trial: _Trial) -> Iterator[str]:
    texts = [("manifest.title", trial.manifest["title"]), ("manifest.summary", trial.manifest["summary"])]
    for kind in ("events", "actions", "facts", "operators", "pollers"):
        texts += [(f"{kind} {one.name}", one.title) for one in getattr(trial.brought, kind)]
    for where, text in texts:
        missing = [language for language in LANGUAGES if not text.get(language)]
        if missing:
            yield f"{where}: no words in {', '.join(missing)}"


def _labels(trial: _Trial) -> Iterator[str]:
    for action in trial.brought.actions:
        for name, part in action.params.get("properties", {}).items():
            if not (isinstance(part, Mapping) and part.get("title")):
                yield f"action {action.name}: the field {name} has no title"


def _previews(trial: _Trial) -> Iterator[str]:
    for action in trial.brought.actions:
        if action.preview is None:
            yield f"action {action.name} has no preview"
            continue
        yield from _preview(trial, action)


def _preview(trial: _Trial, action: Action) -> Iterator[str]:
    params = sample_of(action.params)
    if action.checker is not None and not action.checker.is_valid(params):
        yield f"action {action.name}: no sample of its params can be guessed; give `examples` in the schema"
        return
    preview = action.preview
    assert preview is not None, "the caller has looked"
    try:
        told = plain_result(trial.name, trial.call(lambda: preview(trial.context(), params)), "preview")
    except UserError:
        return  # it says what is missing, and that is an answer too
    except VitrinError as exc:
        yield f"action {action.name}: its preview fails: {exc.message}"
        return
    if not isinstance(told.get("text"), dict) or not told["text"].get("en"):
        yield f"action {action.name}: its preview answers no text"


def _facts(trial: _Trial) -> Iterator[str]:
    for fact in trial.brought.facts:
        try:
            told = trial.call(lambda fact=fact: fact.load(trial.context(), []))
        except VitrinError as exc:
            yield f"fact {fact.name}: {exc.message}"
            continue
        if not isinstance(told, Mapping):
            yield f"fact {fact.name} answers {type(told).__name__} for no keys, not a dict"


def _operators(trial: _Trial) -> Iterator[str]:
    for row in trial.brought.operators:
        for value in ("a", 1, None, [], {}):
            try:
                trial.call(lambda row=row, value=value: row.test(value, value))
            except HungError as exc:
                yield f"operator {row.name}: {exc.message}"
            except PluginError:
                continue  # "not known" is an answer too


# Gold: what a bad day needs


def _refusals(trial: _Trial) -> Iterator[str]:
    works = [
        (f"action {action.name}", lambda ctx, action=action: action.run(ctx, sample_of(action.params)))
        for action in trial.brought.actions
        if action.scope == "outside"
    ]
    works += [(f"poller {one.name}", lambda ctx, one=one: one.run(ctx, None)) for one in trial.brought.pollers]
    for where, work in works:
        for status in (None, 401, 403, 429, 500):
            yield from _refused(trial, where, work, status)


def _refused(trial: _Trial, where: str, work: Callable[[Context], Any], status: int | None) -> Iterator[str]:
    said = f"a refusal with {status}" if status else "a silent other side"
    try:
        trial.call(lambda: work(trial.context(http=trial.session(status))))
    except RejectedError as exc:
        if "does not declare this host" in exc.message:
            yield f"{where}: {exc.message}"
    except (RemoteError, InvalidInput):
        return
    except VitrinError as exc:
        yield f"{where} breaks on {said}: {exc.message}"
    else:
        yield f"{where} takes {said} for success"


def _repeats(trial: _Trial) -> Iterator[str]:
    """An outside action says what a repeat after a crash does: nothing, no harm, or what a person decides."""
    module = trial.host.get(trial.name).load()
    for answer in trial.call(module.vitrin_actions) if trial.brought.actions else ():
        if answer["scope"] == "outside" and not answer.get("takes_key") and "repeat" not in answer:
            yield f"action {answer['name']}: say what a repeat does: takes_key, or repeat: safe or never"


def _connection(trial: _Trial) -> Iterator[str]:
    if not trial.manifest.get("settings"):
        return
    if not hasattr(trial.host.get(trial.name).load(), "vitrin_check"):
        yield "it has settings and no vitrin_check: nobody can test the connection"


#: What is checked, for which tier.
CHECKS: tuple[tuple[str, str, Callable[[_Trial], Iterator[str]]], ...] = (
    ("names are its own", "bronze", _names),
    ("schemas are valid", "bronze", _schemas),
    ("samples fit", "bronze", _samples),
    ("permissions are declared", "bronze", _permissions),
    ("tables bear its name", "bronze", _tables),
    ("bad params are refused", "bronze", _bad_params),
    ("speaks three languages", "silver", _languages),
    ("fields have labels", "silver", _labels),
    ("previews work", "silver", _previews),
    ("facts answer", "silver", _facts),
    ("operators answer", "silver", _operators),
    ("survives a refusing other side", "gold", _refusals),
    ("says what a repeat does", "gold", _repeats),
    ("connection can be tested", "gold", _connection),
)
