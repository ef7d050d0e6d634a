"""Events: taken in, listed, shown, and judged by every rule."""

from dataclasses import replace
from typing import Any

from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from core.cloudevents import CAUSE, DEPTH, Incoming, read_http
from core.errors import InvalidInput, NotFound
from core.events import Catalogue, Event, find_event, text_at
from core.ids import new_id
from core.jsontext import join_path
from core.listing import EVENT_FILTERS, find_event_ids, list_events
from core.writer import Tx
from rules.explain import verdicts
from rules.intake import Taken
from web.paging import QUERY, cut, page_schema, read_cursor, write_cursor
from web.problems import from_error, make_problem, pick_language, to_pointer
from web.routes import Call, Reply, Route
from web.shapes import DRY_RUN, EVENT, EVENT_RESULT, EVENT_ROW, FILTER, VERDICT, WHOLE, list_of, shape

_BATCH = shape(data=list_of(EVENT_RESULT), accepted=WHOLE, duplicates=WHOLE, refused=WHOLE)
_ANSWER = {"anyOf": [EVENT_RESULT, _BATCH]}


def take_events(call: Call) -> Reply:
    """Take in what was sent; the answer leaves after the commit."""
    incoming = _read(call)
    single = len(incoming) == 1 and call.raw.lstrip()[:1] != b"["
    events = [_to_event(call, item, "" if single else f"[{place}]") for place, item in enumerate(incoming)]
    if single and isinstance(events[0], InvalidInput):
        raise events[0]
    good = [event for event in events if isinstance(event, Event)]
    if not good:
        return _none_taken([item for item in events if isinstance(item, InvalidInput)])

    def work(tx: Tx) -> Reply:
        taken = iter(call.engine.intake.take(tx, good))
        results = [_refused(item) if isinstance(item, InvalidInput) else _taken(next(taken)) for item in events]
        _name_duplicates(tx, results, events)
        return Reply(status=202, body=results[0] if single else _summary(results))

    return _tried(call.try_out(work)) if call.query["dry_run"] else call.write(work)


def _tried(reply: Reply) -> Reply:
    """Return the answer of a dry run: what would be accepted has no id yet."""
    for result in reply.body.get("data", [reply.body]):
        result["id"] = None if result["status"] == "accepted" else result["id"]
    return replace(reply, status=200)


def _read(call: Call) -> list[Incoming | InvalidInput]:
    limit = call.engine.settings.max_body_kb * 1024
    try:
        return read_http(call.headers.get("content-type"), call.headers, call.raw, max_bytes=limit)
    except InvalidInput as exc:
        if exc.path == "content-type" and _is_foreign(call.headers.get("content-type", "")):
            raise UnsupportedMediaType(exc.message) from exc
        raise BadRequest(exc.message) from exc


def _is_foreign(content_type: str) -> bool:
    """Tell a type that is simply not read from a missing one and from forms, which are mistakes."""
    media = content_type.partition(";")[0].strip().lower()
    return bool(media) and media not in ("application/x-www-form-urlencoded", "multipart/form-data")


def _to_event(call: Call, item: Incoming | InvalidInput, place: str) -> Event | InvalidInput:
    """Return the event to store, or the error of an event that cannot be taken."""
    if isinstance(item, InvalidInput):
        return item
    try:
        return make_event(call.engine.host.catalogue, item, call.now)
    except NotFound as exc:
        return InvalidInput(join_path(place, "type"), exc.message)
    except InvalidInput as exc:
        return InvalidInput(f"{place}.{exc.path}" if place else exc.path, exc.reason)


def make_event(catalogue: Catalogue, item: Incoming, now: Any) -> Event:
    """Return the event of what a sender told; raise NotFound for its type, InvalidInput for its data."""
    kind = catalogue.check(item.type, item.data)
    if kind.plugin == "engine":
        raise InvalidInput("type", f"{item.type} is told by the engine alone; start the rule by its webhook or form")
    depth = item.extensions.get(DEPTH, 0)
    cause = item.extensions.get(CAUSE)
    return Event(
        id=new_id(),
        source=item.source,
        external_id=item.id,
        type=item.type,
        time=item.time or now,
        received_at=now,
        key=_short(item.subject or (text_at(item.data, kind.key) if kind.key else None)),
        customer=_short(text_at(item.data, kind.customer) if kind.customer else None),
        data=item.data,
        depth=depth if isinstance(depth, int) and 0 <= depth < 1_000 else 0,
        cause=cause if isinstance(cause, str) and len(cause) <= 36 else None,
    )


