import ipaddress
import socket
import threading
from typing import Any

import pytest
from http_fakes import FakeNetwork, FakeResolver, Sent, answer
from shared_files import vectors

from core.errors import InvalidInput, RejectedError, RemoteError, TemporaryError
from core.http import BLOCKED_NETWORKS, HttpClient, Response, Session, SystemResolver
from core.http.urls import canonical_host

KEY = "Bearer sentinel-9f8e7d"


def ask(
    url: str, network: FakeNetwork, resolver: FakeResolver | None = None, allow: Any = (), hosts: Any = None
) -> Response:
    client = HttpClient(resolver=resolver or FakeResolver(), connector=network)
    return client.session("probe", hosts=hosts, allow=allow).get(url, headers={"Authorization": KEY})


def run_row(row: dict[str, Any]) -> tuple[FakeNetwork, Response | RemoteError]:
    hops = iter(row.get("chain", [row["url"]])[1:])

    def serve(sent: Sent) -> bytes:
        location = next(hops, None)
        return answer() if location is None else answer(302, location=location)

    network = FakeNetwork(serve)
    names = {}
    for host, answers in row.get("resolves", {}).items():
        # A name server is asked for the canonical name; of several spellings in a row the first one counts.
        names.setdefault(canonical_host(host), answers)
    client = HttpClient(resolver=FakeResolver(names), connector=network)
    session: Session = client.session("probe", allow=row.get("allowlist", ()))
    if "provider_base" in row:
        session = session.under(row["provider_base"])
    try:
        outcome: Response | RemoteError = session.get(row["url"], headers={"Authorization": KEY})
        if row["class"] == "rebind":
            client.close()
            session.get(row["url"])
    except RemoteError as refusal:
        outcome = refusal
    return network, outcome


def check_row(row: dict[str, Any]) -> None:
    network, outcome = run_row(row)
    where = (row["id"], outcome)
    allowed = [entry.rpartition(":")[0] for entry in row.get("allowlist", ())]
    reached = [ipaddress.ip_address(address) for address in network.connected if address not in allowed]
    blocked = [ipaddress.ip_network(word) for word in vectors("ssrf_urls")["blocked_networks"].split()]
    assert not [address for address in reached if any(address in net for net in blocked)], where
    assert not set(network.connected) & set(row.get("must_not_connect", ())), where
    assert len(network.sent) <= 6, where
    if row["expect"] in ("allow", "allow_strip_auth"):
        assert isinstance(outcome, Response), where
        assert outcome.status == 200, where
    if row["expect"] == "allow_strip_auth":
        assert "authorization" not in network.sent[-1].headers, where
    if row["expect"] == "block" and row["class"] != "rebind":
        assert isinstance(outcome, RejectedError) or "was not found" in str(outcome), where
        assert "sentinel" not in str(outcome), where


def test_each_url_gets_the_expected_verdict() -> None:
    for row in vectors("ssrf_urls")["rows"]:
        check_row(row)


def test_blocked_networks_are_those_of_the_table() -> None:
    assert {str(net) for net in BLOCKED_NETWORKS} == set(vectors("ssrf_urls")["blocked_networks"].split())


@pytest.mark.parametrize("host", ["0x5db8d822", "93.12113954", "1572395042", "0135.0270.0330.0042", "93.184.216.34."])
def test_odd_spelling_goes_to_canonical_address(host: str) -> None:
    network = FakeNetwork(lambda _: answer())
    assert ask(f"http://{host}/", network).status == 200
    assert network.connected == ["93.184.216.34"]
    assert network.sent[0].headers["host"] == "93.184.216.34"


def test_one_closed_address_among_several_refuses() -> None:
    network = FakeNetwork(lambda _: answer())
    with pytest.raises(RejectedError, match=r"address not allowed: mixed\.example"):
        ask("http://mixed.example/", network, FakeResolver({"mixed.example": [["93.184.216.34", "10.0.0.1"]]}))
    assert network.connected == []


def test_next_address_is_tried_when_one_is_dead() -> None:
    network = FakeNetwork(lambda _: answer(), dead=frozenset({"2a00::1"}))
    assert (
        ask("http://two.example/", network, FakeResolver({"two.example": [["2a00::1", "93.184.216.34"]]})).status == 200
    )
    assert network.connected == ["2a00::1", "93.184.216.34"]


def test_host_and_server_name_stay_the_name() -> None:
    network = FakeNetwork(lambda _: answer())
    ask("https://Public.Example.:8443/a", network, FakeResolver({"public.example": [["93.184.216.34"]]}))
    assert (network.sent[0].server_name, network.sent[0].headers["host"]) == ("public.example", "public.example:8443")


def test_names_of_this_machine_are_closed_whatever_they_resolve_to() -> None:
    network = FakeNetwork(lambda _: answer())
    for name in ("localhost", "LocalHost.", "api.localhost", "ip6-loopback"):
        with pytest.raises(RejectedError, match="address not allowed"):
            ask(f"http://{name}/", network, FakeResolver({canonical_host(name): [["93.184.216.34"]]}))
    assert network.connected == []


def test_system_resolver_stops_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: stuck.wait(10) and [])
    resolver = SystemResolver(threads=1)
    with pytest.raises(TimeoutError):
        resolver.resolve("slow.example", 443, 0.05)
    stuck.set()
    resolver.close()


def test_unknown_name_is_temporary() -> None:
    with pytest.raises(TemporaryError, match=r"gone\.example was not found"):
        ask("https://gone.example/", FakeNetwork(lambda _: answer()))


