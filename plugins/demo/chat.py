"""A stand-in for a chat service: checks tokens and idempotency keys, limits the rate, and has bad moments by seed."""

import hashlib
import json
import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any, Self

MOST_BYTES = 64 * 1024
#: Messages that it takes in each window.
RATE, WINDOW_S = 20, 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What it answers to one request."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


class ChatProvider:
    """Listens on this machine only; `messages` is what arrived, each message once."""

    def __init__(self, seed: int, *, token: str | None = None, now_s: Callable[[], float] = monotonic) -> None:
        self.token = token or secrets.token_urlsafe(24)
        self.messages: list[dict[str, str]] = []
        self._seed = seed
        self._now_s = now_s
        #: By idempotency key: what was answered to the message, and how often a key came without success.
        self._taken: dict[str, Answer] = {}
        self._tries: dict[str, int] = {}
        self._recent: deque[float] = deque()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="demo-chat", daemon=True
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}/messages"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Return the answer to one message; header names are in small letters."""
        if not secrets.compare_digest(headers.get("authorization", "").encode(), f"Bearer {self.token}".encode()):
            return _refuse(401, "the token is wrong")
        key = headers.get("idempotency-key", "")
        if not key or len(key) > 255:
            return _refuse(400, "an Idempotency-Key is needed")
        message = _read(body)
        if message is None:
            return _refuse(400, "expected a JSON object with room and text")
        with self._lock:
            return self._taken.get(key) or self._take(key, message)

    def _take(self, key: str, message: dict[str, str]) -> Answer:
        now_s = self._now_s()
        while self._recent and now_s - self._recent[0] >= WINDOW_S:
            self._recent.popleft()
        if len(self._recent) >= RATE:
            wait_s = max(1, round(self._recent[0] + WINDOW_S - now_s))
            return _refuse(429, "too many messages", {"Retry-After": str(wait_s)})
        self._recent.append(now_s)
        tried = self._tries[key] = self._tries.get(key, 0) + 1
        mood, refused = mood_of(self._seed, message["text"])
        if tried <= refused:
            return _MOODS[mood]
        self.messages.append(message)
        taken = self._taken[key] = Answer(201, {"id": f"msg-{len(self.messages)}"})
        return taken


def _refuse(status: int, why: str, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, {"error": why}, headers or {})


#: In which mood a message is refused, and how.
_MOODS = {
    "archived": _refuse(422, "the room is archived"),
    "broken": _refuse(500, "an error of ours"),
    "busy": _refuse(429, "too many messages", {"Retry-After": "7"}),
}
#: Of a hundred messages: up to which one, in which mood, and how many tries of it are refused.
_SHARES = ((4, "archived", 1_000_000), (16, "broken", 1), (20, "busy", 2), (100, "well", 0))


def mood_of(seed: int, text: str) -> tuple[str, int]:
    """Return the mood that a message meets and how many of its tries are refused: by seed, not by chance."""
    draw = int.from_bytes(hashlib.sha256(f"{seed}/{text}".encode()).digest()[:4], "big") % 100
    return next((mood, refused) for share, mood, refused in _SHARES if draw < share)


def _read(body: bytes) -> dict[str, str] | None:
    try:
        told = json.loads(body)
    except ValueError:
        return None
    fits = isinstance(told, dict) and all(isinstance(told.get(name), str) for name in ("room", "text"))
    return {"room": told["room"], "text": told["text"]} if fits else None


def _handler(chat: ChatProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # The whole answer in one packet: in two, the second waits for the first's receipt, 40 ms.
        wbufsize = 64 * 1024

        def do_GET(self) -> None:
            known = self.path == "/health"
            self._write(Answer(200, {"name": "Demo chat"}) if known else _refuse(404, "nothing is here"))

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", "0"))
            if length > MOST_BYTES:
                self.close_connection = True
                self._write(_refuse(413, "the message is too long"))
                return
            body = self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            known = self.path == "/messages"
            self._write(chat.answer(headers, body) if known else _refuse(404, "nothing is here"))

        def _write(self, answer: Answer) -> None:
            body = json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in {**answer.headers, "Content-Type": "application/json"}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its base's name
            """Say nothing: what arrived is in `messages`."""

    return Handler
