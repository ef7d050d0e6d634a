"""Messages through a rule and the engine to a real mail server, which demands TLS, a login and known mailboxes."""

import base64
import signal
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import monotonic

import pytest
from databases import databases
from drain_once import run_killed
from engines import START, make_event, put_rule
from mail_servers import PASSWORD, USER, Authority, PostOffice, silent_server, smtp_server
from mail_shop import CUSTOMER, RULE, MailShop, open_shop
from structlog.testing import capture_logs

from core.errors import InvalidInput, RejectedError, SignInError, TemporaryError


def test_rule_sends_one_message_with_its_headers(shop: MailShop, office: PostOffice):
    shop.pay()
    (mail,) = office.mail
    assert mail["From"] == "The Shop <shop@shop.test>"
    assert (mail["To"], mail["Subject"]) == ("ada@customer.test", "Order A-1")
    assert parsedate_to_datetime(mail["Date"]) == START
    assert mail.get_content() == "Thank you, Ada!\r\n"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert office.envelopes == [("shop@shop.test", ["ada@customer.test"])]
    assert (office.logins, office.server_names) == ([USER], ["localhost"])
    assert (shop.effect.state, shop.effect.kind, shop.effect.customer) == ("done", "message", "c-1")
    assert shop.effect.object == f"mail:{mail['Message-ID']}"
    assert mail["Message-ID"].endswith("@shop.test>")
    assert shop.wait_out() == 0


def test_message_that_was_taken_unsaid_keeps_its_id(shop: MailShop, office: PostOffice):
    # the server took it, but the connection broke before it could say so
    office.breaks = "reset"
    shop.pay()
    assert shop.effect.state == "started"
    shop.wait_out()
    first, second = office.mail
    assert first["Message-ID"] == second["Message-ID"]
    assert (shop.effect.state, shop.effect.attempts) == ("done", 2)
    assert shop.effect.possible_duplicate
    assert parsedate_to_datetime(second["Date"]) > parsedate_to_datetime(first["Date"])


@pytest.mark.parametrize(("point", "mails"), [("run.before_call", 1), ("run.after_call", 2)])
def test_killed_process_repeats_once_under_the_same_id(
    shop: MailShop, office: PostOffice, tmp_path: Path, point: str, mails: int
):
    put_rule(shop.engine, RULE)
    shop.engine.take([make_event(shop.engine, "order.paid", {"order": {"id": "A-1"}, "customer": CUSTOMER})])
    assert run_killed(point, tmp_path, "mail", f"localhost:{office.port}") == -signal.SIGKILL
    shop.engine.runner.release_own()
    shop.engine.drain()
    assert [mail["Message-ID"] for mail in office.mail] == [shop.effect.result["message_id"]] * mails
    assert (shop.effect.state, shop.effect.possible_duplicate) == ("done", True)


def test_greylisted_message_comes_through_later(shop: MailShop, office: PostOffice):
    office.greylist = True
    shop.pay()
    assert (shop.effect.state, office.mail) == ("started", [])
    assert "451 4.7.1 greylisted" in shop.effect.reason
    assert shop.wait_out() == 1
    assert (shop.effect.state, len(office.mail)) == ("done", 1)
    assert not shop.effect.possible_duplicate


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ("550 5.1.1 no such mailbox", "failed"),
        ("553 5.1.3 bad address", "failed"),
        ("450 4.2.1 mailbox busy", "started"),
        ("452 4.2.2 mailbox full", "started"),
        ("421 4.3.2 going down", "started"),
    ],
)
def test_refused_recipient_is_final_or_tried_again(shop: MailShop, office: PostOffice, answer: str, state: str):
    office.at_recipient = answer
    shop.pay()
    assert (shop.effect.state, office.mail) == (state, [])
    assert answer[:3] in shop.effect.reason


def test_unknown_mailbox_fails_at_once(shop: MailShop, office: PostOffice):
    shop.send('to: nobody@customer.test, subject: "Hi", text: "Hi"')
    assert (shop.effect.state, shop.run["outcome"], shop.wait_out()) == ("failed", "failed", 0)
    assert "refused the recipient: 550" in shop.effect.reason


@pytest.mark.parametrize(
    ("answer", "state"),
    [("554 5.7.1 looks like spam", "failed"), ("452 4.3.1 disk full", "started"), ("250 2.0.0 queued", "done")],
)
def test_answer_to_the_data_decides(shop: MailShop, office: PostOffice, answer: str, state: str):
    office.after_data = answer
    shop.pay()
    assert shop.effect.state == state


def test_message_beyond_the_size_limit_is_final(shop: MailShop, office: PostOffice):
    shop.send('subject: "Big", text: "{{ order.big }}"', order={"big": "y" * 30_000})
    assert (shop.effect.state, office.mail) == ("failed", [])
    assert "552" in shop.effect.reason


