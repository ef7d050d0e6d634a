"""A caller in a process of its own: keeps some connections busy with one request each, and tells how long each took.

Run as `python -m benchmarks.caller`, with the orders as JSON on its input; it answers with JSON.
"""

import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What to send: `requests` in turn, `count` in all, over so many connections."""

    port: int
    requests: list[str]
    count: int
    connections: int = 16
    #: Requests a second; as fast as they are answered where it is 0.
    rate: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What came of it."""

    seconds: float
    #: Of each request, in milliseconds.
    took_ms: list[float]
    #: Answers by status.
    statuses: dict[str, int]


def call_apart(orders: Orders) -> Called:
    """Make the calls in another process, so that their cost is not counted as ours."""
    command = [sys.executable, "-m", "benchmarks.caller"]
    done = subprocess.run(
        command, input=json.dumps(asdict(orders)), capture_output=True, text=True, check=True, cwd=ROOT
    )
    return Called(**json.loads(done.stdout))


def make_request(path: str, body: bytes, headers: Sequence[str]) -> str:
    """Return the text of a POST."""
    lines = (f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers)
    return "\r\n".join((*lines, f"Content-Length: {len(body)}", "", body.decode()))


#: How often a caller with a steady rate looks whether the next request is due.
_TICK_S = 0.005


class _Connection:
    """One connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_s = 0.0
        self._got = b""

    def send(self, request: bytes) -> None:
        self.sent_s = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> str | None:
        """Return the status once the answer is whole."""
        self._got += self.socket.recv(65536)
        head, end, body = self._got.partition(b"\r\n\r\n")
        if not end:
            return None
        length = next(line[15:] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        if len(body) < int(length):
            return None
        status, self._got = head[9:12].decode(), b""
        return status


def _call(orders: Orders) -> Called:
    requests = [text.encode() for text in orders.requests]
    waiting = selectors.DefaultSelector()
    started, sent, took, statuses = time.perf_counter(), 0, [], {}
    idle: list[_Connection] = []

    def send(connection: _Connection) -> None:
        nonlocal sent
        if sent < orders.count and (not orders.rate or sent < (time.perf_counter() - started) * orders.rate):
            connection.send(requests[sent % len(requests)])
            sent += 1
        else:
            idle.append(connection)

    for _ in range(min(orders.connections, orders.count)):
        connection = _Connection(orders.port)
        waiting.register(connection.socket, selectors.EVENT_READ, connection)
        send(connection)
    while len(took) < orders.count:
        for key, _ in waiting.select(_TICK_S if idle else None):
            status = key.data.receive()
            if status is None:
                continue
            took.append((time.perf_counter() - key.data.sent_s) * 1000)
            statuses[status] = statuses.get(status, 0) + 1
            send(key.data)
        resting, idle = idle, []
        for connection in resting:
            send(connection)
    return Called(seconds=time.perf_counter() - started, took_ms=took, statuses=statuses)


if __name__ == "__main__":
    print(json.dumps(asdict(_call(Orders(**json.load(sys.stdin))))))
