"""Consents: append-only, the latest word counts, the withdrawal wins ties."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop_records import NOON, Records

from core.errors import InvalidInput
from core.shop.consents import find_consent
from core.shop.tables import consents


def say(records: Records, granted: bool, at=None, purpose: str = "sms"):
    word = {"granted": granted} | ({"at": at, "source": "form", "evidence": "I agree"} if at else {})
    return records.do(lambda shop: shop.upsert_customer({"external_id": "17", "consents": {purpose: word}}))


def ask(records: Records, purpose: str = "sms"):
    customer = records.do(lambda shop: shop.open_customer("17"))
    return records.read(lambda conn: find_consent(conn, customer, purpose))


def test_latest_word_counts(records):
    say(records, True)
    records.later(days=1)
    records.tells()
    change = say(records, False)
    assert change.changes == {"customer.consents.sms": {"from": True, "to": False}}
    assert records.told[0].data["customer"]["consents"] == {"sms": False}
    assert ask(records) is False
    assert ask(records, "mail") is None


def test_older_news_is_kept_and_changes_nothing(records):
    say(records, False, at=NOON)
    records.tells()
    assert not say(records, True, at=NOON - timedelta(days=1)).is_changed
    assert records.count(consents) == 2
    assert ask(records) is False
    assert records.tells() == []


def test_repeated_word_is_not_written_again(records):
    say(records, True)
    records.later(days=1)
    say(records, True)
    say(records, True, at=NOON)
    assert records.count(consents) == 1


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=6), data=st.data())
def test_order_of_arrival_does_not_matter(records, words, data):
    records.clear()
    for granted, hour in data.draw(st.permutations(words)):
        say(records, granted, at=NOON + timedelta(hours=hour))
    last = max(hour for _, hour in words)
    assert ask(records) is all(granted for granted, hour in words if hour == last)


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ({"sms": "yes"}, "customer.consents.sms"),  # a word is no consent
        ({"sms": {}}, "customer.consents.sms.granted"),  # nothing said
        ({"sms": {"granted": 1}}, "customer.consents.sms.granted"),  # a number
        ({"": True}, "customer.consents"),  # no purpose
        ([True], "customer.consents"),  # a list
    ],
)
def test_vague_consent_is_refused(records, wanted, path):
    with pytest.raises(InvalidInput) as refused:
        records.do(lambda shop: shop.upsert_customer({"external_id": "17", "consents": wanted}))
    assert refused.value.path == path
