"""Money: reading, exact arithmetic, one rounding rule, and splits that add up."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.money import Money, currency_digits

CURRENCIES = st.sampled_from(["TRY", "EUR", "RUB", "JPY", "KWD"])
UNITS = st.integers(min_value=-(10**15), max_value=10**15)
MONEY = st.builds(Money.from_minor, UNITS, CURRENCIES)


@pytest.mark.parametrize(
    ("value", "currency", "amount"),
    [
        ({"amount": "12.50", "currency": "TRY"}, None, "12.50"),  # the form in events
        ({"amount": 12, "currency": "try"}, None, "12"),  # payment gateways write codes small
        ({"amount": "5"}, "TRY", "5"),  # the currency of the document around it
        ("12.50 TRY", None, "12.50"),  # the form people type
        ("12.50", "TRY", "12.50"),  # plain text
        (7, "TRY", "7"),  # a whole number
        (Decimal("7.005"), "TRY", "7.005"),  # kept exact until it is rounded
        ("-3.20", "TRY", "-3.20"),  # a refund
        ("0", "TRY", "0"),  # nothing
        ("999999999999999.99", "TRY", "999999999999999.99"),  # the largest sums
    ],
)
def test_money_is_read_from_each_form(value, currency, amount):
    money = Money.of(value, currency)
    assert money == Money(Decimal(amount), "TRY")
    assert Money.of(money) is money


@pytest.mark.parametrize(
    ("value", "currency"),
    [
        (12.5, "TRY"),  # a float is not exact
        (True, "TRY"),  # a bool is an int to Python
        (None, "TRY"),  # nothing given
        ("NaN", "TRY"),  # not a number
        ("-Infinity", "TRY"),  # nor this
        (Decimal("NaN"), "TRY"),  # even as a decimal
        (Decimal("1E+309"), "TRY"),  # a decimal that would print 309 digits
        (Decimal("1E-309"), "TRY"),  # or so many places
        ("1e309", "TRY"),  # overflows a float
        ("1e2", "TRY"),  # exponents hide digits
        ("1" * 30, "TRY"),  # thirty digits
        (10**30, "TRY"),  # as a number
        ("9" * 5000, "TRY"),  # as text
        ("999999999999999999", "TRY"),  # 18 digits, but 20 in minor units
        ("12,50", "TRY"),  # a comma: twelve and a half, or 1,250?
        ("1 200.00", "TRY"),  # separators
        ("1_200", "TRY"),  # Python's own separator
        ("٣", "TRY"),  # digits of other scripts
        ("", "TRY"),  # empty
        ("0x10", "TRY"),  # not decimal
        ("12.50 XXQ", None),  # no such currency
        ("12.50", None),  # no currency at all
        ("12.50", "TR"),  # too short
        ("12.50", "ŦRY"),  # looks like one
        ({"amount": "1"}, None),  # no currency in the object
        ({"currency": "TRY"}, None),  # no amount
        ({"amount": "1", "currency": "TRY", "tax": "1"}, None),  # a member we would lose
        ({"amount": {"amount": "1"}, "currency": "TRY"}, None),  # nested
        ([1, "TRY"], None),  # a list
    ],
)
def test_what_is_not_money_is_refused(value, currency):
    with pytest.raises(InvalidInput):
        Money.of(value, currency)


def test_number_too_long_to_print_is_refused():
    with pytest.raises(InvalidInput):
        Money.of(10**5000, "TRY")


def test_refusal_names_the_path():
    with pytest.raises(InvalidInput) as refused:
        Money.of({"amount": 1.5, "currency": "TRY"}, path="items[2].price")
    assert refused.value.path == "items[2].price.amount"


@pytest.mark.parametrize(
    ("amount", "currency", "rounded"),
    [
        ("0.005", "TRY", "0.01"),  # half goes up
        ("0.004", "TRY", "0.00"),  # less than half goes down
        ("-0.005", "TRY", "-0.01"),  # a refund mirrors its payment
        ("2.675", "TRY", "2.68"),  # where floats go wrong
        ("0.5", "JPY", "1"),  # no minor digits
        ("1.0005", "KWD", "1.001"),  # three of them
    ],
)
def test_rounding_is_half_up(amount, currency, rounded):
    assert Money(Decimal(amount), currency).rounded().as_json()["amount"] == rounded


def test_currencies_never_mix():
    lira, euro = Money.of("1 TRY"), Money.of("1 EUR")
    for combine in (lambda: lira + euro, lambda: lira - euro, lambda: lira < euro):
        with pytest.raises(InvalidInput):
            combine()
    assert lira != euro


def test_binary_fraction_is_no_factor():
    with pytest.raises(InvalidInput):
        Money.of("1 TRY") * 0.1  # type: ignore[operator]


@given(MONEY)
def test_minor_units_come_back(money):
    assert Money.from_minor(money.minor(), money.currency) == money
    assert Money.of(money.as_json()) == money
    assert Money.of(str(money)) == money


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9), CURRENCIES)
def test_rounding_twice_changes_nothing(amount, currency):
    money = Money(amount, currency)
    step = Decimal(1).scaleb(-currency_digits(currency))
    assert money.rounded().rounded() == money.rounded()
    assert abs(money.rounded().amount - amount) <= step / 2
    assert (-money).rounded() == -(money.rounded())
    assert Money.of(money.as_json()) == money


@given(UNITS, UNITS, CURRENCIES)
def test_sum_and_difference_are_exact(first, second, currency):
    one, two = Money.from_minor(first, currency), Money.from_minor(second, currency)
    assert (one + two).minor() == first + second
    assert (one + two) - two == one
    assert (one < two) == (first < second)


@given(MONEY, st.lists(st.integers(0, 10**6), min_size=1, max_size=30).filter(any))
def test_split_adds_up_exactly(money, shares):
    parts = money.split(shares)
    assert sum(part.minor() for part in parts) == money.minor()
    for part, share in zip(parts, shares, strict=True):
        assert abs(part.minor() - Decimal(money.minor()) * share / sum(shares)) < 1
        assert share or not part


def test_split_gives_leftovers_to_largest_remainders():
    assert [part.minor() for part in Money.of("1.00 TRY").split(3)] == [34, 33, 33]
    assert [part.minor() for part in Money.of("0.10 TRY").split([1, Decimal("2.5")])] == [3, 7]


@pytest.mark.parametrize("shares", [0, [], [0, 0], [-1, 2], [0.5], [Decimal("NaN")]])
def test_split_refuses_useless_shares(shares):
    with pytest.raises(InvalidInput):
        Money.of("1 TRY").split(shares)
