"""The least a server can do that keeps what it acknowledges: no framework, one thread, one commit for all who wait.

Run as `python -m benchmarks.bare DATABASE`; prints its port, and serves until its input ends.
"""

import selectors
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from benchmarks.least import event_row, open_least, put, run_row

_ANSWER = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def main(database: Path) -> None:
    """Serve."""
    connection = open_least(database)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=(server, connection), daemon=True).start()
        print(server.getsockname()[1], flush=True)
        sys.stdin.read()


def _serve(server: socket.socket, connection: Any) -> None:
    ready = selectors.DefaultSelector()
    ready.register(server, selectors.EVENT_READ)
    number = 0
    while True:
        waiting = []
        for key, _ in ready.select():
            if key.fileobj is server:
                peer, _ = server.accept()
                ready.register(peer, selectors.EVENT_READ, peer)
                continue
            peer = key.data
            sent = peer.recv(65536)
            if sent:
                waiting.append((peer, sent))
            else:
                ready.unregister(peer)
                peer.close()
        if not waiting:
            continue
        numbers = range(number, number + len(waiting))
        bodies = [sent.partition(b"\r\n\r\n")[2].decode() for _, sent in waiting]
        rows = [event_row(n, body) for n, body in zip(numbers, bodies, strict=True)]
        put(connection, rows, [run_row(n, n, due_at=0) for n in numbers])
        number += len(waiting)
        for peer, _ in waiting:
            peer.sendall(_ANSWER)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
