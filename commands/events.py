"""`events`: handed in from files or by hand, and those that came."""

import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import orjson

from commands.call import FAILED, USAGE, Call, pass_call
from commands.noun import Noun
from commands.opening import open_engine, open_records, write
from commands.output import columns, counted, pairs
from core.cloudevents import BATCH_TYPE, JSON_TYPE, MAX_EVENTS, STRUCTURED_TYPE, Incoming, read_http
from core.errors import InvalidInput, NotFound, UserError, VitrinError
from core.events import Event, find_event
from core.ids import new_id
from core.jsontext import dumps, loads
from core.listing import list_events
from rules.engine import Engine
from rules.explain import verdicts
from web.api.events import make_event

_SOURCE = "/cli"
_POLL_S = 1.0
_SHOWN = ("received_at", "type", "key", "customer", "id")


@click.group(cls=Noun, examples=("events send order.json", "events tail --follow", "events show ID"))
def events() -> None:
    """Hand in events, and look at those that came."""


@events.command(
    "send",
    tries=True,
    examples=(
        "events send order.json",
        "events send - < orders.jsonl",
        """events send --type order.created --data '{"order": {"id": "7"}}' --key 7""",
    ),
)
@click.argument("file", required=False, type=click.Path(allow_dash=True, path_type=Path))
@click.option("--type", "type_", help="Type of the one event, instead of FILE.")
@click.option("--data", help="Its data, as a JSON object.")
@click.option("--key", help="What it is about: an order's number, a SKU.")
@click.option("--source", default=_SOURCE, show_default=True, help="Who says so.")
@click.option("--id", "id_", help="The sender's id: an event with the same source and id is taken once.")
@pass_call
def send(call: Call, file: Path | None, source: str, **one: str | None) -> int:
    """Hand in events: one JSON object, a list, one a line, CloudEvents or the short form {"type", "data"}.

    FILE may be - for stdin. Each event is taken or refused by itself; the answer comes when they are on disk.
    """
    if (file is None) == (one["type_"] is None):
        raise InvalidInput("file", "name either a FILE or a --type")
    parts = _from_file(file, source) if file is not None else iter([_from_flags(source, one)])
    with open_engine(call) as engine:
        results = [result for part in parts for result in _take(call, engine, part)]
        call.show(results, lambda: columns(results, ("status", "external_id", "rules", "id", "error")))
    if any(result["status"] == "refused" for result in results):
        return USAGE if len(results) == 1 else FAILED
    return call.changed(sum(result["status"] == "accepted" for result in results))


def _from_flags(source: str, one: dict[str, str | None]) -> list[Incoming | InvalidInput]:
    document = {"type": one["type_"], "data": loads((one["data"] or "{}").encode(), path="data")}
    given = {"source": source, "id": one["id_"] or new_id(), "key": one["key"]}
    document |= {name: value for name, value in given.items() if value is not None}
    return read_http(JSON_TYPE, {}, dumps(document))


def _from_file(path: Path, source: str) -> Iterator[list[Incoming | InvalidInput]]:
    body = _read(path)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        lines = [line for line in body.splitlines() if line.strip()]
        if len(lines) < 2 or not lines[0].lstrip().startswith(b"{"):
            # Not one a line either: let the strict reader say where it is wrong.
            lines = [body]
        for first in range(0, len(lines), MAX_EVENTS):
            yield [item for line in lines[first : first + MAX_EVENTS] for item in _read_one(line, source)]
        return
    items = document if isinstance(document, list) else [document]
    for first in range(0, max(len(items), 1), MAX_EVENTS):
        part = items[first : first + MAX_EVENTS]
        cloud = bool(part) and isinstance(part[0], dict) and "specversion" in part[0]
        yield read_http(
            BATCH_TYPE if cloud else JSON_TYPE,
            {},
            orjson.dumps(part),
            default_source=source,
            max_bytes=len(body) * 7 + 64,
        )


