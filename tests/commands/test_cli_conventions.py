"""What holds for every command: help, exit codes, errors, where what is printed."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
from command_line import RULE, CommandLine, type_words

from commands import settings as settings_command
from commands.line import make_root
from commands.noun import Noun, Verb
from commands.table import COMMANDS
from core.db import Database

ROOT = Path(__file__).resolve().parents[2]


def find_commands() -> Iterator[tuple[str, click.Command]]:
    root = make_root()
    for name in root.list_commands(click.Context(root)):
        if find_spec(COMMANDS[name].place.partition(":")[0]) is None:
            continue  # the test below says so
        command = root.get_command(click.Context(root), name)
        assert command is not None
        yield from with_verbs(name, command)


def with_verbs(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Yield a command and all that stand under it."""
    yield path, command
    if isinstance(command, click.Group):
        for verb, inner in command.commands.items():
            yield from with_verbs(f"{path} {verb}", inner)


EVERY = dict(find_commands())


def test_every_row_leads_to_a_command():
    assert [name for name in COMMANDS if name not in EVERY] == []


@pytest.mark.parametrize("path", EVERY)
def test_help_starts_with_examples(path: str):
    answer = type_words(*path.split(), "--help")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"Examples:\n  ./vitrin {path.replace('serve', 'run')}"), answer.out
    assert EVERY[path].help


def test_examples_use_only_options_that_exist():
    checked = 0
    for path, command in EVERY.items():
        assert isinstance(command, Noun | Verb)
        for example in command.examples:
            words = shlex.split(re.split(r" >{1,2} | < ", example)[0])
            known = [name for count in (3, 2, 1) if (name := " ".join(words[:count])) in EVERY]
            assert known, f"{path}: {example}"
            options = {flag for param in EVERY[known[0]].params for flag in (*param.opts, *param.secondary_opts)}
            strange = [word for word in words if word.startswith("--") and word.partition("=")[0] not in options]
            assert strange == [], f"{path}: {example}"
            checked += 1
    assert checked > 60


def test_first_help_names_every_command():
    out = type_words("--help").out
    assert [name for name in COMMANDS if f"  {name} " not in out] == []


def test_version_is_told():
    answer = type_words("--version")
    assert answer.code == 0
    assert re.match(r"vitrin \d+\.\d+", answer.out)


@pytest.mark.parametrize(
    ("words", "code", "error", "follow"),
    [
        (["nothing"], 2, "No such command 'nothing'", "./vitrin --help"),
        (["runs", "list", "--nothing"], 2, "No such option", "./vitrin runs list --help"),
        (["runs", "list", "--outcome", "odd"], 2, "'odd' is not one of", "./vitrin runs list --help"),
        (["why", "--rule", "x"], 2, "name either an --order or an --event", "./vitrin why --help"),
        (["settings", "list", "--port", "zero"], 2, "port: 'zero' (from flag --port)", "./vitrin settings list --help"),
        (["rules", "show", "lost"], 3, "no rule 'lost'", "./vitrin rules list"),
        (["runs", "show", "lost"], 3, "no run 'lost'", "./vitrin runs list"),
        (["plugins", "info", "lost"], 3, "no plugin 'lost'", "./vitrin plugins list"),
        (["run", "--host", "0.0.0.0"], 4, "no admin has a password yet", "./vitrin run --help"),
        (["db", "restore", "FILE"], 2, "does not exist", "./vitrin db restore --help"),
    ],
)
def test_failure_is_one_line_and_a_next_command(
    shop: CommandLine, words: list[str], code: int, error: str, follow: str
):
    answer = shop(*words)
    assert (answer.code, answer.out) == (code, "")
    first, second = answer.err.splitlines()
    assert first.startswith("error: ")
    assert error in first
    assert second == f"next: {follow}"


def test_conflict_has_its_own_code(shop: CommandLine):
    assert shop("users", "add", "elif@shop.example").code == 0
    answer = shop("users", "add", "elif@shop.example")
    assert answer.code == 5
    assert "is a user already" in answer.err


def test_unforeseen_error_is_kept_in_a_file(shop: CommandLine, monkeypatch: pytest.MonkeyPatch):
    def break_down(*_: object) -> str:
        raise ZeroDivisionError("password=hunter22")

    monkeypatch.setattr(settings_command, "columns", break_down)
    answer = shop("settings", "list")
    assert answer.code == 1
    assert "Traceback" not in answer.err
    assert "hunter22" not in answer.err
    log = shop.home / "error.log"
    assert f"look at {log}" in answer.err
    assert "ZeroDivisionError" in log.read_text()
    assert "hunter22" not in log.read_text()
    assert log.stat().st_mode & 0o077 == 0
    assert "Traceback" in shop("settings", "list", "--debug").err


