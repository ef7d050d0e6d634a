"""Carry requests out: one client for the whole engine, kept open, shared by all threads."""

import logging
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import certifi
import httpcore

from core.clock import Clock, SystemClock
from core.errors import InvalidInput, RejectedError, TemporaryError, UnclearError, VitrinError
from core.http.addresses import Resolver, SystemResolver, is_allowable, is_public, parse_allowed
from core.http.body import BodyBroken, BodyTooLarge, read_body
from core.http.limits import Gate, HostSlots, Rate, RateGate
from core.http.network import GuardedBackend, Trip, current_trip
from core.http.recording import Call, NoRecorder, Recorder, body_text, tell
from core.http.requests import REDIRECTS, Outgoing, redirected
from core.http.response import Headers, Response, parse_retry_after
from core.http.session import Grant, Options, Session, parse_hosts
from core.masking import mask_url

MAX_REDIRECTS = 5
REASON_LIMIT = 200
#: Methods that change nothing over there.
_ASKING = ("GET", "HEAD", "OPTIONS")

# At DEBUG it writes the headers of every answer, cookies included.
logging.getLogger("httpcore").setLevel(logging.WARNING)


@dataclass(frozen=True, kw_only=True)
class _Hop:
    """One request of a chain of redirects, with what it is carried out under."""

    grant: Grant
    outgoing: Outgoing
    options: Options
    trip: Trip
    #: Uses the owner's permission for a local address.
    local: bool

    @property
    def secrets(self) -> tuple[str, ...]:
        return (*self.grant.secrets, *self.outgoing.secrets())

    @property
    def url(self) -> str:
        return mask_url(self.outgoing.target.url, self.grant.secrets)

    @property
    def where(self) -> str:
        return f"{self.outgoing.method} {self.url}"


class HttpClient:
    """The only way out: addresses checked, time and size bounded, hosts spared, every call told to the recorder."""

    def __init__(  # noqa: PLR0913 - the parts that tests and many processes put in place of the usual
        self,
        *,
        clock: Clock | None = None,
        resolver: Resolver | None = None,
        recorder: Recorder | None = None,
        connector: httpcore.NetworkBackend | None = None,
        ca_files: Sequence[Path] = (),
        per_host: int = 8,
        wait_s: float = 30.0,
        sleep: Callable[[float], object] = time.sleep,
        gate: Gate | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._recorder = recorder or NoRecorder()
        self._own_resolver = SystemResolver() if resolver is None else None
        self._slots = HostSlots(per_host)
        self._gate: Gate = gate or RateGate()
        self._wait_s = wait_s
        self._sleep = sleep
        finder = resolver or self._own_resolver
        assert finder is not None
        context = _tls(ca_files)
        self._public = _pool(context, GuardedBackend(finder, is_public, connector=connector))
        # Connections that needed the owner's permission never mix with those that anybody may use.
        self._local = _pool(context, GuardedBackend(finder, is_allowable, loopback_names=True, connector=connector))

    def session(
        self,
        plugin: str,
        account: str | None = None,
        hosts: Sequence[str] | None = None,
        *,
        allow: Sequence[str] = (),
        limits: Sequence[Rate] = (),
        secrets: Sequence[str] = (),
    ) -> Session:
        """Return what `plugin` may use as its way out.

        `allow` is the owner's list of local `host:port`; `secrets` are the account's secret values, which are
        hidden wherever they turn up in messages and in the exchange log.
        """
        grant = Grant(
            plugin=plugin,
            account=account,
            hosts=parse_hosts(hosts),
            allowed=parse_allowed(allow),
            rates=tuple(limits),
            secrets=tuple(secrets),
        )
        return Session(self, grant)

    def close(self) -> None:
        """Close all connections; the client is not used after that."""
        self._public.close()
        self._local.close()
        if self._own_resolver is not None:
            self._own_resolver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, grant: Grant, outgoing: Outgoing, options: Options) -> Response:
        """Carry out a request of a session and the redirects it meets."""
        self._keep_rate(grant)
        local = grant.is_allowed(outgoing.target)
        # The time starts once the first slot is ours: our own queue is not the other side's fault.
        with self._slot(grant, outgoing.target.host, self._wait_s):
            started = self._clock.monotonic()
            trip = Trip(plugin=grant.plugin, timeout_s=options.timeout_s, clock=self._clock, started=started)
            hop = _Hop(grant=grant, outgoing=outgoing, options=options, trip=trip, local=local)
            response = self._exchange(hop)
        redirects = 0
        while options.follow_redirects and response.status in REDIRECTS and "location" in response.headers:
            redirects += 1
            if redirects > MAX_REDIRECTS:
                raise RejectedError(grant.plugin, f"{hop.where} led to more than {MAX_REDIRECTS} redirects")
            hop = _next(hop, response.status, response.headers["location"])
            with self._slot(grant, hop.outgoing.target.host, min(self._wait_s, trip.remaining_s())):
                response = self._exchange(hop)
        return response

    def _keep_rate(self, grant: Grant) -> None:
        if not grant.rates:
            return
        account = (grant.plugin, grant.account)
        wait = self._gate.reserve(account, grant.rates, self._clock.monotonic(), self._wait_s)
        if wait > self._wait_s:
            raise TemporaryError(grant.plugin, f"too many requests for now; the next may go in {wait:.0f} s", wait)
        if wait:
            self._sleep(wait)

    @contextmanager
    def _slot(self, grant: Grant, host: str, wait_s: float) -> Iterator[None]:
        with self._slots.slot(host, wait_s) as got:
            if not got:
                message = f"{host} is busy with {self._slots.limit} requests of ours; none ended within {wait_s:g} s"
                raise TemporaryError(grant.plugin, message)
            yield

    def _exchange(self, hop: _Hop) -> Response:
        started = self._clock.monotonic()
        token = current_trip.set(hop.trip)
        try:
            with _translated(hop):
                response = self._roundtrip(hop)
        except VitrinError as exc:
            self._record(hop, started, None, exc.message)
            raise
        finally:
            current_trip.reset(token)
        self._record(hop, started, response, None)
        return response

    def _roundtrip(self, hop: _Hop) -> Response:
        target, outgoing = hop.outgoing.target, hop.outgoing
        left = max(hop.trip.remaining_s(), 0.0)
        request = httpcore.Request(
            method=outgoing.method,
            url=httpcore.URL(
                scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=outgoing.path
            ),
            headers=[("host", target.authority), *outgoing.headers],
            content=outgoing.body,
            extensions={"timeout": {"connect": left, "read": left, "write": left, "pool": left}},
        )
        pool = self._local if hop.local else self._public
        answer = pool.handle_request(request)
        try:
            headers = Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers)
            content = _body(hop, headers, answer)
        finally:
            answer.close()
        return self._response(hop, answer.status, headers, content)

    def _response(self, hop: _Hop, status: int, headers: Headers, content: bytes) -> Response:
        kind = headers.get("content-type", "")
        reason = ""
        if status >= 400 and "html" not in kind:
            told = body_text(content, kind, hop.secrets, REASON_LIMIT)
            reason = " ".join(told.split())
        return Response(
            status=status,
            headers=headers,
            content=content,
            url=hop.outgoing.target.url,
            elapsed_s=hop.trip.elapsed_s,
            plugin=hop.grant.plugin,
            where=hop.where,
            retry_after_s=parse_retry_after(headers.get("retry-after"), self._clock.now()),
            reason=reason,
        )

    def _record(self, hop: _Hop, started: float, response: Response | None, error: str | None) -> None:
        if isinstance(self._recorder, NoRecorder):
            return
        secrets, content = hop.secrets, response.content if response else b""
        kind = response.headers.get("content-type", "") if response else ""
        call = Call(
            plugin=hop.grant.plugin,
            account=hop.grant.account,
            method=hop.outgoing.method,
            url=hop.url,
            status=response.status if response else None,
            error=error,
            seconds=self._clock.monotonic() - started,
            request_bytes=len(hop.outgoing.body),
            response_bytes=len(content),
            request_body=body_text(hop.outgoing.body, hop.outgoing.content_type, secrets),
            response_body=body_text(content, kind, secrets),
        )
        tell(self._recorder, call)


