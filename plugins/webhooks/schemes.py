"""How senders sign: each scheme says what was signed, which signatures came, and which ones would be right.

Everything is read from the raw bytes, before anything is parsed. A header that came twice reaches us with its values
joined by commas, which no scheme takes.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.errors import RejectedError, SignInError

PLUGIN = "webhooks"
#: More signatures than this in one header are an attempt to make us count.
MOST_SIGNATURES = 10
TOLERANCE_S = 300

_ID = re.compile(r"[!-+\--~]{1,255}")
_SECONDS = re.compile(r"[0-9]{1,12}")
_VERSIONED = re.compile(r"([A-Za-z0-9]{1,8}),([A-Za-z0-9+/=_-]{1,200})")
_NAMED = re.compile(r"([a-z0-9]{1,8})=([A-Za-z0-9+/=_-]{1,200})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One request as it came, and the settings of the account that it came to."""

    #: Lower-case names.
    headers: Mapping[str, str]
    body: bytes
    now: datetime
    settings: Mapping[str, Any]

    def header(self, name: str) -> str:
        """Return a header that must be there; raise RejectedError where it is not, or is not plain ASCII."""
        value = self.headers.get(name.lower())
        if not value:
            raise RejectedError(PLUGIN, f"the header {name} is missing")
        if not value.isascii() or not value.isprintable():
            raise RejectedError(PLUGIN, f"the header {name} holds more than plain text")
        return value

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return the secret and, while it is being changed, the one before it."""
        return read_secrets(self.settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a delivery says of itself; it is true when one of `given` is one of `right`."""

    #: The bytes under the signature: two deliveries that agree in them are one.
    signed: bytes
    given: tuple[str, ...]
    right: tuple[bytes, ...]


