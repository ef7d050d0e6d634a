"""The settings: one table, from which the object, the flags, the `VITRIN_*` names, the file and the reference are made.

A value comes from the flag, else from the environment, else from the file, else from the table.
"""

import difflib
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any
from urllib.parse import urlsplit

from core.errors import InvalidInput
from core.setting_kinds import (
    CURRENCY,
    FLAG,
    HOSTS,
    NAMES,
    NETWORKS,
    PATH,
    REGION,
    ZONE,
    Kind,
    choice,
    number,
    url,
)

FILE_NAME = "vitrin.toml"
PREFIX = "VITRIN_"

#: Names in the environment that are no settings, and what they are for.
OTHER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "VITRIN_CONFIG": "path of the settings file, like --config",
        "VITRIN_CRASH_AT": "tests only: the place where the process kills itself",
        "VITRIN_PYTHON": "the Python that ./vitrin makes its environment with",
    }
)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One row of the table."""

    name: str
    kind: Kind
    #: A value, or a function of the settings that stand above it.
    default: Any
    help: str
    #: True where the value may hold a password: masked when shown, refused as a flag when it does.
    secret: bool = False

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()

    def default_for(self, values: Mapping[str, Any]) -> Any:
        return self.default(values) if callable(self.default) else self.default


@dataclass(frozen=True)
class _Row:
    """A setting without its name, which is the name of the field."""

    kind: Kind
    default: Any
    help: str
    secret: bool = False


def _in_home(name: str) -> Callable[[Mapping[str, Any]], Path]:
    return lambda values: values["home"] / name


def _own_database(values: Mapping[str, Any]) -> str:
    return f"sqlite:///{values['home'] / 'vitrin.db'}"


def _own_url(values: Mapping[str, Any]) -> str:
    host = values["host"]
    return f"http://{f'[{host}]' if ':' in host else host}:{values['port']}"


def _host(raw: Any) -> str:
    if not isinstance(raw, str) or not raw or any(letter in raw for letter in " /@?#"):
        raise ValueError
    return raw


_HOST = Kind(words="a host name or an address such as 127.0.0.1", read=_host)
_DAYS = number(1, 36_500)


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings:
    """All settings of one start. The fields are the table; `SETTINGS` is its other view."""

    home: Annotated[Path, _Row(PATH, Path(".vitrin"), "Folder for the database, the key, backups and exports.")]
    database: Annotated[
        str,
        _Row(
            url("sqlite", "postgresql"),
            _own_database,
            "The database. SQLite in the home folder unless several processes share the work: then postgresql://.",
            secret=True,
        ),
    ]
    key_file: Annotated[
        Path,
        _Row(
            PATH, _in_home("secret.key"), "File with the key of the stored secrets. Keep a copy apart from the backups."
        ),
    ]
    synchronous: Annotated[
        str,
        _Row(
            choice("full", "normal", "off"),
            "full",
            "How SQLite writes. full: what was answered survives a power cut. normal: the last moments may be lost."
            " off: a power cut may damage the database; for replays and experiments only.",
        ),
    ]
    host: Annotated[
        str, _Row(_HOST, "127.0.0.1", "Address to listen on. Others are taken only once an admin has a password.")
    ]
    port: Annotated[int, _Row(number(1, 65_535), 8480, "Port to listen on.")]
    base_url: Annotated[
        str, _Row(url("http", "https", bare=True), _own_url, "Address under which customers and staff reach this shop.")
    ]
    trusted_proxies: Annotated[
        tuple[str, ...], _Row(NETWORKS, (), "Networks of the proxies whose X-Forwarded headers are believed.")
    ]
    allow_hosts: Annotated[
        tuple[str, ...],
        _Row(
            HOSTS, (), "Inner addresses (host:port) that plugins may call; all others on private networks are refused."
        ),
    ]
    max_body_kb: Annotated[int, _Row(number(1, 102_400), 1024, "Biggest body of an API call or a webhook, in KiB.")]
    max_upload_mb: Annotated[int, _Row(number(1, 4096), 25, "Biggest uploaded file, in MiB.")]
    zone: Annotated[
        str, _Row(ZONE, "UTC", "The shop's time zone: calendar days, quiet hours and schedules count in it.")
    ]
    currency: Annotated[str, _Row(CURRENCY, "EUR", "The shop's currency.")]
    language: Annotated[
        str, _Row(choice("en", "tr", "ru"), "en", "Language of pages and messages where nobody chose one.")
    ]
    region: Annotated[
        str, _Row(REGION, "", "Country of telephone numbers that are written without their country's number.")
    ]
    workers: Annotated[int, _Row(number(1, 256), 4, "Threads that advance runs in one process.")]
    queue: Annotated[
        str,
        _Row(
            choice("local", "celery"),
            "local",
            "How processes that share the database learn what is ready. local: each looks by itself, every second."
            " celery: a broker tells them at once; for many machines.",
        ),
    ]
    broker: Annotated[
        str,
        _Row(
            url("amqp", "amqps", "redis", "rediss"),
            "amqp://127.0.0.1//",
            "The broker of the queue celery: RabbitMQ (amqp://) or Redis (redis://). It holds no data of its own.",
            secret=True,
        ),
    ]
    backlog: Annotated[
        int, _Row(number(100, 1_000_000), 10_000, "How many writes may wait; beyond it senders are told to retry.")
    ]
    depth_limit: Annotated[int, _Row(number(1, 100), 10, "Longest chain of rules that set each other off.")]
    lease_s: Annotated[
        int,
        _Row(
            number(5, 3600),
            90,
            "Seconds of silence after which others take over what a process had in hand; the same for all processes.",
        ),
    ]
    stop_s: Annotated[
        int, _Row(number(1, 600), 20, "Seconds that running work is given when the engine is told to stop.")
    ]
    plugins_on: Annotated[tuple[str, ...], _Row(NAMES, (), "Plugins that are on at the first start.")]
    plugins_off: Annotated[tuple[str, ...], _Row(NAMES, (), "Plugins that stay off whatever the database says.")]
    demo: Annotated[bool, _Row(FLAG, False, "Demo mode: fakes stand in for the outside systems.")]
    keep_events_days: Annotated[int, _Row(_DAYS, 400, "Days that events and their ids are kept.")]
    keep_acted_days: Annotated[
        int, _Row(_DAYS, 400, "Days that runs which acted, were held or were skipped are kept with their traces.")
    ]
    keep_stopped_days: Annotated[int, _Row(_DAYS, 30, "Days that runs which stopped without acting are kept.")]
    keep_dead_days: Annotated[int, _Row(_DAYS, 90, "Days that dead letters are kept for replay.")]
    keep_exchanges_days: Annotated[int, _Row(_DAYS, 14, "Days that the log of calls to outside systems is kept.")]
    log_level: Annotated[
        str, _Row(choice("debug", "info", "warning", "error"), "info", "Least weight of what is logged.")
    ]
    log_format: Annotated[
        str, _Row(choice("auto", "json", "words"), "auto", "Log as JSON lines or in words; auto: words on a terminal.")
    ]
    origins: Mapping[str, str] = field(compare=False)

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{setting.name}={self.shown(setting.name)}' for setting in SETTINGS)})"

    def origin(self, name: str) -> str:
        """Return where the value came from: `flag --port`, `VITRIN_PORT`, `the file ...` or `default`."""
        return self.origins[name]

    def shown(self, name: str) -> str:
        """Return the value as text that may be shown: passwords masked."""
        value = getattr(self, name)
        if isinstance(value, tuple):
            return ", ".join(value)
        return _without_password(str(value)) if _BY_NAME[name].secret else str(value)


#: Every setting, in the order of the reference.
SETTINGS: tuple[Setting, ...] = tuple(
    Setting(name=name, **vars(row))
    for name, kind in Settings.__annotations__.items()
    for row in getattr(kind, "__metadata__", ())
)
_BY_NAME = {setting.name: setting for setting in SETTINGS}


@dataclass(frozen=True, kw_only=True)
class _Source:
    """One place that values come from."""

    values: Mapping[str, Any]
    #: Where this name's value came from, in words.
    words: Callable[[Setting], str]
    #: Relative paths start here.
    folder: Path


def load_settings(flags: Mapping[str, Any], env: Mapping[str, str], file: Path | None = None) -> Settings:
    """Read flag > environment > file > default; raise InvalidInput naming the setting, its origin and what is allowed.

    A flag that was not given is absent or None. Without `file` (or VITRIN_CONFIG) the home folder's vitrin.toml is
    read, if there is one.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    _check_names(given, "flag")
    here = Path.cwd()
    sources = [
        _Source(values=given, words=lambda setting: f"flag {setting.flag}", folder=here),
        _Source(values=_from_environment(env), words=lambda setting: setting.variable, folder=here),
    ]
    file = file or (Path(env["VITRIN_CONFIG"]) if env.get("VITRIN_CONFIG") else None)
    home, _ = _value(_BY_NAME["home"], sources, {})
    found = _from_file(file or home / FILE_NAME, needed=file is not None)
    if found is not None:
        sources.append(found)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for setting in SETTINGS:
        values[setting.name], origins[setting.name] = _value(setting, sources, values)
    return Settings(**values, origins=MappingProxyType(origins))


