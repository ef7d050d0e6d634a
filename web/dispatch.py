"""The way of one API call: token, scope, limit, parameters, body, the route's own function, the answer."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, g, request
from werkzeug.exceptions import BadRequest
from werkzeug.exceptions import NotFound as NoSuchPage

from core.answers import find_answer
from core.errors import InvalidInput, VitrinError
from core.jsontext import dumps
from core.schemas import compile_schema
from core.tokens import Token
from core.writer import Tx
from web.auth import Gate
from web.hosts import Hosts
from web.idempotency import Cleaner, KeyedCall, hash_request, read_key
from web.limits import Limits
from web.problems import from_misfits, pick_language
from web.reading import read_body, read_headers, read_query, read_upload, with_whole_numbers
from web.routes import OPEN, PROBLEM, Call, Reply, Route, Services, Upload

#: Who calls a route that is open to everybody.
_NOBODY = Token(id="", name="nobody", scopes=frozenset(), user=None, expires_at=None)
_LONGEST_NAME = 500
_FIELDS = {"type": "string", "maxLength": 1000, "description": "Only these fields of each row, with commas between."}


class Dispatcher:
    """Turns routes into views."""

    def __init__(self, services: Services, gate: Gate, limits: Limits, hosts: Hosts) -> None:
        self._services = services
        self._gate = gate
        self._limits = limits
        self._hosts = hosts
        self._cleaner = Cleaner()
        self._max_bytes = services.engine.settings.max_body_kb * 1024
        self._max_upload = services.engine.settings.max_upload_mb * 1024 * 1024

    def view(self, route: Route) -> Callable[..., Response]:
        """Return the Flask view of a route."""
        parameters = query_of(route)

        def answer(**names: str) -> Response:
            token = _NOBODY
            if route.scope != OPEN:
                address = self._hosts.client(request.remote_addr, request.headers.getlist("X-Forwarded-For"))
                token = self._gate.enter(request.headers.get("Authorization"), address)
                token.need(route.scope)
                g.limit_headers = self._limits.count(route.counted_as, token.id).headers()
            return write_reply(self._answer(route, parameters, names, token))

        return answer

    def _answer(
        self, route: Route, parameters: Mapping[str, Mapping[str, Any]], names: dict[str, str], token: Token
    ) -> Reply:
        if any("\0" in part or len(part) > _LONGEST_NAME for part in names.values()):
            raise NoSuchPage("nothing has such a name")
        query = read_query(request, parameters)
        only = _wanted_fields(query.pop("fields", None), route)
        if not route.upload:
            return self._answer_read(route, names, token, query=query, only=only, upload=None)
        upload = read_upload(request, media=route.media, max_bytes=self._max_upload)
        with upload.file:
            return self._answer_read(route, names, token, query=query, only=only, upload=upload)

    def _answer_read(
        self,
        route: Route,
        names: dict[str, str],
        token: Token,
        *,
        query: dict[str, Any],
        only: frozenset[str] | None,
        upload: Upload | None,
    ) -> Reply:
        body, text, misfit = (None, None, None) if upload else self._body(route)
        if misfit is not None:
            return misfit
        headers = read_headers(request)
        now = self._services.engine.clock.now()
        keeper = self._keeper(route, token, headers, now=now, upload=upload) if route.takes_key else None
        if keeper is not None and (earlier := self._earlier(keeper)):
            return earlier
        call = Call(
            services=self._services,
            token=token,
            names=names,
            query=query,
            body=body,
            text=text,
            raw=request.get_data() if route.raw else b"",
            upload=upload,
            headers=headers,
            now=now,
            keeper=keeper,
        )
        reply = route.run(call)
        if keeper is not None and not keeper.kept:
            self._keep(keeper, reply)
        return reply if only is None else _narrow(reply, only)

    def _body(self, route: Route) -> tuple[Any, str | None, Reply | None]:
        if route.raw or route.body is None:
            # Read even where nobody looks at it: too much of it is refused alike everywhere.
            request.get_data(cache=True)
            return None, None, None
        body, text = read_body(request, media=route.media, required=route.body_required, max_bytes=self._max_bytes)
        if text is None and (body is not None or route.body_required):
            language = pick_language(request.headers.get("Accept-Language", ""))
            misfits = compile_schema(dict(route.body), own=True).problems(body, language)
            if misfits:
                return None, None, from_misfits(misfits, language)
            body = with_whole_numbers(body, route.body)
        return body, text, None

    def _keeper(
        self, route: Route, token: Token, headers: Mapping[str, str], *, now: Any, upload: Upload | None
    ) -> KeyedCall | None:
        key = read_key(headers)
        if key is None or route.scope == OPEN:
            return None
        # The type of a form says where its parts end, in another way each time.
        sent = (upload.digest,) if upload else (request.content_type, request.get_data())
        request_hash = hash_request(route.method, request.path, request.query_string, *sent)
        return KeyedCall(token=token.id, key=key, request_hash=request_hash, now=now, cleaner=self._cleaner)

    def _earlier(self, keeper: KeyedCall) -> Reply | None:
        """Look before any work is done; the look that counts is the one inside the transaction."""
        with self._services.engine.db.read() as conn:
            if find_answer(conn, keeper.token, keeper.key, keeper.now) is None:
                return None
            return keeper.open(Tx(conn))

    def _keep(self, keeper: KeyedCall, reply: Reply) -> None:
        """Keep the answer of a route that wrote in a transaction of its own, or not at all."""
        if reply.status < 400:
            self._services.engine.writer.do(lambda tx: keeper.keep(tx, reply))


def query_of(route: Route) -> dict[str, Mapping[str, Any]]:
    """Return the parameters of a route, `fields` included where rows can be narrowed."""
    found = dict(route.query)
    if row_fields(route):
        found["fields"] = _FIELDS
    return found


def row_fields(route: Route) -> tuple[str, ...]:
    """Return the names of the fields of a list's rows; nothing for other routes."""
    schema = (route.answers.get(200) or {}) if route.method == "GET" else {}
    rows = schema.get("properties", {}).get("data", {}).get("items", {})
    return tuple(rows.get("properties", ()))


def _wanted_fields(text: str | None, route: Route) -> frozenset[str] | None:
    if text is None:
        return None
    wanted = frozenset(name.strip() for name in text.split(","))
    unknown = sorted(wanted - set(row_fields(route)))
    if unknown:
        known = ", ".join(row_fields(route))
        raise BadRequest(f"fields: {unknown[0][:60]!r} is no field of these rows; known are: {known}")
    return wanted


def _narrow(reply: Reply, only: frozenset[str]) -> Reply:
    rows = [{name: value for name, value in row.items() if name in only} for row in reply.body["data"]]
    return Reply(status=reply.status, headers=reply.headers, body={**reply.body, "data": rows})


def _to_json(body: Any) -> bytes:
    try:
        return dumps(body)
    except InvalidInput as exc:
        # Not the caller's mistake: something was stored that is no plain data.
        raise VitrinError(f"an answer cannot be written: {exc.message}") from exc


def write_reply(reply: Reply) -> Response:
    """Return the Flask response of a reply; a problem names the request that it is about."""
    body = reply.body
    if reply.media == PROBLEM:
        body = {**body, "instance": f"urn:uuid:{g.request_id}", "request_id": g.request_id}
    raw = body.encode() if isinstance(body, str) else b"" if body is None else _to_json(body)
    response = Response(raw, status=reply.status)
    response.headers.update(reply.headers)
    response.headers["Content-Type"] = reply.media
    if body is None:
        del response.headers["Content-Type"]
    return response
