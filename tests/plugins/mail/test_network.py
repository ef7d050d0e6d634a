"""Where the plugin connects: only to addresses that passed the check, whatever the name server says next time."""

import pytest
from http_fakes import FakeResolver
from shared_files import vectors

from core.errors import RejectedError, TemporaryError
from plugins.mail.network import Place, find_addresses


def place(host: str = "mail.shop.test", *, allowed: bool = False) -> Place:
    return Place(host=host, port=587, allowed=allowed, timeout_s=5)


def test_public_server_may_be_reached():
    resolver = FakeResolver({"mail.shop.test": [["8.8.8.8", "2600::1"]]})
    assert find_addresses(place(), resolver, 5) == ["8.8.8.8", "2600::1"]
    assert resolver.asked == ["mail.shop.test"]


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"],
        ["8.8.8.8", "10.0.0.5"],  # one closed address among open ones
        ["::ffff:127.0.0.1"],  # in another dress
        ["64:ff9b::7f00:1"],
        ["169.254.169.254"],
        ["100.64.0.1"],
    ],
)
def test_inner_addresses_are_closed(answers: list[str]):
    with pytest.raises(RejectedError, match="not allowed") as refused:
        find_addresses(place(), FakeResolver({"mail.shop.test": [answers]}), 5)
    assert answers[0] not in str(refused.value)


def test_every_blocked_network_is_closed():
    for network in vectors("ssrf_urls")["blocked_networks"].split():
        address = network.partition("/")[0]
        with pytest.raises(RejectedError):
            find_addresses(place(), FakeResolver({"mail.shop.test": [[address]]}), 5)


def test_owner_may_open_an_inner_server():
    resolver = FakeResolver({"mail.shop.test": [["10.0.0.5"]], "metadata.test": [["169.254.169.254"]]})
    assert find_addresses(place(allowed=True), resolver, 5) == ["10.0.0.5"]
    # metadata services stay closed even then
    with pytest.raises(RejectedError):
        find_addresses(place("metadata.test", allowed=True), resolver, 5)


def test_unknown_and_slow_names_are_asked_again():
    class Slow(FakeResolver):
        def resolve(self, host: str, port: int, timeout_s: float) -> list[str]:
            raise TimeoutError

    with pytest.raises(TemporaryError, match="not found"):
        find_addresses(place(), FakeResolver(), 5)
    with pytest.raises(TemporaryError, match="longer than 5 s"):
        find_addresses(place(), Slow(), 5)
