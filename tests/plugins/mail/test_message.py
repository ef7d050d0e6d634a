"""One message as bytes: nothing that a value says can become a header, and every reader sees what was meant."""

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mail_servers import PostOffice
from mail_shop import MailShop
from shared_files import vectors

from core.errors import InvalidInput
from plugins.mail.message import Letter, make_id, read_address, read_line, read_link

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PLAIN = st.characters(exclude_categories=["Cc", "Cs", "Cf", "Zl", "Zp"])


def letter(**more: Any) -> Letter:
    fields = {
        "id": make_id("run:then[0]", "shop.test"),
        "date": NOW,
        "sender": read_address("shop@shop.test", "from", "Mağaza"),
        "to": read_address("ada@customer.test", "to"),
        "subject": "Order",
        "text": "Hello",
    }
    return Letter(**{**fields, **more})


def parsed(one: Letter) -> EmailMessage:
    return cast(EmailMessage, message_from_bytes(one.to_bytes(), policy=default))


@given(st.text(PLAIN, max_size=300), st.text(max_size=2_000))
def test_subject_and_text_arrive_as_written(subject: str, text: str):
    subject, text = " ".join(subject.split()), text.encode("utf-8", "ignore").decode()
    message = parsed(letter(subject=subject, text=text))
    assert " ".join(message["Subject"].split()) == subject
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert message.get_content().rstrip("\r\n").split("\r\n") == "\n".join(lines).rstrip("\n").split("\n")
    assert letter(subject=subject, text=text).to_bytes().isascii()


@given(st.text(max_size=200))
def test_no_subject_adds_a_header_or_a_line(subject: str):
    try:
        told = read_line(subject, "with.subject")
    except InvalidInput:
        return
    names = parsed(letter(subject=told)).keys()
    assert sorted(names) == sorted(parsed(letter()).keys())


@pytest.mark.parametrize(
    "value",
    [
        "Hi\r\nBcc: evil@evil.test",
        "Hi\nBcc: evil@evil.test",
        "Hi\rBcc: evil@evil.test",
        "Hi\x0bBcc: evil@evil.test",  # vertical tab: a line end to Python
        "Hi\x85Bcc: evil@evil.test",  # next line
        "Hi\u2028Bcc: evil@evil.test",  # line separator
        "Hi\x00",
        "Hi\ud800",  # half a character
        "\u202egnp.exe",  # reads backwards
    ],
)
def test_line_ends_and_hidden_characters_are_refused(value: str):
    for read in (read_line, read_address, read_link):
        with pytest.raises(InvalidInput):
            read(value, "with.value")
    with pytest.raises(InvalidInput):
        read_address("shop@shop.test", "settings.sender_address", value)
    with pytest.raises(InvalidInput):
        read_address(f"{value} <shop@shop.test>", "with.to")


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("ada@customer.test", "", "ada@customer.test"),
        ("Ada <ada@customer.test>", "Ada", "ada@customer.test"),
        ('"Ada Öz" <ada@customer.test>', "Ada Öz", "ada@customer.test"),
        ("<ada@customer.test>", "", "ada@customer.test"),
        ("ada+shop@CUSTOMER.test", "", "ada+shop@customer.test"),
        ("имя@магазин.test", "", "имя@xn--80aaaac8algcbgbck3fl0q.test"),
    ],
)
def test_address_is_read(text: str, name: str, address: str):
    found = read_address(text, "with.to")
    local = address.rpartition("@")[0]
    assert (found.display_name, found.username) == (name, local)
    assert found.domain.isascii()
    if "магазин" not in text:
        assert found.addr_spec == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada",
        "ada@",
        "@customer.test",
        "ada@b@customer.test",
        "ada@customer.test, evil@evil.test",  # two people
        "ada@customer.test;evil@evil.test",
        "ada@customer.test evil@evil.test",
        "ada@[127.0.0.1]",
        "ada@127.0.0.1",
        "ada@2130706433",  # the same, as a number
        "ada@customer%2etest",
        "ada@customer..test",
        ".ada@customer.test",
        "a..da@customer.test",
        '"a b"@customer.test',
        "<ada@customer.test> SIZE=1",  # words for the server
        "a" * 65 + "@customer.test",
        "ada@" + "x" * 300 + ".test",
    ],
)
def test_anything_but_one_address_is_refused(text: str):
    with pytest.raises(InvalidInput):
        read_address(text, "with.to")


def test_names_of_any_script_are_encoded():
    one = letter(sender=read_address("shop@shop.test", "from", "Çiçek, Ltd. & «Цветы»"))
    assert one.to_bytes().isascii()
    (sender,) = parsed(one)["From"].addresses
    assert (sender.display_name, sender.addr_spec) == ("Çiçek, Ltd. & «Цветы»", "shop@shop.test")


def test_plain_and_html_go_as_alternatives():
    message = parsed(letter(text="Hello", html="<b>Hello</b>"))
    assert message.get_content_type() == "multipart/alternative"
    parts = [(part.get_content_type(), part.get_content().strip()) for part in message.iter_parts()]
    assert parts == [("text/plain", "Hello"), ("text/html", "<b>Hello</b>")]


def test_unsubscribe_link_stays_whole_however_long():
    link = "https://shop.test/off/" + "a" * 500
    raw = letter(unsubscribe=link).to_bytes()
    assert f"\r\nList-Unsubscribe: <{link}>\r\n".encode() in raw
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in raw
    assert b"Unsubscribe-Post" not in letter(unsubscribe="mailto:off@shop.test").to_bytes()
    for bad in ("javascript:alert(1)", "https://shop.test/>, <https://evil.test", "https://shop.test/a b", "/off"):
        with pytest.raises(InvalidInput):
            read_link(bad, "with.unsubscribe")


def test_message_id_depends_on_the_effect_alone():
    assert make_id("run:then[0]", "shop.test") == make_id("run:then[0]", "shop.test")
    assert make_id("run:then[0]", "shop.test") != make_id("run:then[1]", "shop.test")
    long = letter(id=make_id("k", "a-very-long-name-of-a-domain." * 4 + "test"))
    assert parsed(long)["Message-ID"] == long.id


def test_lines_of_one_dot_do_not_end_the_message(shop: MailShop, office: PostOffice):
    shop.pay(
        order={"id": "A-1"}, customer={"name": "A\n.\nMAIL FROM:<x@x.test>\r\n.\r\n", "email": "ada@customer.test"}
    )
    assert len(office.mail) == 1
    assert ".\r\nMAIL FROM" in office.mail[0].get_content()


def test_naughty_strings_are_sent_or_refused():
    refused = 0
    for row in vectors("naughty_strings")["rows"]:
        value = row.get("value")
        if not isinstance(value, str):
            continue
        try:
            letter(subject=read_line(value, "s"), text=value.encode("utf-8", "ignore").decode()).to_bytes()
        except InvalidInput:
            refused += 1
    assert refused
