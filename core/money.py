"""Money: a decimal amount in one currency, with one rounding rule (half up to the currency's minor digits)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from functools import cache, total_ordering
from typing import Any, Self

from babel.numbers import get_currency_precision, list_currencies

from core.errors import InvalidInput

#: More digits than any price, total or turnover needs; minor units of it still fit into 64 bits.
MAX_DIGITS = 18

_LIMIT = 10**MAX_DIGITS
_PLAIN = re.compile(r"[+-]?\d{1,40}(?:\.\d{1,40})?", re.ASCII)
_WITH_CURRENCY = re.compile(r"(?P<amount>\S{1,90})\s(?P<currency>[A-Za-z]{3})", re.ASCII)
#: Wide enough for any product of two amounts: nothing is rounded behind our back.
_EXACT = Context(prec=120)


@cache
def _known_currencies() -> frozenset[str]:
    return frozenset(list_currencies())


@cache
def currency_digits(currency: str) -> int:
    """Return how many decimal places the currency has (2 for TRY, 0 for JPY, 3 for KWD)."""
    return get_currency_precision(currency)


def read_currency(value: Any, path: str = "currency") -> str:
    """Return the ISO 4217 code in capitals; raise InvalidInput for one that nobody knows."""
    code = value.upper() if isinstance(value, str) and len(value) == 3 and value.isascii() else None
    if code is None or code not in _known_currencies():
        raise InvalidInput(path, "is not a currency code of ISO 4217, such as TRY or EUR")
    return code


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Money:
    """An exact amount in one currency; amounts of different currencies never meet."""

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        if not isinstance(self.amount, Decimal) or not self.amount.is_finite():
            raise InvalidInput("amount", "must be a finite decimal number")
        if self.currency not in _known_currencies():
            raise InvalidInput("currency", "is not a currency code of ISO 4217, such as TRY or EUR")
        if abs(self.amount) * 10 ** currency_digits(self.currency) >= _LIMIT:
            raise InvalidInput("amount", f"has more than {MAX_DIGITS} digits")

    @classmethod
    def of(cls, value: Any, currency: str | None = None, *, path: str = "") -> Self:
        """Read `{"amount", "currency"}`, "12.50 TRY", or a plain text or whole number in `currency`."""
        if isinstance(value, cls):
            return value
        dot = f"{path}." if path else ""
        if isinstance(value, Mapping):
            unknown = set(value) - {"amount", "currency"}
            if unknown or "amount" not in value:
                raise InvalidInput(path or "money", "must have the members amount and currency and no others")
            code = read_currency(value.get("currency", currency), f"{dot}currency")
            return cls._checked(_read_amount(value["amount"], f"{dot}amount"), code, f"{dot}amount")
        if isinstance(value, str) and (found := _WITH_CURRENCY.fullmatch(value.strip())):
            value, currency = found["amount"], found["currency"]
        if currency is None:
            raise InvalidInput(path or "currency", "needs a currency, such as 12.50 TRY")
        where = path or "amount"
        return cls._checked(_read_amount(value, where), read_currency(currency, f"{dot}currency"), where)

    @classmethod
    def _checked(cls, amount: Decimal, currency: str, path: str) -> Self:
        try:
            return cls(amount, currency)
        except InvalidInput as exc:
            raise InvalidInput(path, exc.reason) from exc

    @classmethod
    def zero(cls, currency: str) -> Self:
        return cls(Decimal(0), currency)

    @classmethod
    def from_minor(cls, units: int, currency: str) -> Self:
        """Return the money for integer minor units (kuruş, cents), as it is stored."""
        return cls(Decimal(units).scaleb(-currency_digits(currency), _EXACT), currency)

    def minor(self) -> int:
        """Return integer minor units, rounded by the one rule."""
        return int(self.rounded().amount.scaleb(currency_digits(self.currency), _EXACT))

    def rounded(self) -> Self:
        """Return the amount rounded half up (away from zero) to the currency's minor digits."""
        step = Decimal(1).scaleb(-currency_digits(self.currency))
        return type(self)(self.amount.quantize(step, ROUND_HALF_UP, _EXACT), self.currency)

    def split(self, shares: int | Sequence[int | Decimal]) -> list[Self]:
        """Divide by weights (or into so many equal parts); the parts add up exactly to `rounded()`."""
        weights = [Fraction(1)] * shares if isinstance(shares, int) else [_weight(share) for share in shares]
        whole = sum(weights)
        if not whole:
            raise InvalidInput("shares", "must have at least one above zero")
        total = self.minor()
        exact = [abs(total) * weight / whole for weight in weights]
        parts = [part.__floor__() for part in exact]
        # Largest remainder first; equal remainders go to the earlier share, so the answer is always the same.
        order = sorted(range(len(parts)), key=lambda index: parts[index] - exact[index])
        for index in order[: abs(total) - sum(parts)]:
            parts[index] += 1
        sign = -1 if total < 0 else 1
        return [type(self).from_minor(sign * part, self.currency) for part in parts]

    def as_json(self) -> dict[str, str]:
        """Return `{"amount": "12.50", "currency": "TRY"}`: at least the currency's digits, never an exponent."""
        step = Decimal(1).scaleb(-currency_digits(self.currency))
        padded = self.amount.quantize(step, ROUND_HALF_UP, _EXACT)
        exact = padded if padded == self.amount else self.amount.normalize(_EXACT)
        return {"amount": f"{exact + 0:f}", "currency": self.currency}

    def __str__(self) -> str:
        return f"{self.as_json()['amount']} {self.currency}"

    def _same(self, other: object) -> Decimal:
        if not isinstance(other, Money):
            raise InvalidInput("money", "can only be combined with money")
        if other.currency != self.currency:
            raise InvalidInput(
                "currency", f"{self.currency} and {other.currency} cannot be combined: convert one first"
            )
        return other.amount

    def __add__(self, other: Self) -> Self:
        return type(self)(_EXACT.add(self.amount, self._same(other)), self.currency)

    def __sub__(self, other: Self) -> Self:
        return type(self)(_EXACT.subtract(self.amount, self._same(other)), self.currency)

    def __mul__(self, factor: int | Decimal) -> Self:
        if isinstance(factor, bool) or not isinstance(factor, (int, Decimal)):
            raise InvalidInput("factor", "must be a whole or decimal number; a binary fraction is not exact")
        return type(self)(_EXACT.multiply(self.amount, Decimal(factor)), self.currency)

    def __neg__(self) -> Self:
        return type(self)(self.amount.copy_negate() + 0, self.currency)

    def __abs__(self) -> Self:
        return type(self)(self.amount.copy_abs(), self.currency)

    def __bool__(self) -> bool:
        return bool(self.amount)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Money):
            return NotImplemented
        return self.currency == other.currency and self.amount == other.amount

    def __hash__(self) -> int:
        return hash((self.amount, self.currency))

    def __lt__(self, other: Self) -> bool:
        return self.amount < self._same(other)


