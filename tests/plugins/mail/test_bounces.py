"""Notifications of mail servers (RFC 3464), and the mailbox that they come to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mail_servers import Authority, Inbox, PostOffice, imap_server
from mail_shop import MailShop, open_shop

from plugins.mail.bounces import Bounce, read_bounce

ID = "<0f3a@shop.test>"


def notification(
    groups: str,
    *,
    ident: str = ID,
    quoted: str = "message/rfc822",
    kind: str = "multipart/report; report-type=delivery-status",
) -> bytes:
    """Return a notification as a mail server writes it."""
    text = f"""From: MAILER-DAEMON@mx.test
To: shop@shop.test
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: {kind}; boundary="b1"

--b1
Content-Type: text/plain

This is the mail system at host mx.test. I am sorry.

--b1
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.test
Arrival-Date: Mon, 2 Mar 2026 09:00:00 +0000

{groups}
--b1
Content-Type: {quoted}

From: shop@shop.test
Message-ID: {ident}
Subject: Order

--b1--
"""
    return text.replace("\n", "\r\n").encode()


FAILED = """Final-Recipient: rfc822; ada@customer.test
Original-Recipient: rfc822;ada@customer.test
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <ada@customer.test>: Recipient address
    rejected: User unknown
"""


def test_unknown_mailbox_is_read():
    assert read_bounce(notification(FAILED)) == [
        Bounce(
            message_id=ID,
            recipient="ada@customer.test",
            status="5.1.1",
            permanent=True,
            reason="550 5.1.1 <ada@customer.test>: Recipient address rejected: User unknown",
        )
    ]


@pytest.mark.parametrize(
    "quoted", ["message/rfc822", "text/rfc822-headers", "message/global-headers", "message/global"]
)
def test_id_is_found_in_whatever_is_quoted(quoted: str):
    assert [bounce.message_id for bounce in read_bounce(notification(FAILED, quoted=quoted))] == [ID]


def test_each_recipient_has_an_own_verdict():
    groups = f"{FAILED}\nFinal-Recipient: rfc822; bo@customer.test\nAction: delayed\nStatus: 4.4.1\n\n"
    groups += "Final-Recipient: rfc822; cy@customer.test\nAction: failed\nStatus: 4.2.2\n\n"
    groups += "Final-Recipient: rfc822; di@customer.test\nAction: delivered\nStatus: 2.0.0\n"
    found = [(bounce.recipient, bounce.permanent) for bounce in read_bounce(notification(groups))]
    assert found == [("ada@customer.test", True), ("cy@customer.test", False)]


@pytest.mark.parametrize(
    ("group", "recipient", "status", "reason"),
    [
        # letters in capitals, no original recipient, angle brackets
        (
            "FINAL-RECIPIENT: RFC822; <ada@customer.test>\nACTION: Failed\nSTATUS: 5.2.2\n",
            "ada@customer.test",
            "5.2.2",
            "",
        ),
        # an international address
        (
            "Final-Recipient: utf-8; ada@xn--bcher-kva.test\nAction: failed\nStatus: 5.0.0\n",
            "ada@xn--bcher-kva.test",
            "5.0.0",
            "",
        ),
        # a comment behind the status
        ("Final-Recipient: rfc822; a@b.test\nAction: failed\nStatus: 5.7.1 (blocked)\n", "a@b.test", "5.7.1", ""),
        # no status: taken from what the other server said
        (
            "Final-Recipient: rfc822; a@b.test\nAction: failed\nDiagnostic-Code: smtp; 550 5.7.26 SPF\n",
            "a@b.test",
            "5.7.26",
            "550 5.7.26 SPF",
        ),
        # neither: it failed, that much is known
        ("Final-Recipient: rfc822; a@b.test\nAction: failed\n", "a@b.test", "5.0.0", ""),
    ],
)
def test_what_servers_write_differently_is_understood(group: str, recipient: str, status: str, reason: str):
    (bounce,) = read_bounce(notification(group))
    assert (bounce.recipient, bounce.status, bounce.reason) == (recipient, status, reason)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"From: ada@customer.test\r\nSubject: Re: Order\r\n\r\nUndelivered: 550 5.1.1",  # a person
        notification(FAILED, kind="multipart/mixed"),  # no report
        notification(""),  # a report about nobody
        notification(FAILED.replace("failed", "delayed")),
        notification(FAILED)[:300],  # cut
    ],
)
def test_other_messages_are_no_bounces(raw: bytes):
    assert read_bounce(raw) == []


@given(st.binary(max_size=400), st.integers(0, 700))
def test_any_bytes_are_survived(noise: bytes, place: int):
    whole = notification(FAILED)
    for raw in (noise, whole[:place] + noise + whole[place:], whole[:place] + noise):
        assert isinstance(read_bounce(raw), list)


@pytest.fixture
def inbox(authority: Authority) -> Iterator[Inbox]:
    with imap_server(Inbox(), authority.context("localhost")) as inbox:
        yield inbox


@pytest.fixture
def watching(tmp_path: Path, authority: Authority, inbox: Inbox, office: PostOffice) -> Iterator[MailShop]:
    """A shop that sends through the office and reads the inbox."""
    allow = (f"localhost:{office.port}", f"localhost:{inbox.port}")
    with open_shop(tmp_path, allow=allow) as shop:
        shop.connect(port=office.port, authority=authority.pem, imap_host="localhost", imap_port=inbox.port)
        yield shop


def test_returned_message_becomes_one_event(watching: MailShop, office: PostOffice, inbox: Inbox):
    watching.pay()
    sent = office.mail[0]["Message-ID"]
    inbox.put(b"Subject: Re: Order\r\n\r\nThank you!")
    inbox.put(notification(FAILED, ident=sent))
    assert watching.poll()["cursor"] == {"validity": 7, "next": 3}
    (event,) = watching.bounced()
    assert (event.key, event.data["message_id"]) == (sent, sent)
    assert (event.data["recipient"], event.data["status"]) == ("ada@customer.test", "5.1.1")
    assert event.data["permanent"] is True
    # nothing new
    assert watching.poll()["cursor"] == {"validity": 7, "next": 3}
    # the same one again, under new numbers
    inbox.validity = 8
    inbox.put(notification(FAILED, ident=sent))
    assert watching.poll()["cursor"] == {"validity": 8, "next": 4}
    assert len(watching.bounced()) == 1


def test_returned_message_names_the_customer_of_the_address(watching: MailShop, office: PostOffice, inbox: Inbox):
    engine = watching.engine

    def know(tx: Any) -> str:
        shop = engine.shop_of(tx, None, watching.clock.now(), "till")
        return shop.upsert_customer({"external_id": "t-1", "email": "Ada@Customer.test"}).id

    ada = engine.writer.do(know)
    watching.pay()
    sent = office.mail[0]["Message-ID"]
    inbox.put(notification(FAILED, ident=sent))
    inbox.put(notification(FAILED.replace("ada@", "nobody@"), ident=sent))
    watching.poll()
    found = {event.data["recipient"]: event.customer for event in watching.bounced()}
    assert found == {"ada@customer.test": ada, "nobody@customer.test": None}


def test_run_that_sent_the_message_hears_of_it(watching: MailShop, office: PostOffice, inbox: Inbox):
    rule = """
        rule: thank-you
        when: {event: order.paid}
        then:
          - do: mail.send_message
            with: {subject: Thanks, text: Thanks}
            as: mail
          - wait: {event: mail.bounced, where: {message_id: "{{ steps.mail.message_id }}"}, timeout: 2 days}
            as: back
          - choose:
              - if: {field: steps.back.outcome, is: equal, value: happened}
                then:
                  - do: tasks.create
                    with: {title: "Call: {{ steps.mail.to }}"}
        owner: shop
    """
    watching.pay(rule)
    inbox.put(notification(FAILED, ident=office.mail[0]["Message-ID"]))
    watching.poll()
    watching.engine.drain()
    assert (watching.effect.kind, watching.effect.params["title"]) == ("task", "Call: ada@customer.test")


def test_renumbered_mailbox_is_read_from_its_beginning(watching: MailShop, office: PostOffice, inbox: Inbox):
    inbox.messages = dict.fromkeys(range(1, 9), b"Subject: x\r\n\r\nx")
    assert watching.poll()["cursor"] == {"validity": 7, "next": 9}
    watching.pay()
    inbox.validity, inbox.messages = 8, {1: notification(FAILED, ident=office.mail[0]["Message-ID"])}
    assert watching.poll()["cursor"] == {"validity": 8, "next": 2}
    assert len(watching.bounced()) == 1


@pytest.mark.parametrize("ident", ["<forged@shop.test>", f"<{'0f3a' * 10}@other.test>", f"<{'0F3A' * 10}@shop.test>"])
def test_notification_about_a_strange_message_is_left_aside(watching: MailShop, inbox: Inbox, ident: str):
    inbox.put(notification(FAILED, ident=ident))
    assert watching.poll()["cursor"] == {"validity": 7, "next": 2}
    assert watching.bounced() == []


def test_mailbox_is_only_read(watching: MailShop, inbox: Inbox):
    inbox.put(notification(FAILED))
    watching.poll()
    words = [command.partition(" ")[2].split()[0] for command in inbox.commands]
    assert set(words) == {"CAPABILITY", "LOGIN", "EXAMINE", "UID", "LOGOUT"}
    assert "BODY.PEEK" in " ".join(inbox.commands)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"imap_password": "SENTINEL-other"}, "refused the login"),
        ({"imap_folder": "Nowhere"}, "no folder Nowhere"),
        ({"imap_folder": 'INBOX"\r\nA1 DELETE "INBOX'}, "settings.imap_folder"),
        ({"imap_port": 143}, "not allowed"),  # not what the owner opened
        ({"imap_host": "127.0.0.1"}, "not allowed"),
        ({"user": ""}, "user or password"),
    ],
)
def test_trouble_with_the_mailbox_is_named(watching: MailShop, inbox: Inbox, settings: dict[str, Any], words: str):
    inbox.put(notification(FAILED))
    watching.connect(**settings)
    told = watching.poll()
    assert words in told["error"]
    assert "SENTINEL" not in told["error"]
    assert told.get("cursor") is None
    assert watching.engine.host.get("mail").quarantine is None


def test_server_that_speaks_no_imap_is_tried_again(watching: MailShop, office: PostOffice):
    watching.connect(imap_port=office.port)
    assert "is it IMAP over TLS" in watching.poll()["error"]


def test_poller_rests_while_no_mailbox_is_named(tmp_path: Path):
    with open_shop(tmp_path) as shop:
        shop.connect()
        told = shop.poll()
        assert (told["cursor"], told["error"]) == (None, None)
