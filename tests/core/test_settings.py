"""Settings: the order of their origins, and words for what is wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidInput
from core.settings import SETTINGS, Settings, load_settings, prepare_home


def load(home: Path, env: dict[str, str] | None = None, **flags: Any) -> Settings:
    return load_settings({"home": home, **flags}, env or {})


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_stand_in_home(tmp_path: Path) -> None:
    settings = load(tmp_path)

    assert settings.database == f"sqlite:///{tmp_path}/vitrin.db"
    assert settings.key_file == tmp_path / "secret.key"
    assert settings.base_url == "http://127.0.0.1:8480"
    assert settings.origin("port") == "default"


def test_flag_beats_environment_beats_file(tmp_path: Path) -> None:
    write(tmp_path / "vitrin.toml", "port = 1001\nworkers = 7\nzone = 'Europe/Istanbul'\n")
    settings = load(tmp_path, {"VITRIN_PORT": "1002", "VITRIN_WORKERS": "8", "PATH": "/bin"}, port=1003)

    assert (settings.port, settings.workers, settings.zone) == (1003, 8, "Europe/Istanbul")
    assert settings.origin("port") == "flag --port"
    assert settings.origin("workers") == "VITRIN_WORKERS"
    assert settings.origin("zone") == f"the file {tmp_path}/vitrin.toml"


def test_named_file_may_set_home(tmp_path: Path) -> None:
    file = write(tmp_path / "shop.toml", "home = 'shop'\nallow_hosts = ['127.0.0.1:8025', '[::1]:25']")
    settings = load_settings({}, {"VITRIN_CONFIG": str(file)})

    assert settings.home == tmp_path / "shop"
    assert settings.allow_hosts == ("127.0.0.1:8025", "[::1]:25")


def test_relative_home_starts_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert load_settings({}, {}).home == tmp_path / ".vitrin"


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"VITRIN_PROT": "1"}, "did you mean VITRIN_PORT?"),  # two letters changed places
        ({"VITRIN_DATABSE": "x"}, "did you mean VITRIN_DATABASE?"),  # one letter forgotten
        ({"VITRIN_1234567": "x"}, "known are"),  # nothing is near
    ],
)
def test_unknown_variable_names_nearest(tmp_path: Path, env: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidInput, match=words.replace("?", r"\?")):
        load(tmp_path, env)


def test_unknown_name_in_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "vitrin.toml", "max_body = 3")

    with pytest.raises(InvalidInput, match=r"max_body: .*vitrin.toml.*did you mean max_body_kb\?"):
        load(tmp_path)


BAD: list[tuple[str, Any]] = [
    ("port", "0"),  # below the least
    ("port", "65536"),  # above the most
    ("port", "８４８０"),  # digits of another script
    ("port", ""),  # an empty variable
    ("port", True),  # a truth value is no number
    ("zone", "Europe"),  # a folder of the zone data
    ("zone", "../../etc/passwd"),  # a path
    ("zone", "Mars/Base"),  # no such zone
    ("currency", "EURO"),  # four letters
    ("currency", "XYZ"),  # three letters that are no currency
    ("language", "de"),  # not spoken here
    ("region", "XX"),  # no such country
    ("synchronous", "maybe"),  # no such word
    ("demo", "perhaps"),  # neither true nor false
    ("base_url", "ftp://shop.example"),  # no web address
    ("base_url", "https://shop.example/?a=1"),  # with a query
    ("allow_hosts", "127.0.0.1"),  # no port
    ("allow_hosts", "a:99999"),  # a port that cannot be
    ("trusted_proxies", "10.0.0.1/8"),  # bits beside the mask
    ("plugins_off", "../x"),  # no plugin's name
    ("database", "mysql://x/y"),  # another database
    ("host", "a b"),  # a blank
    ("home", "a\nb"),  # two lines
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_bad_value_says_what_is_allowed(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=rf"{name}: .*flag --{name.replace('_', '-')}.*allowed is") as caught:
        load_settings({"home": tmp_path, name: value}, {})
    assert caught.value.path == name


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("demo", "YES", True),  # any case
        ("region", "tr", "TR"),  # small letters
        ("region", "", ""),  # none wanted
        ("currency", "try", "TRY"),  # small letters
        ("allow_hosts", "a.example:80, a.example:80,", ("a.example:80",)),  # twice, and an end comma
        ("trusted_proxies", "", ()),  # an empty list
        ("base_url", "https://shop.example/", "https://shop.example"),  # the last stroke is dropped
    ],
)
def test_value_is_read_from_text(tmp_path: Path, name: str, text: str, value: Any) -> None:
    assert getattr(load(tmp_path, {f"VITRIN_{name.upper()}": text}), name) == value


def test_password_is_never_shown(tmp_path: Path) -> None:
    settings = load(tmp_path, {"VITRIN_DATABASE": "postgresql://shop:hunter2@db/x"})

    assert settings.shown("database") == "postgresql://shop:***@db/x"
    assert "hunter2" not in repr(settings)


def test_password_is_refused_as_flag(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="VITRIN_DATABASE") as caught:
        load(tmp_path, database="postgresql://shop:hunter2@db/x")
    assert "hunter2" not in str(caught.value)


def test_broken_file_says_where(tmp_path: Path) -> None:
    write(tmp_path / "vitrin.toml", "port = = 3")

    with pytest.raises(InvalidInput, match=r"vitrin.toml is not TOML.*line 1"):
        load(tmp_path)


def test_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="does not exist"):
        load_settings({}, {}, tmp_path / "none.toml")


def test_found_file_may_not_move_home(tmp_path: Path) -> None:
    write(tmp_path / "vitrin.toml", "home = '/elsewhere'")

    with pytest.raises(InvalidInput, match="VITRIN_HOME"):
        load(tmp_path)


def _file(path: Path) -> Path:
    path.write_text("a file")
    return path


@pytest.mark.parametrize(
    "place",
    [
        lambda tmp: _file(tmp / "taken"),  # a file stands there
        lambda tmp: _file(tmp / "taken") / "below",  # a file stands above
        lambda _: Path("/proc/vitrin"),  # nobody may make folders there
    ],
)
def test_unwritable_home_is_said_in_words(tmp_path: Path, place: Callable[[Path], Path]) -> None:
    with pytest.raises(InvalidInput, match=r"home: the folder .* cannot be written to"):
        prepare_home(load(place(tmp_path)))


def test_home_is_made_for_owner_only(tmp_path: Path) -> None:
    home = prepare_home(load(tmp_path / "new" / "home"))

    assert home.stat().st_mode & 0o777 == 0o700
    assert list(home.iterdir()) == []


def test_every_default_is_allowed(tmp_path: Path) -> None:
    settings = load(tmp_path)

    for setting in SETTINGS:
        value = getattr(settings, setting.name)
        assert setting.kind.read(value) == value, setting.name
        assert setting.help.endswith("."), setting.name
