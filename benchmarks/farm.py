"""A farm: web, worker and clock processes on one database, killed at will under a load that is counted.

What was acknowledged is kept by the feeder, what went out by the provider; `audit` holds the database against both.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import text

from benchmarks.audit import Audit, take_stock
from benchmarks.nursery import EXTRA
from benchmarks.provider import Provider
from core.db import Database
from core.host import Builtin
from core.settings import load_settings
from core.tokens import Tokens
from rules.engine import Engine

ROOT = Path(__file__).resolve().parents[1]
#: Customers: events of one come in order, and rules handle them in order.
LINES = 8
_EVENT_TYPE = "order.paid"

#: `benchmarks.audit` knows what they leave behind.
RULES = (
    'rule: task-each\nwhen: {event: order.paid}\nthen:\n  - do: tasks.create\n    with: {title: "pack {{ order.id }}"}',
    """rule: send-each
when: {event: order.paid}
then:
  - do: provider.send_keyed
    with: {url: "URL", number: "{{ order.number }}", line: "{{ customer.id }}"}
  - do: provider.send_plain
    with: {url: "URL", number: "{{ order.number }}", line: "{{ customer.id }}"}
  - do: customers.add_tag
    with: {tag: "buyer"}""",
    """rule: next-each
when: {event: order.paid}
then:
  - do: provider.send_next
    with: {url: "URL", number: "{{ order.number }}", line: "{{ customer.id }}"}
mode: {run: queued, key: customer.id, most: 1000}""",
    """rule: wait-each