def test_wrong_password_asks_a_person(shop: MailShop, office: PostOffice, tmp_path: Path):
    shop.connect(port=office.port, password="SENTINEL-wrong-one")
    with capture_logs() as logs:
        shop.pay()
    assert (shop.effect.state, shop.wait_out()) == ("failed", 0)
    assert "refused the login: 535" in shop.effect.reason
    assert "check user and password" in shop.effect.reason
    shop.engine.close()
    plain = base64.b64encode(f"\0{USER}\0SENTINEL-wrong-one".encode()).decode()
    stored = databases.content(tmp_path).decode("latin-1") + repr(logs)
    # the server repeats the password in its refusal
    assert "wrong: shop" in stored
    assert [word for word in ("SENTINEL", PASSWORD, plain) if word in stored] == []


def test_missing_login_is_told_apart(shop: MailShop, office: PostOffice):
    shop.connect(port=office.port, user="")
    shop.pay()
    assert "530" in shop.effect.reason
    assert "check user and password" in shop.effect.reason


def test_certificate_for_another_name_is_final(shop: MailShop, office: PostOffice):
    shop.connect(port=office.port, host="127.0.0.1")
    shop.pay()
    assert (shop.effect.state, office.logins, shop.wait_out()) == ("failed", [], 0)
    assert "certificate of 127.0.0.1" in shop.effect.reason


def test_unknown_authority_is_final(tmp_path: Path, office: PostOffice):
    with open_shop(tmp_path, allow=(f"localhost:{office.port}",)) as shop:
        shop.connect(port=office.port)
        shop.pay()
        assert (shop.effect.state, office.logins) == ("failed", [])
        assert "is not valid" in shop.effect.reason


def test_server_without_starttls_gets_nothing(tmp_path: Path):
    with smtp_server(PostOffice(), None) as office, open_shop(tmp_path, allow=(f"localhost:{office.port}",)) as shop:
        shop.connect(port=office.port)
        shop.pay()
        assert (shop.effect.state, office.mail) == ("failed", [])
        assert "offers no STARTTLS" in shop.effect.reason
        shop.connect(port=office.port, security="none", user="")
        shop.pay()
        assert (shop.effect.state, len(office.mail)) == ("done", 1)


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # it does not see TLS from the start
def test_tls_from_the_start_is_spoken(tmp_path: Path, authority: Authority):
    tls = authority.context("localhost")
    with (
        smtp_server(PostOffice(), tls, implicit=True) as office,
        open_shop(tmp_path, allow=(f"localhost:{office.port}",)) as shop,
    ):
        shop.connect(port=office.port, security="tls", authority=authority.pem)
        shop.pay()
        assert (shop.effect.state, len(office.mail), office.server_names) == ("done", 1, ["localhost"])
        # STARTTLS spoken to a port of TLS: nothing comes back
        shop.connect(port=office.port, security="starttls", authority=authority.pem, timeout_s=1)
        shop.pay()
        assert (shop.effect.state, len(office.mail)) == ("started", 1)


def test_plain_server_answers_no_tls(shop: MailShop, office: PostOffice, authority: Authority):
    shop.connect(port=office.port, security="tls", authority=authority.pem)
    shop.pay()
    assert shop.effect.state == "started"
    assert "does the port speak TLS from the start" in shop.effect.reason


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "[::1]", "169.254.169.254", "0x7f.1", "10.0.0.5", "::ffff:7f00:1"]
)
def test_inner_server_needs_the_owner(tmp_path: Path, host: str):
    with open_shop(tmp_path) as shop:
        shop.connect(host=host)
        shop.pay()
        assert shop.effect.state == "failed"
        assert "address not allowed" in shop.effect.reason or "must be the name of a server" in shop.effect.reason


def test_open_conversation_needs_the_owner(tmp_path: Path):
    with open_shop(tmp_path) as shop:
        shop.connect(host="mail.provider.example", security="none")
        shop.pay()
        assert "settings.security" in shop.effect.reason


@pytest.mark.parametrize("greeting", [b"", b"220 mx ESMTP\r\n"])
def test_silent_server_is_tried_again(tmp_path: Path, greeting: bytes):
    with silent_server(greeting) as port, open_shop(tmp_path, allow=(f"127.0.0.1:{port}",)) as shop:
        shop.connect(host="127.0.0.1", port=port, timeout_s=1)
        shop.pay()
        assert shop.effect.state == "started"
        assert "fell silent" in shop.effect.reason


def test_dripping_server_is_cut_off_in_time(tmp_path: Path):
    # each drop comes well within any time-out of a single read
    with silent_server(b"220-", drip=b"x") as port, open_shop(tmp_path, allow=(f"127.0.0.1:{port}",)) as shop:
        shop.connect(host="127.0.0.1", port=port, timeout_s=1)
        start = monotonic()
        shop.pay()
        assert monotonic() - start < 10
        assert shop.effect.state == "started"