def test_wrong_folder_makes_no_shop(tmp_path: Path):
    answer = CommandLine(tmp_path / "elsewhere")("rules", "list")
    assert answer.code == 3
    assert "there is no database at" in answer.err
    assert "./vitrin db init" in answer.err
    assert not (tmp_path / "elsewhere").exists()


def test_unwritable_home_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("no folder")
    answer = CommandLine(tmp_path / "file" / "shop")("db", "init")
    assert answer.code == 2
    assert "cannot be written to" in answer.err


@pytest.mark.sqlite("its file is damaged")
def test_damaged_database_is_told_in_words(shop: CommandLine):
    (shop.home / "vitrin.db").write_bytes(b"this is no database at all" * 100)
    answer = shop("runs", "list")
    assert answer.code == 1
    assert "is not a database" in answer.err
    assert answer.err.splitlines()[-1] == "next: ./vitrin doctor"


def test_password_in_a_flag_is_refused(shop: CommandLine):
    answer = shop("settings", "list", "--database", "postgresql://shop:hunter22@db.example/shop")
    assert answer.code == 2
    assert "hunter22" not in answer.err + answer.out
    assert "VITRIN_DATABASE" in answer.err


def test_flag_wins_over_environment_and_file(shop: CommandLine, monkeypatch: pytest.MonkeyPatch):
    (shop.home / "vitrin.toml").write_text('zone = "Asia/Tokyo"\nport = 9001\nlanguage = "tr"\n')
    monkeypatch.setenv("VITRIN_PORT", "9002")
    rows = {row["name"]: row for row in shop.json("settings", "list", "--language", "ru")}
    assert (rows["zone"]["value"], rows["port"]["value"], rows["language"]["value"]) == ("Asia/Tokyo", "9002", "ru")
    assert (rows["port"]["origin"], rows["language"]["origin"]) == ("VITRIN_PORT", "flag --language")


def test_dry_run_changes_nothing_and_says_so(shop: CommandLine):
    answer = shop("users", "add", "elif@shop.example", "--dry-run")
    assert answer.code == 6
    assert "nothing was changed" in answer.err
    assert shop.json("users", "list") == []


def test_nobody_to_ask_needs_yes(shop: CommandLine, tmp_path: Path):
    rule = tmp_path / "thanks.yaml"
    rule.write_text(RULE.format(name="thanks"))
    assert shop("rules", "publish", str(rule)).code == 0
    assert shop("rules", "archive", "thanks", "--no-input").code == 1
    assert shop("rules", "archive", "thanks", "--yes").code == 0
    assert shop.json("rules", "list") == []


def test_stored_text_cannot_steer_the_terminal(shop: CommandLine):
    shop("pause", "--reason", "\x1b[2J\x07 gone")
    out = shop("doctor").out
    assert "\x1b" not in out
    assert "\\x1b[2J" in out


def test_settings_file_with_a_mistake_is_named(shop: CommandLine):
    (shop.home / "vitrin.toml").write_text("prot = 1\n")
    answer = shop("rules", "list")
    assert answer.code == 2
    assert "did you mean port?" in answer.err


def test_tests_are_the_launchers(shop: CommandLine):
    answer = type_words("test", "tests/rules", "-q")
    assert answer.code == 2
    assert "./vitrin test" in answer.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_printed(shell: str):
    answer = type_words("completion", shell)
    assert answer.code == 0
    assert "_VITRIN_COMPLETE" in answer.out


def test_documents_are_json():
    assert json.loads(type_words("schema").out)["$schema"].startswith("https://json-schema.org")
    assert json.loads(type_words("openapi").out)["openapi"].startswith("3.1")


def test_closed_pipe_is_no_error(shop: CommandLine):
    program = [sys.executable, str(ROOT / "engine.py"), "openapi"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(1)
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (0, b"")


def test_strangers_package_is_not_run(tmp_path: Path):
    folder = tmp_path / "core"
    folder.mkdir()
    (folder / "__init__.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    start = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; import engine; engine.main()"
    result = subprocess.run(
        [sys.executable, "-c", start, "--version"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert result.returncode == 1
    assert f"the package 'core' is found in {folder}" in result.stderr
    assert not (tmp_path / "ran").exists()


def test_database_of_a_newer_program_is_refused(shop: CommandLine):
    db = Database(shop.database)
    with db.write() as conn:
        conn.exec_driver_sql("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL)")
        conn.exec_driver_sql("DELETE FROM alembic_version")
        conn.exec_driver_sql("INSERT INTO alembic_version VALUES ('9999')")
    db.close()
    answer = shop("rules", "list")
    assert answer.code == 1
    assert "newer version" in answer.err
