"""The shop's hooks: what they answer fits the contract, and every event type carries labels in three languages."""

from collections.abc import Iterator
from typing import Any

import pytest

import plugins.shop
from core.collect import collect
from core.schemas import compile_schema
from plugins.shop.actions import ACTIONS
from plugins.shop.events import EVENTS

LANGUAGES = {"en", "tr", "ru"}


def ask(hook: str) -> Any:
    found = getattr(plugins.shop, hook, None)
    return None if found is None else found()


def test_hooks_pass_the_hosts_checks():
    brought = collect("shop", ask)
    assert {action.name for action in brought.actions} >= {"tasks.create", "customers.add_tag", "orders.change_status"}
    assert {fact.name for fact in brought.facts} >= {"history.bought", "customer.orders_count", "product.stock"}
    assert {kind.name for kind in brought.events} >= {"order.created", "order.approved", "review.created"}


def test_every_effect_is_permitted_by_the_manifest():
    permitted = set(plugins.shop.vitrin_manifest()["permissions"]["effects"])
    assert {action["effect"] for action in ACTIONS} <= permitted


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind["name"])
def test_event_has_labels_and_a_true_sample(kind):
    assert set(kind["title"]) == LANGUAGES
    compile_schema(kind["schema"]).check(kind["sample"])
    unlabelled = [path for path, node in walk(kind["schema"], "") if set(node.get("x-title", {})) != LANGUAGES]
    assert unlabelled == []


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action["name"])
def test_action_has_labels(action):
    assert set(action["title"]) == LANGUAGES
    assert [path for path, node in walk(action["params"], "") if set(node.get("x-title", {})) != LANGUAGES] == []


def walk(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every property below a schema."""
    for name, node in schema.get("properties", {}).items():
        where = f"{path}.{name}"
        yield where, node
        yield from walk(node, where)
        yield from walk(node.get("items", {}), f"{where}[]")
