"""`demo`: from nothing to a living shop, for people and for machines; it keeps to its folder and to this machine."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine, make_shop

from core.tokens import SCOPES

pytestmark = pytest.mark.sqlite("a demo shop has a file of its own, whatever the settings name")

ROOT = Path(__file__).resolve().parents[2]
CONFLICT, FAILED = 5, 1


def start(home: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "engine.py"), "demo", "--home", str(home), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=home.parent)


def run(home: Path, *words: str) -> dict[str, Any]:
    """Run a headless demo to its end and return what it printed."""
    process = start(home, "--headless", "--json", *words)
    out, err = process.communicate(timeout=110)
    assert (process.returncode, err) == (0, "")
    return json.loads(out)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A demo shop that has lived for three seconds, and its report."""
    home = tmp_path_factory.mktemp("demo") / "shop"
    return home, run(home, "--seconds", "3", "--speed", "20")


@pytest.fixture
def demo(played: tuple[Path, dict[str, Any]], tmp_path: Path) -> CommandLine:
    """The command line on a copy of it."""
    shutil.copytree(played[0], tmp_path / "shop")
    return CommandLine(tmp_path / "shop")


def test_machine_gets_one_object(played: tuple[Path, dict[str, Any]]):
    report = played[1]
    assert set(report) == {"events", "runs", "effects", "address", "seconds"}
    assert report["events"] > 1_000
    assert set(report["effects"]) == {"message", "note", "tag", "task"}
    assert report["runs"]["thank-you"]["acted"] > 50
    assert report["runs"]["tell-the-team"]["failed"] > 0
    assert report["address"].startswith("http://127.0.0.1:")
    assert 3 <= report["seconds"] < 60


def test_other_commands_see_the_shop(demo: CommandLine):
    rules = demo.json("rules", "list")
    assert {rule["state"] for rule in rules} == {"on"}
    assert len(rules) >= 11
    assert {run["outcome"] for run in demo.json("runs", "list", "--outcome", "held")} == {"held"}
    assert demo.json("plugins", "info", "demo")["name"] == "demo"


def test_second_start_goes_on(demo: CommandLine, played: tuple[Path, dict[str, Any]]):
    # In this process, so that the guard of all tests sees every connection that is tried.
    report = demo.json("demo", "--headless", "--seconds", "1", "--speed", "20")
    assert report["events"] > played[1]["events"]
    assert report["seconds"] < 30


def test_fresh_start_forgets_the_old_shop(demo: CommandLine, played: tuple[Path, dict[str, Any]]):
    kept = demo.home / "backup.zip"
    kept.write_bytes(b"mine")
    before = {rule["id"] for rule in demo.json("rules", "list")}
    report = demo.json("demo", "--fresh", "--seed", "11", "--headless", "--seconds", "0")
    assert report["runs"] != played[1]["runs"]
    assert not before & {rule["id"] for rule in demo.json("rules", "list")}
    assert kept.read_bytes() == b"mine"


def test_other_seed_is_refused(demo: CommandLine):
    answer = demo("demo", "--seed", "11", "--headless", "--seconds", "0")
    assert answer.code == CONFLICT
    assert "made with the seed 7" in answer.err
    assert "--fresh" in answer.err


def test_person_is_told_what_happens(demo: CommandLine):
    process = start(demo.home, "--speed", "5")
    assert process.stdout is not None
    try:
        said = list(read_until(process.stdout, "  Order "))
        words = {line.split()[0]: line.split()[-1] for line in said if line.startswith("  ") and line.split()}
        check_api(words["API"], words["token"])
        assert sum("curl" in line for line in said) == 3
        assert sum(line.startswith("  ./vitrin --home") for line in said) == 3
        refused = demo("demo", "--headless")
        assert (refused.code, "is running in" in refused.err) == (CONFLICT, True)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, err) == (0, "")
    assert "The demo stopped after" in out


def read_until(stream: Any, mark: str) -> Iterator[str]:
    for line in stream:
        yield line.rstrip("\n")
        if mark in line:
            return


def check_api(address: str, token: str) -> None:
    request = urllib.request.Request(f"{address}/rules", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert any(rule["name"] == "thank-you" for rule in json.load(answer)["data"])


def test_only_the_newest_token_works(demo: CommandLine):
    for _ in range(2):
        assert demo("demo", "--seconds", "0").code == 0
    tokens = demo.json("tokens", "list")
    assert [token["revoked_at"] is None for token in tokens] == [True, False]
    assert set(tokens[0]["scopes"]) == set(SCOPES)


def test_real_shop_is_left_alone(tmp_path: Path):
    shop = make_shop(tmp_path / "real")
    before = (shop.home / "vitrin.db").read_bytes()
    answer = shop("demo", "--fresh", "--headless", "--seconds", "0")
    assert answer.code == CONFLICT
    assert "holds no demo shop" in answer.err
    assert (shop.home / "vitrin.db").read_bytes() == before
    assert not (shop.home / "vitrin.toml").exists()


def test_wanted_port_that_is_taken_is_refused(demo: CommandLine):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        answer = demo("demo", "--headless", "--seconds", "0", "--port", str(port))
    assert answer.code == FAILED
    assert f"127.0.0.1:{port} is in use" in answer.err


def test_default_port_that_is_taken_is_replaced(demo: CommandLine):
    try:
        other = socket.create_server(("127.0.0.1", 8480))
    except OSError:
        other = socket.socket()  # somebody else holds it already
    with other:
        report = demo.json("demo", "--headless", "--seconds", "0")
    assert report["address"] != "http://127.0.0.1:8480"


def test_database_of_the_real_shop_is_not_used(demo: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VITRIN_DATABASE", f"sqlite:///{tmp_path / 'real.db'}")
    assert demo("demo", "--headless", "--seconds", "0").code == 0
    assert not (tmp_path / "real.db").exists()


def test_unwritable_folder_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("no folder")
    answer = CommandLine(tmp_path / "file" / "shop")("demo", "--headless", "--seconds", "0")
    assert answer.code != 0
    assert "cannot be written to" in answer.err
