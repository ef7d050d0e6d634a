"""A shop that sends e-mail through a server on this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from mail_servers import Authority, PostOffice, smtp_server
from mail_shop import MailShop, open_shop


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def office(authority: Authority) -> Iterator[PostOffice]:
    """A mail server that demands STARTTLS and a login."""
    with smtp_server(PostOffice(), authority.context("localhost")) as office:
        yield office


@pytest.fixture
def shop(tmp_path: Path, office: PostOffice, authority: Authority) -> Iterator[MailShop]:
    """A shop connected to that server."""
    with open_shop(tmp_path, allow=(f"localhost:{office.port}", f"127.0.0.1:{office.port}")) as shop:
        shop.connect(port=office.port, authority=authority.pem)
        yield shop
