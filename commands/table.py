"""The table of commands: what is named here exists; a command's module is imported only when it is used."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Row:
    """One command: where it is, and what it is for."""

    #: module:name
    place: str
    summary: str


COMMANDS: Mapping[str, Row] = MappingProxyType(
    {
        "run": Row("commands.run:run", "Start the shop's engine: web, worker and clock in one process."),
        "serve": Row("commands.run:serve", "The same as run."),
        "web": Row("commands.processes:web", "Start the web API alone, one of many processes."),
        "work": Row("commands.processes:work", "Start a worker alone, one of many processes."),
        "clock": Row("commands.processes:clock", "Start a clock alone: of two, one leads."),
        "demo": Row("commands.demo:demo", "Make a demo shop, play orders and tell what happened."),
        "doctor": Row("commands.doctor:doctor", "Look for what is wrong, or soon will be."),
        "pause": Row("commands.pause:pause", "Stop every new effect, at once."),
        "resume": Row("commands.pause:resume", "End the pause."),
        "caps": Row("commands.caps:caps", "Limit what all rules together do."),
        "rules": Row("commands.rules:rules", "List, test, publish and switch rules."),
        "events": Row("commands.events:events", "Hand in events, and look at those that came."),
        "runs": Row("commands.runs:runs", "Look at runs; retry, cancel, approve and refuse them."),
        "why": Row("commands.why:why", "Say why a rule acted, or why not."),
        "effects": Row("commands.why:effects", "List what was done, to what, by which rule."),
        "imports": Row("commands.imports:imports", "Bring in files of customers, products, prices, stock and orders."),
        "undo": Row("commands.undo:undo", "Take back what was done: one effect, or a rule's last hours."),
        "plugins": Row("commands.plugins:plugins", "List, switch, set up, test and make plugins."),
        "users": Row("commands.users:users", "Add people and change what they may do."),
        "tokens": Row("commands.tokens:tokens", "Make and revoke API tokens."),
        "settings": Row("commands.settings:settings", "Show every setting, its value and where it came from."),
        "db": Row("commands.db:db", "Make, upgrade, check, back up and restore the database."),
        "replay": Row("commands.replay_command:replay", "Run rules over a folder of recorded orders."),
        "bench": Row("commands.bench:bench", "Measure."),
        "openapi": Row("commands.openapi:openapi", "Print the OpenAPI document of the HTTP API."),
        "schema": Row("commands.documents:schema", "Print the JSON Schema of rule files, for editors."),
        "docs": Row("commands.docs:docs", "Write the reference pages from the code."),
        "completion": Row("commands.documents:completion", "Print the script that completes commands in your shell."),
        "test": Row("commands.documents:test", "Run the tests of this program (only as ./vitrin test)."),
    }
)
