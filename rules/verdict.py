"""A run's verdict on a condition: what only facts and plugins can tell is asked for first."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rules.conditions import ASKED, Condition, find_compared
from rules.operators import ASKING

if TYPE_CHECKING:
    from rules.run import Port, Run


def judge(condition: Condition, run: "Run", port: "Port", data: Mapping[str, Any]) -> bool | None:
    """Evaluate a condition, taking the facts and the answers of plugins' operators that it needs into the picture."""
    ask_facts(condition, run, port, data)
    if condition.foreign:
        data["facts"].update(port.compare(find_compared(condition, data)))
        data["facts"][ASKING] = None
    return condition.test(data)


def ask_facts(condition: Condition, run: "Run", port: "Port", data: Mapping[str, Any]) -> None:
    """Load the facts that a condition asks for into the picture."""
    missing = [use for use in condition.facts if not use.is_asked(data)]
    if missing:
        data["facts"].update(port.load_facts(run, missing, data))
        data["facts"].setdefault(ASKED, []).extend(use.slot for use in missing)
