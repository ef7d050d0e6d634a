"""An outside system that counts: the server, and the plugin that sends to it, with and without a key, and in order."""

import json
import threading
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pluggy

hookimpl = pluggy.HookimplMarker("vitrin")

ACTIONS = {"send_keyed": True, "send_plain": False, "send_next": True}

_PARAMS = {
    "type": "object",
    "required": ["url", "number", "line"],
    "properties": {"url": {"type": "string"}, "number": {"type": "string"}, "line": {"type": "string"}},
}


def _title(text: str) -> dict[str, str]:
    return dict.fromkeys(("en", "tr", "ru"), text)


@hookimpl
def vitrin_manifest() -> dict[str, Any]:
    return {"title": _title("Provider"), "summary": _title("Counts"), "category": "test", "version": "1"}


@hookimpl
def vitrin_actions() -> list[dict[str, Any]]:
    def action(name: str, *, takes_key: bool) -> dict[str, Any]:
        return {
            "name": f"provider.{name}",
            "title": _title(name),
            "params": _PARAMS,
            "effect": "message",
            "scope": "outside",
            "takes_key": takes_key,
            "run": lambda ctx, params: _send(ctx, params, name),
        }

    return [action(name, takes_key=takes_key) for name, takes_key in ACTIONS.items()]


def _send(ctx: Any, params: dict[str, Any], name: str) -> dict[str, Any]:
    body = {"number": params["number"], "line": params["line"], "key": ctx.idempotency_key}
    ctx.http.post(f"{params['url']}/{name}", json=body).raise_for_status()
    return {"object": f"sent:{params['number']}"}


class Provider(ThreadingHTTPServer):
    """Counts what arrives, and acts once per key where it takes keys, as such providers do."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: Counter[tuple[str, int]] = Counter()
        self.keys: dict[tuple[str, int], set[str]] = defaultdict(set)
        #: For each line (customer) the numbers that came by `send_next`, each when it came first.
        self.lines: dict[str, list[int]] = defaultdict(list)
        self.lock = threading.Lock()
        #: Closed: calls wait at the door.
        self.door = threading.Event()
        self.door.set()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def count(self, action: str, body: dict[str, Any]) -> None:
        with self.lock:
            asked = (action, int(body["number"]))
            if action == "send_next" and asked not in self.requests:
                self.lines[body["line"]].append(asked[1])
            self.requests[asked] += 1
            self.keys[asked].add(body["key"])

    def close(self) -> None:
        self.door.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Provider  # pyright: ignore[reportIncompatibleVariableOverride] - only ever made by Provider

    def do_POST(self) -> None:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.count(self.path.strip("/"), body)
        self.server.door.wait(60)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Keep quiet."""
