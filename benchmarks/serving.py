"""An engine that serves, in a process of its own: what a bench calls, and asks for its CPU seconds.

Run as `python -m benchmarks.serving` with its settings as JSON in the first line of its input. Each later line is a
question, answered with a line of JSON: `drain` waits until no run is open; the answer holds the CPU seconds so far.
"""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from benchmarks.idle_plugin import IDLE
from core.logs import configure
from core.people import People
from core.settings import Settings, load_settings
from core.writer import Tx
from plugins import BUILTINS
from rules.engine import Engine
from rules.rule_hooks import make_token
from rules.store import publish
from rules.tables import runs
from web.app import create_app
from web.limits import LIMITS
from web.server import make_server

ROOT = Path(__file__).resolve().parents[1]
_PLENTY = dict.fromkeys(LIMITS, 1_000_000_000)


class Serving:
    """The process from outside."""

    def __init__(self, settings: Settings, *, rules: int) -> None:
        told = {"home": str(settings.home), "database": settings.database, "rules": rules}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.serving"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        ready = self.ask(json.dumps(told))
        self.port: int = ready["port"]
        self.pid: int = self._process.pid
        self.tokens: dict[str, str] = ready["tokens"]

    def ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def _publish(engine: Engine, count: int) -> dict[str, str]:
    """Make so many rules with a webhook each; return their tokens."""

    def work(tx: Tx) -> dict[str, str]:
        tokens = {}
        for number in range(count):
            text = f"rule: hook-{number}\nwhen: {{webhook: hook-{number}}}\nthen: [{{do: idle.do_nothing}}]\n"
            rule = publish(tx, text, engine.book.scope, actor="bench", now=engine.clock.now(), state="on")
            tokens[rule.name] = make_token(engine, tx, rule.name, actor="bench")
        return tokens

    tokens = engine.writer.do(work)
    engine.sync()
    return tokens


def _drain(engine: Engine) -> dict[str, Any]:
    unfinished = select(func.count()).select_from(runs).where(runs.c.finished_at.is_(None))
    while True:
        with engine.db.read() as conn:
            if not conn.execute(unfinished).scalar_one():
                break
        time.sleep(0.005)
    with engine.db.read() as conn:
        done = conn.execute(select(func.count()).select_from(runs)).scalar_one()
    pieces = engine.writer.figures.group
    return {"cpu_s": time.process_time(), "runs": done, "group": pieces.mean, "commits": pieces.count}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main() -> None:
    """Serve until the input ends."""
    told: Mapping[str, Any] = json.loads(sys.stdin.readline())
    given = {"home": Path(told["home"]), "database": told["database"], "port": _free_port(), "log_level": "error"}
    settings = load_settings(given, {})
    configure(settings.log_level)
    engine = Engine(settings, {**BUILTINS, IDLE.name: IDLE})
    engine.open()
    tokens = _publish(engine, told["rules"])
    engine.start()
    people = People(engine.db, engine.writer, engine.clock)
    server = make_server(engine, create_app(engine, limits=_PLENTY), people)
    threading.Thread(target=server.run, daemon=True).start()
    print(json.dumps({"port": server.address[1], "tokens": tokens}), flush=True)
    for line in sys.stdin:
        answer = _drain(engine) if line.strip() == "drain" else {"cpu_s": time.process_time()}
        print(json.dumps(answer), flush=True)
    server.stop()
    engine.close()


if __name__ == "__main__":
    main()
