"""A run's trace as a reader sees it: steps with titles and details, and what conditions asked and found."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rules.labels import Labels, plain_words
from rules.words import LANGUAGES, OPERATOR_WORDS, say_value

#: Kind of a trace line -> what it is called in English, Turkish, Russian.
TITLES: dict[str, tuple[str, str, str]] = {
    "condition": ("Conditions", "Koşullar", "Условия"),
    "recheck": ("Conditions, checked again", "Koşullar, yeniden", "Условия, проверены снова"),
    "wait": ("Waits until", "Şu zamana kadar bekler", "Ждёт до"),
    "listen": ("Waits for an event", "Bir olayı bekler", "Ждёт события"),
    "choose": ("Decision", "Karar", "Решение"),
    "split": ("Split", "Kollara ayırma", "Разделение"),
    "each": ("For each", "Her biri için", "Для каждого"),
    "stop": ("Stops here", "Burada durur", "Останавливается здесь"),
    "run": ("Starts another automation", "Başka bir otomasyonu başlatır", "Запускает другую автоматизацию"),
    "guard": ("Limit", "Sınır", "Лимит"),
    "held": ("Held for approval", "Onay bekliyor", "Ждёт согласования"),
    "retry": ("Tried again later", "Sonra yeniden denenir", "Повтор позже"),
    "failed": ("Failed", "Başarısız", "Ошибка"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One row of a condition: what was asked, what was there."""

    asked: str
    expected: str
    actual: str
    verdict: bool | None
    gap: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of the trace."""

    kind: str
    title: str
    at: datetime | None
    #: done, failed, held, skipped, watched...; of conditions yes, no, unknown; empty otherwise.
    state: str
    reason: str = ""
    until: datetime | None = None
    checks: tuple[Check, ...] = ()
    #: What was handed over, and what came back.
    params: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    object: str = ""
    rest: Mapping[str, Any] = field(default_factory=dict)


_KNOWN = frozenset(
    ("kind", "path", "at", "verdict", "told", "state", "reason", "until", "params", "result", "key", "action")
)


def read_steps(lines: Sequence[Mapping[str, Any]], labels: Labels) -> list[Step]:
    """Return the steps of a trace; a kind that is not known yet is shown under its own name."""
    return [_step(line, labels) for line in lines]


def _step(line: Mapping[str, Any], labels: Labels) -> Step:
    kind = str(line.get("kind", ""))
    result = line.get("result") if isinstance(line.get("result"), Mapping) else {}
    told = line.get("told")
    return Step(
        kind=kind,
        title=_title(kind, line, labels),
        at=_moment(line.get("at")),
        state=_state(line),
        reason=str(line.get("reason") or ""),
        until=_moment(line.get("until")),
        checks=tuple(read_checks(told, labels)),
        params=line.get("params") or {},
        result=result or {},
        key=str(line.get("key") or ""),
        object=str((result or {}).get("object") or ""),
        rest={name: value for name, value in line.items() if name not in _KNOWN and value is not None},
    )


def _title(kind: str, line: Mapping[str, Any], labels: Labels) -> str:
    if line.get("action"):
        return labels.action(str(line["action"]))
    titles = TITLES.get(kind)
    title = titles[_column(labels)] if titles else plain_words(kind)
    if kind == "listen":
        return f"{title}: {labels.event(str(line.get('event', '')))}"
    return title


def _state(line: Mapping[str, Any]) -> str:
    if "verdict" in line:
        return {True: "yes", False: "no", None: "unknown"}.get(line["verdict"], "")
    return str(line.get("state") or "")


def read_checks(told: Any, labels: Labels) -> Iterator[Check]:
    """Yield the rows of an explained condition, groups laid open."""
    if not isinstance(told, Mapping):
        return
    for part in told.get("parts") or ():
        yield from read_checks(part, labels)
    if "is" in told:
        words = OPERATOR_WORDS.get(str(told["is"]))
        name = str(told.get("field", ""))
        subject = labels.fact(name) if told.get("fact") else labels.field(None, name)
        yield Check(
            asked=f"{subject}: {words[_column(labels)] if words else told['is']}",
            expected=say_value(told["expected"], labels.language) if "expected" in told else "",
            actual=say_value(told.get("actual"), labels.language),
            verdict=told.get("verdict"),
            gap=str(told.get("gap") or ""),
        )


def _column(labels: Labels) -> int:
    return LANGUAGES.index(labels.language) if labels.language in LANGUAGES else 0


def _moment(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value if isinstance(value, datetime) else None
