"""Read delivery status notifications (RFC 3464): what a mail server writes back of a message it could not deliver."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from email.policy import compat32

_STATUS = re.compile(r"\b([245]\.[0-9]{1,3}\.[0-9]{1,3})\b")
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,300}>")
_REPORTS = ("message/delivery-status", "message/global-delivery-status")
_QUOTES = ("message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers")
_REASON_LIMIT = 300
_MOST_RECIPIENTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounce:
    """One recipient who did not get one message."""

    #: Of the message that bounced; None where the notification does not quote it.
    message_id: str | None
    recipient: str
    #: Enhanced status code (RFC 3463): 5.1.1 unknown mailbox, 4.2.2 mailbox full, ...
    status: str
    #: True where the address itself will not work; False where the server only gave up trying.
    permanent: bool
    reason: str


def read_bounce(raw: bytes) -> list[Bounce]:
    """Return the failed recipients of a notification; none for any other message, and for mere delays."""
    # The old policy hands headers out as text; the new one parses them, and stumbles over malformed ones.
    message = message_from_bytes(raw, policy=compat32)
    if message.get_content_type() != "multipart/report":
        return []
    parts = [part for part in message.walk() if part is not message]
    ident = _original_id(parts)
    reports = [part for part in parts if part.get_content_type() in _REPORTS]
    groups = [group for report in reports for group in _groups(report)][:_MOST_RECIPIENTS]
    return [bounce for group in groups if (bounce := _bounce(group, ident)) is not None]


def _groups(report: Message) -> Iterator[Message]:
    """Yield the header groups of a report that name a recipient."""
    payload = report.get_payload()
    for group in payload if isinstance(payload, list) else []:
        if isinstance(group, Message) and ("Final-Recipient" in group or "Original-Recipient" in group):
            yield group


def _bounce(group: Message, ident: str | None) -> Bounce | None:
    if _text(group, "Action").lower() != "failed":
        return None
    recipient = _after_type(_text(group, "Original-Recipient")) or _after_type(_text(group, "Final-Recipient"))
    reason = _after_type(_text(group, "Diagnostic-Code"))
    status = _STATUS.search(_text(group, "Status")) or _STATUS.search(reason)
    code = status[1] if status else "5.0.0"
    return Bounce(
        message_id=ident,
        recipient=recipient.strip("<>"),
        status=code,
        permanent=code.startswith("5"),
        reason=reason[:_REASON_LIMIT],
    )


def _original_id(parts: list[Message]) -> str | None:
    """Return the Message-ID of the quoted message or of its quoted headers."""
    for part in parts:
        if part.get_content_type() not in _QUOTES:
            continue
        payload = part.get_payload()
        if isinstance(payload, list):  # message/...: parsed already
            quoted = payload[0] if payload else None
        else:
            content = part.get_payload(decode=True)
            quoted = message_from_bytes(content, policy=compat32) if isinstance(content, bytes) else None
        if isinstance(quoted, Message) and (found := _MESSAGE_ID.search(_text(quoted, "Message-ID"))):
            return found[0]
    return None


def _text(message: Message, name: str) -> str:
    """Return a header as one line; a malformed one as far as it can be read."""
    return " ".join(str(message.get(name, "")).split())


def _after_type(value: str) -> str:
    """Return what follows `rfc822;`, `utf-8;` or `smtp;`."""
    kind, mark, rest = value.partition(";")
    return rest.strip() if mark and kind.strip().isascii() else value.strip()