def prepare_home(settings: Settings) -> Path:
    """Make the home folder and prove that it can be written to; raise InvalidInput in words where it cannot."""
    home = settings.home
    probe = home / f".probe-{os.getpid()}"
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe.write_bytes(b"probe")
        probe.unlink()
    except OSError as exc:
        reason = f"the folder {home} (from {settings.origin('home')}) cannot be written to: {exc.strerror}"
        raise InvalidInput("home", f"{reason}; mend its owner and permissions, or choose another with --home") from exc
    return home


def _from_environment(env: Mapping[str, str]) -> dict[str, str]:
    known = {setting.variable: setting.name for setting in SETTINGS}
    values: dict[str, str] = {}
    for variable, value in env.items():
        if not variable.startswith(PREFIX) or variable in OTHER_NAMES:
            continue
        if variable not in known:
            raise InvalidInput(
                variable, f"no setting has this name; {_nearest(variable, [*known, *OTHER_NAMES], PREFIX)}"
            )
        values[known[variable]] = value
    return values


def _from_file(path: Path, *, needed: bool) -> _Source | None:
    path = path.absolute()
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as exc:
        if needed:
            raise InvalidInput("config", f"the file {path} does not exist") from exc
        return None
    except OSError as exc:
        raise InvalidInput("config", f"the file {path} cannot be read: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise InvalidInput("config", f"the file {path} is not TOML: {exc}") from exc
    _check_names(values, f"the file {path}")
    if "home" in values and not needed:
        raise InvalidInput("home", f"is set in {path}, which was found by it; use --home or VITRIN_HOME instead")
    return _Source(values=values, words=lambda _: f"the file {path}", folder=path.parent)


def _check_names(values: Mapping[str, Any], origin: str) -> None:
    for name in values:
        if name not in _BY_NAME:
            raise InvalidInput(name, f"no setting has this name ({origin}); {_nearest(name, list(_BY_NAME))}")


def _nearest(name: str, known: list[str], prefix: str = "") -> str:
    tails = [other.removeprefix(prefix) for other in known]
    near = difflib.get_close_matches(name.removeprefix(prefix), tails, n=1, cutoff=0.5)
    return f"did you mean {prefix}{near[0]}?" if near else f"known are {', '.join(sorted(known))}"


def _value(setting: Setting, sources: list[_Source], values: Mapping[str, Any]) -> tuple[Any, str]:
    for source in sources:
        if setting.name in source.values:
            raw, origin = source.values[setting.name], source.words(setting)
            value = _read(setting, raw, origin)
            return (source.folder / value if setting.kind.is_path else value), origin
    value = setting.default_for(values)
    return (Path.cwd() / value if setting.kind.is_path else value), "default"


def _read(setting: Setting, raw: Any, origin: str) -> Any:
    if setting.secret and origin.startswith("flag") and _without_password(str(raw)) != str(raw):
        words = "a password on the command line can be seen by everybody on this machine"
        raise InvalidInput(setting.name, f"{words}: put it into {setting.variable} or {FILE_NAME}")
    try:
        return setting.kind.read(raw)
    except ValueError as exc:
        shown = "the value" if setting.secret else repr(raw)
        words = f"{shown} (from {origin}) is not allowed; allowed is {setting.kind.words}"
        raise InvalidInput(setting.name, words) from exc


def _without_password(address: str) -> str:
    try:
        password = urlsplit(address).password
    except ValueError:
        return "***"
    return address.replace(f":{password}@", ":***@") if password else address