def _read_one(line: bytes, source: str) -> list[Incoming | InvalidInput]:
    kind = STRUCTURED_TYPE if b'"specversion"' in line else JSON_TYPE
    try:
        return read_http(kind, {}, line, default_source=source)
    except InvalidInput as exc:
        return [exc]


def _read(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as exc:
        raise UserError(f"{path} cannot be read: {exc.strerror}") from exc


def _take(call: Call, engine: Engine, items: list[Incoming | InvalidInput]) -> list[dict[str, Any]]:
    now = engine.clock.now()
    made = [_made(engine, item, now) for item in items]
    good = [item for item in made if isinstance(item, Event)]
    taken = iter(write(call, engine, lambda tx: engine.intake.take(tx, good)) if good else [])
    return [_result(next(taken)) if isinstance(item, Event) else _refused(item) for item in made]


def _made(engine: Engine, item: Incoming | InvalidInput, now: datetime) -> Event | VitrinError:
    if isinstance(item, InvalidInput):
        return item
    try:
        return make_event(engine.host.catalogue, item, now)
    except UserError as exc:
        return exc


def _result(taken: Any) -> dict[str, Any]:
    word = "accepted" if taken.new else "duplicate"
    event = taken.event
    return {
        "id": event.id if taken.new else None,
        "external_id": event.external_id,
        "status": word,
        "rules": taken.rules,
        "error": None,
    }


def _refused(exc: VitrinError) -> dict[str, Any]:
    return {"id": None, "external_id": None, "status": "refused", "rules": [], "error": exc.message}


@events.command("tail", examples=("events tail", "events tail --follow --type order.created", "events tail --json"))
@click.option("--type", "type_", help="Only of this type.")
@click.option("--key", help="Only about this order, customer or SKU.")
@click.option("--customer", help="Only about this customer.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option("--follow", "-f", is_flag=True, help="Go on showing what comes; with --json one event a line.")
@pass_call
def tail(call: Call, limit: int, follow: bool, type_: str | None, **where: str | None) -> None:
    """Show the newest events, the oldest of them first."""
    with open_records(call) as engine:
        found = _newest(engine, {"type": type_, **where}, limit)
        if not follow:
            call.show(found, lambda: columns(found, _SHOWN, zone=engine.zone))
            return
        seen: set[str] = set()
        while True:
            fresh = [event for event in found if event["id"] not in seen]
            seen = {event["id"] for event in found}
            for event in fresh:
                call.show(event, lambda event=event: columns([event], _SHOWN, zone=engine.zone).splitlines()[1])
            time.sleep(_POLL_S)
            found = _newest(engine, {"type": type_, **where}, 1000)


def _newest(engine: Engine, where: dict[str, str | None], limit: int) -> list[dict[str, Any]]:
    with engine.db.read() as conn:
        return list_events(conn, where, limit=limit)[::-1]


@events.command("show", examples=("events show ID", "events show ID --json"))
@click.argument("event")
@pass_call
def show(call: Call, event: str) -> None:
    """Show one event with its data, and what every rule made of it."""
    with open_engine(call) as engine, engine.db.read() as conn:
        found = find_event(conn, event)
        if found is None:
            call.next = "./vitrin events tail"
            raise NotFound(f"no event {event!r}")
        judged = verdicts(engine, conn, event, language=call.settings.language)
        names = ("id", "type", "source", "external_id", "time", "received_at", "key", "customer", "depth", "cause")
        told = {name: getattr(found, name) for name in names}
        call.show({**told, "data": found.data, "verdicts": judged}, lambda: _words(engine, told, found.data, judged))


def _words(engine: Engine, told: dict[str, Any], data: Any, judged: list[dict[str, Any]]) -> str:
    text = orjson.dumps(data, option=orjson.OPT_INDENT_2, default=str).decode()
    said = columns(judged, ("rule", "verdict", "sentence")) or counted(0, "rule")
    return "\n".join([pairs(told, zone=engine.zone), text, said])