def test_closed_port_is_tried_again(tmp_path: Path):
    with silent_server() as port:
        allow = (f"127.0.0.1:{port}",)
    with open_shop(tmp_path, allow=allow) as shop:
        shop.connect(host="127.0.0.1", port=port)
        shop.pay()
        assert shop.effect.state == "started"
        assert "check host and port in the settings" in shop.effect.reason


def test_name_that_is_not_found_is_tried_again(tmp_path: Path):
    with open_shop(tmp_path) as shop:
        shop.connect(host="mail.shop.invalid")
        shop.pay()
        assert (shop.effect.state, "was not found" in shop.effect.reason) == ("started", True)


def test_customer_without_address_fails_with_the_reason(shop: MailShop, office: PostOffice):
    shop.pay(RULE, customer={"id": "c-2", "name": "Bo"})
    assert (shop.effect.state, office.mail) == ("failed", [])
    assert "with.to" in shop.effect.reason


def test_customer_of_the_order_is_found(shop: MailShop, office: PostOffice):
    shop.pay(RULE, customer=None, order={"id": "A-2", "customer": {"email": "ada@customer.test"}})
    assert office.mail[0]["To"] == "ada@customer.test"


def test_address_beyond_ascii_needs_a_server_that_can(tmp_path: Path, authority: Authority):
    for utf8, state in ((True, "done"), (False, "failed")):
        office = PostOffice(boxes={"почта@customer.test"}, utf8=utf8)
        with (
            smtp_server(office, authority.context("localhost")),
            open_shop(tmp_path / str(utf8), allow=(f"localhost:{office.port}",)) as shop,
        ):
            shop.connect(port=office.port, authority=authority.pem)
            assert shop.send('to: "почта@customer.test", subject: "Тема", text: "Текст"').state == state
            assert [mail["To"] for mail in office.mail] == ["почта@customer.test"] * utf8


def test_domain_beyond_ascii_needs_nothing(shop: MailShop, office: PostOffice):
    office.boxes.add("ada@xn--bcher-kva.test")
    shop.send('to: "Ada Öz <ada@bücher.test>", subject: "Ğ", text: "Ş"')
    assert office.mail[0]["To"] == "Ada Öz <ada@xn--bcher-kva.test>"
    assert office.raw[0].isascii()


def test_check_connects_logs_in_and_sends_nothing(shop: MailShop, office: PostOffice, authority: Authority):
    settings = {
        "host": "localhost",
        "port": office.port,
        "user": USER,
        "password": PASSWORD,
        "authority": authority.pem,
    }
    told = shop.engine.invoker.check("mail", {**settings, "sender_address": "shop@shop.test"})
    assert told["account"] == "shop@shop.test"
    assert told["latency"].endswith(" ms")
    assert (office.logins, office.mail) == ([USER], [])
    with pytest.raises(SignInError):
        shop.engine.invoker.check("mail", {**settings, "sender_address": "shop@shop.test", "password": "no"})
    with pytest.raises(InvalidInput, match="sender_address"):
        shop.engine.invoker.check("mail", settings)
    with pytest.raises(RejectedError):
        shop.engine.invoker.check("mail", {**settings, "sender_address": "a@shop.test", "port": 25})


def test_check_of_a_silent_server_ends_in_time(tmp_path: Path):
    with silent_server() as port, open_shop(tmp_path, allow=(f"127.0.0.1:{port}",)) as shop:
        settings = {"host": "127.0.0.1", "port": port, "sender_address": "shop@shop.test", "timeout_s": 1}
        with pytest.raises(TemporaryError):
            shop.engine.invoker.check("mail", settings)
        assert shop.engine.host.get("mail").quarantine is None


def test_message_is_given_up_after_days(shop: MailShop, office: PostOffice):
    office.at_recipient = "450 4.2.1 mailbox busy"
    start = shop.clock.now()
    shop.pay()
    shop.wait_out()
    assert shop.clock.now() - start > timedelta(hours=40)
    assert (shop.effect.state, shop.run["outcome"], office.mail) == ("failed", "failed", [])


def test_html_of_a_rule_escapes_what_customers_wrote(shop: MailShop, office: PostOffice):
    rule = RULE.replace('text: "Thank', 'html: "<p>Thank you, {{ customer.name }}!</p>", text: "Thank')
    shop.pay(rule, customer={**CUSTOMER, "name": "<script>1</script>"})
    (mail,) = office.mail
    part = mail.get_body(("html",))
    assert part is not None
    html = part.get_content()
    assert "<script>" not in html
    assert "&lt;script&gt;1&lt;/script&gt;" in html