def _short(text: str | None) -> str | None:
    """Names of records are short; what is not is none."""
    return text if text and len(text) <= 500 else None


def _none_taken(errors: list[InvalidInput]) -> Reply:
    told = [{"pointer": to_pointer(error.path), "message": error.reason} for error in errors]
    detail = f"none of the {len(errors)} events can be taken; the first: {errors[0].message}" if errors else "no events"
    return make_problem(422, "invalid_input", detail, errors=told)


def _refused(error: InvalidInput) -> dict[str, Any]:
    body = from_error(error).body
    problem = {name: body[name] for name in ("status", "code", "detail", "errors") if name in body}
    return {"id": None, "external_id": None, "status": "refused", "rules": [], "problem": problem}


def _taken(taken: Taken) -> dict[str, Any]:
    word = "accepted" if taken.new else "duplicate"
    event = taken.event
    return {"id": event.id, "external_id": event.external_id, "status": word, "rules": taken.rules, "problem": None}


def _name_duplicates(tx: Tx, results: list[dict[str, Any]], events: list[Event | InvalidInput]) -> None:
    """Give duplicates the id of the event that was taken first."""
    pairs = [
        (event.source, event.external_id)
        for event, result in zip(events, results, strict=True)
        if isinstance(event, Event) and result["status"] == "duplicate"
    ]
    known = find_event_ids(tx.conn, pairs)
    for event, result in zip(events, results, strict=True):
        if isinstance(event, Event) and result["status"] == "duplicate":
            result["id"] = known.get((event.source, event.external_id), result["id"])


def _summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    def count(word: str) -> int:
        return sum(result["status"] == word for result in results)

    counts = {"accepted": count("accepted"), "duplicates": count("duplicate"), "refused": count("refused")}
    return {"data": results, **counts}


def list_all_events(call: Call) -> Reply:
    """List events, the newest first."""
    query = call.query
    after = read_cursor(query.get("cursor"), "events", str)
    with call.engine.db.read() as conn:
        rows = list_events(conn, query, limit=query["limit"] + 1, before=after[0] if after else None)
    page, following = cut(rows, query["limit"], lambda row: write_cursor("events", row["id"]))
    return Reply(body={"data": list(page), "next": following})


def get_event(call: Call) -> Reply:
    """Show one event with its data."""
    with call.engine.db.read() as conn:
        event = find_event(conn, call.names["id"])
    if event is None:
        raise NotFound("no event with this id")
    fields = {name: getattr(event, name) for name in EVENT["properties"]}
    return Reply(body={**fields, "data": call.shown(event.data)})


def list_verdicts(call: Call) -> Reply:
    """Say what every rule that could hear the event made of it."""
    language = pick_language(call.headers.get("accept-language", ""))
    with call.engine.db.read() as conn:
        found = verdicts(call.engine, conn, call.names["id"], language=language)
    return Reply(body={"data": [call.shown(verdict) for verdict in found]})


_CLOUD = ("ce-id", "ce-source", "ce-specversion", "ce-type", "ce-time", "ce-subject")

ROUTES = (
    Route(
        method="POST",
        path="/events",
        scope="events:write",
        run=take_events,
        summary="Hand in one event, or up to 500: CloudEvents (structured, batched, binary) or the short form",
        query={"dry_run": DRY_RUN},
        raw=True,
        media=("application/json", "application/cloudevents+json", "application/cloudevents-batch+json"),
        answers={200: _ANSWER, 202: _ANSWER},
        limit="events",
        headers=_CLOUD,
    ),
    Route(
        method="GET",
        path="/events",
        scope="events:read",
        run=list_all_events,
        summary="List events, the newest first",
        query={**QUERY, **dict.fromkeys(EVENT_FILTERS, FILTER)},
        answers={200: page_schema(EVENT_ROW)},
    ),
    Route(
        method="GET",
        path="/events/{id}",
        scope="events:read",
        run=get_event,
        summary="Show one event with its data",
        answers={200: EVENT},
    ),
    Route(
        method="GET",
        path="/events/{id}/verdicts",
        scope="events:read",
        run=list_verdicts,
        summary="Say what every rule made of an event",
        answers={200: shape(data=list_of(VERDICT))},
    ),
)
