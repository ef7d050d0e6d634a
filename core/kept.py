"""What code outside a transaction emits and wants written, kept until it has come back."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from core.accounts import DEFAULT
from core.context import Context
from core.errors import InvalidInput, NotFound, PluginError
from core.events import Catalogue, Event, text_at
from core.guarded import translated
from core.ids import new_id
from core.jsontext import check_plain

_MOST_WRITES = 1_000

#: read(part of the ctx, method, arguments, named arguments) -> what is stored.
Read = Callable[[str, str, tuple[Any, ...], dict[str, Any]], Any]


@dataclass(slots=True, kw_only=True)
class Kept:
    """What one call of a plugin's code emitted and wants written, in its order.

    The code runs inside `with kept:`, on `stand_in(ctx)`. After that nothing more is taken from it, even if it left a
    thread behind; `apply` then does what was kept, in a transaction. Code that raised or hung is never applied.
    """

    plugin: str
    #: Where it is given, an event that does not fit its type is refused as it is emitted.
    catalogue: Catalogue | None = None
    #: (shop, store or emit; method; arguments; named arguments)
    _calls: list[tuple[str, str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    _over: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self._over = True

    def stand_in(self, ctx: Context, read: Read | None = None) -> Context:
        """Return `ctx` as foreign code gets it: no connection; it reads what is stored, and its writes come later.

        Without a `read`, questions go to the shop and the store of `ctx` itself.
        """
        look = read or (lambda part, method, args, given: getattr(getattr(ctx, part), method)(*args, **given))
        shop, store = (_StandIn(self, part, getattr(ctx, part), look) for part in ("shop", "store"))
        return replace(ctx, conn=None, shop=shop, store=store, emit=self._emit)

    def apply(self, ctx: Context) -> None:
        """Do it all, in the transaction that `ctx` belongs to."""
        for part, method, args, given in self._calls:
            owner = getattr(ctx, part)
            write = getattr(owner, method) if method else owner
            translated(self.plugin, lambda write=write, args=args, given=given: write(*args, **given))

    def _emit(self, type: str, data: dict[str, Any], **more: Any) -> None:
        if self.catalogue is not None:
            try:
                self.catalogue.check(type, data)
                check_plain(data, path="data")
            except (InvalidInput, NotFound) as exc:
                raise PluginError(self.plugin, f"emitted a wrong {type}: {exc.message}") from exc
        self.check_open()
        self.keep("emit", "", (type, data), more)

    def keep(self, part: str, method: str, args: tuple[Any, ...], given: dict[str, Any]) -> None:
        """Keep a write, as its arguments are now."""
        if len(self._calls) >= _MOST_WRITES:
            raise PluginError(self.plugin, f"wanted more than {_MOST_WRITES} writes in one call")
        self._calls.append((part, method, copy.deepcopy(args), copy.deepcopy(given)))

    def check_open(self) -> None:
        """Refuse what comes after the code's time: the transaction it saw may belong to somebody else by now."""
        if self._over:
            raise PluginError(self.plugin, "used its ctx after the call that it was made for")


class _StandIn:
    """What foreign code sees instead of the shop or the store: questions are answered, the rest is kept."""

    def __init__(self, kept: Kept, part: str, target: Any, read: Read) -> None:
        self._kept, self._part, self._target, self._read = kept, part, target, read

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or not callable(getattr(self._target, name)):
            raise AttributeError(name)
        use = self._read if name == "get" or name.startswith(("find_", "get_")) else self._kept.keep

        def call(*args: Any, **given: Any) -> Any:
            self._kept.check_open()
            return use(self._part, name, args, given)

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
