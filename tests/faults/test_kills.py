"""kill -9 under load: nothing acknowledged is lost, nothing local happens twice, repeats outside are bounded."""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from core.db import Database

ROOT = Path(__file__).resolve().parents[2]

#: Where a life ends: the place in the code, and what the promise is there.
PLACES = (
    "writer.before_commit",  # nothing was answered yet: the sender delivers again
    "writer.after_commit",  # committed, not answered: the second delivery is a duplicate
    "run.before_walk",  # claimed, nothing done
    "run.after_local_action",  # the local step is undone with its transaction
    "run.before_commit",  # everything of the batch is written, not committed
    "run.before_call",  # the key is stored, the call has not left
    "run.after_call",  # the other side did it, we have not recorded it
)


class Provider(ThreadingHTTPServer):
    """Counts what arrives; /send_keyed acts once per key as providers with idempotency keys do."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: Counter[tuple[str, int]] = Counter()
        self.keys: dict[int, set[str]] = {}
        self.lock = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    server: Provider  # pyright: ignore[reportIncompatibleVariableOverride] - only ever made by Provider

    def do_POST(self) -> None:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests[self.path, body["number"]] += 1
            if self.path == "/send_keyed":
                self.server.keys.setdefault(body["number"], set()).add(body["key"])
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Keep quiet."""


@pytest.fixture
def provider() -> Iterator[Provider]:
    server = Provider()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.timeout(1500)
def test_kills_lose_nothing_and_double_nothing(
    tmp_path: Path, database_url: str, provider: Provider, request: pytest.FixtureRequest
) -> None:
    port = provider.server_port
    kills = request.config.getoption("--kills")
    plan = {
        "home": str(tmp_path / "home"),
        "url": f"http://127.0.0.1:{port}",
        "flags": {"database": database_url},
        "allow": [f"127.0.0.1:{port}"],
        "places": list(PLACES) * 3,
        "kills": kills,
        "seed": 20260301,
    }
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    done = subprocess.run(
        [sys.executable, "-m", "faults.victim", str(tmp_path / "plan.json")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["kills"] >= kills
    db = Database(database_url)
    try:
        check(db, told, provider)
    finally:
        db.close()


def check(db: Database, told: dict[str, int], provider: Provider) -> None:
    """Count: events, runs, tasks, effects, requests."""
    count = told["acknowledged"]
    assert count > 0

    def rows(sql: str) -> list[Any]:
        with db.read() as conn:
            return [tuple(row) for row in conn.exec_driver_sql(sql)]

    if db.is_sqlite:
        assert rows("PRAGMA integrity_check") == [("ok",)]
    stored = {row[0] for row in rows("SELECT external_id FROM events WHERE type = 'order.paid'")}
    assert {f"order.paid/{number}" for number in range(count)} <= stored
    events = len(stored)
    assert rows("SELECT count(*) FROM runs WHERE status <> 'done'") == [(0,)]
    assert rows("SELECT outcome, count(*) FROM runs GROUP BY outcome") == [("acted", 3 * events)]
    titles = Counter(row[0] for row in rows("SELECT title FROM tasks"))
    assert len(titles) == 2 * events
    assert set(titles.values()) == {1}
    assert rows("SELECT count(*) FROM effects WHERE state <> 'done'") == [(0,)]
    assert rows("SELECT count(*), count(DISTINCT idempotency_key) FROM effects") == [(5 * events, 5 * events)]
    _check_outside(provider, rows("SELECT count(*) FROM effects WHERE possible_duplicate")[0][0], told["kills"], events)


def _check_outside(provider: Provider, marked: int, kills: int, events: int) -> None:
    """Everything went out; with keys once; without at most one repeat a kill, each marked."""
    plain = {number: times for (path, number), times in provider.requests.items() if path == "/send_plain"}
    assert len(plain) == events
    repeats = sum(times - 1 for times in plain.values())
    assert repeats <= kills
    assert sum(times > 1 for times in plain.values()) <= marked
    assert len(provider.keys) == events
    assert all(len(keys) == 1 for keys in provider.keys.values())