when: {event: order.paid}
then:
  - wait: {for: 1 second}
  - do: tasks.create
    with: {title: "call {{ order.id }}"}""",
)


class Nursery:
    """Starts processes; see `benchmarks.nursery`."""

    def __init__(self, folder: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("VITRIN_")}
        with (folder / "nursery.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.nursery"],
                cwd=ROOT,
                env={**environment, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._read()

    def fork(self, order: Mapping[str, Any]) -> int:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._read())

    def _read(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the nursery ended; nursery.log says why")
        return line.strip()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@dataclass(slots=True)
class Member:
    """One process of the farm."""

    name: str
    role: str
    pid: int
    port: int = 0
    ahead_s: float = 0.0
    #: How long its log was when it was started.
    logged: int = 0


@dataclass(slots=True)
class Told:
    """What the feeder knows: how many numbers of each line were acknowledged."""

    #: Numbers that were acknowledged, by line.
    numbers: dict[int, list[int]] = field(default_factory=lambda: {line: [] for line in range(LINES)})
    tries: int = 0

    @property
    def count(self) -> int:
        return sum(map(len, self.numbers.values()))


class Farm:
    """Processes, their database and what goes in and out."""

    def __init__(
        self,
        folder: Path,
        database: str,
        *,
        builtins: Mapping[str, Builtin],
        broker: str = "",
        lease_s: int = 5,
        rules: Sequence[str] = RULES,
        workers: int = 4,
    ) -> None:
        self.folder, self.workers = folder, workers
        self.provider = Provider()
        self.told = Told()
        self.kills = 0
        self.members: dict[str, Member] = {}
        self.home = folder / "home"
        self.flags: dict[str, str | int] = {"zone": "UTC", "allow_hosts": self.provider.address, "database": database}
        self.flags |= {"queue": "celery" if broker else "local", "log_level": "warning"}
        self.flags |= {"lease_s": lease_s, "workers": workers}
        self.flags |= {"broker": broker} if broker else {}
        self.builtins = {**builtins, **EXTRA}
        self._token = self._prepare(rules)
        self.db = Database(database)
        self._nursery = Nursery(folder)
        self._feeders: list[threading.Thread] = []
        self._fed = threading.Event()
        self._let_in = threading.Event()
        self._let_in.set()
        self._next = dict.fromkeys(range(LINES), 0)
        self._ending = False

    def _prepare(self, rules: Sequence[str]) -> str:
        """Make the tables, the rules and a token; the settings go into the home's file, where passwords may stand."""
        home = self.home
        home.mkdir(parents=True)
        lines = [f"{name} = {json.dumps(value)}" for name, value in self.flags.items()]
        (home / "vitrin.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        engine = Engine(load_settings({"home": str(home)}, {}), self.builtins)
        engine.open()
        for rule in rules:
            engine.publish(rule.replace("URL", f"http://{self.provider.address}"), actor="bench", state="on")
        tokens = Tokens(engine.db, engine.writer, engine.clock)
        token = engine.writer.do(lambda tx: tokens.make(tx, name="bench", scopes=["events:write"], actor="bench"))
        engine.close()
        return token

    # Processes

    def start(self, name: str, role: str, *, port: int = 0, ahead_s: float = 0.0) -> Member:
        """Start a process of this name; one that was killed comes back as itself."""
        argv = [role, "--home", str(self.home), *(["--port", str(port)] if port else [])]
        path = self.folder / f"{name}.log"
        logged = path.stat().st_size if path.exists() else 0
        pid = self._nursery.fork({"argv": argv, "log": str(path), "ahead_s": ahead_s})
        self.members[name] = Member(name, role, pid, port, ahead_s, logged)
        return self.members[name]

    def again(self, name: str) -> Member:
        old = self.members[name]
        return self.start(name, old.role, port=old.port, ahead_s=old.ahead_s)

    def kill(self, name: str) -> None:
        """SIGKILL, and wait until the process is gone."""
        self.signal(name, signal.SIGKILL)
        self.kills += 1
        while self.is_alive(name):
            time.sleep(0.002)

    def signal(self, name: str, number: int) -> None:
        os.kill(self.members[name].pid, number)

    def is_ready(self, name: str) -> bool:
        """Tell whether it has said that it is there."""
        path = self.folder / f"{name}.log"
        return path.exists() and path.stat().st_size > self.members[name].logged

    def is_alive(self, name: str) -> bool:
        try:
            os.kill(self.members[name].pid, 0)
        except ProcessLookupError:
            return False
        return True

    def close(self) -> None:
        self._fed.set()
        self._let_in.set()
        for name in self.members:
            if self.is_alive(name):
                self.signal(name, signal.SIGKILL)
        for thread in self._feeders:
            thread.join(10)
        self._nursery.close()
        self.provider.close()
        self.db.close()

    def logs(self) -> str:
        """Return the end of what every process wrote."""
        return "\n".join(f"--- {path.name}\n{path.read_text()[-1500:]}" for path in sorted(self.folder.glob("*.log")))

    # Load

    def feed(self, per_line: int, *, pause_s: float = 0.0) -> None:
        """Begin to deliver so many events of each line; each line in order, and each event until it is taken."""
        self._fed.clear()
        self._ending = False
        self._feeders = [
            threading.Thread(target=self._feed_line, args=(line, per_line, pause_s), daemon=True)
            for line in range(LINES)
        ]
        for thread in self._feeders:
            thread.start()

    def hold_feeding(self, hold: bool) -> None:
        """Let the feeders pause, or go on."""
        if hold:
            self._let_in.clear()
        else:
            self._let_in.set()

    def stop_feeding(self) -> None:
        """Deliver what is under way, and no more."""
        self._ending = True
        self._let_in.set()
        for thread in self._feeders:
            thread.join()

    @property
    def is_feeding(self) -> bool:
        return any(thread.is_alive() for thread in self._feeders)

    def wait_fed(self, timeout_s: float) -> bool:
        """Wait until everything is acknowledged; tell whether it was, in time."""
        end_s = time.monotonic() + timeout_s
        for thread in self._feeders:
            thread.join(max(end_s - time.monotonic(), 0.0))
        return not self.is_feeding

    def _feed_line(self, line: int, count: int, pause_s: float) -> None:
        first = self._next[line]
        connection: http.client.HTTPConnection | None = None
        for place in range(first, first + count):
            self._let_in.wait()
            if self._ending:
                break
            number = place * LINES + line
            while not self._fed.is_set():
                connection = connection or self._connect(line + self.told.tries)
                if self._deliver(connection, line, number):
                    self.told.numbers[line].append(number)
                    self._next[line] = place + 1
                    break
                connection.close()
                connection = None
                self._fed.wait(0.05)
            if self._fed.wait(pause_s):
                break
        if connection is not None:
            connection.close()

    def _connect(self, number: int) -> http.client.HTTPConnection:
        ports = [member.port for member in self.members.values() if member.port]
        return http.client.HTTPConnection("127.0.0.1", ports[number % len(ports)], timeout=20)

    def _deliver(self, connection: http.client.HTTPConnection, line: int, number: int) -> bool:
        data = {"order": {"id": f"A{number}", "number": str(number)}, "customer": {"id": f"c{line}"}}
        event = {"type": _EVENT_TYPE, "source": "shop", "id": str(number), "key": f"A{number}"}
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        self.told.tries += 1
        try:
            connection.request("POST", "/api/v1/events", json.dumps({**event, "data": data}), headers)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            return False
        if answer.status in (400, 401, 403, 404, 422):
            raise RuntimeError(f"an event was refused: {body.decode()}")
        return answer.status == 202

    # Truth

    def ask(self, question: str, **values: Any) -> list[tuple[Any, ...]]:
        with self.db.read() as conn:
            return [tuple(row) for row in conn.execute(text(question), values)]

    def count_open(self) -> int:
        return int(self.ask("SELECT count(*) FROM runs WHERE finished_at IS NULL")[0][0])

    def wait_done(self, timeout_s: float) -> bool:
        """Wait until no run is open; tell whether that came in time."""
        end_s = time.monotonic() + timeout_s
        while time.monotonic() < end_s:
            if self.count_open() == 0:
                return True
            time.sleep(0.05)
        return False

    def audit(self) -> Audit:
        """Count; everything must have come to its end."""
        acknowledged = {number for numbers in self.told.numbers.values() for number in numbers}
        return take_stock(self.db, self.provider, acknowledged, self.kills * self.workers)
