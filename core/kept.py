"""What code outside a transaction emits and wants written, kept until it has come back."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from core.accounts import DEFAULT
from core.context import Context
from core.errors import InvalidInput, NotFound, PluginError
from core.events import Catalogue, Event, text_at
from core.guarded import translated
from core.ids import new_id
from core.jsontext import check_plain

_MOST_WRITES = 1_000


@dataclass(slots=True, kw_only=True)
class Kept:
    """What a poller emitted and wants written, in its order, until it has come back."""

    plugin: str
    catalogue: Catalogue
    #: (shop, store or emit; method; arguments)
    calls: list[tuple[str, str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    def emit(self, type: str, data: dict[str, Any], **more: Any) -> None:
        """Keep an event, once it proved to fit its type."""
        try:
            self.catalogue.check(type, data)
            check_plain(data, path="data")
        except (InvalidInput, NotFound) as exc:
            raise PluginError(self.plugin, f"emitted a wrong {type}: {exc.message}") from exc
        self._add("emit", "", (type, copy.deepcopy(data)), more)

    def keep(self, target: str, method: str, args: tuple[Any, ...], given: dict[str, Any]) -> None:
        self._add(target, method, args, given)

    def _add(self, *call: Any) -> None:
        if len(self.calls) >= _MOST_WRITES:
            raise PluginError(self.plugin, f"wanted more than {_MOST_WRITES} writes in one poll; use the cursor")
        self.calls.append(call)

    def apply(self, ctx: Context) -> None:
        """Do it all, in the transaction that `ctx` belongs to."""
        for target, method, args, given in self.calls:
            owner = getattr(ctx, target)

            def write(owner: Any = owner, method: str = method, args: Any = args, given: Any = given) -> None:
                (getattr(owner, method) if method else owner)(*args, **given)

            translated(self.plugin, write)


class StandIn:
    """What a poller sees instead of the shop and the store: it reads what is stored, and its writes come later."""

    def __init__(self, kept: Kept, target: str, read: Callable[..., Any]) -> None:
        self._kept, self._target, self._read = kept, target, read

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        reads = name == "get" or name.startswith(("find_", "get_"))

        def call(*args: Any, **given: Any) -> Any:
            return (self._read if reads else self._kept.keep)(self._target, name, args, given)

        return call


@dataclass(slots=True, kw_only=True)
class News:
    """Turns what is emitted into events."""

    plugin: str
    account: str
    catalogue: Catalogue
    job: str
    now: datetime
    events: list[Event] = field(default_factory=list)

    def emit(
        self, type: str, data: dict[str, Any], *, key: str | None = None, customer: str | None = None, id: Any = None
    ) -> None:
        """Append an event; one whose `id` was taken before, in any poll of the account, is dropped at intake."""
        kind = self.catalogue.get(type)
        key = key or (text_at(data, kind.key) if kind.key else None)
        customer = customer or (text_at(data, kind.customer) if kind.customer else None)
        known = f"{self.job}/{len(self.events)}" if id is None else str(id)
        own = known if self.account == DEFAULT else f"{self.account}/{known}"
        given = {"id": new_id(), "source": self.plugin, "external_id": own, "type": type, "time": self.now}
        self.events.append(Event(**given, received_at=self.now, key=key, customer=customer, data=data))
