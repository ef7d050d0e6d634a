"""Events of the engine's own: a trigger of a rule's own becomes one that only this rule hears."""

from typing import TYPE_CHECKING, Any

from core.events import Event
from core.ids import new_id

if TYPE_CHECKING:
    from rules.engine import Engine

SOURCE = "vitrin/rules"


def own_event(
    engine: "Engine",
    type: str,
    ident: str,
    data: dict[str, Any],
    *,
    key: str | None = None,
    customer: str | None = None,
) -> Event:
    """Return an event of the engine's own; one with the same `ident` is taken once."""
    now = engine.clock.now()
    return Event(
        id=new_id(),
        source=SOURCE,
        external_id=ident,
        type=type,
        time=now,
        received_at=now,
        key=key,
        customer=customer,
        data=data,
    )
