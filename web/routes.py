"""What a route of the API is: its address, what it needs, what it takes and answers; and one call of it.

Everything about a route stands in one row: checks, limits and the OpenAPI document are all made from it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any, Protocol

from core.masking import mask_json
from core.people import People
from core.sessions import Sessions
from core.tokens import Token, Tokens
from core.writer import Tx
from rules.engine import Engine

JSON = "application/json"
YAML = "application/yaml"
MULTIPART = "multipart/form-data"
PROBLEM = "application/problem+json"
#: A route without a scope says so with this word: it is open to everybody.
OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the web stands on."""

    engine: Engine
    tokens: Tokens
    people: People
    sessions: Sessions


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer before it is written: `body` is plain data, text, or None for no content."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    media: str = JSON
    #: True when the body is shown only once and must not be kept for a repeated call.
    once: bool = False


class _TriedOut(Exception):
    """Undoes the transaction of a dry run and brings out what it would have answered."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.reply = reply


@dataclass(frozen=True, slots=True)
class View:
    """A Flask view beside the API, with what it asks of the caller."""

    endpoint: str
    address: str
    methods: tuple[str, ...]
    access: str
    run: Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that came with a call: read from its beginning, and closed when the call is answered."""

    #: As the sender calls it; None where the body is the file itself.
    name: str | None
    file: IO[bytes]
    #: Of its bytes and its name.
    digest: str

    def parts(self) -> Iterator[bytes]:
        while part := self.file.read(1 << 16):
            yield part


class Keeper(Protocol):
    """Keeps the answer to a call that brought an Idempotency-Key."""

    def open(self, tx: Tx) -> Reply | None:
        """Return the answer of an earlier call with the same key, if there is one."""
        ...

    def keep(self, tx: Tx, reply: Reply) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a route, checked: the token may make it, its parameters and body fit the route's schemas."""

    services: Services
    token: Token
    #: The parts of the address.
    names: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    #: The JSON body; None where there was none, or where it came as YAML.
    body: Any = None
    #: The YAML body.
    text: str | None = None
    raw: bytes = b""
    upload: Upload | None = None
    #: Header names in lower case.
    headers: Mapping[str, str] = field(default_factory=dict)
    now: datetime
    keeper: Keeper | None = None

    @property
    def engine(self) -> Engine:
        return self.services.engine

    @property
    def actor(self) -> str:
        return f"token:{self.token.id}"

    @property
    def fields(self) -> dict[str, Any]:
        """Return the body, or an empty one where it may be left out."""
        return self.body or {}

    def write(self, work: Callable[[Tx], Reply]) -> Reply:
        """Run work in one transaction with the note that this Idempotency-Key was answered; reply after the commit."""

        def whole(tx: Tx) -> Reply:
            earlier = self.keeper.open(tx) if self.keeper else None
            if earlier is not None:
                return earlier
            reply = work(tx)
            if self.keeper:
                self.keeper.keep(tx, reply)
            return reply

        return self.engine.writer.do(whole)

    def try_out(self, work: Callable[[Tx], Reply]) -> Reply:
        """Run work in a transaction that is then undone: nothing knows better what would happen."""

        def undone(tx: Tx) -> Reply:
            raise _TriedOut(work(tx))

        try:
            return self.engine.writer.do(undone)
        except _TriedOut as tried:
            return tried.reply

    def shown(self, value: Any) -> Any:
        """Return recorded data as this token may see it: personal data is masked without the scope for it."""
        return value if "pii:read" in self.token.scopes else mask_json(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One row of the table of routes."""

    method: str
    #: Below the API's base, parts in braces: /rules/{name}/draft
    path: str
    #: What the token must be allowed; OPEN for everybody.
    scope: str
    run: Callable[[Call], Reply]
    summary: str
    #: Name of a parameter -> its JSON Schema (a single text, whole number or boolean).
    query: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: JSON Schema of the body; None where the route takes none, or reads it itself.
    body: Mapping[str, Any] | None = None
    body_required: bool = True
    #: Media types that the body may have.
    media: tuple[str, ...] = (JSON,)
    #: True when the route reads the raw body itself.
    raw: bool = False
    #: True when the body is a file, alone or as the part `file` of a form; it may be larger than other bodies.
    upload: bool = False
    #: Status -> JSON Schema of the answer (None: no content).
    answers: Mapping[int, Mapping[str, Any] | None] = field(default_factory=dict)
    answer_media: str = JSON
    #: Which row of `limits.LIMITS` counts its calls.
    limit: str = ""
    #: Headers that it reads, for the document.
    headers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return the name of the operation: that of its function, once for each route."""
        return self.run.__name__.lstrip("_")

    @property
    def takes_key(self) -> bool:
        """Tell whether an Idempotency-Key is honoured."""
        return self.method == "POST"

    @property
    def takes_body(self) -> bool:
        return self.raw or self.upload or self.body is not None

    @property
    def counted_as(self) -> str:
        return self.limit or ("read" if self.method == "GET" else "write")