def _next(hop: _Hop, status: int, location: str) -> _Hop:
    """Return the hop that a redirect leads to, after the same checks as the first one."""
    try:
        outgoing = redirected(hop.outgoing, status, location)
    except InvalidInput as exc:
        message = f"{hop.where} answered with a redirect that is not allowed: {exc}"
        raise RejectedError(hop.grant.plugin, message) from exc
    hop.grant.check(outgoing.target)
    # The owner's permission ends where a redirect leads anywhere else, be it another permitted place.
    local = hop.local and outgoing.target.origin == hop.outgoing.target.origin
    return replace(hop, outgoing=outgoing, local=local)


def _body(hop: _Hop, headers: Headers, answer: httpcore.Response) -> bytes:
    limit = hop.options.max_bytes
    try:
        length = headers.get("content-length", "0")
        if hop.outgoing.method != "HEAD" and length.isdecimal() and int(length[:20]) > limit:
            raise BodyTooLarge
        return read_body(answer.iter_stream(), headers.get("content-encoding", ""), limit)
    except BodyTooLarge as exc:
        message = f"{hop.where} answered with more than {limit} bytes; ask for less, or raise the limit"
        raise RejectedError(hop.grant.plugin, message) from exc
    except BodyBroken as exc:
        raise _lost(hop)(hop.grant.plugin, f"{hop.where}: the answer {exc}") from exc


@contextmanager
def _translated(hop: _Hop) -> Iterator[None]:
    """Turn what httpcore raises into our errors, without the values it quotes."""
    plugin = hop.grant.plugin
    try:
        yield
    except httpcore.TimeoutException as exc:
        early = isinstance(exc, (httpcore.ConnectTimeout, httpcore.PoolTimeout))
        kind = TemporaryError if early else _lost(hop)
        raise kind(plugin, f"{hop.where} took longer than {hop.options.timeout_s:g} s") from exc
    except httpcore.ConnectError as exc:
        raise TemporaryError(plugin, f"{hop.where}: could not connect ({exc})") from exc
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as exc:
        raise _lost(hop)(plugin, f"{hop.where}: the connection broke before the answer was whole") from exc


def _lost(hop: _Hop) -> type[TemporaryError]:
    """Return what it means that no answer came: a question can be asked again, anything else may have been done."""
    return TemporaryError if hop.outgoing.method in _ASKING else UnclearError


def _tls(ca_files: Sequence[Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certifi.where())
    for path in ca_files:
        context.load_verify_locations(cafile=path)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _pool(context: ssl.SSLContext, backend: httpcore.NetworkBackend) -> httpcore.ConnectionPool:
    return httpcore.ConnectionPool(
        ssl_context=context,
        max_connections=256,
        max_keepalive_connections=64,
        keepalive_expiry=30.0,
        network_backend=backend,
    )
