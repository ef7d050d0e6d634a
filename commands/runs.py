"""`runs`: what rules did or are doing, and what a person may do about it."""

from collections.abc import Callable
from typing import Any

import click

from commands.call import ACTOR, Call, pass_call
from commands.noun import Noun
from commands.opening import open_records, write
from commands.output import cell, columns, pairs
from core.writer import Tx
from rules.runs import OUTCOMES, cancel_run, decide, get_run, list_runs, retry_run

_SHOWN = ("id", "rule", "outcome", "key", "started_at", "reason")


@click.group(cls=Noun, examples=("runs list --outcome failed", "runs show ID", "runs retry ID"))
def runs() -> None:
    """Look at runs; retry, cancel, approve and refuse them."""


@runs.command("list", examples=("runs list", "runs list --rule thank-you --outcome held --json"))
@click.option("--rule", help="Only of this rule.")
@click.option("--outcome", type=click.Choice(OUTCOMES), help="Only with this outcome.")
@click.option("--key", help="Only about this order, customer or SKU.")
@click.option("--customer", help="Only about this customer.")
@click.option("--event", help="Only those that this event started.")
@click.option("--before", help="Go on after the run with this id: the next page.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@pass_call
def list_(call: Call, limit: int, before: str | None, **where: str | None) -> None:
    """List runs, the newest first."""
    with open_records(call) as engine:
        with engine.db.read() as conn:
            found = list_runs(conn, limit=limit, before=before, **where)
        call.show(found, lambda: columns(found, _SHOWN, zone=engine.zone))
    if not found:
        call.say("no runs")


@runs.command("show", examples=("runs show ID", "runs show ID --json"))
@click.argument("run")
@pass_call
def show(call: Call, run: str) -> None:
    """Show one run: what it did, step by step, with what was expected and what was there."""
    with open_records(call) as engine:
        with engine.db.read() as conn:
            found = get_run(conn, run)
        call.show(found, lambda: _tell(found, engine.zone))


def _tell(run: dict[str, Any], zone: Any) -> str:
    head = pairs({name: value for name, value in run.items() if name not in ("trace", "effects")}, zone=zone)
    lines = [f"  {' '.join(f'{name}={cell(value, zone)}' for name, value in line.items())}" for line in run["trace"]]
    done = columns(run["effects"], ("kind", "action", "state", "object", "reason"), zone=zone)
    return "\n".join([head, "trace", *lines, *(["effects", done] if done else [])])


@runs.command("retry", tries=True, examples=("runs retry ID", "runs retry ID ID --from start --version newest"))
@click.argument("run", nargs=-1, required=True)
@click.option("--from", "where", type=click.Choice(["failed", "start"]), default="failed", show_default=True)
@click.option("--version", type=click.Choice(["same", "newest"]), default="same", show_default=True)
@pass_call
def retry(call: Call, run: tuple[str, ...], where: str, version: str) -> int:
    """Let runs go again: from the failed step, or from the start as a new firing."""

    def work(tx: Tx, one: str, now: Any) -> str:
        return retry_run(tx, one, where=where, version=version, actor=ACTOR, now=now)

    return _change(call, run, "retried", work)


@runs.command("cancel", tries=True, examples=("runs cancel ID", 'runs cancel ID --reason "sent by hand"'))
@click.argument("run", nargs=-1, required=True)
@click.option("--reason", help="Kept with the run.")
@pass_call
def cancel(call: Call, run: tuple[str, ...], reason: str | None) -> int:
    """End runs that are under way; what they have done stays."""

    def work(tx: Tx, one: str, now: Any) -> str:
        cancel_run(tx, one, actor=ACTOR, now=now, reason=reason)
        return one

    return _change(call, run, "cancelled", work)


@runs.command("approve", tries=True, examples=("runs approve ID",))
@click.argument("run", nargs=-1, required=True)
@pass_call
def approve(call: Call, run: tuple[str, ...]) -> int:
    """Let held effects happen."""
    return _decide(call, run, approve=True)


@runs.command("refuse", tries=True, examples=("runs refuse ID",))
@click.argument("run", nargs=-1, required=True)
@pass_call
def refuse(call: Call, run: tuple[str, ...]) -> int:
    """Skip held effects; the runs go on without them."""
    return _decide(call, run, approve=False)


def _decide(call: Call, ids: tuple[str, ...], *, approve: bool) -> int:
    def work(tx: Tx, one: str, now: Any) -> str:
        decide(tx, one, approve=approve, actor=ACTOR, now=now)
        return one

    return _change(call, ids, "approved" if approve else "refused", work)


def _change(call: Call, ids: tuple[str, ...], word: str, work: Callable[[Tx, str, Any], str]) -> int:
    """Do one thing to several runs, all or none."""
    with open_records(call) as engine:
        now = engine.clock.now()
        done = write(call, engine, lambda tx: [work(tx, one, now) for one in ids])
    results = [{"run": one, "result": word, "now": new} for one, new in zip(ids, done, strict=True)]
    call.show(results, lambda: "\n".join(f"{row['now']} {word}" for row in results))
    return call.changed(len(results))
