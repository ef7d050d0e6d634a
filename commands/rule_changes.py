"""What changes rules: published, switched on, watching and off, restored, archived; one or many."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from commands.call import ACTOR, FAILED, Call, pass_call
from commands.noun import Verb
from commands.opening import open_engine, open_records, write
from commands.output import columns
from commands.rule_files import FILE, check_document, publish_text, read_name, read_rules
from commands.rule_names import choose
from core.errors import Conflict, RuleError, UserError
from rules.runs import cancel_waiting
from rules.store import archive, get_version, restore, set_state

_RESULT = ("rule", "result", "version", "state", "error")


@click.command(
    "publish",
    cls=Verb,
    tries=True,
    examples=("rules publish thank-you.yaml", 'rules publish rules/*.yaml --state watching --note "first try"'),
)
@click.argument("file", nargs=-1, required=True, type=FILE)
@click.option("--state", type=click.Choice(["on", "watching", "off"]), help="Switch them too; new ones are off.")
@click.option("--note", help="What changed, for the list of versions.")
@pass_call
def publish(call: Call, file: tuple[Path, ...], state: str | None, note: str | None) -> int:
    """Make rule files the newest versions of their rules; each file answers for itself."""
    results = []
    with open_engine(call) as engine:
        for text in read_rules(file):
            try:
                results.append(publish_text(call, engine, text, state=state, note=note))
            except (RuleError, UserError) as exc:
                failed = {"result": "refused", "version": None, "state": None, "error": exc.message}
                results.append({"rule": read_name(text), **failed})
    call.show(results, lambda: columns(results, _RESULT))
    if any(result["error"] for result in results):
        return FAILED
    return call.changed(sum(result["result"] != "same" for result in results))


def _switch(call: Call, names: tuple[str, ...], change: Callable[[Any, Any], None], state: str) -> int:
    """Switch the named rules; each answers for itself, so that one that cannot does not keep the others."""
    opened = open_records if state == "off" else open_engine
    results = []
    with opened(call) as engine:
        with engine.db.read() as conn:
            rows = choose(conn, names)
        for row in rows:
            result = {
                "rule": row.name,
                "before": row.state,
                "state": state,
                "changed": row.state != state,
                "error": None,
            }
            try:
                change(engine, row)
            except (RuleError, UserError) as exc:
                result |= {"state": row.state, "changed": False, "error": exc.message}
            results.append(result)
    call.show(results, lambda: columns(results, ("rule", "before", "state", "error")))
    if any(result["error"] for result in results):
        return FAILED
    return call.changed(sum(result["changed"] for result in results))


def _live(call: Call, names: tuple[str, ...], state: str) -> int:
    def change(engine: Any, row: Any) -> None:
        if not call.dry_run:
            engine.switch(row.name, state, actor=ACTOR)
            return
        if row.version is None:
            raise Conflict(f"rule {row.name} has no published version yet: publish it first")
        with engine.db.read() as conn:
            document = get_version(conn, row.id, row.version).document
        check_document(engine, document, state)

    return _switch(call, names, change, state)


@click.command("enable", cls=Verb, tries=True, examples=("rules enable thank-you", "rules enable 'late-*' --dry-run"))
@click.argument("name", nargs=-1, required=True)
@pass_call
def enable(call: Call, name: tuple[str, ...]) -> int:
    """Let rules act; names may hold * and ?."""
    return _live(call, name, "on")


@click.command("watch", cls=Verb, tries=True, examples=("rules watch thank-you", "rules watch '*'"))
@click.argument("name", nargs=-1, required=True)
@pass_call
def watch(call: Call, name: tuple[str, ...]) -> int:
    """Let rules record what they would do, and do nothing; names may hold * and ?."""
    return _live(call, name, "watching")


@click.command(
    "disable", cls=Verb, tries=True, examples=("rules disable thank-you", "rules disable '*' --reason 'stock-taking'")
)
@click.argument("name", nargs=-1, required=True)
@click.option("--reason", help="Kept with the rule.")
@click.option("--stop-runs", is_flag=True, help="End the runs that are under way or wait, too.")
@pass_call
def disable(call: Call, name: tuple[str, ...], reason: str | None, stop_runs: bool) -> int:
    """Switch rules off; nothing is checked and it always works. Names may hold * and ?."""

    def change(engine: Any, row: Any) -> None:
        now = engine.clock.now()

        def work(tx: Any) -> None:
            set_state(tx, row.name, "off", actor=ACTOR, now=now, reason=reason)
            if stop_runs:
                cancel_waiting(tx, row.id, actor=ACTOR, now=now, reason=reason or "the rule was switched off")

        write(call, engine, work)

    return _switch(call, name, change, "off")


@click.command(
    "archive", cls=Verb, tries=True, asks=True, examples=("rules archive old-offer", "rules archive 'x-*' --yes")
)
@click.argument("name", nargs=-1, required=True)
@pass_call
def archive_(call: Call, name: tuple[str, ...]) -> int:
    """Switch rules off and take them out of the lists; their runs and versions stay."""
    with open_records(call) as engine:
        with engine.db.read() as conn:
            rows = choose(conn, name)
        call.confirm(f"Archive {', '.join(row.name for row in rows)}?")
        now = engine.clock.now()
        write(call, engine, lambda tx: [archive(tx, row.name, actor=ACTOR, now=now) for row in rows])
    results = [{"rule": row.name, "archived": True} for row in rows]
    call.show(results, lambda: "\n".join(f"{row.name} archived" for row in rows))
    return call.changed(len(rows))


@click.command("restore", cls=Verb, tries=True, examples=("rules restore thank-you 2",))
@click.argument("name")
@click.argument("version", type=click.IntRange(1))
@pass_call
def restore_(call: Call, name: str, version: int) -> int:
    """Make an old version the draft; publish it to make it live."""
    with open_records(call) as engine:
        now = engine.clock.now()
        write(call, engine, lambda tx: restore(tx, name, version, actor=ACTOR, now=now))
    call.show({"rule": name, "draft": version}, lambda: f"version {version} of {name} is the draft now")
    return call.changed(1)


CHANGES = (publish, enable, watch, disable, restore_, archive_)
