"""One plugin: its accounts, the form of their settings, the test of a connection with values not saved yet."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.accounts import DEFAULT, Account, cleared_secrets, find_account, full_settings, scope_of, secret_names
from core.errors import InvalidInput
from core.manifests import Standing, read_standing
from core.schemas import compile_schema, with_defaults
from rules.labels import Labels
from rules.uses import read_uses
from web.api.accounts import forget_account, try_connection, write_account
from web.forms import Control, is_hidden, keep_hidden, make_controls, read_form
from web.pages.plugins.calls import call_of
from web.pages.plugins.gallery import PAGE, READERS, WRITERS, card_of
from web.problems import to_pointer
from web.visits import Answer, Visit

_SETTINGS = "settings"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """What a form shows: stored settings, or those that somebody just typed."""

    settings: Mapping[str, Any]
    #: JSON pointer -> the text that is no JSON.
    unreadable: Mapping[str, str]
    errors: Mapping[str, str]


@PAGE.get("/plugins/{name}", READERS)
def show(visit: Visit) -> Answer:
    """Show a plugin: how it stands, its accounts, what it brings and who uses it."""
    return _show(visit, visit.query.get("account") or "")


def _show(visit: Visit, account: str, draft: _Draft | None = None, *, tested: Any = None, status: int = 200) -> Answer:
    name, engine = visit.names["name"], visit.engine
    with engine.db.read() as conn:
        standing = read_standing(engine.host, conn, name)
        uses = read_uses(engine, conn, name, visit.language)
        chosen = account or (standing.accounts[0] if standing.accounts else DEFAULT)
        form = _form(visit, conn, standing, chosen, draft) if standing.plugin.brought else {}
    return visit.render(
        "plugins/show.html",
        status=status,
        active="plugins",
        card=card_of(visit, standing),
        standing=standing,
        uses=uses,
        account=chosen,
        several=bool(standing.manifest.get("accounts")),
        labels=Labels(engine, visit.language),
        base_url=engine.settings.base_url,
        tested=tested,
        may_write=visit.may(*WRITERS),
        **form,
    )


def _form(visit: Visit, conn: Any, standing: Standing, account: str, draft: _Draft | None) -> dict[str, Any]:
    """Return the controls of an account's settings, and the errors that belong to none of them."""
    schema, plugin = standing.settings, standing.plugin.name
    stored = find_account(conn, plugin, account)
    before = stored.settings if stored else {}
    hints = dict(visit.engine.secrets.names(conn, scope_of(plugin, account)))
    hidden = {name for name, part in schema.get("properties", {}).items() if is_hidden(name, part)}
    hints.update({name: "" for name in hidden - set(hints) if before.get(name)})
    shown = draft.settings if draft else before
    controls = make_controls(
        schema, {key: value for key, value in shown.items() if key not in hidden}, visit.language, secrets=hints
    )
    errors = _at_controls(draft.errors, controls) if draft else {}
    return {
        "is_new": stored is None,
        "controls": [control for control in controls if control.kind != "secret"],
        "secrets": [control for control in controls if control.kind == "secret"],
        "unreadable": dict(draft.unreadable) if draft else {},
        "errors": errors,
        "others": [(place, text) for place, text in errors.items() if place not in set(_names(controls))],
    }


def _names(controls: Iterable[Control]) -> Iterator[str]:
    for control in controls:
        yield control.name
        yield from _names(control.children)


def _at_controls(errors: Mapping[str, str], controls: list[Control]) -> dict[str, str]:
    """Return each error under the control that holds its place: that of a list's entry under the list."""
    names, found = set(_names(controls)), {}
    for place, text in errors.items():
        near = place
        while near and near not in names:
            near = near.rpartition("/")[0]
        found.setdefault(near or place, text)
    return found


@PAGE.post("/plugins/{name}/draw", WRITERS)
def draw(visit: Visit) -> Answer:
    """Draw the form anew for what was chosen in it; nothing is saved."""
    schema, account = _schema(visit), _account(visit)
    sent = read_form(schema, visit.form)
    draft = _Draft(settings=sent.data, unreadable=sent.unreadable, errors={})
    if not visit.is_fragment:
        return _show(visit, account, draft)
    with visit.engine.db.read() as conn:
        standing = read_standing(visit.engine.host, conn, visit.names["name"])
        form = _form(visit, conn, standing, account, draft)
    return visit.render("plugins/fields.html", plugin=visit.names["name"], may_write=True, **form)


