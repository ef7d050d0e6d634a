"""What happens in the demo, told as it happens: the shop's news, what rules made of it, and why another did nothing."""

from collections.abc import Iterator, Mapping
from typing import Any

from commands.call import PROGRAM
from commands.demo_home import show_home
from commands.demo_story import Happened
from core.effects import list_effects
from core.events import find_event
from rules.engine import Engine
from rules.explain import verdicts
from rules.runs import get_run
from rules.words import find_culprit, say_row

_INDENT = " " * 10
_LONGEST, _LONGEST_TEXT = 240, 100
#: How an effect of each kind is called; its text is the first of these parameters that it has.
_KINDS = {"message": "message", "task": "task", "tag": "tag", "note": "chat"}
_TEXTS = ("text", "title", "tag")
#: Open runs that are looked at again at each step.
_MOST_OPEN = 50


class Teller:
    """Remembers which runs were told as open, so that their end is told too."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._titles = {rule.name: _title(rule.document, engine.settings.language) for rule in engine.book}
        #: Told and not ended yet: run -> (order's number, attempts told).
        self._open: dict[str, tuple[str, int]] = {}
        self._told: set[str] = set()
        self._turn = 0
        self._since = engine.clock.now()

    def is_settled(self, happened: Happened) -> bool:
        """Tell whether the rules have done with these events what they can do at once."""
        with self._engine.db.read() as conn:
            runs = [get_run(conn, verdict["run"]) for event in happened.events for verdict in self._ask(conn, event.id)]
        return all(run["status"] not in ("ready", "running") for run in runs)

    def _ask(self, conn: Any, event_id: str) -> list[dict[str, Any]]:
        return [verdict for verdict in verdicts(self._engine, conn, event_id) if "run" in verdict]

    def tell(self, happened: Happened) -> Iterator[str]:
        """Yield lines on one step: the news, what was done, and why one of the other rules was not for it."""
        told = happened.told
        if told is None:
            yield f"{self._clock()}  The story's next step does not fit what was changed by hand: it is left out"
            return
        total = f"{told.total['amount']} {told.total['currency']}"
        yield f"{self._clock()}  Order {told.number} {told.what} ({total}; {told.customer}, {told.city})"
        declined: list[str] = []
        with self._engine.db.read() as conn:
            for event in happened.events:
                for verdict in verdicts(self._engine, conn, event.id):
                    run = get_run(conn, verdict["run"]) if "run" in verdict else None
                    if verdict["verdict"] in ("stopped", "unknown"):
                        declined += self._decline(verdict, run)
                    elif run is not None:
                        yield from self._run(run, told.number)
        if declined:
            # One is enough to show that there is always an answer; each time another.
            self._turn += 1
            yield _line(declined[self._turn % len(declined)])

    def _decline(self, verdict: Mapping[str, Any], run: Mapping[str, Any] | None) -> Iterator[str]:
        """Yield why a rule was not for an event: the condition that decided, as it was explained then."""
        lines = run["trace"] if run else []
        condition = verdict.get("condition") or next((line["told"] for line in lines if line.get("told")), None)
        culprit = find_culprit(condition) if condition else None
        if culprit is not None:
            row = say_row(culprit, self._engine.settings.language)
            yield f"not: {self._titles.get(verdict['rule'], verdict['rule'])}, because {row}"

    def tell_late(self) -> Iterator[str]:
        """Yield lines on runs of earlier events that went on since the last look."""
        with self._engine.db.read() as conn:
            for run_id, (number, attempts) in list(self._open.items())[-_MOST_OPEN:]:
                run = get_run(conn, run_id)
                if run["outcome"] != "waiting" or run["attempts"] != attempts:
                    del self._open[run_id]
                    yield from self._run(run, number, late=True)
            for effect in reversed(list_effects(conn, limit=_MOST_OPEN)):
                if effect.run is None or effect.run in self._told or effect.at < self._since:
                    continue
                event = find_event(conn, effect.event) if effect.event else None
                number = str((event.data.get("order") or {}).get("number", "?")) if event else "?"
                yield from self._run(get_run(conn, effect.run), number, late=True)

    def _run(self, run: Mapping[str, Any], number: str, *, late: bool = False) -> Iterator[str]:
        self._told.add(run["id"])
        if run["outcome"] == "waiting":
            self._open[run["id"]] = number, run["attempts"]
        head = self._titles.get(run["rule"], run["rule"])
        head = f"later, order {number}: {head}" if late else head
        for effect in run["effects"]:
            if effect["state"] == "done":
                yield _line(f"{head}: {_effect(effect)}")
        if (text := self._state(run)) is not None:
            yield _line(f"{head}: {text}")

    def _state(self, run: Mapping[str, Any]) -> str | None:
        """Say what a run that has not simply acted does."""
        outcome, reason = run["outcome"], run["reason"] or ""
        if outcome == "waiting":
            until = f"{run['due_at'].astimezone(self._engine.zone):%d %b %H:%M:%S}" if run["due_at"] else "?"
            return f"tries again at {until[7:]}: {reason}" if reason else f"waits until {until}"
        if outcome == "held":
            home = show_home(self._engine.settings.home)
            return f"held ({reason}); to let it go: {PROGRAM} --home {home} runs approve {run['id']}"
        return None if outcome == "acted" else f"{outcome}: {reason}"

    def _clock(self) -> str:
        return f"{self._engine.clock.now().astimezone(self._engine.zone):%H:%M:%S}"


def _title(document: Mapping[str, Any], language: str) -> str:
    title = document.get("title") or document["rule"]
    return title if isinstance(title, str) else title.get(language) or title.get("en") or document["rule"]


def _effect(effect: Mapping[str, Any]) -> str:
    params = effect["params"] or {}
    text = next((str(params[name]) for name in _TEXTS if params.get(name)), effect["action"])
    return f'{_KINDS.get(effect["kind"], effect["kind"])} "{_cut(" ".join(text.split()), _LONGEST_TEXT)}"'


def _line(text: str) -> str:
    return _INDENT + _cut(text, _LONGEST)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
