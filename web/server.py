"""The WSGI server: waitress, on this machine only until an admin has a password."""

from typing import Any

import structlog
from flask import Flask
from waitress.server import create_server

from core.errors import NotAllowed
from core.people import People
from core.settings import Settings
from rules.engine import Engine
from web.hosts import is_loopback
from web.lean import shorten

log = structlog.get_logger("vitrin.server")

#: Seconds after which a silent connection is closed: slow bodies hold no thread, but they hold memory.
_SILENT_S = 30
_THREADS = 16


class Server:
    """Listens from `open` on; `run` serves until `stop`."""

    def __init__(self, app: Flask, settings: Settings, *, threads: int = _THREADS) -> None:
        biggest = max(settings.max_body_kb * 1024, settings.max_upload_mb * 1024 * 1024)
        self._server: Any = create_server(
            app,
            host=settings.host,
            port=settings.port,
            threads=threads,
            channel_timeout=_SILENT_S,
            max_request_body_size=biggest,
            max_request_header_size=64 * 1024,
            ident="",
            # Forwarded headers are judged by `hosts`, network by network.
            clear_untrusted_proxy_headers=False,
        )

    @property
    def address(self) -> tuple[str, int]:
        return self._server.effective_host, self._server.effective_port

    def run(self) -> None:
        """Serve until `stop` is called from another thread or a signal."""
        log.info("listening", host=self.address[0], port=self.address[1])
        self._server.run()

    def stop(self) -> None:
        """Take no more calls, and finish those in hand."""
        self._server.close()
        self._server.task_dispatcher.shutdown()


def check_claimed(engine: Engine, people: People) -> None:
    """Raise NotAllowed where others could reach an installation that nobody has claimed yet."""
    host = engine.settings.host
    if host == "localhost" or is_loopback(host):
        return
    with engine.db.read() as conn:
        if people.is_claimed(conn):
            return
    raise NotAllowed(
        f"no admin has a password yet, so only this machine may connect: the setting host is {host!r}."
        " Add an admin first ('vitrin users add'), or listen on 127.0.0.1"
    )


def make_server(engine: Engine, app: Flask, people: People, **options: Any) -> Server:
    """Return a server that listens where the settings say; raise NotAllowed where that is not safe yet."""
    check_claimed(engine, people)
    shorten(app, engine)
    return Server(app, engine.settings, **options)
