"""What lies in `deploy` fits the program: its commands, settings, files and folders exist."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from commands.table import COMMANDS
from core.settings import SETTINGS
from engine import ROOMS

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
OURS = ("tables", "web", "work", "clock")


def test_services_run_commands_that_exist() -> None:
    services = YAML(typ="safe").load((DEPLOY / "compose.yaml").read_text())["services"]
    assert set(OURS) < set(services)
    assert [name for name in OURS if services[name]["command"][0] not in COMMANDS] == []


@pytest.mark.parametrize("name", ["compose.yaml", ".env.example", "Dockerfile"])
def test_variables_are_settings(name: str) -> None:
    known = {setting.variable for setting in SETTINGS}
    named = set(re.findall(r"VITRIN_[A-Z_]+", (DEPLOY / name).read_text()))
    assert named
    assert named <= known


def test_example_names_every_variable_that_must_be_set() -> None:
    needed = set(re.findall(r"\$\{(\w+):\?", (DEPLOY / "compose.yaml").read_text()))
    given = set(re.findall(r"^(\w+)=", (DEPLOY / ".env.example").read_text(), re.MULTILINE))
    assert needed
    assert needed <= given


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_units_start_commands_that_exist(unit: Path) -> None:
    started = re.search(r"^ExecStart=\S+/python \S+/engine\.py (\w+) --home \S+$", unit.read_text(), re.MULTILINE)
    assert started is not None
    assert started[1] in COMMANDS


def test_image_holds_the_whole_program() -> None:
    told = (DEPLOY / "Dockerfile").read_text()
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    for name in (*ROOMS, "engine.py", "requirements-scale.lock"):
        assert re.search(rf"^COPY .*\b{re.escape(name)}\b", told, re.MULTILINE), name
        assert f"!{name}" in allowed
        assert (ROOT / name).exists()


def test_scale_lock_holds_celery_and_the_plain_one_does_not() -> None:
    assert re.search(r"^celery==5\.", (ROOT / "requirements-scale.lock").read_text(), re.MULTILINE)
    assert "celery" not in (ROOT / "requirements.lock").read_text()
