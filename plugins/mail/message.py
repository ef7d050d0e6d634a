"""Build one message: addresses read strictly, no value can add a header, the same Message-ID for every try."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime

from core.errors import InvalidInput
from core.http.addresses import literal
from core.http.urls import canonical_host

#: Line ends and whatever some reader takes for one, and characters that make one text look like another.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ONE_ADDRESS = re.compile(r'(?:"?(?P<name>[^"<>,;]*)"?\s*<(?P<inside>[^<>\s,;]+)>|(?P<bare>[^<>\s,;]+))')
_LOCAL = re.compile(r'[^\s<>()\[\]\\,;:@"]{1,64}')
_OWN_ID = re.compile(r"<[0-9a-f]{40}@([^<>@\s]+)>")
_LINK = re.compile(r"(?:https?://|mailto:)[!-;=?-~]{1,900}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What is to be sent, checked."""

    id: str
    date: datetime
    sender: Address
    to: Address
    subject: str
    text: str
    html: str = ""
    reply_to: Address | None = None
    unsubscribe: str = ""

    @property
    def needs_utf8(self) -> bool:
        """Tell whether an address has a part that only SMTPUTF8 can carry."""
        people = [self.sender, self.to, *([self.reply_to] if self.reply_to else [])]
        return not all(person.addr_spec.isascii() for person in people)

    def to_bytes(self) -> bytes:
        """Return the message as it goes over the wire; 7 bits are enough for any server unless an address is not."""
        policy = SMTPUTF8 if self.needs_utf8 else SMTP.clone(cte_type="7bit")
        message = EmailMessage(policy=policy)
        message["From"] = self.sender
        message["To"] = self.to
        message["Subject"] = self.subject
        message["Date"] = format_datetime(self.date)
        if self.reply_to:
            message["Reply-To"] = self.reply_to
        # Robots that answer robots would otherwise answer us.
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(self.text)
        if self.html:
            message.add_alternative(self.html, subtype="html")
        return self._plain_headers() + message.as_bytes()

    def _plain_headers(self) -> bytes:
        """Return what the email package would fold or encode where it is long, which no reader of it undoes."""
        lines = [f"Message-ID: {self.id}"]
        if self.unsubscribe:
            lines.append(f"List-Unsubscribe: <{self.unsubscribe}>")
        if self.unsubscribe.startswith("https://"):
            lines.append("List-Unsubscribe-Post: List-Unsubscribe=One-Click")
        return "".join(f"{line}\r\n" for line in lines).encode("ascii")


def make_id(key: str, domain: str) -> str:
    """Return the Message-ID of an effect: the same for every try, so that mailboxes can drop a second copy."""
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:40]}@{domain}>"


def is_own_id(ident: str, sender: str) -> bool:
    """Tell whether a Message-ID has the form of ours, for this sender."""
    found = _OWN_ID.fullmatch(ident)
    return found is not None and found[1] == read_address(sender, "settings.sender_address").domain


def read_line(text: str, path: str) -> str:
    """Return text that may stand in a header; raise InvalidInput for line ends and hidden characters."""
    if _CONTROL.search(text):
        raise InvalidInput(path, "must be one line without control characters")
    return text.strip()


def read_address(text: str, path: str, name: str = "") -> Address:
    """Return one address, with its name if it has one; the domain in the form that mail servers look up."""
    found = _ONE_ADDRESS.fullmatch(read_line(text, path))
    local, at, domain = ((found["inside"] or found["bare"]) if found else "").rpartition("@")
    if not found or not at or not _LOCAL.fullmatch(local) or local[0] == "." or local[-1] == "." or ".." in local:
        raise InvalidInput(path, "must be one e-mail address, such as name@shop.example")
    try:
        host = canonical_host(domain)
    except InvalidInput as exc:
        raise InvalidInput(path, "must be an e-mail address whose domain is a name") from exc
    if "%" in domain or literal(host) is not None:
        raise InvalidInput(path, "must be an e-mail address whose domain is a name")
    shown = (found["name"] or name).strip()
    return Address(display_name=read_line(shown, path), username=local, domain=host)


def read_link(text: str, path: str) -> str:
    """Return a link for List-Unsubscribe."""
    if not _LINK.fullmatch(text):
        raise InvalidInput(path, "must be a link that begins with https:// or mailto:")
    return text
