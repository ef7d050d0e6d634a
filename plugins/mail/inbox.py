"""The mailbox to which undeliverable messages come back, read over IMAP; nothing in it is marked or moved."""

import hashlib
import imaplib
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from time import monotonic
from typing import Any

from core.errors import InvalidInput, RejectedError, SignInError, TemporaryError
from core.masking import mask_text
from plugins.mail.bounces import Bounce, read_bounce
from plugins.mail.message import is_own_id
from plugins.mail.network import PLUGIN, Place, deadline, open_socket, read_place, tls_context

EVENT = "mail.bounced"
PORT = 993
#: Below the time after which the engine takes the plugin for hung.
TIMEOUT_S = 50.0
#: Messages that one look reads, and bytes of each: a notification says what matters at its beginning.
_MOST_MESSAGES = 200
_MOST_BYTES = 256 * 1024
_FOLDER = re.compile(r"[^\x00-\x1f\x7f\"\\]{1,200}")


class Mailbox(imaplib.IMAP4):
    """IMAP over a socket that is connected and secured already."""

    def __init__(self, place: Place, sock: socket.socket) -> None:
        self._ready = sock
        super().__init__(place.host, place.port, place.timeout_s)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        return self._ready


def poll_bounces(ctx: Any, cursor: Any) -> dict[str, int] | None:
    """Emit an event for each message of ours that came back since the last look; None while no mailbox is set."""
    if not ctx.settings.get("imap_host"):
        return cursor
    place = read_place(ctx, prefix="imap_", port=PORT, timeout_s=TIMEOUT_S)
    with _open(ctx, place) as mailbox:
        validity, following = _select(mailbox, place, ctx.settings.get("imap_folder") or "INBOX")
        known = cursor or {}
        # Numbers hold only under one validity; under a new one the newest messages are read again, and known again.
        first = known["next"] if known.get("validity") == validity else max(1, following - _MOST_MESSAGES)
        for number in _numbers(mailbox, first):
            for bounce in read_bounce(_fetch(mailbox, number)):
                _tell(ctx, bounce)
            first = number + 1
    return {"validity": validity, "next": first}


def _tell(ctx: Any, bounce: Bounce) -> None:
    """Emit one bounce; its key is the Message-ID, which the run that sent the message knows."""
    if bounce.message_id is None or not is_own_id(bounce.message_id, str(ctx.settings.get("sender_address"))):
        ctx.log.info("a notification about a message that is not ours was left aside", account=ctx.account)
        return
    data = {
        "message_id": bounce.message_id,
        "recipient": bounce.recipient,
        "status": bounce.status,
        "permanent": bounce.permanent,
        "reason": bounce.reason,
    }
    told = f"{bounce.message_id} {bounce.recipient.casefold()}"
    ident = hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()
    customer = ctx.shop.find_customer_by(bounce.recipient)
    ctx.emit(EVENT, data, key=bounce.message_id, customer=customer, id=f"bounce:{ident}")


@contextmanager
def _open(ctx: Any, place: Place) -> Iterator[Mailbox]:
    user = ctx.settings.get("imap_user") or ctx.settings.get("user")
    password = ctx.settings.get("imap_password") or ctx.settings.get("password")
    if not user or not password:
        raise SignInError(PLUGIN, f"user or password for {place} is missing: enter both in the settings")
    end = monotonic() + place.timeout_s
    with (
        _translated(place, (str(password),)),
        closing(open_socket(place, end)) as plain,
        deadline(plain, end),
        closing(tls_context(place).wrap_socket(plain, server_hostname=place.host)) as secured,
    ):
        mailbox = Mailbox(place, secured)
        with closing(mailbox.file):
            _login(mailbox, place, user, password)
            yield mailbox
            mailbox.logout()


def _login(mailbox: Mailbox, place: Place, user: str, password: str) -> None:
    try:
        mailbox.login(user, password)
    except imaplib.IMAP4.abort:
        raise
    except imaplib.IMAP4.error as exc:
        words = mask_text(str(exc), (password,))[:200]
        raise SignInError(PLUGIN, f"{place} refused the login: {words}; check user and password") from None


def _select(mailbox: Mailbox, place: Place, folder: str) -> tuple[int, int]:
    """Open a folder for reading; return its validity and the number that the next message will get."""
    if not _FOLDER.fullmatch(folder):
        raise InvalidInput("settings.imap_folder", "must be the name of a folder, such as INBOX")
    answer, told = mailbox.select(f'"{folder}"', readonly=True)
    if answer != "OK":
        raise RejectedError(PLUGIN, f"{place} has no folder {folder}: {mask_text(str(told))[:200]}")
    count = _number(told)
    return _number(mailbox.response("UIDVALIDITY")[1]), _number(mailbox.response("UIDNEXT")[1]) or count + 1


def _numbers(mailbox: Mailbox, first: int) -> list[int]:
    """Return the numbers of the messages from `first` on, the oldest ones first."""
    _, told = mailbox.uid("SEARCH", f"UID {first}:*")
    words = b" ".join(part for part in told if isinstance(part, bytes)).split()
    # A range that begins beyond the end still names the last message.
    numbers = sorted(int(word) for word in words if word.isdigit() and int(word) >= first)
    return numbers[:_MOST_MESSAGES]


def _fetch(mailbox: Mailbox, number: int) -> bytes:
    _, told = mailbox.uid("FETCH", str(number), f"(BODY.PEEK[]<0.{_MOST_BYTES}>)")
    return next((part[1] for part in told if isinstance(part, tuple)), b"")


def _number(told: Any) -> int:
    first = told[0] if told else None
    return int(first) if isinstance(first, bytes) and first.isdigit() else 0


@contextmanager
def _translated(place: Place, hidden: tuple[str, ...]) -> Iterator[None]:
    try:
        yield
    except ssl.SSLCertVerificationError as exc:
        raise RejectedError(PLUGIN, f"the certificate of {place} is not valid: {exc.verify_message}") from exc
    except imaplib.IMAP4.error as exc:
        words = mask_text(str(exc), hidden)[:200]
        raise TemporaryError(PLUGIN, f"{place} broke off: {words}; it is tried again") from None
    except OSError as exc:
        raise TemporaryError(
            PLUGIN, f"the connection to {place} broke: {exc.strerror or exc}; is it IMAP over TLS?"
        ) from exc