def _read_amount(value: Any, path: str) -> Decimal:
    if isinstance(value, (bool, float)):
        raise InvalidInput(path, 'must be text such as "12.50": a binary fraction is not exact')
    if isinstance(value, int):
        if abs(value) >= _LIMIT:
            raise InvalidInput(path, f"has more than {MAX_DIGITS} digits")
        return Decimal(value)
    if isinstance(value, str):
        text = value.strip()
        if not _PLAIN.fullmatch(text):
            raise InvalidInput(path, 'must be a plain decimal number such as "12.50", with a point and no separators')
        value = Decimal(text)
    if not isinstance(value, Decimal) or not value.is_finite():
        raise InvalidInput(path, "must be a finite decimal number")
    if len(value.as_tuple().digits) > MAX_DIGITS or abs(value.adjusted()) > MAX_DIGITS:
        raise InvalidInput(path, f"has more than {MAX_DIGITS} digits")
    return value


def _weight(share: Any) -> Fraction:
    if isinstance(share, bool) or not isinstance(share, (int, Decimal)):
        raise InvalidInput("shares", "must be whole or decimal numbers")
    if isinstance(share, Decimal) and not share.is_finite():
        raise InvalidInput("shares", "must be finite numbers")
    if share < 0:
        raise InvalidInput("shares", "must not be below zero")
    return Fraction(share)
