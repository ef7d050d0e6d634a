"""The database from the command line, and the engine as a process of its own."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import RULE, CommandLine
from databases import databases

from core.db import Database

ROOT = Path(__file__).resolve().parents[2]
ORDER = json.dumps({"order": {"id": "7", "total": {"amount": "250", "currency": "TRY"}}})


def test_init_makes_database_and_key_once(tmp_path: Path):
    shop = CommandLine(tmp_path / "new" / "shop")
    databases.name_in(shop.home)
    first, second = shop.json("db", "init"), shop.json("db", "init")
    assert first["step"] == second["step"] is not None
    assert (shop.home / "secret.key").stat().st_mode & 0o077 == 0
    assert shop.json("rules", "list") == []
    assert shop.json("db", "upgrade") == {**first, "state": "up to date"}
    assert shop("db", "upgrade", "--dry-run").code == 0


def test_backup_is_restored_elsewhere_and_muted(shop: CommandLine, sent_orders: int, tmp_path: Path):
    file = tmp_path / "shop.vitrin"
    assert shop.json("db", "backup", str(file), "--with-key")["counts"]["events"] == sent_orders
    other = CommandLine(tmp_path / "other")
    databases.name_in(other.home)
    assert other("db", "restore", str(file)).code == 0
    assert len(other.json("events", "tail")) == sent_orders
    assert "restored from the backup" in {row["check"]: row for row in other.json("doctor")}["pause"]["message"]
    assert other("db", "restore", str(file)).code == 5
    assert other("db", "restore", str(file), "--force", "--no-input").code == 1
    assert other("db", "restore", str(file), "--force", "--yes").code == 0
    assert other.json("resume")["paused"] is False


def test_check_finds_a_changed_audit_row(shop: CommandLine):
    shop("users", "add", "elif@shop.example")
    assert shop.json("db", "check")["sound"] is True
    program = "UPDATE audit SET actor = 'nobody' WHERE number = 1"
    db = Database(shop.database)
    with db.write() as conn:
        conn.exec_driver_sql(program)
    db.close()
    assert shop.json("db", "check", code=1)["audit_broken_at"] == 1


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextmanager
def running(shop: CommandLine, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start an engine beside the test; yield its process and address."""
    program = [sys.executable, str(ROOT / "engine.py"), "run", "--home", str(shop.home), "--json", *words]
    port = str(free_port())
    with subprocess.Popen(
        [*program, "--port", port], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        late = threading.Timer(60, process.kill)
        late.start()
        try:
            assert process.stdout
            line = process.stdout.readline()
            assert line, process.stderr and process.stderr.read()
            yield process, json.loads(line)["listening"]
        finally:
            late.cancel()
            process.kill()


def ask(address: str) -> int:
    with urllib.request.urlopen(address, timeout=10) as answer:
        return answer.status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_engine_runs_until_told_to_stop(shop: CommandLine, tmp_path: Path, number: int):
    rule = tmp_path / "thanks.yaml"
    rule.write_text(RULE.format(name="thanks"))
    shop("rules", "publish", str(rule), "--state", "on")
    with running(shop) as (process, address):
        assert ask(f"{address}/healthz") == 200
        # From another process, while the engine runs.
        assert shop("events", "send", "--type", "order.approved", "--data", ORDER).code == 0
        deadline = time.monotonic() + 30
        while shop.json("runs", "list")[0]["outcome"] == "waiting":
            assert time.monotonic() < deadline, "the engine did not work the run off"
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert shop.json("runs", "list")[0]["outcome"] == "acted"


def test_taken_port_is_told_in_words(shop: CommandLine):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        program = [sys.executable, str(ROOT / "engine.py"), "run", "--home", str(shop.home), "--port", str(port)]
        result = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (5, "")
    assert f"cannot listen on 127.0.0.1:{port}" in result.stderr
    assert f"--port {port + 1}" in result.stderr


def test_hung_engine_ends_within_its_time(shop: CommandLine):
    code = (
        "import sys, threading, engine, rules.engine\n"
        "rules.engine.Engine.close = lambda self: threading.Event().wait()\n"
        "engine.main()\n"
    )
    program = [sys.executable, "-c", code, "run", "--home", str(shop.home), "--port", str(free_port()), "--stop-s", "1"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "not everything ended within 1 s" in err
