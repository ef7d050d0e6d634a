"""`doctor`: looks for what is wrong or soon will be, and says what to do about it."""

import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import click

from commands.call import FAILED, PROGRAM, Call, pass_call
from commands.noun import Verb
from commands.opening import open_records
from commands.output import cell, columns, counted
from core.db import sqlite_path
from core.errors import VitrinError
from core.listing import list_events
from core.people import People
from core.policy.caps import list_caps, measure
from core.policy.pause import find_pause
from core.schema_version import current
from rules.engine import Engine
from rules.pulse import EVERY_S, Note, jobs_behind, read_notes
from rules.runs import count_outcomes, overdue

_LOW, _FULL = 1 << 30, 100 << 20
_LATE = timedelta(minutes=1)
_AHEAD = timedelta(minutes=2)
#: What a process noted of itself counts for so long; a disk that needs longer for a commit is a slow one.
_NOTED = timedelta(seconds=10 * EVERY_S)
_SLOW_S = 0.25
_LATE_S = 60.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found."""

    check: str
    #: ok, warning, error
    state: str
    message: str
    #: What to do; nothing where all is well.
    next: str = ""


def ok(check: str, message: str) -> Finding:
    return Finding(check, "ok", message)


@click.command(cls=Verb, examples=("doctor", "doctor --json"))
@pass_call
def doctor(call: Call) -> int:
    """Look for what is wrong, or soon will be; exit code 1 where something is."""
    found = list(_look(call))
    rows = [asdict(finding) for finding in found]
    call.show(rows, lambda: columns(rows, ("state", "check", "message", "next")))
    return FAILED if any(finding.state == "error" for finding in found) else 0


def _look(call: Call) -> Iterator[Finding]:
    yield from _place(call)
    yield _zone(call)
    try:
        with open_records(call) as engine:
            yield _database(engine)
            yield from _each(_BEFORE, call, engine)
            engine.open()
            yield from _each(_OPEN, call, engine)
    except VitrinError as exc:
        yield Finding("database", "error", exc.message, call.next or "")


def _each(looks: tuple[Callable[[Call, Engine], Finding], ...], call: Call, engine: Engine) -> Iterator[Finding]:
    for look in looks:
        try:
            yield look(call, engine)
        except VitrinError as exc:
            yield Finding(look.__name__.strip("_"), "error", exc.message)


def _place(call: Call) -> Iterator[Finding]:
    home = call.settings.home
    if not home.exists():
        yield Finding("home", "error", f"the folder {home} does not exist", f"{PROGRAM} db init")
        return
    free = shutil.disk_usage(home).free
    message = f"{free / (1 << 30):.1f} GiB are left on the disk of {home}"
    state = "error" if free < _FULL else "warning" if free < _LOW else "ok"
    yield Finding("disk", state, message, "free some space" if state != "ok" else "")
    yield _key_file(call)


def _key_file(call: Call) -> Finding:
    path = call.settings.key_file
    if not path.exists():
        return Finding("key_file", "warning", f"{path} is not there yet; the first start makes it")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return Finding("key_file", "error", f"{path} can be read by others ({mode:04o})", f"chmod 600 {path}")
    return ok("key_file", f"{path} is readable by its owner only")


def _zone(call: Call) -> Finding:
    zone, origin = call.settings.zone, call.settings.origin("zone")
    if origin == "default":
        words = f"days and quiet hours count in {zone}, because no zone is set"
        return Finding("zone", "warning", words, "set zone in vitrin.toml, such as zone = 'Europe/Istanbul'")
    return ok("zone", f"days and quiet hours count in {zone} (from {origin})")


def _database(engine: Engine) -> Finding:
    with engine.db.read() as conn:
        step = current(conn)
    where = sqlite_path(engine.db.url) if engine.db.is_sqlite else engine.db.url.host
    return ok("database", f"{where} answers, schema {step or 'without steps'}")


def _clock(call: Call, engine: Engine) -> Finding:
    with engine.db.read() as conn:
        newest = list_events(conn, {}, limit=1)
    now = engine.clock.now()
    latest = newest[0]["received_at"] if newest else now
    if latest > now + _AHEAD:
        words = f"the newest event came at {cell(latest)} UTC, later than now ({cell(now)})"
        return Finding("clock", "error", words, "set the machine's clock (timedatectl set-ntp true)")
    return ok("clock", f"it is {cell(now)} UTC, {cell(now, engine.zone)} in the shop")


def _paused(call: Call, engine: Engine) -> Finding:
    with engine.db.read() as conn:
        pause = find_pause(conn)
    if pause is None:
        return ok("pause", "nothing is paused")
    words = f"everything is paused since {cell(pause.at)} UTC by {pause.by}: {pause.reason}"
    return Finding("pause", "warning", words, f"{PROGRAM} resume")


def _caps(call: Call, engine: Engine) -> Finding:
    now = engine.clock.now()
    with engine.db.read() as conn:
        found = [(cap, measure(conn, cap, now, engine.zone)) for cap in list_caps(conn)]
    hit = [(cap, use) for cap, use in found if use.reached]
    if not hit:
        return ok("caps", f"{counted(len(found), 'cap')} over all rules, none of them reached" if found else "no caps")
    words = "; ".join(
        f"{cap.name} is reached ({cap.words}" + (f", by {use.reached} of them)" if cap.per == "customer" else ")")
        for cap, use in hit
    )
    return Finding("caps", "warning", words, f"{PROGRAM} caps list")


def _due(call: Call, engine: Engine) -> Finding:
    now = engine.clock.now()
    with engine.db.read() as conn:
        rows = overdue(conn, now)
    late = [row for row in rows if now - row["oldest"] > _LATE]
    if not late:
        count = sum(row["count"] for row in rows)
        return ok("due", f"{counted(count, 'run')} due now, none of them late")
    count, oldest = sum(row["count"] for row in late), min(row["oldest"] for row in late)
    words = f"{counted(count, 'run')} due, the oldest since {cell(oldest)} UTC"
    return Finding("due", "warning", words, f"is the engine running? {PROGRAM} run")


def _jobs(call: Call, engine: Engine) -> Finding:
    with engine.db.read() as conn:
        count, oldest_s = jobs_behind(conn, engine.clock.now())
    if oldest_s <= _LATE.total_seconds():
        return ok("jobs", f"{counted(count, 'job')} due now, none of them late")
    words = f"{counted(count, 'job')} due, the oldest for {oldest_s:.0f} s"
    return Finding("jobs", "warning", words, f"is the engine running? {PROGRAM} run")


def _pulse(call: Call, engine: Engine) -> Finding:
    with engine.db.read() as conn:
        notes = read_notes(conn, engine.clock.now() - _NOTED)
    if not notes:
        return ok("pace", "no process has worked on runs in the last minutes")
    words = "; ".join(_in_words(note) for note in notes)
    slow = [note for note in notes if note.commit_s[1] > _SLOW_S]
    if slow:
        return Finding("pace", "warning", words, f"the disk of {slow[0].node} is slow: look what else writes to it")
    if any(note.lag_s[1] > _LATE_S for note in notes):
        return Finding("pace", "warning", words, f"more comes in than is done: see {PROGRAM} rules list and 'workers'")
    return ok("pace", words)


def _in_words(note: Note) -> str:
    commits = f"commits of {note.group:g} pieces take {note.commit_s[0]:g} s, nearly all at most {note.commit_s[1]:g} s"
    runs = (
        f"batches of {note.batch:g} runs begin {note.lag_s[0]:g} s after they are due, nearly all {note.lag_s[1]:g} s"
    )
    dear = [f"{rule} {seconds / walks * 1000:.2g} ms a run" for rule, walks, seconds in note.rules[:3]]
    calls = [f"{count} calls of {plugin} wait" for plugin, count in sorted(note.calls.items())]
    return f"{note.node}: {', '.join([commits, runs, *calls, *(['dearest: ' + ', '.join(dear)] if dear else [])])}"


def _dead(call: Call, engine: Engine) -> Finding:
    with engine.db.read() as conn:
        failed = {rule: counts["failed"] for rule, counts in count_outcomes(conn).items() if counts.get("failed")}
    if not failed:
        return ok("dead_letters", "no run has failed")
    words = ", ".join(f"{rule}: {count}" for rule, count in sorted(failed.items()))
    return Finding(
        "dead_letters", "warning", f"failed runs wait for a person: {words}", f"{PROGRAM} runs list --outcome failed"
    )


def _claimed(call: Call, engine: Engine) -> Finding:
    with engine.db.read() as conn:
        claimed = People(engine.db, engine.writer, engine.clock).is_claimed(conn)
    if claimed:
        return ok("admin", "an admin with a password exists")
    state = "ok" if call.settings.host in ("127.0.0.1", "::1", "localhost") else "error"
    words = "no admin has a password yet: only this machine is listened to"
    return Finding("admin", state, words, f"{PROGRAM} users add ADDRESS --role admin" if state != "ok" else "")


def _plugins(call: Call, engine: Engine) -> Finding:
    ill = [plugin for plugin in engine.host if plugin.quarantine]
    if not ill:
        return ok(
            "plugins", f"{counted(sum(plugin.brought is not None for plugin in engine.host), 'plugin')} on, all well"
        )
    words = "; ".join(f"{plugin.name} was switched off: {plugin.quarantine}" for plugin in ill)
    return Finding("plugins", "error", words, f"{PROGRAM} plugins enable {ill[0].name}")


def _rules(call: Call, engine: Engine) -> Finding:
    broken: dict[str, Any] = engine.book.broken
    if not broken:
        return ok("rules", f"{counted(len(list(engine.book)), 'live rule')}, all can be run")
    words = "; ".join(f"{name} cannot be run: {reason}" for name, reason in sorted(broken.items()))
    return Finding("rules", "error", words, f"{PROGRAM} rules show {min(broken)}")


_BEFORE = (_clock, _paused, _caps, _due, _jobs, _pulse, _dead, _claimed)
_OPEN = (_plugins, _rules)