@PAGE.post("/plugins/{name}/settings", WRITERS)
def save(visit: Visit) -> Answer:
    """Save an account; on errors the form comes back with what was typed, except the secrets."""
    account, name = _account(visit), visit.names["name"]
    draft = _checked(visit, account)
    if not draft.errors:
        call = call_of(visit, {"name": name, "account": account}, {_SETTINGS: dict(draft.settings)})
        try:
            write_account(call)
        except InvalidInput as exc:
            draft = _refused(visit, draft, exc)
    if draft.errors:
        return _show(visit, account, draft, status=422)
    return visit.go(f"/plugins/{name}?account={account}#account", visit.say("Saved."))


@PAGE.post("/plugins/{name}/test", WRITERS, limit="test")
def test(visit: Visit) -> Answer:
    """Try the connection with the values in the form, saved or not; at most ten seconds."""
    account, name = _account(visit), visit.names["name"]
    draft, tested = _checked(visit, account), None
    if not draft.errors:
        body = {"account": account, _SETTINGS: dict(draft.settings)}
        try:
            tested = try_connection(call_of(visit, {"name": name}, body)).body
        except InvalidInput as exc:
            draft = _refused(visit, draft, exc)
    if not visit.is_fragment:
        return _show(visit, account, draft, tested=tested)
    labelled = [(_label(visit, place), text) for place, text in draft.errors.items()]
    return visit.render("plugins/tested.html", tested=tested, problems=labelled)


@PAGE.post("/plugins/{name}/forget", WRITERS)
def forget(visit: Visit) -> Answer:
    """Forget an account with its secrets."""
    name, account = visit.names["name"], _account(visit)
    forget_account(call_of(visit, {"name": name, "account": account}))
    return visit.go(f"/plugins/{name}", visit.say("Forgotten, with its secrets."))


def _schema(visit: Visit) -> dict[str, Any]:
    return dict(visit.engine.host.get_on(visit.names["name"]).manifest.get(_SETTINGS) or {})


def _account(visit: Visit) -> str:
    return visit.field("account") or DEFAULT


def _checked(visit: Visit, account: str) -> _Draft:
    """Return what the form says, with everything in it that does not fit."""
    schema, engine, plugin = _schema(visit), visit.engine, visit.names["name"]
    sent = read_form(schema, visit.form)
    with engine.db.read() as conn:
        stored = find_account(conn, plugin, account)
        settings = keep_hidden(schema, sent.data, stored.settings if stored else {})
        secret = full_settings(conn, engine.secrets, schema, Account(plugin=plugin, name=account, settings={}))
    hidden, cleared = secret_names(schema), cleared_secrets(schema, settings)
    whole = {**{key: value for key, value in secret.items() if key in hidden}, **settings}
    whole = {key: value for key, value in whole.items() if key not in cleared}
    errors = {place: visit.say("This is not JSON: check brackets, commas and quotes.") for place in sent.unreadable}
    for problem in compile_schema(schema).problems(with_defaults(schema, whole), visit.language):
        errors.setdefault(to_pointer(problem.path), _sentence(problem.message))
    return _Draft(settings=settings, unreadable=sent.unreadable, errors=errors)


def _refused(visit: Visit, draft: _Draft, exc: InvalidInput) -> _Draft:
    """Return the draft with what a service refused beyond the schema."""
    place = to_pointer(exc.path).removeprefix(f"/{_SETTINGS}")
    text = _sentence(exc.reason)
    if place.removeprefix("/") in secret_names(_schema(visit)):
        text = visit.say("Type it once more: the address changed, and a stored secret never follows to a new one.")
    return _Draft(settings=draft.settings, unreadable=draft.unreadable, errors={place: text})


def _label(visit: Visit, place: str) -> str:
    controls = make_controls(_schema(visit), {}, visit.language)
    found = {control.name: control.label for control in controls}
    top = "/" + place.strip("/").partition("/")[0]
    return found.get(top, place.strip("/"))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
