"""The launcher, run by the real shell in a copy of the project with empty lock files."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENGINE = "import os, sys\nprint(os.getcwd(), *sys.argv[1:], sep='|')\n"
LOCK = "# no packages\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with a space in its name, where nothing is installed yet."""
    folder = tmp_path / "my shop"
    folder.mkdir()
    shutil.copy(ROOT / "vitrin", folder)
    (folder / "engine.py").write_text(ENGINE)
    (folder / "requirements.lock").write_text(LOCK)
    return folder


def start(program: Path, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {**os.environ, "VITRIN_PYTHON": sys.executable, **environment}
    return subprocess.run(
        [program, *arguments], cwd=cwd, env=settings, capture_output=True, text=True, timeout=100, check=False
    )


def fake_python(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def only_tools(folder: Path) -> str:
    """Return a PATH with the shell's tools and no Python."""
    folder.mkdir()
    for tool in ("sh", "dirname", "readlink", "grep", "cksum", "rm", "mv"):
        found = shutil.which(tool)
        assert found
        (folder / tool).symlink_to(found)
    return str(folder)


def test_first_start_installs_then_runs(project: Path, tmp_path: Path):
    link = tmp_path / "link"
    link.symlink_to(Path("my shop") / "vitrin")
    first = start(link, "rules", "two words", "", cwd=tmp_path)
    assert first.stdout == f"{tmp_path}|rules|two words|\n", first.stderr
    assert "making" in first.stderr
    second = start(link, "rules", cwd=tmp_path, VITRIN_PYTHON="/nothing/here")
    assert (second.returncode, second.stdout, second.stderr) == (0, f"{tmp_path}|rules\n", "")


def test_changed_lock_and_killed_start_are_mended(project: Path):
    start(project / "vitrin", cwd=project)
    left_over = project / ".venv" / "left-over"
    left_over.touch()
    (project / "requirements.lock").write_text(LOCK * 2)
    assert "making" in start(project / "vitrin", cwd=project).stderr
    assert not left_over.exists()
    # A start killed while it installs leaves .venv without this file.
    left_over.touch()
    (project / ".venv" / "installed").unlink()
    assert "making" in start(project / "vitrin", cwd=project).stderr
    assert not left_over.exists()


def test_unpinned_package_is_refused(project: Path):
    (project / "requirements.lock").write_text("pluggy==1.6.0\n")
    result = start(project / "vitrin", cwd=project, PIP_NO_INDEX="1")
    assert (result.returncode, result.stdout) == (1, "")
    assert "could not install requirements.lock" in result.stderr
    assert not (project / ".venv" / "installed").exists()


def test_missing_python_is_named(project: Path, tmp_path: Path):
    path = only_tools(tmp_path / "bin")
    result = start(project / "vitrin", cwd=project, PATH=path, VITRIN_PYTHON="")
    assert result.returncode == 1
    assert "no Python was found" in result.stderr


def test_old_python_is_named(project: Path, tmp_path: Path):
    path = only_tools(tmp_path / "bin")
    fake_python(tmp_path / "bin", "python3", "case $2 in *print*) echo 3.9;; *) exit 1;; esac")
    result = start(project / "vitrin", cwd=project, PATH=path, VITRIN_PYTHON="")
    assert result.returncode == 1
    assert "3.11 or newer is needed, but python3 is 3.9" in result.stderr


def test_missing_venv_module_is_named(project: Path, tmp_path: Path):
    path = only_tools(tmp_path / "bin")
    fake_python(tmp_path / "bin", "python3.12", "case $2 in *print*) echo 3.12;; *ensurepip*) exit 1;; esac")
    result = start(project / "vitrin", cwd=project, PATH=path, VITRIN_PYTHON="")
    assert result.returncode == 1
    assert "apt install python3-venv" in result.stderr


def test_wrong_named_python_is_refused(project: Path):
    result = start(project / "vitrin", cwd=project, VITRIN_PYTHON="/nothing/here")
    assert result.returncode == 1
    assert "VITRIN_PYTHON is /nothing/here" in result.stderr


def test_all_tests_run_on_both_databases(project: Path):
    (project / "tests").mkdir()
    (project / "tests" / "prepare.sh").write_text("")
    (project / "requirements-dev.lock").write_text(LOCK)
    (project / "pytest.py").write_text("import sys\nprint(*sys.argv[1:])\nsys.exit('postgresql' not in sys.argv)\n")
    done = start(project / "vitrin", "test", cwd=project)
    first, second = done.stdout.splitlines()
    assert "--database" not in first
    assert f"{first} --database postgresql --kills 50" == second
    assert done.returncode == 1, "what fails on one of them fails"
    assert start(project / "vitrin", "test", "tests/core", cwd=project).stdout == "tests/core\n"
