"""One conversation with a mail server; what smtplib raises becomes what the queue understands, here alone."""

import base64
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from time import monotonic
from typing import Any

from core.errors import InvalidInput, RejectedError, SignInError, TemporaryError, UnclearError, VitrinError
from core.masking import mask_text
from plugins.mail.network import PLUGIN, Place, deadline, open_socket, read_place, tls_context

PORT = 587
TIMEOUT_S = 30.0
#: Below the time after which the engine takes the plugin for hung.
MOST_S = 50.0
#: The answer to AUTH, or to anything before it, says: not with these credentials.
_SIGN_IN = frozenset({530, 534, 535, 538})
_WORDS_LIMIT = 200


class Conversation(smtplib.SMTP):
    """SMTP over a socket that is connected already."""

    def __init__(self, place: Place, sock: socket.socket, greeting_name: str) -> None:
        self._ready, self._place = sock, place
        super().__init__(place.host, place.port, local_hostname=greeting_name, timeout=place.timeout_s)

    def data(self, msg: Any) -> tuple[int, bytes]:
        """Hand the message over; from here on a broken connection leaves open whether it was taken."""
        try:
            return super().data(msg)
        except smtplib.SMTPResponseException:
            raise
        except (smtplib.SMTPException, OSError) as exc:
            words = f"{self._place} fell silent over the message, which may have gone out; it is tried again"
            raise UnclearError(PLUGIN, words) from exc

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._ready


@contextmanager
def open_smtp(ctx: Any, *, greeting_name: str, most_s: float = MOST_S) -> Iterator[Conversation]:
    """Connect, secure, log in; raise what went wrong as RemoteError. Nothing after the caller's last word can fail."""
    timeout_s = min(float(ctx.settings.get("timeout_s") or TIMEOUT_S), most_s)
    place = read_place(ctx, prefix="", port=PORT, timeout_s=timeout_s)
    security = ctx.settings.get("security", "starttls")
    if security == "none" and not place.allowed:
        raise InvalidInput(
            "settings.security", f"may be none only for a server in the setting allow_hosts, not {place}"
        )
    end = monotonic() + timeout_s
    with translated(place, _hidden(ctx)), closing(open_socket(place, end)) as plain, deadline(plain, end):
        secured = tls_context(place).wrap_socket(plain, server_hostname=place.host) if security == "tls" else plain
        with closing(secured), closing(Conversation(place, secured, greeting_name)) as smtp:
            _enter(ctx, smtp, place, security)
            yield smtp
            _leave(ctx, smtp)


def _enter(ctx: Any, smtp: Conversation, place: Place, security: str) -> None:
    smtp.ehlo()
    if security == "starttls":
        if not smtp.has_extn("starttls"):
            words = "choose tls and its port (often 465), or ask the provider"
            raise RejectedError(PLUGIN, f"{place} offers no STARTTLS, and nothing is sent in the open; {words}")
        smtp.starttls(context=tls_context(place))
        smtp.ehlo()
    user, password = ctx.settings.get("user"), ctx.settings.get("password")
    if not user:
        return
    if not password:
        raise SignInError(PLUGIN, f"there is no password for {place}: enter it in the settings")
    if not smtp.has_extn("auth"):
        raise RejectedError(PLUGIN, f"{place} takes no password here; check port and security in the settings")
    smtp.login(user, password)


def _leave(ctx: Any, smtp: Conversation) -> None:
    """Say goodbye; the message is theirs already, so an error here must not send it again."""
    try:
        smtp.quit()
    except (smtplib.SMTPException, OSError) as exc:
        ctx.log.debug("a mail server left without a word", error=type(exc).__name__)


@contextmanager
def translated(place: Place, hidden: tuple[str, ...]) -> Iterator[None]:
    """Turn errors of smtplib, sockets and TLS into ours; `hidden` are values that a server may have quoted."""
    try:
        yield
    except VitrinError:
        raise
    except ssl.SSLCertVerificationError as exc:
        words = f"the certificate of {place} is not valid: {exc.verify_message}; nothing was sent"
        raise RejectedError(PLUGIN, words) from exc
    except smtplib.SMTPRecipientsRefused as exc:
        code, text = next(iter(exc.recipients.values()))
        raise _refusal(place, "the recipient", code, text, hidden) from None
    except smtplib.SMTPAuthenticationError as exc:
        raise _refusal(place, "the login", exc.smtp_code, exc.smtp_error, hidden) from None
    except smtplib.SMTPSenderRefused as exc:
        raise _refusal(place, "the sender", exc.smtp_code, exc.smtp_error, hidden) from None
    except smtplib.SMTPResponseException as exc:
        # None of these keeps its cause: it quotes what the server quoted of us.
        raise _refusal(place, "the message", exc.smtp_code, exc.smtp_error, hidden) from None
    except smtplib.SMTPNotSupportedError as exc:
        raise RejectedError(PLUGIN, f"{place} cannot do what is needed: {exc}") from exc
    except (smtplib.SMTPException, TimeoutError) as exc:
        raise TemporaryError(PLUGIN, f"{place} fell silent or hung up; it is tried again") from exc
    except ssl.SSLError as exc:
        words = "does the port speak TLS from the start (tls), or after STARTTLS?"
        raise TemporaryError(PLUGIN, f"no TLS with {place}: {exc.reason or 'handshake failed'}; {words}") from exc
    except OSError as exc:
        raise TemporaryError(PLUGIN, f"the connection to {place} broke: {exc.strerror or exc}") from exc


def _refusal(
    place: Place, what: str, code: int, text: bytes | str, hidden: tuple[str, ...]
) -> TemporaryError | RejectedError | SignInError:
    told = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    words = f"{place} refused {what}: {code} {mask_text(told, hidden)[:_WORDS_LIMIT]}"
    if code in _SIGN_IN:
        return SignInError(PLUGIN, f"{words}; check user and password in the settings")
    if 500 <= code < 600:
        return RejectedError(PLUGIN, words)
    return TemporaryError(PLUGIN, words)


def _hidden(ctx: Any) -> tuple[str, ...]:
    password = str(ctx.settings.get("password") or "")
    if not password:
        return ()
    user = str(ctx.settings.get("user") or "")
    return password, base64.b64encode(f"\0{user}\0{password}".encode()).decode("ascii")
