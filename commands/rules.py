"""`rules`: listed, shown, compared, tried. Changes: `rule_changes`; files: `rule_files`; starts: `rule_starts`."""

from pathlib import Path
from typing import Any

import click

from commands.call import FAILED, Call, pass_call
from commands.noun import Noun
from commands.opening import open_engine, open_records
from commands.output import columns, counted, pairs
from commands.rule_changes import CHANGES
from commands.rule_files import EXCHANGE, FILE, read_rules
from commands.rule_recipes import recipes
from commands.rule_starts import STARTS
from core.errors import InvalidInput, NotFound, RuleError
from core.events import find_event
from rules.check import check_rule
from rules.rule import read_yaml
from rules.simulate import simulate
from rules.store import STATES, find_rule, get_rule, get_version, list_rules, list_versions
from rules.words import say_value
from rules.yaml_text import unified_diff

_SHOWN = ("name", "state", "version", "draft", "changed_at", "title")


@click.group(
    cls=Noun,
    examples=(
        "rules publish thank-you.yaml --state watching",
        "rules enable thank-you",
        "rules test late.yaml --last 50",
    ),
)
def rules() -> None:
    """List, test, publish and switch rules."""


for verb in (*CHANGES, *EXCHANGE, *STARTS, recipes):
    rules.add_command(verb)


@rules.command("list", examples=("rules list", "rules list --state on --json"))
@click.option("--state", type=click.Choice(STATES), help="Only in this state.")
@click.option("--archived", is_flag=True, help="The archived ones too.")
@pass_call
def list_(call: Call, state: str | None, archived: bool) -> None:
    """List rules."""
    with open_records(call) as engine:
        with engine.db.read() as conn:
            rows = [row for row in list_rules(conn, archived=archived) if state in (None, row.state)]
            found = [_row(conn, row, call.settings.language) for row in rows]
        call.show(found, lambda: columns(found, _SHOWN, zone=engine.zone))
    if not found:
        call.say("no rules")


def _row(conn: Any, row: Any, language: str) -> dict[str, Any]:
    document = get_version(conn, row.id, row.version).document if row.version is not None else {}
    title = document.get("title") or {}
    return {
        "id": row.id,
        "name": row.name,
        "state": row.state,
        "state_reason": row.state_reason,
        "version": row.version,
        "draft": row.draft is not None,
        "archived": row.archived_at is not None,
        "title": title.get(language) or title.get("en"),
        "owner": document.get("owner"),
        "changed_at": row.changed_at,
    }


@rules.command("show", examples=("rules show thank-you", "rules show thank-you --version 2", "rules show late --draft"))
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="An older version.")
@click.option("--draft", is_flag=True, help="The text that is being edited.")
@pass_call
def show(call: Call, name: str, version: int | None, draft: bool) -> None:
    """Print a rule as YAML: the live version, else its draft."""
    with open_records(call) as engine, engine.db.read() as conn:
        row = get_rule(conn, name)
        text = _text(conn, row, "draft" if draft else str(version) if version else None)
        told = {**_row(conn, row, call.settings.language), "text": text}
        call.show(told, lambda: text.rstrip("\n"))


def _text(conn: Any, row: Any, which: str | None) -> str:
    """Return a rule's text: of a version, its draft, or by itself the live one, else the draft."""
    if which not in (None, "draft", "live"):
        return get_version(conn, row.id, int(which)).text
    live = get_version(conn, row.id, row.version).text if row.version is not None else None
    found = {"draft": row.draft, "live": live, None: live or row.draft}[which]
    if found is None:
        raise NotFound(f"the rule {row.name!r} has no {which or 'text'}")
    return found


@rules.command("versions", examples=("rules versions thank-you",))
@click.argument("name")
@pass_call
def versions(call: Call, name: str) -> None:
    """List a rule's versions, the newest first."""
    with open_records(call) as engine:
        with engine.db.read() as conn:
            row = get_rule(conn, name)
            rows = list_versions(conn, row.id)
        found = [{"version": one.version, "at": one.at, "author": one.author, "note": one.note} for one in rows]
        live = [{**one, "live": one["version"] == row.version} for one in found]
        call.show(live, lambda: columns(live, ("version", "live", "at", "author", "note"), zone=engine.zone))


