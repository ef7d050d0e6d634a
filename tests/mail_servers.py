"""Mail servers on this machine that enforce real rules: SMTP (aiosmtpd, TLS, AUTH) and a small IMAP."""

import asyncio
import re
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

USER, PASSWORD = "shop", "SENTINEL-mail-password"
_HOST = "127.0.0.1"


@dataclass(kw_only=True)
class Authority:
    """A certificate authority of the test's own."""

    ca: trustme.CA = field(default_factory=trustme.CA)

    @property
    def pem(self) -> str:
        return self.ca.cert_pem.bytes().decode()

    def context(self, *names: str) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.ca.issue_cert(*names).configure_cert(context)
        return context


@dataclass(kw_only=True)
class PostOffice:
    """What the SMTP server keeps and how it behaves."""

    port: int = 0
    #: Mailboxes that it knows.
    boxes: set[str] = field(default_factory=lambda: {"ada@customer.test"})
    #: Strangers are told to come again, once.
    greylist: bool = False
    #: Answer to a message whose data have come, instead of 250.
    after_data: str = ""
    #: "reset" drops the connection after it took the message, before it says so.
    breaks: str = ""
    #: Every recipient is answered with this.
    at_recipient: str = ""
    utf8: bool = True
    mail: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    envelopes: list[tuple[str, list[str]]] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    server_names: list[str | None] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    # Names that aiosmtpd looks for.
    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if self.at_recipient:
            return self.at_recipient
        if address not in self.boxes:
            return f"550 5.1.1 <{address}>: no such mailbox"
        if self.greylist and address not in self._seen:
            self._seen.add(address)
            return "451 4.7.1 greylisted, come again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.after_data:
            return self.after_data
        self.raw.append(envelope.content)
        self.mail.append(cast(EmailMessage, message_from_bytes(envelope.content, policy=default)))
        self.envelopes.append((envelope.mail_from, list(envelope.rcpt_tos)))
        if self.breaks == "reset":
            self.breaks = ""
            server.transport.abort()
        return "250 2.0.0 queued"

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login.decode())
        right = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        # A careless server that repeats what it was given.
        told = f"535 5.7.8 wrong: {data.login.decode()} {data.password.decode()}"
        return AuthResult(success=right, handled=right, message=None if right else told)


@contextmanager
def smtp_server(office: PostOffice, tls: ssl.SSLContext | None, *, implicit: bool = False) -> Iterator[PostOffice]:
    """Serve an office: TLS and a login are required, unless there is no TLS at all."""
    rules: dict[str, Any] = {"enable_SMTPUTF8": office.utf8, "data_size_limit": 20_000, "hostname": "mx.shop.test"}
    if tls is not None:
        tls.sni_callback = lambda _sock, name, _context: office.server_names.append(name)
        rules |= {"authenticator": office.authenticate, "auth_required": True}
        rules |= {"auth_require_tls": False} if implicit else {"require_starttls": True, "tls_context": tls}
    loop = asyncio.new_event_loop()
    listening = loop.create_server(lambda: SMTP(office, loop=loop, **rules), _HOST, 0, ssl=tls if implicit else None)
    server = loop.run_until_complete(listening)
    office.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield office
    finally:
        asyncio.run_coroutine_threadsafe(_stop(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _stop(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def silent_server(greeting: bytes = b"", *, drip: bytes = b"") -> Iterator[int]:
    """Serve a port that says a greeting, and then nothing more, or a drop now and then."""
    over = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(greeting)
            for _ in range(200):
                if over.wait(0.1):
                    return
                self.request.sendall(drip)

    with _serving(Handler) as port:
        yield port
        over.set()


@dataclass(kw_only=True)
class Inbox:
    """A mailbox: messages by number."""

    port: int = 0
    validity: int = 7
    messages: dict[int, bytes] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)

    def put(self, raw: bytes) -> None:
        self.messages[max(self.messages, default=0) + 1] = raw


@contextmanager
def imap_server(inbox: Inbox, tls: ssl.SSLContext) -> Iterator[Inbox]:
    """Serve an inbox over TLS: LOGIN, EXAMINE, UID SEARCH, UID FETCH, LOGOUT; everything else is BAD."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with tls.wrap_socket(self.request, server_side=True) as sock, sock.makefile("rwb") as stream:
                stream.write(b"* OK ready\r\n")
                stream.flush()
                for line in stream:
                    stream.write(answer(line.decode().strip()))
                    stream.flush()
                    if b"LOGOUT" in line:
                        return

    def answer(line: str) -> bytes:
        inbox.commands.append(line)
        tag, _, command = line.partition(" ")
        lines, verdict = _imap(inbox, command)
        return b"".join(b"* " + text + b"\r\n" for text in lines) + f"{tag} {verdict}\r\n".encode()

    with _serving(Handler) as inbox.port:
        yield inbox


def _imap(inbox: Inbox, command: str) -> tuple[list[bytes], str]:
    following = max(inbox.messages, default=0) + 1
    if command == "CAPABILITY":
        return [b"CAPABILITY IMAP4rev1"], "OK done"
    if command.startswith("LOGIN"):
        right = command == f'LOGIN {USER} "{PASSWORD}"'
        return [], "OK done" if right else f"NO [AUTHENTICATIONFAILED] not {command}"
    if command.startswith("EXAMINE") and command != 'EXAMINE "INBOX"':
        return [], "NO no such folder"
    if command.startswith("EXAMINE"):
        state = [f"{len(inbox.messages)} EXISTS", f"OK [UIDVALIDITY {inbox.validity}]", f"OK [UIDNEXT {following}]"]
        return [text.encode() for text in state], "OK [READ-ONLY] done"
    if search := re.fullmatch(r"UID SEARCH UID (\d+):\*", command):
        # As RFC 3501 has it: a range beyond the end still holds the last message.
        last = max(inbox.messages, default=0)
        found = [number for number in inbox.messages if number >= min(int(search[1]), last)]
        return [b"SEARCH " + b" ".join(str(number).encode() for number in found)], "OK done"
    if fetch := re.fullmatch(r"UID FETCH (\d+) \(BODY\.PEEK\[\]<0\.(\d+)>\)", command):
        raw = inbox.messages[int(fetch[1])][: int(fetch[2])]
        head = f"{fetch[1]} FETCH (UID {fetch[1]} BODY[]<0> {{{len(raw)}}}\r\n".encode()
        return [head + raw + b")"], "OK done"
    return ([b"BYE"], "OK done") if command == "LOGOUT" else ([], "BAD what?")


@contextmanager
def _serving(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing: clients of these tests hang up in the middle on purpose."""

    with Server((_HOST, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()
