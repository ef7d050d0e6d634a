"""Plugins from the command line: switched, set up, made anew."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import CommandLine, type_words
from databases import databases

from commands.new_plugin import make_plugin
from core.errors import InvalidInput


def row(shop: CommandLine, name: str) -> dict[str, str]:
    return next(row for row in shop.json("plugins", "list") if row["name"] == name)


def test_plugin_is_switched_off_and_on(shop: CommandLine):
    assert row(shop, "messages")["state"] == "on"
    assert shop("plugins", "disable", "messages").out == "messages is off\n"
    assert row(shop, "messages")["state"] == "off"
    assert shop.json("plugins", "info", "messages")["actions"] == []
    assert shop("plugins", "enable", "messages").code == 0
    assert "messages.send" in shop.json("plugins", "info", "messages")["actions"]
    assert shop("plugins", "enable", "lost").code == 3


def test_settings_are_kept_and_secrets_hidden(shop: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shop("plugins", "enable", "mail")
    schema = shop.json("plugins", "config", "mail")
    assert schema["missing"] != []
    plain = {"host": "smtp.shop.example", "sender_address": "shop@shop.example"}
    file = tmp_path / "mail.json"
    file.write_text(json.dumps(plain))
    monkeypatch.setenv("SMTP_PASSWORD", "hunter22hunter22")
    words = ("plugins", "config", "mail", "--set", str(file), "--secret", "password=env:SMTP_PASSWORD")
    assert shop(*words, "--dry-run").code == 6
    assert shop.json("plugins", "config", "mail")["settings"] == {}
    answer = shop(*words, "--json")
    assert (answer.code, answer.data["secrets"]) == (0, ["password"]), answer.err
    assert {name: answer.data["settings"][name] for name in plain} == plain
    assert "hunter22" not in answer.out + shop("plugins", "config", "mail").out
    assert "hunter22" not in databases.content(shop.home).decode("latin-1")
    told = shop.json("plugins", "config", "mail", "--unset", "password")
    assert (told["secrets"], told["settings"] != {}) == ([], True)
    shop("plugins", "config", "mail", "--secret", "password=env:SMTP_PASSWORD")
    assert shop("plugins", "config", "mail", "--forget").code == 0
    assert shop.json("plugins", "config", "mail")["secrets"] == []


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--secret", "password=hunter22"], "must be env:VARIABLE"),  # a value on the command line
        (["--secret", "host=env:HOME"], "is not a secret of this plugin"),
        (["--secret", "password=env:NOT_THERE"], "the environment has no NOT_THERE"),
        (["--set", "-"], "settings.colour: is not a setting of this plugin"),
        (["--set", "/no/such/file"], "cannot be read"),
    ],
)
def test_bad_settings_are_refused_in_words(shop: CommandLine, words: list[str], error: str):
    shop("plugins", "enable", "mail")
    answer = shop("plugins", "config", "mail", *words, stdin='{"colour": "red"}')
    assert answer.code in (1, 2)
    assert error in answer.err
    assert "hunter22" not in answer.err


def test_new_plugin_passes_its_own_test(tmp_path: Path):
    answer = type_words("plugins", "new", "parrot", "--folder", str(tmp_path), "--json")
    place = tmp_path / "vitrin-parrot"
    assert (answer.code, answer.data["folder"]) == (0, str(place))
    assert "NAME" not in "".join(path.read_text() for path in place.rglob("*") if path.is_file())
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    assert type_words("plugins", "new", "parrot", "--folder", str(tmp_path)).code == 5


@pytest.mark.parametrize(
    "name",
    [
        "Parrot",
        "9lives",
        "a",
        "two words",
        "two-words",
        "../up",
        "import",
        "json",
        "core",
        "a__b",
        "x" * 41,
        "",
        "öku",
        "a\n",
    ],
)
def test_bad_plugin_name_is_refused(tmp_path: Path, name: str):
    with pytest.raises(InvalidInput, match="name"):
        make_plugin(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_builtins_name_is_taken(tmp_path: Path):
    assert type_words("plugins", "new", "messages", "--folder", str(tmp_path)).code == 5


def test_doctor_names_the_tier_of_a_builtin(shop: CommandLine):
    told = shop.json("plugins", "doctor", "messages")
    assert told["tier"] == "gold"
    assert {check["tier"] for check in told["checks"]} == {"bronze", "silver", "gold"}
    assert shop("plugins", "doctor", "lost").code == 1