@rules.command("diff", examples=("rules diff thank-you.yaml", "rules diff thank-you --from 1 --to 3"))
@click.argument("name")
@click.option("--from", "before", default="live", show_default=True, help="A version's number, live or draft.")
@click.option("--to", "after", default="draft", show_default=True, help="A version's number, live or draft.")
@pass_call
def diff(call: Call, name: str, before: str, after: str) -> None:
    """Show what differs: between two versions of a rule, or between a FILE and what is live."""
    path = Path(name)
    with open_records(call) as engine, engine.db.read() as conn:
        if path.is_file():
            found = "".join(_file_diff(conn, text, path) for text in read_rules([path]))
        else:
            row = get_rule(conn, name)
            texts = [_text(conn, row, _which(one)) for one in (before, after)]
            found = unified_diff(*texts, names=(f"{row.name} {before}", f"{row.name} {after}"))
    call.show({"diff": found}, lambda: found.rstrip("\n"))
    if not found:
        call.say("no difference")


def _which(text: str) -> str:
    if text in ("draft", "live") or (text.isascii() and text.isdigit() and 0 < len(text) < 8):
        return text
    raise InvalidInput("version", f"{text!r} is neither a version's number nor draft or live")


def _file_diff(conn: Any, text: str, path: Path) -> str:
    name = str(read_yaml(text).get("rule", ""))
    row = find_rule(conn, name)
    before = _text(conn, row, None) if row else ""
    return unified_diff(before, text, names=(f"{name} live", str(path)))


@rules.command("lint", examples=("rules lint rules/*.yaml", "rules lint thank-you.yaml --json"))
@click.argument("file", nargs=-1, required=True, type=FILE)
@pass_call
def lint(call: Call, file: tuple[Path, ...]) -> int:
    """Check rule files: what can never work, what is missing, what may chase its own tail. Changes nothing."""
    with open_engine(call) as engine:
        found = [
            {"file": str(path), **finding}
            for path in file
            for text in read_rules([path])
            for finding in _lint(engine, text)
        ]
    call.show(found, lambda: "\n".join(f"{one['file']}: {one['severity']}: {_place(one)}" for one in found))
    errors = sum(one["severity"] == "error" for one in found)
    call.say(
        f"{counted(len(file), 'file')}, {counted(errors, 'error')}, {counted(len(found) - errors, 'other finding')}"
    )
    return FAILED if errors else 0


def _lint(engine: Any, text: str) -> list[dict[str, Any]]:
    try:
        return check_rule(engine, read_yaml(text))
    except RuleError as exc:
        return [{"severity": "error", "path": exc.path, "message": exc.reason}]


def _place(finding: dict[str, Any]) -> str:
    return f"{finding['path']}: {finding['message']}" if finding["path"] else finding["message"]


@rules.command("test", examples=("rules test thank-you.yaml --last 50", "rules test thank-you --event ID --json"))
@click.argument("rule")
@click.option("--last", type=click.IntRange(1, 5000), default=50, show_default=True, help="So many recorded events.")
@click.option("--event", help="Only on the event with this id.")
@pass_call
def test(call: Call, rule: str, last: int, event: str | None) -> None:
    """Say what a rule (a FILE, or one by name) would have done on recorded events; nothing is written or sent."""
    path = Path(rule)
    with open_engine(call) as engine:
        with engine.db.read() as conn:
            text = read_rules([path])[0] if path.is_file() else _text(conn, get_rule(conn, rule), None)
            given = _event(conn, event) if event else None
        told = simulate(engine, text, last=last, event=given)
    call.show(told, lambda: _funnel(told))


def _event(conn: Any, event_id: str) -> dict[str, Any]:
    event = find_event(conn, event_id)
    if event is None:
        raise NotFound(f"no event {event_id!r}")
    return {"type": event.type, "data": event.data, "key": event.key, "customer": event.customer}


def _funnel(told: dict[str, Any]) -> str:
    """Return the way of the events through the conditions to what would have been done."""
    stages = [
        {"stage": f"{row['path']}: {_condition(row['told'])}", "passed": row["passed"], "cannot_check": row["unknown"]}
        for row in told["funnel"]
    ]
    kinds: dict[str, int] = {}
    for result in told["results"]:
        for effect in result.get("effects", ()):
            kinds[effect["kind"]] = kinds.get(effect["kind"], 0) + 1
    lines = [counted(told["events"], "event"), columns(stages, ("stage", "passed", "cannot_check"))]
    return "\n".join([line for line in lines if line] + [pairs({**told["counts"], **kinds})]).rstrip()


def _condition(told: dict[str, Any]) -> str:
    words = (_value(value) for value in told.values() if value is not None)
    return " ".join(words).replace("_", " ") if "group" in told else " ".join(words)


def _value(value: Any) -> str:
    """Return what a condition expects as people write it: 100 TRY, other fields by name, lists with commas."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_value, value))
    if isinstance(value, dict) and not value.keys() & {"amount", "field"}:
        return ", ".join(f"{name} {_value(part)}" for name, part in value.items())
    return say_value(value)
