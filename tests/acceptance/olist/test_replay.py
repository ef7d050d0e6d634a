"""The eight rules on the recorded shop give exactly what plain counting over the rows gives."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from acceptance.olist.expected import expected
from shared_files import data

ROOT = Path(__file__).resolve().parents[3]
RULES = Path(__file__).parent / "rules"


def command(home: Path, *more: str) -> list[str]:
    folder = str(data("olist"))
    engine = [sys.executable, str(ROOT / "engine.py"), "--home", str(home)]
    return [*engine, "replay", folder, "--rules", str(RULES), "--json", *more]


def replayed(home: Path, *more: str) -> dict[str, Any]:
    done = subprocess.run(command(home, *more), capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def acted(report: dict[str, Any]) -> dict[str, int]:
    return {rule: outcomes.get("acted", 0) for rule, outcomes in report["runs"].items()}


@pytest.mark.timeout(900)
def test_replay_counts_what_the_rows_say(tmp_path: Path, database_url: str) -> None:
    wanted = expected(data("olist"))

    report = replayed(tmp_path, "--database", database_url)

    assert report["events"] == wanted["events"]
    assert acted(report) == wanted["acted"]
    assert report["effects"]["message"] == wanted["messages"]
    assert report["effects"]["task"] == wanted["tasks"]
    assert report["effects"]["tag"] == wanted["tags"] + wanted["acted"]["second-order"]
    assert report["peak_mb"] < 300


@pytest.mark.sqlite("its file shows how far the replay is")
@pytest.mark.timeout(900)
def test_killed_replay_ends_with_the_same_counts(tmp_path: Path) -> None:
    wanted = expected(data("olist"))
    with subprocess.Popen(command(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        _kill_in_the_middle(process, tmp_path)

    report = replayed(tmp_path, "--resume")

    assert acted(report) == wanted["acted"]
    assert (report["effects"]["message"], report["effects"]["task"]) == (wanted["messages"], wanted["tasks"])
    assert report["events"] == wanted["events"]


def _kill_in_the_middle(process: subprocess.Popen[str], home: Path) -> None:
    """Kill the replay once its database has grown to a good part of what it becomes."""
    deadline = time.monotonic() + 600
    while process.poll() is None and time.monotonic() < deadline:
        sizes = [path.stat().st_size for path in home.glob("replays/*/replay.db")]
        if sizes and max(sizes) > 60_000_000:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            return
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
    pytest.fail(f"the replay ended before it was killed: {process.stderr.read() if process.stderr else ''}")
