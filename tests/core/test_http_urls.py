import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.http import parse_url


# Each row: a URL as people or attackers write it, and the one form it has afterwards.
@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("HTTPS://Shop.Example", "https://shop.example/"),  # case, no path
        ("https://shop.example:443/a?b#c", "https://shop.example/a?b"),  # default port, fragment
        ("https://shop.example.?q=1", "https://shop.example/?q=1"),  # trailing dot, query without path
        ("https://shop.example:/", "https://shop.example/"),  # empty port
        ("https://müller.example/", "https://xn--mller-kva.example/"),  # international name
        ("https://магазин.example/", "https://xn--80aairftm.example/"),  # Cyrillic name
        ("http://ⓔxample\u3002com/", "http://example.com/"),  # circled letter, ideographic dot
        ("http://\uff11\uff0e1/", "http://1.0.0.1/"),  # full-width digits and dot
        ("http://ex%61mple.com/", "http://example.com/"),  # encoded letter
        ("http://0x1.0x2.0x3.0x4/", "http://1.2.3.4/"),  # hex
        ("http://017.1/", "http://15.0.0.1/"),  # octal, short
        ("http://1.2.772/", "http://1.2.3.4/"),  # three parts
        ("http://[2A00:0:0::1]:80/", "http://[2a00::1]/"),  # IPv6
        (" https://shop.example/ ", "https://shop.example/"),  # pasted with blanks
        ("https://u:p@shop.example/", "https://shop.example/"),  # credentials are kept apart
    ],
)
def test_url_has_one_form(url: str, form: str) -> None:
    assert parse_url(url).url == form


# Each row: a URL in which two readers could see two hosts, or none.
@pytest.mark.parametrize(
    "url",
    [
        "http:/shop.example/",
        "http:shop.example",
        "http:\\\\shop.example/",
        "ftp://shop.example/",
        "//shop.example/",
        "http://a\\@b.example/",
        "http://shop.example/\\evil.example/",
        "http://a@b@c.example/",
        "http://shop.example%2f@evil.example/",
        "http://shop.example@evil.example/",
        "http://shop.example:80@evil.example/",
        "http://sh\top.example/",
        "http://shop.example\n/",
        "http://shop example/",
        "http://shop.example%00/",
        "http://shop.example%23.evil.example/",
        "http://a..example/",
        "http://.example/",
        "http://..",
        "http://[::1%25eth0]/",
        "http://[::1]x/",
        "http://[127.0.0.1]/",
        "http://::1/",
        "http://1.2.3.4.5/",
        "http://256.1.1.1/",
        "http://1.2.3.08/",
        "http://4294967296/",
        "http://shop.example:0/",
        "http://shop.example:65536/",
        "http://shop.example:+80/",
        "http://shop.example:\u0661/",
        "http://shop.example:80:80/",
        "http://\u0661\u0662\u0667.0.0.1/",
        f"http://{'a' * 64}.example/",
        "http://\ud800.example/",
        "http://shop.example/" + "a" * 20_000,
    ],
)
def test_ambiguous_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        parse_url(url)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["{0}", "{0:#x}", "0{0:o}", "{1}.{2}", "{1}.{3}.{4}"]))
def test_every_spelling_is_the_same_address(number: int, spelling: str) -> None:
    host = spelling.format(number, number >> 24, number & 0xFFFFFF, number >> 16 & 0xFF, number & 0xFFFF)
    assert parse_url(f"http://{host}/").host == str(ipaddress.IPv4Address(number))


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        target = parse_url(f"http://{text}")
    except InvalidInput:
        return
    assert target.host.isascii()
    assert parse_url(target.url) == target or target.userinfo is not None
