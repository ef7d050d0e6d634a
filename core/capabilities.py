"""What plugins bring, as the engine sees it after checking: actions, facts, pollers, webhooks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.events import Event
from core.schemas import Checker


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something a rule can do."""

    name: str
    plugin: str
    title: Mapping[str, str]
    params: Mapping[str, Any]
    #: What kind of thing it changes: message, task, tag, status, price, money, points, stock, label, note, call.
    effect: str
    #: "local" changes only our database, in the run's transaction; "outside" reaches another system.
    scope: str
    run: Callable[[Any, dict[str, Any]], Any]
    preview: Callable[[Any, dict[str, Any]], Any] | None = None
    undo: Callable[[Any, Any], Any] | None = None
    #: True when the other side takes our idempotency key, so a repeat has no second effect.
    takes_key: bool = False
    #: Event types that it may set off, and fields that it writes: for checks when a rule is saved.
    emits: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    #: "safe": repeat after a crash; "never": ask a person when it is unclear whether it was done.
    repeat: str = "safe"
    checker: Checker | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something a condition can ask that the event itself does not tell."""

    name: str
    plugin: str
    title: Mapping[str, str]
    #: JSON Schema of the value.
    schema: Mapping[str, Any]
    #: JSON Schema of its parameters (`with`).
    params: Mapping[str, Any]
    #: Dotted path in the event's data that names whom it is asked about.
    subject: str
    #: load(ctx, keys) -> {key: value}; keys are (subject, at, params) tuples; a key left out is "not known".
    load: Callable[[Any, list["FactKey"]], Mapping["FactKey", Any]]


#: (subject, moment, ((parameter, value), ...))
FactKey = tuple[str, Any, tuple[tuple[str, Any], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """An operator for conditions that a plugin adds."""

    name: str
    plugin: str
    title: Mapping[str, str]
    types: tuple[str, ...]
    #: test(value, wanted) -> True or False.
    test: Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Poller:
    """Something that is asked for news on a schedule."""

    name: str
    plugin: str
    title: Mapping[str, str]
    schedule: Any
    run: Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An address at which an outside system tells us news."""

    path: str
    plugin: str
    verify: Callable[[Any, Any], Any]
    run: Callable[[Any, Any], Any]
    methods: tuple[str, ...] = ("POST",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionCall:
    """An action about to run."""

    action: Action
    params: dict[str, Any]
    #: Idempotency key: the same for every try.
    key: str
    #: The event that started the run.
    event: Event
    account: str | None = None
    attempt: int = 1
