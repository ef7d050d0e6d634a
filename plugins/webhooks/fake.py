"""A receiver of Standard Webhooks, for tests and the demo shop: checks signatures, answers as told, knows ids again."""

import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from core.errors import RemoteError
from plugins.webhooks.schemes import Delivery, check, read_claim

MOST_BYTES = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the receiver answers to one delivery."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    #: "cut": promises more of the body than it sends; "reset": drops the connection instead of answering.
    breaks: str = ""
    #: False: refuses before doing its work.
    works: bool = True


@dataclass(frozen=True, kw_only=True)
class Got:
    """One delivery as it came."""

    id: str
    timestamp: int
    headers: Mapping[str, str]
    body: Any


class FakeReceiver:
    """Listens on this machine; `url` is where to send, `answers` what to say next, after that 204."""

    def __init__(self, secret: str, now: Callable[[], datetime] | None = None) -> None:
        self.answers: deque[Answer] = deque()
        #: Everything whose signature was right.
        self.got: list[Got] = []
        #: Ids whose work it did: a delivery that comes again does nothing.
        self.worked: list[str] = []
        self.refused: list[str] = []
        self._secret = secret
        self._now = now or (lambda: datetime.now(UTC))
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}/hook"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Check one delivery, do its work once, and return the answer."""
        settings = {"scheme": "standard_webhooks", "secret": self._secret}
        try:
            check(read_claim(Delivery(headers=headers, body=body, now=self._now(), settings=settings)))
            told = json.loads(body)
        except (RemoteError, ValueError) as exc:
            with self._lock:
                self.refused.append(str(exc))
            return Answer(status=401, works=False)
        ident = headers["webhook-id"]
        with self._lock:
            seconds = int(headers["webhook-timestamp"])
            self.got.append(Got(id=ident, timestamp=seconds, headers=headers, body=told))
            answer = self.answers.popleft() if self.answers else Answer()
            if answer.works and ident not in self.worked:
                self.worked.append(ident)
        return answer


def _handler(receiver: FakeReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", "0"))
            if length > MOST_BYTES:
                self._answer(Answer(status=413))
                return
            body = self.rfile.read(length)
            self._answer(receiver.take({name.lower(): value for name, value in self.headers.items()}, body))

        def _answer(self, answer: Answer) -> None:
            if answer.breaks == "reset":
                # With no time to linger a close sends RST.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            more = 100 if answer.breaks == "cut" else 0
            self.send_header("Content-Length", str(len(answer.body) + more))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Say nothing: what came is in `got` and `refused`."""

    return Handler