def read_secrets(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the secrets of an account, or raise SignInError: without one nothing can be told apart."""
    found = tuple(text for name in ("secret", "previous_secret") if (text := str(settings.get(name) or "").strip()))
    if not found:
        raise SignInError(PLUGIN, "this account has no secret yet; enter the one that the other side shows")
    return found


def read_key(secret: str) -> bytes:
    """Return the key behind a Standard Webhooks secret (`whsec_` and base64)."""
    text = secret.removeprefix("whsec_")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        # Without the cause, which could quote the secret.
        raise SignInError(PLUGIN, "the secret must be whsec_ followed by base64; copy it again, whole") from None
    return key


def check(claim: Claim) -> None:
    """Raise RejectedError unless one signature is right; near and far misses take the same time."""
    found = False
    for right in claim.right:
        for given in claim.given:
            found |= hmac.compare_digest(right, given.encode("ascii"))
    if not found:
        raise RejectedError(PLUGIN, "the signature is wrong; is it the same secret on both sides?")


def read_claim(delivery: Delivery) -> Claim:
    """Read what the account's scheme looks at; raise RejectedError where it is missing or malformed."""
    return _SCHEMES[delivery.settings.get("scheme", "standard_webhooks")](delivery)


def sign_standard(key: bytes, ident: str, seconds: str, body: bytes) -> bytes:
    """Return a Standard Webhooks signature without its version."""
    return _base64(_mac(key, f"{ident}.{seconds}.".encode() + body))


def _standard(delivery: Delivery) -> Claim:
    ident = delivery.header("webhook-id")
    if not _ID.fullmatch(ident):
        raise RejectedError(PLUGIN, "webhook-id must be one word of plain text")
    seconds = _fresh(delivery, delivery.header("webhook-timestamp"), "webhook-timestamp")
    pairs = _pairs(delivery.header("webhook-signature").split(" "), _VERSIONED, "webhook-signature")
    return Claim(
        signed=f"{ident}.{seconds}.".encode() + delivery.body,
        given=tuple(value for version, value in pairs if version == "v1"),
        right=tuple(sign_standard(read_key(one), ident, seconds, delivery.body) for one in delivery.secrets),
    )


def _stripe(delivery: Delivery) -> Claim:
    name = delivery.settings.get("header") or "stripe-signature"
    pairs = _pairs(delivery.header(name).split(","), _NAMED, name)
    stamps = [value for key, value in pairs if key == "t"]
    if len(stamps) != 1:
        raise RejectedError(PLUGIN, f"{name} must hold exactly one t=")
    signed = f"{_fresh(delivery, stamps[0], name)}.".encode() + delivery.body
    return Claim(
        signed=signed,
        given=tuple(value.lower() for key, value in pairs if key == "v1"),
        right=tuple(_hex(_mac(one.encode(), signed)) for one in delivery.secrets),
    )


def _shopify(delivery: Delivery) -> Claim:
    return _body_mac(delivery, "x-shopify-hmac-sha256", "base64")


def _woocommerce(delivery: Delivery) -> Claim:
    return _body_mac(delivery, "x-wc-webhook-signature", "base64")


def _generic(delivery: Delivery) -> Claim:
    name = delivery.settings.get("header")
    if not name:
        raise SignInError(PLUGIN, "settings.header is missing: say which header carries the signature")
    return _body_mac(delivery, name, delivery.settings.get("encoding", "hex"))


def _body_mac(delivery: Delivery, name: str, encoding: str) -> Claim:
    value = delivery.header(name)
    prefix = delivery.settings.get("prefix") or ""
    if not value.startswith(prefix):
        raise RejectedError(PLUGIN, f"{name} must begin with {prefix}")
    value = value.removeprefix(prefix)
    signed = delivery.body
    if stamp_name := delivery.settings.get("timestamp_header"):
        signed = f"{_fresh(delivery, delivery.header(stamp_name), stamp_name)}.".encode() + signed
    write, given = (_base64, value) if encoding == "base64" else (_hex, value.lower())
    return Claim(
        signed=signed, given=(given,), right=tuple(write(_mac(one.encode(), signed)) for one in delivery.secrets)
    )


def _token(delivery: Delivery) -> Claim:
    name = delivery.settings.get("header") or "x-telegram-bot-api-secret-token"
    right = tuple(one.encode() for one in delivery.secrets)
    return Claim(signed=delivery.body, given=(delivery.header(name),), right=right)


_SCHEMES: dict[str, Callable[[Delivery], Claim]] = {
    "standard_webhooks": _standard,
    "shopify": _shopify,
    "woocommerce": _woocommerce,
    "generic_hmac_sha256": _generic,
    "token_header": _token,
    "stripe_style": _stripe,
}
SCHEMES = tuple(_SCHEMES)


def _fresh(delivery: Delivery, text: str, name: str) -> str:
    """Return a timestamp that is within the tolerance, digit by digit as it was signed."""
    if not _SECONDS.fullmatch(text):
        raise RejectedError(PLUGIN, f"{name} must be whole seconds since 1970")
    tolerance = delivery.settings.get("tolerance_s", TOLERANCE_S)
    apart = int(text) - delivery.now.timestamp()
    if abs(apart) > tolerance:
        raise RejectedError(PLUGIN, f"{name} is more than {tolerance} s away from our clock: an old one, sent again?")
    return text


def _pairs(items: list[str], shape: re.Pattern[str], name: str) -> list[tuple[str, str]]:
    if len(items) > MOST_SIGNATURES:
        raise RejectedError(PLUGIN, f"{name} holds more than {MOST_SIGNATURES} signatures")
    found = [shape.fullmatch(item) for item in items]
    if not all(found):
        raise RejectedError(PLUGIN, f"{name} is malformed")
    return [(match[1], match[2]) for match in found if match]


def _mac(key: bytes, signed: bytes) -> bytes:
    return hmac.new(key, signed, hashlib.sha256).digest()


def _base64(mac: bytes) -> bytes:
    return base64.b64encode(mac)


def _hex(mac: bytes) -> bytes:
    return mac.hex().encode()
