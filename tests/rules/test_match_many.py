"""The index with many rules of one kind: words inside words, limits side by side, rules that come one by one."""

from random import Random
from typing import Any

import pytest

from rules.match import Matcher
from rules.rule import Rule, compile_rule

LETTERS = "aıikr"


def make_rule(ident: str, condition: Any) -> Rule:
    document = {"rule": f"r{ident}", "when": {"event": "order.paid"}, "if": condition, "then": [{"stop": True}]}
    return compile_rule(document, id=ident)


def names(matcher: Matcher, value: Any) -> list[str]:
    return [rule.name for rule in matcher.match("order.paid", {"a": value, "order": {"a": value}})]


def plainly(rules: dict[str, Rule], value: Any) -> list[str]:
    data = {"a": value, "order": {"a": value}}
    return sorted(rule.name for rule in rules.values() if rule.condition.test(data) is True)


def a_word(random: Random) -> str:
    return "".join(random.choices(LETTERS, k=random.randrange(1, 5)))


def a_limit(random: Random) -> Any:
    amount = random.choice([5, 7.5, 20, 33]) + random.randrange(50)
    return random.choice([amount, {"amount": str(amount), "currency": "TRY"}])


def word_row(random: Random) -> Any:
    return {"field": "order.a", "is": "contains", "value": [a_word(random) for _ in range(random.randrange(1, 3))]}


def limit_row(random: Random) -> Any:
    return {"field": "a", "is": random.choice(["at_least", "above", "at_most", "below"]), "value": a_limit(random)}


def between_row(random: Random) -> Any:
    low = random.randrange(50)
    return {"field": "order.a", "is": "between", "value": [low, low + random.randrange(20)]}


def value_row(random: Random) -> Any:
    wanted = [random.choice([a_word(random), a_word(random).upper()]) for _ in range(random.randrange(1, 4))]
    return {"field": "order.a", "is": "any_of", "value": wanted}


def a_text(random: Random) -> Any:
    text = "".join(random.choices(LETTERS + LETTERS.upper() + " ", k=30))
    return random.choice([text, text[:3], "KARİ", 7])


def an_amount(random: Random) -> Any:
    amount = random.randrange(100)
    return random.choice([amount, str(amount), {"amount": f"{amount}.50", "currency": "TRY"}, [amount], None])


# row of a rule, value of an event
KINDS = {
    "words": (word_row, a_text),  # words that overlap, and words inside words
    "limits": (limit_row, an_amount),
    "spans": (between_row, an_amount),
    "values": (value_row, a_text),
}


@pytest.mark.parametrize("kind", KINDS)
def test_many_rules_of_a_kind_come_and_go(kind: str) -> None:
    make_row, make_value = KINDS[kind]
    random = Random(7)
    matcher = Matcher()
    rules: dict[str, Rule] = {}

    def put(ident: str) -> None:
        rules[ident] = make_rule(ident, make_row(random))
        matcher.add(rules[ident])

    for number in range(400):  # all at once, as at the start
        put(str(number))
    for turn in range(300):  # one by one, as people change them
        ident = str(random.randrange(450))
        if turn % 3 and ident in rules:
            del rules[ident]
            matcher.remove(ident)
        else:
            put(ident)
        value = make_value(random)
        assert names(matcher, value) == plainly(rules, value), value
    for ident in list(rules)[30:]:  # nearly all go: what is left must not go with them
        del rules[ident]
        matcher.remove(ident)
    for value in [make_value(random) for _ in range(50)]:
        assert names(matcher, value) == plainly(rules, value), value
    for ident in list(rules):
        matcher.remove(ident)
    assert names(matcher, make_value(random)) == []
    assert not matcher.listens("order.paid")


def test_rules_are_found_alike_below_and_above_a_few() -> None:
    random = Random(3)
    matcher = Matcher(few=5)
    rules: dict[str, Rule] = {}
    for number in range(20):
        make_row, _ = random.choice(list(KINDS.values()))
        rules[str(number)] = make_rule(str(number), make_row(random))
        matcher.add(rules[str(number)])
        for make_value in (a_text, an_amount):
            value = make_value(random)
            assert names(matcher, value) == plainly(rules, value), value
