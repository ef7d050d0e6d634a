"""`tokens`: API tokens, shown once and then known only by their hash."""

from typing import Any

import click

from commands.call import ACTOR, Call, pass_call
from commands.noun import Noun
from commands.opening import open_records, write
from commands.output import columns
from core.errors import NotFound
from core.people import People
from core.tokens import SCOPES, Tokens
from rules.engine import Engine

_SHOWN = ("id", "name", "hint", "scopes", "created_at", "expires_at", "used_at", "revoked_at")


@click.group(cls=Noun, examples=("tokens create shop-site --scope events:write", "tokens list", "tokens revoke ID"))
def tokens() -> None:
    """Make and revoke API tokens."""


@tokens.command(
    "create", examples=("tokens create shop-site --scope events:write", "tokens create ci --scope rules:read --days 30")
)
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, help="What it may do; may be given several times.", metavar="SCOPE")
@click.option("--user", help="E-mail address of the person whom it belongs to; it ends when they are deactivated.")
@click.option("--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="When it expires.")
@click.option("--forever", is_flag=True, help="It never expires.")
@pass_call
def create(call: Call, name: str, scopes: tuple[str, ...], **given: Any) -> None:
    """Make a token and print it: it is shown only this once."""
    if not scopes:
        call.next = "one --scope or more of: " + ", ".join(SCOPES)
    with open_records(call) as engine:
        owner = _user_id(engine, given["user"]) if given["user"] else None
        made = Tokens(engine.db, engine.writer, engine.clock)
        days = None if given["forever"] else given["days"]
        text = engine.writer.do(lambda tx: made.make(tx, name=name, scopes=scopes, actor=ACTOR, user=owner, days=days))
    call.show({"token": text, "name": name, "scopes": sorted(scopes)}, lambda: text)
    call.say("keep it now: it is not shown again")


def _user_id(engine: Engine, email: str) -> str:
    with engine.db.read() as conn:
        user = People(engine.db, engine.writer, engine.clock).find_by_email(conn, email)
    if user is None:
        raise NotFound(f"no user {email!r}")
    return user.id


@tokens.command("list", examples=("tokens list", "tokens list --json"))
@pass_call
def list_(call: Call) -> None:
    """List tokens, the newest first; never the tokens themselves."""
    with open_records(call) as engine:
        rows = Tokens(engine.db, engine.writer, engine.clock).list_tokens()
        found = [{name: getattr(row, name) for name in (*_SHOWN, "user")} for row in rows]
        call.show(found, lambda: columns(found, _SHOWN, zone=engine.zone))


@tokens.command("revoke", tries=True, examples=("tokens revoke ID",))
@click.argument("token", nargs=-1, required=True)
@pass_call
def revoke(call: Call, token: tuple[str, ...]) -> int:
    """End tokens, at once."""
    with open_records(call) as engine:
        made = Tokens(engine.db, engine.writer, engine.clock)
        write(call, engine, lambda tx: [made.revoke(tx, one, actor=ACTOR) for one in token])
    call.show([{"id": one, "revoked": True} for one in token], lambda: "\n".join(f"{one} revoked" for one in token))
    return call.changed(len(token))