def test_slow_name_server_is_temporary() -> None:
    class Late(FakeResolver):
        def resolve(self, host: str, port: int, timeout_s: float) -> list[str]:
            raise TimeoutError

    with pytest.raises(TemporaryError, match=r"looking up slow\.example took longer"):
        ask("https://slow.example/", FakeNetwork(lambda _: answer()), Late())


# Each row: the owner's list, the address asked for, whether it is reached.
@pytest.mark.parametrize(
    ("allow", "url", "reached"),
    [
        ("10.0.0.5:8080", "http://10.0.0.5:8080/", True),  # exactly what was allowed
        ("erp.shop.lan:8080", "http://ERP.shop.lan.:8080/", True),  # the same name, spelled otherwise
        ("[fd00::5]:8080", "http://[fd00:0::5]:8080/", True),  # IPv6
        ("127.0.0.1:9000", "http://127.1:9000/", True),  # the same address, spelled otherwise
        ("10.0.0.5:8080", "http://10.0.0.5:8081/", False),  # another port
        ("10.0.0.5:8080", "http://10.0.0.5/", False),  # the default port
        ("10.0.0.5:8080", "http://alias.example:8080/", False),  # another name of the same address
        ("10.0.0.5:8080", "http://[::ffff:10.0.0.5]:8080/", False),  # mapped form
        ("meta.lan:80", "http://meta.lan/", False),  # an allowed name that points to a metadata service
        ("169.254.169.254:80", "http://169.254.169.254/", False),  # never, even if allowed
    ],
)
def test_local_address_needs_exact_permission(allow: str, url: str, reached: bool) -> None:
    names = {
        "erp.shop.lan": [["10.0.0.9"]],
        "alias.example": [["10.0.0.5"]],
        "meta.lan": [["169.254.169.254"]],
    }
    network = FakeNetwork(lambda _: answer())
    if reached:
        assert ask(url, network, FakeResolver(names), allow=[allow]).status == 200
        return
    with pytest.raises(RejectedError, match="address not allowed"):
        ask(url, network, FakeResolver(names), allow=[allow])
    assert network.connected == []


def test_open_local_connection_serves_nobody_else() -> None:
    network = FakeNetwork(lambda _: answer())
    client = HttpClient(resolver=FakeResolver(), connector=network)
    assert client.session("erp", allow=["10.0.0.5:8080"]).get("http://10.0.0.5:8080/").status == 200
    with pytest.raises(RejectedError, match="address not allowed"):
        client.session("other").get("http://10.0.0.5:8080/")
    assert len(network.sent) == 1


@pytest.mark.parametrize("entry", ["10.0.0.5", "10.0.0.0/8:80", "host:", ":80", "host:99999", "*:80"])
def test_vague_permission_is_refused(entry: str) -> None:
    with pytest.raises(InvalidInput):
        HttpClient(resolver=FakeResolver()).session("probe", allow=[entry])


# Each row: declared hosts, the host asked for, whether it may be reached.
@pytest.mark.parametrize(
    ("hosts", "host", "allowed"),
    [
        (["api.example.com"], "api.example.com", True),  # exact
        (["api.example.com"], "API.EXAMPLE.COM", True),  # case
        (["*.example.com"], "a.b.example.com", True),  # below the name
        (["*.example.com"], "example.com", False),  # not the name itself
        (["*.example.com"], "evilexample.com", False),  # only whole labels
        (["api.example.com"], "api.example.com.evil.example", False),  # only the end counts
        ([], "api.example.com", False),  # a plugin that declares no network
    ],
)
def test_plugin_reaches_declared_hosts_only(hosts: list[str], host: str, allowed: bool) -> None:
    network = FakeNetwork(lambda _: answer())
    resolver = FakeResolver({host.lower(): [["93.184.216.34"]]})
    if allowed:
        assert ask(f"https://{host}/", network, resolver, hosts=hosts).status == 200
        return
    with pytest.raises(RejectedError, match=rf"probe: may not connect to {host}"):
        ask(f"https://{host}/", network, resolver, hosts=hosts)
    assert (network.connected, resolver.asked) == ([], [])


# Each row: what a received link says about one provider, whether it stays inside its API.
@pytest.mark.parametrize(
    ("url", "inside"),
    [
        ("https://api.example/api/orders/1", True),
        ("https://API.example:443/api/orders?x=../..", True),  # the query leads nowhere
        ("https://api.example/api", True),
        ("https://api.example/apix", False),  # only whole segments
        ("https://api.example/api/%2e%2e/admin", False),  # encoded dots
        ("https://api.example/api/%252e%252e%252fadmin", False),  # encoded twice
        ("https://api.example/api/..%2fadmin", False),  # encoded slash
        ("https://api.example/api/%25252525252e/x", False),  # encoded without end
        ("http://api.example/api/orders", False),  # another scheme
        ("https://api.example:444/api/orders", False),  # another port
        ("https://user:x@api.example/api/orders", False),  # other credentials
    ],
)
def test_received_link_stays_inside_the_api(url: str, inside: bool) -> None:
    network = FakeNetwork(lambda _: answer())
    client = HttpClient(resolver=FakeResolver({"api.example": [["93.184.216.34"]]}), connector=network)
    session = client.session("probe").under("https://api.example/api/")
    if inside:
        assert session.get(url).status == 200
        return
    with pytest.raises(RejectedError, match=r"is outside https://api\.example/api/"):
        session.get(url)
    assert network.connected == []
