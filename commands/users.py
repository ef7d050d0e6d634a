"""`users`: the people who work with the shop."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from commands.call import ACTOR, PROGRAM, Call, pass_call
from commands.noun import Noun
from commands.opening import open_records, write
from commands.output import columns
from core.errors import NotFound, UserError
from core.people import LANGUAGES, ROLES, People, User
from rules.engine import Engine

_SHOWN = ("email", "name", "role", "language", "active", "has_password", "created_at")


@click.group(
    cls=Noun, examples=("users add elif@shop.example --role admin", "users link elif@shop.example", "users list")
)
def users() -> None:
    """Add people and change what they may do."""


@users.command("add", tries=True, examples=("users add elif@shop.example --role admin --name Elif --language tr",))
@click.argument("email")
@click.option("--role", type=click.Choice(ROLES), default="staff", show_default=True)
@click.option("--name", default="", help="How they are called.")
@click.option("--language", type=click.Choice(LANGUAGES), default="en", show_default=True)
@pass_call
def add(call: Call, email: str, role: str, name: str, language: str) -> int:
    """Add a person; they come in by a login link (see 'users link') and choose a password."""
    with open_records(call) as engine:
        people = _people(engine)
        user = write(
            call, engine, lambda tx: people.add(tx, email, role=role, actor=ACTOR, name=name, language=language)
        )
    call.show(_told(user), lambda: f"{user.email} added as {user.role}")
    if not call.json:
        call.say(f"their way in: {PROGRAM} users link {user.email}")
    return call.changed(1)


@users.command("list", examples=("users list", "users list --json"))
@pass_call
def list_(call: Call) -> None:
    """List people."""
    with open_records(call) as engine:
        with engine.db.read() as conn:
            found = [_told(user) for user in _people(engine).list_people(conn)]
        call.show(found, lambda: columns(found, _SHOWN, zone=engine.zone))


@users.command("role", tries=True, examples=("users role elif@shop.example manager",))
@click.argument("email")
@click.argument("role", type=click.Choice(ROLES))
@pass_call
def role_(call: Call, email: str, role: str) -> int:
    """Give a person another role; their sessions end."""
    return _change(call, email, f"is {role} now", lambda people, tx, user: people.set_role(tx, user, role, actor=ACTOR))


@users.command("deactivate", tries=True, examples=("users deactivate elif@shop.example",))
@click.argument("email")
@click.option("--undo", is_flag=True, help="Let the person in again.")
@pass_call
def deactivate(call: Call, email: str, undo: bool) -> int:
    """Let a person in no longer; their sessions and tokens end."""
    word = "may come in again" if undo else "may no longer come in"
    return _change(call, email, word, lambda people, tx, user: people.set_active(tx, user, undo, actor=ACTOR))


@users.command(
    "password",
    examples=("users password elif@shop.example", "users password elif@shop.example --password-file - < secret.txt"),
)
@click.argument("email")
@click.option("--password-file", type=click.Path(allow_dash=True, path_type=Path), help="File with it; - for stdin.")
@pass_call
def password(call: Call, email: str, password_file: Path | None) -> int:
    """Set a person's password, asked for on the terminal or read from a file or stdin; never from a flag."""
    text = _read_password(call, password_file)
    return _change(
        call, email, "has a new password", lambda people, tx, user: people.set_password(tx, user, text, actor=ACTOR)
    )


def _read_password(call: Call, path: Path | None) -> str:
    if path is not None:
        try:
            return (sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")).rstrip("\r\n")
        except OSError as exc:
            raise UserError(f"{path} cannot be read: {exc.strerror}") from exc
    if call.no_input or not sys.stdin.isatty():
        raise UserError("there is nobody to ask for the password: hand it in with --password-file - on stdin")
    return click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)


@users.command("link", examples=("users link elif@shop.example",))
@click.argument("email")
@pass_call
def link(call: Call, email: str) -> None:
    """Print a link that lets a person in once, within an hour."""
    with open_records(call) as engine:
        people = _people(engine)
        user = _find(engine, people, email)
        text = engine.writer.do(lambda tx: people.make_login_link(tx, user.id, actor=ACTOR))
    address = f"{call.settings.base_url}/login/{text}"
    call.show({"email": user.email, "link": address}, lambda: address)


def _change(call: Call, email: str, words: str, work: Any) -> int:
    with open_records(call) as engine:
        people = _people(engine)
        user = _find(engine, people, email)
        write(call, engine, lambda tx: work(people, tx, user.id))
        with engine.db.read() as conn:
            told = _told(people.get(conn, user.id))
    call.show(told, lambda: f"{user.email} {words}")
    return call.changed(1)


def _people(engine: Engine) -> People:
    return People(engine.db, engine.writer, engine.clock)


def _find(engine: Engine, people: People, email: str) -> User:
    with engine.db.read() as conn:
        user = people.find_by_email(conn, email)
    if user is None:
        raise NotFound(f"no user {email!r}")
    return user


def _told(user: User) -> dict[str, Any]:
    return {name: value for name, value in asdict(user).items() if name != "generation"}
