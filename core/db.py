"""The one database: engine, connections, column types, and translation of what it refuses.

SQLite (WAL, one writer) by default; PostgreSQL 15+ where several processes share the work.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import BigInteger, Connection, Dialect, Engine, MetaData, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.types import JSON, TypeDecorator

from core.errors import InvalidInput, StorageError

#: Names every constraint, so that migrations can name what they change.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: A transaction that has done nothing for so long is ended by the server: its process was stopped, or is gone.
IDLE = timedelta(seconds=60)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Return microseconds since 1970 UTC: how moments are stored."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(value: int) -> datetime:
    """Return the aware UTC moment for stored microseconds."""
    return _EPOCH + timedelta(microseconds=value)


class Moment(TypeDecorator[datetime]):
    """An aware UTC moment, stored as microseconds since 1970: exact, ordered and equal on both databases."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else to_micros(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else from_micros(value)


#: Plain JSON text on both databases: keeps key order, and PostgreSQL does not choke on escaped NUL.
Json = JSON(none_as_null=True)


def _dump(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()


def _load(value: Any) -> Any:
    # SQLite turns a document that is one bare number into a number.
    return orjson.loads(value) if isinstance(value, (str, bytes)) else value


class Database:
    """Hands out connections; reads run beside the writer, writes go through `core.writer`."""

    def __init__(self, url: str, *, synchronous: str = "full", idle: timedelta = IDLE) -> None:
        self.url = _parse(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.synchronous = synchronous
        options = {} if self.is_sqlite else _postgresql_options(idle)
        self.engine: Engine = create_engine(
            self.url,
            json_serializer=_dump,
            json_deserializer=_load,
            hide_parameters=True,
            **options,
        )
        #: What a connection for reading is: one picture of the database, however many questions it answers.
        self._reading: dict[str, Any] = {"reading": True}
        if self.is_sqlite:
            self._prepare_sqlite()
        else:
            self._reading |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

    def _prepare_sqlite(self) -> None:
        @event.listens_for(self.engine, "connect")
        def configure(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # we say BEGIN ourselves
            cursor = connection.cursor()
            for pragma in (
                "busy_timeout=10000",
                "journal_mode=WAL",
                f"synchronous={self.synchronous}",
                "foreign_keys=ON",
                "temp_store=MEMORY",
                "cache_size=-32000",
            ):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        @event.listens_for(self.engine, "begin")
        def begin(connection: Connection) -> None:
            reading = connection.get_execution_options().get("reading", False)
            connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection for reading; it sees one unchanging picture of the database."""
        try:
            with self.engine.connect().execution_options(**self._reading) as connection:
                yield connection
        except LOST as exc:
            raise storage_error(exc) from exc

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction of its own; hot paths use the group-committing writer instead."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except LOST as exc:
            raise storage_error(exc) from exc

    def close(self) -> None:
        self.engine.dispose()


def _postgresql_options(idle: timedelta) -> dict[str, Any]:
    """Return how the engine keeps its connections; a process that stands still, or is cut off, lets go of its locks."""
    session = {
        "idle_in_transaction_session_timeout": f"{int(idle.total_seconds())}s",
        "tcp_keepalives_idle": "15",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
    }
    told = " ".join(f"-c {name}={value}" for name, value in session.items())
    # A server that is gone without a word is noticed, and another way to it tried, well within half a minute.
    watch = {"connect_timeout": 5, "keepalives_idle": 5, "keepalives_interval": 3, "keepalives_count": 3}
    return {
        "pool_pre_ping": True,
        "pool_size": 8,
        "max_overflow": 24,
        "connect_args": {"options": told, **watch, "tcp_user_timeout": 15_000},
    }


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except Exception as exc:
        raise InvalidInput("database", "is not a database URL, such as sqlite:////var/lib/vitrin/vitrin.db") from exc
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise InvalidInput("database", f"{backend} is not supported; use sqlite:/// or postgresql://")
    if not parsed.database or parsed.database == ":memory:":
        raise InvalidInput("database", "needs a file: an SQLite database in memory would forget everything")
    return parsed


#: What comes of a refusal; the second where the connection is gone and the work went on to the next statement.
LOST = (DBAPIError, PendingRollbackError)
_GONE = "the database server does not answer: check that it runs and that the setting 'database' is right"
_REFUSALS = (
    (
        "no space left on device",
        "the disk of the database server is full: free some space; nothing acknowledged is lost",
    ),
    ("disk is full", "the disk is full: free some space; nothing that was acknowledged is lost"),
    ("disk i/o error", "the disk refused to write: check its health and free space"),
    ("lock timeout", "another program holds the database: stop it, or try again in a moment"),
    ("database is locked", "another program holds the database: stop it, or try again in a moment"),
    ("readonly database", "the database file or its folder is not writable: check its owner and permissions"),
    (
        "unable to open database file",
        "the database file cannot be opened: check that its folder exists and is writable",
    ),
    ("malformed", "the database file is damaged: stop, keep a copy of it, and restore the last backup"),
    ("not a database", "the database file is not a database: check the path in the setting 'database'"),
    ("too many clients", "the database server has no connection left: raise its max_connections"),
    ("connection", _GONE),
)


_IN_THE_WAY = ("40P01", "40001")


def storage_error(exc: DBAPIError | PendingRollbackError) -> StorageError:
    """Translate the driver's refusal into words that say what to do."""
    if isinstance(exc, PendingRollbackError):
        return StorageError(_GONE)
    text = str(exc.orig).lower()
    for mark, words in _REFUSALS:
        if mark in text:
            return StorageError(words)
    return StorageError(f"the database refused: {exc.orig}")


def is_in_the_way(exc: BaseException) -> bool:
    """Tell whether two transactions waited for each other, and this one was undone for it (PostgreSQL)."""
    return isinstance(exc, DBAPIError) and getattr(exc.orig, "sqlstate", None) in _IN_THE_WAY


def sqlite_path(url: URL) -> Path:
    """Return the file of an SQLite URL."""
    return Path(str(url.database))
