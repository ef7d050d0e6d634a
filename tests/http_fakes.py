"""A network in memory for tests of the HTTP client: answers of a name server, and servers that keep what they got."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpcore


class FakeResolver:
    """Answer from a table, host by host, the last answer for ever."""

    def __init__(self, answers: Mapping[str, Sequence[Sequence[str]]] | None = None) -> None:
        self._answers = {host: list(each) for host, each in (answers or {}).items()}
        self.asked: list[str] = []

    def resolve(self, host: str, port: int, timeout_s: float) -> Sequence[str]:
        self.asked.append(host)
        answers = self._answers.get(host, [()])
        return answers.pop(0) if len(answers) > 1 else answers[0]


@dataclass(kw_only=True)
class Sent:
    """One request as it went over the wire."""

    address: str
    port: int
    server_name: str | None
    raw: bytes

    @property
    def line(self) -> str:
        return self.raw.split(b"\r\n", 1)[0].decode()

    @property
    def headers(self) -> dict[str, str]:
        lines = self.raw.split(b"\r\n\r\n", 1)[0].decode().split("\r\n")[1:]
        return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}

    @property
    def body(self) -> bytes:
        return self.raw.split(b"\r\n\r\n", 1)[1]


@dataclass
class FakeNetwork(httpcore.NetworkBackend):
    """Connect to nothing, note every address, answer each request through `answer`."""

    answer: Callable[[Sent], bytes | Sequence[bytes]]
    on_read: Callable[[], object] = lambda: None
    connected: list[str] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    dead: frozenset[str] = frozenset()

    def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        self.connected.append(host)
        if host in self.dead:
            raise httpcore.ConnectError("Connection refused")
        return _FakeStream(self, host, port)


class _FakeStream(httpcore.NetworkStream):
    def __init__(self, network: FakeNetwork, address: str, port: int) -> None:
        self._network, self._address, self._port = network, address, port
        self._name: str | None = None
        self._written = b""
        self._pieces: list[bytes] | None = None

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._written, self._pieces = self._written + buffer, None

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._network.on_read()
        if self._pieces is None:
            sent = Sent(address=self._address, port=self._port, server_name=self._name, raw=self._written)
            self._written = b""
            self._network.sent.append(sent)
            answer = self._network.answer(sent)
            self._pieces = [answer] if isinstance(answer, bytes) else list(answer)
        return self._pieces.pop(0) if self._pieces else b""

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> Any:
        self._name = server_hostname
        return self

    def close(self) -> None:
        self._pieces = []

    def get_extra_info(self, info: str) -> Any:
        return False if info == "is_readable" else None


def answer(status: int = 200, body: bytes = b"ok", **headers: str) -> bytes:
    """Return one whole HTTP answer; header names are written with underscores."""
    lines = [f"HTTP/1.1 {status} Text", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n" + body


@contextmanager
def raw_server(talk: Callable[[socket.socket, threading.Event], object]) -> Iterator[int]:
    """Serve a real port whose every connection is handled by `talk`; the event is set when the test ends."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(65_536)
                talk(connection, over)
            except OSError:
                over.wait(0)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(connection,)))
            threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in [accepting, *threads]:
            thread.join(5)
