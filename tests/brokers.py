"""Throw-away message brokers for the tests: RabbitMQ and Redis, started from the installed programs."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

#: How long a broker may take until it answers: RabbitMQ's runtime needs some seconds on two busy cores.
_PATIENCE_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _missing(program: str, package: str) -> None:
    """Skip the test by name; under CI, fail."""
    reason = f"no {program} found: on Debian and Ubuntu, apt install {package}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


class Broker:
    """One broker on a port of its own with its data in a folder of its own; may be killed, started again and wiped."""

    url: str

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="vitrin-broker-"))
        self._processes: list[subprocess.Popen[Any]] = []

    def start(self) -> None:
        raise NotImplementedError

    def _run(self, *command: str, environment: dict[str, str] | None = None) -> None:
        with (self.folder / "log").open("ab") as log:
            options: dict[str, Any] = {"cwd": self.folder, "stdout": log, "stderr": log, "stdin": subprocess.DEVNULL}
            given = {**os.environ, **(environment or {})}
            # A session of its own: the whole family goes when it is killed.
            self._processes.append(subprocess.Popen(command, env=given, start_new_session=True, **options))

    def _await(self, answers: Callable[[socket.socket], bool]) -> None:
        end_s = time.monotonic() + _PATIENCE_S
        while time.monotonic() < end_s and all(process.poll() is None for process in self._processes):
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as probe:
                    if answers(probe):
                        return
            except OSError:
                time.sleep(0.1)
        log = (self.folder / "log").read_text(errors="replace")[-3000:]
        self.remove()
        raise RuntimeError(f"the broker did not answer within {_PATIENCE_S:.0f} s:\n{log}")

    def kill(self) -> None:
        """End it as a power cut does."""
        while self._processes:
            process = self._processes.pop()
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            finally:
                process.wait()

    def wipe(self) -> None:
        """Forget all it held; only while it is down."""
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class RabbitMQ(Broker):
    """RabbitMQ, with the port mapper of its runtime beside it."""

    def __init__(self) -> None:
        found = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
        on_path = shutil.which("rabbitmq-server")
        if not found and on_path is None:
            _missing("rabbitmq-server", "rabbitmq-server")
        super().__init__()
        # The wrapper on Debian's path insists on the system's own account and folders.
        self._program = str(found[-1] if found else on_path)
        self._mapper_port, self._inner_port = free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        folder = self.folder
        for name in ("data", "logs"):
            (folder / name).mkdir(exist_ok=True)
        (folder / "plugins").write_text("[].")
        (folder / "rabbit.conf").write_text("log.console = true\nlog.console.level = error\n")
        given = {
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbit.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_NODENAME": f"vitrin{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._inner_port),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            # Its threads would spin while they wait, on cores that the test needs.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
        }
        self._run("epmd", "-port", str(self._mapper_port), "-address", "127.0.0.1")
        self._run(self._program, environment=given)
        self._await(_speaks_amqp)


class Redis(Broker):
    """Redis, keeping nothing on disk."""

    def __init__(self) -> None:
        if shutil.which("redis-server") is None:
            _missing("redis-server", "redis-server")
        super().__init__()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._run("redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        self._await(_speaks_redis)


def _speaks_amqp(probe: socket.socket) -> bool:
    probe.sendall(b"AMQP\x00\x00\x09\x01")
    return probe.recv(1) == b"\x01"  # a frame of the method Connection.Start


def _speaks_redis(probe: socket.socket) -> bool:
    probe.sendall(b"PING\r\n")
    return probe.recv(5) == b"+PONG"
