"""Rules as files: read, exported to a folder and imported from one, without loss."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from commands.call import ACTOR, FAILED, Call, pass_call
from commands.noun import Verb
from commands.opening import open_engine, open_records
from commands.output import columns
from commands.replay import rule_files
from commands.rule_names import choose
from core.errors import InvalidInput, RuleError, UserError
from core.writer import Tx
from rules.check import ensure_heard, ensure_ready
from rules.engine import Engine
from rules.rule import read_yaml
from rules.store import LIVE, find_rule, get_version, save_draft
from rules.yaml_text import read_rule_text, split_documents

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


def read_rules(paths: Iterable[Path]) -> list[str]:
    """Return the texts of all rules in some files; raise RuleError for what cannot be read."""
    found: list[str] = []
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as exc:
            raise RuleError("", f"{path} is not UTF-8 text") from exc
        except OSError as exc:
            raise UserError(f"{path} cannot be read: {exc.strerror}") from exc
        parts = split_documents(text)
        if not parts:
            raise RuleError("", f"{path} holds no rule")
        # A file with one rule stays as it is, to the letter.
        found += [text] if len(parts) == 1 else parts
    return found


def current_text(conn: Any, row: Any) -> str | None:
    """Return what is being worked on: the draft, else the live text."""
    if row.draft is not None or row.version is None:
        return row.draft
    return get_version(conn, row.id, row.version).text


@click.command(
    "export",
    cls=Verb,
    tries=True,
    examples=("rules export ./rules", "rules export ./rules 'late-*'", "rules export . --dry-run"),
)
@click.argument("folder", type=_FOLDER)
@click.argument("name", nargs=-1)
@pass_call
def export(call: Call, folder: Path, name: tuple[str, ...]) -> int:
    """Write rules into a folder, one YAML file each, comments kept; files that are the same are left alone."""
    with open_records(call) as engine, engine.db.read() as conn:
        texts = {row.name: current_text(conn, row) for row in choose(conn, name or ("*",))}
    results = [_write(call, folder, rule, text) for rule, text in texts.items() if text is not None]
    call.show(results, lambda: columns(results, ("file", "result")))
    return call.changed(sum(result["result"] != "same" for result in results))


def _write(call: Call, folder: Path, rule: str, text: str) -> dict[str, str]:
    path = folder / f"{rule}.yaml"
    if path.resolve().parent != folder.resolve():
        raise InvalidInput("name", f"{rule!r} cannot be the name of a file")
    try:
        before = path.read_bytes() if path.exists() else None
        if before != text.encode() and not call.dry_run:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
    except OSError as exc:
        raise UserError(f"{path} cannot be written: {exc.strerror}") from exc
    result = "created" if before is None else "same" if before == text.encode() else "changed"
    return {"rule": rule, "file": str(path), "result": result}


@click.command(
    "import", cls=Verb, tries=True, examples=("rules import ./rules", "rules import ./rules --publish --state watching")
)
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--publish", is_flag=True, help="Publish them; otherwise they become drafts.")
@click.option("--state", type=click.Choice(["on", "watching", "off"]), help="With --publish: switch them too.")
@pass_call
def import_(call: Call, folder: Path, publish: bool, state: str | None) -> int:
    """Take in all rules of a folder (*.yaml) or file; each answers for itself."""
    if state and not publish:
        raise InvalidInput("state", "needs --publish: a draft has no state")
    texts = read_rules(rule_files(folder))
    with open_engine(call) as engine:
        results = [_take(call, engine, text, publish=publish, state=state) for text in texts]
    call.show(results, lambda: columns(results, ("rule", "result", "error")))
    if any(result["error"] for result in results):
        return FAILED
    return call.changed(sum(result["result"] != "same" for result in results))


def _take(call: Call, engine: Engine, text: str, *, publish: bool, state: str | None) -> dict[str, Any]:
    try:
        document = read_rule_text(text)
        name = document.get("rule")
        if not isinstance(name, str):
            raise RuleError("rule", "is missing: the rule's name")
        if publish:
            return publish_text(call, engine, text, state=state)
        return _save(call, engine, name, text)
    except RuleError as exc:
        name = read_name(text)
        return {"rule": name, "result": "refused", "version": None, "state": None, "error": exc.message}


def read_name(text: str) -> str | None:
    """Return the name in a rule's text, as far as it can be read."""
    try:
        name = read_yaml(text).get("rule")
    except RuleError:
        return None
    return name if isinstance(name, str) else None


def _save(call: Call, engine: Engine, name: str, text: str) -> dict[str, Any]:
    with engine.db.read() as conn:
        row = find_rule(conn, name)
        same = row is not None and current_text(conn, row) == text
    if not same and not call.dry_run:
        now = engine.clock.now()

        def work(tx: Tx) -> str:
            return save_draft(tx, name, text, actor=ACTOR, now=now)

        engine.writer.do(work)
    result = "created" if row is None else "same" if same else "changed"
    return {
        "rule": name,
        "result": result,
        "version": row and row.version,
        "state": row.state if row else "off",
        "error": None,
    }


def publish_text(
    call: Call, engine: Engine, text: str, *, state: str | None, note: str | None = None
) -> dict[str, Any]:
    """Publish one rule and tell what that changed; a dry run checks and compares only."""
    document = read_rule_text(text)
    with engine.db.read() as conn:
        row = find_rule(conn, str(document.get("rule")))
        live = get_version(conn, row.id, row.version).text if row is not None and row.version is not None else None
    before = row.state if row else "off"
    check_document(engine, document, state or before)
    if call.dry_run:
        name, number = str(document["rule"]), (row.version or 0) + (live != text) if row else 1
    else:
        rule = engine.publish(text, actor=ACTOR, note=note, state=state)
        name, number = rule.name, rule.version
    word = "created" if live is None else "same" if live == text and (state or before) == before else "changed"
    return {"rule": name, "result": word, "version": number, "state": state or before, "error": None}


def check_document(engine: Engine, document: dict[str, Any], state: str) -> None:
    """Raise RuleError for a document that could not be published in this state."""
    if state in LIVE:
        ensure_ready(engine, document)
    else:
        ensure_heard(engine, document)


EXCHANGE = (export, import_)
