# pyright: reportReturnType=false
# Hooks are specifications: their bodies are their docstrings.
"""The hooks: everything that a plugin can bring. All answer plain dicts, which the host checks as they arrive.

A plugin needs `pluggy.HookimplMarker("vitrin")` and nothing else of ours. Titles are {"en": ..., "tr": ..., "ru": ...};
schemas are JSON Schema draft 2020-12 within the keywords of `core.schemas`; times are aware UTC datetimes.
"""

from typing import Any, Protocol

import pluggy

hookspec = pluggy.HookspecMarker("vitrin")


class Hooks(Protocol):
    """The specification; only `vitrin_manifest` must be there."""

    @hookspec
    def vitrin_manifest(self) -> dict[str, Any]:
        """Say what the plugin is.

        Keys: `title`, `summary` (texts in three languages), `category`, `version`; optional `needs` {"plugins": [...],
        "engine": "0.1"}, `permissions` {"hosts": ["api.example.com", "*.example.com"], "effects": ["message"]},
        `settings` (JSON Schema of an account's settings; `writeOnly` marks a secret) and `accounts` (True when several
        accounts may be connected). Called once when the plugin is switched on; must not reach the network.
        """

    @hookspec
    def vitrin_events(self) -> list[dict[str, Any]]:
        """List event types: `name` (noun.past_participle), `title`, `schema` of the data, `sample` that fits it.

        Optional `key` and `customer`: dotted paths in the data of the record and the person the event is about.
        """

    @hookspec
    def vitrin_facts(self) -> list[dict[str, Any]]:
        """List facts: `name`, `title`, `schema` of the value, `with` (schema of parameters), `subject` (dotted path).

        `load(ctx, keys) -> {key: value}`; a key is (subject, moment, ((parameter, value), ...)), all keys of a batch
        at once; answer what was true at that moment; leave out what is not known.
        """

    @hookspec
    def vitrin_operators(self) -> list[dict[str, Any]]:
        """List operators for conditions: `name`, `title`, `types`, `test(value, wanted) -> bool`.

        Tests are never asked at intake: the runner asks them, all pairs of a batch within the time of one call. Only
        values of a kind in `types` reach them (number, money, text, choice, yes_no, date, list; `any` for all). Answer
        True, False, or None for "not known"; raising, or any other answer, fails the run and counts against the plugin.
        """

    @hookspec
    def vitrin_actions(self) -> list[dict[str, Any]]:
        """List actions: `name` (noun.verb), `title`, `params` (schema), `effect`, `scope`, `run(ctx, params) -> dict`.

        `scope` is "local" (changes only our database, through ctx) or "outside". Optional: `preview(ctx, params) ->
        dict`, `undo(ctx, result)`, `takes_key` (the other side honours ctx.idempotency_key), `repeat` ("safe" or
        "never": ask a person when a crash left it unclear), `result` (schema), `emits` (event types it may set off)
        and `writes` (fields it changes), for checks when a rule is saved. A result may name `object` ("task:ID"),
        `cost` and `undo`. Raise by `ctx.retry_later(why, after_s)`, `ctx.reject(why)`, `ctx.sign_in_again(why)`.
        """

    @hookspec
    def vitrin_pollers(self) -> list[dict[str, Any]]:
        """List pollers: `name` (poll_nouns), `title`, `schedule`, `run(ctx, cursor) -> cursor`.

        News go out by ctx.emit; the cursor is kept with them, in one transaction.
        """

    @hookspec
    def vitrin_webhooks(self) -> list[dict[str, Any]]:
        """List webhooks: `path`, `verify(ctx, request)` (raises when forged), `run(ctx, request) -> dict | None`.

        `request` has `method`, `headers` (lower-case names), `query`, `body` (the raw bytes) and `address`.
        The address is /hooks/PLUGIN/ACCOUNT/PATH; it answers 503 until the account is set up.
        """

    @hookspec
    def vitrin_tables(self) -> dict[str, Any]:
        """Bring tables of the plugin's own: `metadata` (names start with PLUGIN_) and `migrations` (folder)."""

    @hookspec
    def vitrin_recipes(self) -> list[str]:
        """List ready-made rules as YAML texts."""

    @hookspec
    def vitrin_check(self, ctx: Any) -> dict[str, Any]:
        """Test the connection with the settings in ctx: answer `account`, and optionally `next` (what to do now)."""

    @hookspec
    def vitrin_start(self, ctx: Any) -> None:
        """Get ready; called for each account after it is switched on. May raise through ctx."""

    @hookspec
    def vitrin_stop(self, ctx: Any) -> None:
        """Let go of what `vitrin_start` took; called before the account is switched off."""
