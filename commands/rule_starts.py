"""What starts rules from outside: a rule's webhook and its token, and a person's hand with the rule's form."""

from collections.abc import Mapping
from typing import Any

import click

from commands.call import ACTOR, Call, pass_call
from commands.noun import Verb
from commands.opening import open_engine, write
from commands.output import counted, pairs
from core.errors import Conflict, InvalidInput
from core.jsontext import loads
from rules.engine import Engine
from rules.rule_hooks import address_of, drop_token, has_token, make_token
from rules.store import get_rule
from rules.triggers import start_by_hand

#: Kinds of form fields whose values are no text; they are written as JSON writes them.
_JSON_TYPES = frozenset(("integer", "number", "boolean", "array", "object", "null"))


@click.command(
    "webhook",
    cls=Verb,
    tries=True,
    examples=("rules webhook take-lead", "rules webhook take-lead --rotate", "rules webhook take-lead --close"),
)
@click.argument("name")
@click.option("--rotate", is_flag=True, help="Give it a new token, shown only this once; the old one ends.")
@click.option("--close", is_flag=True, help="Take its token away: nobody can call it.")
@pass_call
def webhook(call: Call, name: str, rotate: bool, close: bool) -> int:
    """Show where a rule's webhook is called, and give it a new token or close it."""
    if rotate and close:
        raise InvalidInput("close", "cannot be given with --rotate")
    with open_engine(call) as engine:
        with engine.db.read() as conn:
            told: dict[str, Any] = {"rule": name, "address": _address(engine, conn, name)}
        if rotate:
            token = write(call, engine, lambda tx: make_token(engine, tx, name, actor=ACTOR))
            told |= {} if call.dry_run else {"token": token}
        elif close:
            write(call, engine, lambda tx: drop_token(engine, tx, name, actor=ACTOR))
        with engine.db.read() as conn:
            told["open"] = has_token(engine, conn, name)
    call.show(told, lambda: pairs(told))
    if rotate and not call.dry_run:
        call.say("keep the token now: it is not shown again. It is sent as: Authorization: Bearer TOKEN")
    return call.changed(1) if rotate or close else 0


def _address(engine: Engine, conn: Any, name: str) -> str:
    row = get_rule(conn, name)
    rule = engine.book.version(conn, row.id, row.version) if row.version is not None else None
    if rule is None or rule.trigger.kind != "webhook":
        state = "has no published version yet" if rule is None else f"is started by {', '.join(rule.trigger.types)}"
        raise Conflict(f"rule {row.name} has no webhook: it {state}")
    return f"{engine.settings.base_url.rstrip('/')}/hooks/rule/{address_of(engine, conn, name)}"


@click.command(
    "start",
    cls=Verb,
    tries=True,
    examples=(
        "rules start stock-taking",
        "rules start special-offer --record CUSTOMER --record CUSTOMER --field percent=10 --field note='come in'",
    ),
)
@click.argument("name")
@click.option("--field", "fields", multiple=True, metavar="NAME=VALUE", help="A field of the rule's form.")
@click.option("--record", "records", multiple=True, metavar="ID", help="Start it for this record; may be repeated.")
@pass_call
def start(call: Call, name: str, fields: tuple[str, ...], records: tuple[str, ...]) -> int:
    """Start a rule that is started by hand: once, or once for each record, with its form filled in."""
    chosen = list(dict.fromkeys(records))
    with open_engine(call) as engine:
        with engine.db.read() as conn:
            form = _fill(_form_of(engine, conn, name), fields)
        begun = write(call, engine, lambda tx: start_by_hand(engine, tx, name, form, chosen, actor=ACTOR))
    told = {"rule": name, "started": len(begun), "events": [] if call.dry_run else [event.id for event in begun]}
    call.show(told, lambda: f"{name}: {counted(len(begun), 'run')} started")
    return call.changed(len(begun))


def _form_of(engine: Engine, conn: Any, name: str) -> Mapping[str, Any]:
    """Return the JSON Schema of a rule's form; an empty one where the rule has none, which the start then says."""
    row = get_rule(conn, name)
    rule = engine.book.version(conn, row.id, row.version) if row.version is not None else None
    return rule.trigger.document.get("form", {}) if rule is not None and rule.trigger.kind == "form" else {}


def _fill(schema: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """Return the form of NAME=VALUE words: texts as they are, numbers and yes-no by what the form asks for."""
    filled: dict[str, Any] = {}
    for word in fields:
        name, mark, text = word.partition("=")
        if not mark or not name:
            raise InvalidInput("field", f"{word!r} must be written NAME=VALUE")
        filled[name] = _read(name, text, schema.get("properties", {}).get(name, {}))
    return filled


def _read(name: str, text: str, part: Mapping[str, Any]) -> Any:
    kinds = part.get("type", "string")
    kinds = {kinds} if isinstance(kinds, str) else set(kinds)
    if not kinds & _JSON_TYPES:
        return text
    if "boolean" in kinds and text.lower() in ("yes", "no"):
        return text.lower() == "yes"
    try:
        return loads(text.encode(), path=f"form.{name}")
    except InvalidInput:
        if "string" in kinds:
            return text
        raise InvalidInput(f"form.{name}", f"{text!r} is not {' or '.join(sorted(kinds))}") from None


STARTS = (webhook, start)
