"""`ctx`: everything a plugin is handed. It needs to import nothing of ours."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import Any, NoReturn, Protocol

from sqlalchemy import Connection

from core.errors import InvalidInput, PluginError, RejectedError, SignInError, TemporaryError


class Emit(Protocol):
    """Tells the automations that something happened."""

    def __call__(
        self,
        type: str,
        data: dict[str, Any],
        *,
        key: str | None = None,
        customer: str | None = None,
        id: str | None = None,
    ) -> None: ...


class Store(Protocol):
    """A plugin's own small documents, by key."""

    def get(self, key: str, default: Any = None) -> Any: ...

    def put(self, key: str, value: Any) -> None: ...

    def delete(self, key: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One call's surroundings; valid only until the call returns."""

    plugin: str
    #: The connected account's name, and its settings with the secrets filled in.
    account: str = "default"
    settings: Mapping[str, Any] = field(default_factory=dict)
    now: datetime
    log: Any
    #: Time zone, currency, region, language of the shop; base_url for links.
    shop_settings: Mapping[str, Any] = field(default_factory=dict)
    #: The guarded HTTP client, bound to the hosts that the manifest names. None where a call must not go out.
    http: Any = None
    #: Writers of the shop's records. None where a call must not write.
    shop: Any = None
    store: Store | None = None
    emit: Emit | None = None
    #: The same for every try of the same effect.
    idempotency_key: str | None = None
    attempt: int = 1
    #: What the effect or fact is about: {"customer": id or None, "order": id or None, "key": key or None}.
    subject: Mapping[str, str | None] = field(default_factory=dict)
    #: The data of the event that started the run.
    event_data: Mapping[str, Any] = field(default_factory=dict)
    #: A connection that sees the open transaction: for the plugin's own tables. None where no transaction is open.
    conn: Connection | None = None
    progress: Callable[[int, int | None], None] = lambda _done, _total=None: None

    def retry_later(self, why: str, after_s: float | None = None) -> NoReturn:
        """Raise: this may work later (after so many seconds, if the other side said so)."""
        raise TemporaryError(self.plugin, why, after_s)

    def reject(self, why: str) -> NoReturn:
        """Raise: this will never work."""
        raise RejectedError(self.plugin, why)

    def sign_in_again(self, why: str) -> NoReturn:
        """Raise: the connection needs a person to sign in."""
        raise SignInError(self.plugin, why)

    def invalid(self, path: str, why: str) -> NoReturn:
        """Raise: this setting or parameter is wrong."""
        raise InvalidInput(path, why)


def plain_result(plugin: str, value: Any, what: str) -> dict[str, Any]:
    """Return a plugin's answer as a plain dict; raise PluginError for anything else."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise PluginError(plugin, f"{what} answered {type(value).__name__}, not a dict")
    return {str(key): _plain(plugin, item, what, 0) for key, item in value.items()}


_MOST_ITEMS, _MOST_DEPTH, _MOST_TEXT = 10_000, 20, 1_000_000


def _plain(plugin: str, value: Any, what: str, depth: int) -> Any:
    if isinstance(value, float) and not isfinite(value):
        raise PluginError(plugin, f"{what} answered a number that is not finite, which cannot be kept")
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str) and len(value) <= _MOST_TEXT:
        return value
    if depth < _MOST_DEPTH and isinstance(value, dict) and len(value) <= _MOST_ITEMS:
        return {str(key): _plain(plugin, item, what, depth + 1) for key, item in value.items()}
    if depth < _MOST_DEPTH and isinstance(value, (list, tuple)) and len(value) <= _MOST_ITEMS:
        return [_plain(plugin, item, what, depth + 1) for item in value]
    if isinstance(value, datetime) or type(value).__name__ == "Decimal":
        return str(value)
    raise PluginError(plugin, f"{what} answered a {type(value).__name__} that is no plain data, or too large")
