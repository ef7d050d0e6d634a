"""Webhooks that come in: forgeries stay out, copies count once, what is taken becomes one event."""

import base64
import hashlib
import hmac
import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from engines import put_rule
from shared_files import data, vectors
from structlog.testing import capture_logs
from webhook_desk import Desk

from core.effects import list_effects
from core.errors import Conflict, InvalidInput, NotAllowed, SignInError

BODY = '{"id": 7, "type": "order.paid", "order": {"number": "A-1"}}'

#: The table's schemes in the words of our settings.
SCHEMES: dict[str, dict[str, Any]] = {
    "standard_webhooks": {"scheme": "standard_webhooks"},
    "stripe_style": {"scheme": "stripe_style"},
    "meta_hub": {"scheme": "generic_hmac_sha256", "header": "X-Hub-Signature-256", "prefix": "sha256="},
    "hmac_base64": {"scheme": "woocommerce"},
    "telegram": {"scheme": "token_header", "id_path": "update_id"},
}


def forgeries() -> list[Any]:
    """Return the rows that a signature decides; senders that sign nothing, and pages, are not for this plugin."""
    try:
        table = vectors("header_forgeries")
    except pytest.skip.Exception as absent:
        return [pytest.param({}, "", marks=pytest.mark.skip(reason=str(absent)))]
    secrets = {**table["secrets"], "meta_hub": table["secrets"]["meta_hub"]["app_secret"]}
    return [
        pytest.param(row, secrets[row["scheme"]], id=row["id"]) for row in table["rows"] if row["scheme"] in SCHEMES
    ]


def sign(secret: str, signed: str) -> bytes:
    return hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()


def base64_of(secret: str, signed: str) -> str:
    return base64.b64encode(sign(secret, signed)).decode()


def from_shopify(body: str = BODY, *, topic: str = "orders/paid", id: str = "d-1") -> dict[str, str]:
    signature = base64_of("hush", body)
    return {"X-Shopify-Hmac-Sha256": signature, "X-Shopify-Topic": topic, "X-Shopify-Webhook-Id": id}


@pytest.mark.parametrize(("row", "secret"), forgeries())
def test_each_row_of_the_table_gets_its_verdict(desk: Desk, row: dict[str, Any], secret: str):
    desk.connect(secret=secret, **SCHEMES[row["scheme"]])
    tries = [row, *([row.get("second", row)] if row.get("repeat") else [])]
    taken = {desk.is_taken(one["headers"], one["body"], method=row["method"]) for one in tries}
    expected = {"accept": ({True}, 1), "reject": ({False}, 0), "accept_once": ({True}, 1)}
    assert (taken, len(desk.stored())) == expected[row["expect"]]


def test_published_standard_webhooks_vector_is_believed(desk: Desk):
    for vector in json.loads(data("specs/standard_webhooks/vectors.json").read_text())["vectors"]:
        desk.clock.set(datetime.fromtimestamp(vector["timestamp"], UTC))
        headers = {
            "webhook-id": vector["id"],
            "webhook-timestamp": str(vector["timestamp"]),
            "webhook-signature": vector["signature"],
        }
        for secret in (vector["secret"], vector["secret"].removeprefix("whsec_")):
            desk.connect(secret, secret=secret)
            assert desk.is_taken(headers, vector["body"], account=secret)
            several = {**headers, "webhook-signature": f"v1a,AAAA v1,BBBB {vector['signature']}"}
            assert desk.is_taken(several, vector["body"], account=secret)
            wrong = {**headers, "webhook-signature": vector["signature"][:-2] + "A="}
            assert not desk.is_taken(wrong, vector["body"], account=secret)


@pytest.mark.parametrize(
    ("settings", "headers", "taken"),
    [
        # GitHub's way: hex behind a prefix
        ({"header": "X-Hub", "prefix": "sha256="}, {"X-Hub": f"sha256={sign('s3cret', BODY).hex()}"}, True),
        # the prefix is part of the agreement
        ({"header": "X-Hub", "prefix": "sha256="}, {"X-Hub": sign("s3cret", BODY).hex()}, False),
        # capital hex is the same number
        ({"header": "X-Hub"}, {"X-Hub": sign("s3cret", BODY).hex().upper()}, True),
        ({"header": "X-Hub", "encoding": "base64"}, {"X-Hub": base64_of("s3cret", BODY)}, True),
        # hex where base64 was agreed
        ({"header": "X-Hub", "encoding": "base64"}, {"X-Hub": sign("s3cret", BODY).hex()}, False),
        # twice, joined by the server
        ({"header": "X-Hub"}, [["X-Hub", sign("s3cret", BODY).hex()]] * 2, False),
        # a timestamp that is agreed is under the signature
        (
            {"header": "X-Hub", "timestamp_header": "X-Time"},
            {"X-Hub": sign("s3cret", f"1767225600.{BODY}").hex(), "X-Time": "1767225600"},
            True,
        ),
        # signed without the timestamp
        (
            {"header": "X-Hub", "timestamp_header": "X-Time"},
            {"X-Hub": sign("s3cret", BODY).hex(), "X-Time": "1767225600"},
            False,
        ),
        # six minutes old
        (
            {"header": "X-Hub", "timestamp_header": "X-Time"},
            {"X-Hub": sign("s3cret", f"1767225240.{BODY}").hex(), "X-Time": "1767225240"},
            False,
        ),
        # a blank is no digit, though int() takes it
        (
            {"header": "X-Hub", "timestamp_header": "X-Time"},
            {"X-Hub": sign("s3cret", f" 1767225600.{BODY}").hex(), "X-Time": " 1767225600"},
            False,
        ),
        # digits of another script mean the same number to int()
        (
            {"header": "X-Hub", "timestamp_header": "X-Time"},
            {"X-Hub": sign("s3cret", f"١٧٦٧٢٢٥٦٠٠.{BODY}").hex(), "X-Time": "١٧٦٧٢٢٥٦٠٠"},
            False,
        ),
    ],
)
def test_generic_scheme_follows_its_settings(desk: Desk, settings: dict[str, Any], headers: Any, taken: bool):
    desk.connect(scheme="generic_hmac_sha256", secret="s3cret", **settings)
    assert desk.is_taken(headers, BODY) is taken
    assert len(desk.stored()) == taken


def test_eleven_signatures_are_too_many(desk: Desk):
    desk.connect(scheme="stripe_style", secret="s3cret")
    right = sign("s3cret", f"1767225600.{BODY}").hex()
    wrong = ["v1=" + "0" * 64] * 8
    assert desk.is_taken({"Stripe-Signature": ",".join(["t=1767225600", *wrong, f"v1={right}"])}, BODY)
    assert not desk.is_taken({"Stripe-Signature": ",".join(["t=1767225600", *wrong, *wrong, f"v1={right}"])}, BODY)


def test_second_timestamp_is_not_picked(desk: Desk):
    desk.connect(scheme="stripe_style", secret="s3cret")
    for stamps in (("1767225600", "1"), ("1", "1767225600")):
        signature = f"t={stamps[0]},t={stamps[1]},v1={sign('s3cret', f'1767225600.{BODY}').hex()}"
        assert not desk.is_taken({"Stripe-Signature": signature}, BODY)


def test_account_without_secret_takes_nothing(desk: Desk):
    with pytest.raises(Conflict, match="closed until its account is set up"):
        desk.deliver(from_shopify(), BODY)
    with pytest.raises(InvalidInput, match="secret"):
        desk.connect(scheme="shopify")
    # blanks are no secret, and nor is the word before one
    desk.connect("blank", scheme="shopify", secret=" ")
    desk.connect("broken", secret="whsec_")
    headers = {"webhook-id": "a", "webhook-timestamp": "1767225600", "webhook-signature": "v1,AAAA"}
    for account in ("blank", "broken"):
        with pytest.raises(Conflict, match="closed until its account is set up"):
            desk.deliver({**from_shopify(), **headers}, BODY, account=account)
    assert desk.stored() == []


def test_both_secrets_count_during_a_change(desk: Desk):
    desk.connect(scheme="shopify", secret="new", previous_secret="hush")
    assert desk.is_taken(from_shopify(), BODY)
    desk.connect(scheme="shopify", previous_secret="new")
    assert not desk.is_taken(from_shopify(id="d-2"), BODY)


def test_raw_bytes_are_signed_and_not_their_meaning(desk: Desk):
    desk.connect(scheme="shopify", secret="hush")
    assert not desk.is_taken(from_shopify('{"id":1}'), '{"id": 1}')
    # the vector of the platform notes
    assert base64_of("hush", '{"id":1}') == "VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY="
    assert desk.is_taken(from_shopify('{"id":1}'), '{"id":1}')


def test_event_carries_topic_key_and_body(desk: Desk):
    desk.connect("my-shop", scheme="shopify", secret="hush", key_path="order.number")
    desk.deliver(from_shopify(), BODY, account="my-shop")
    (event,) = desk.stored()
    assert (event.type, event.key) == ("webhook.received", "A-1")
    assert event.data == {"account": "my-shop", "topic": "orders/paid", "body": json.loads(BODY)}


@pytest.mark.parametrize(
    ("settings", "topic"),
    [
        ({}, "orders/paid"),  # where this sender writes it
        ({"topic": "shopify.order_paid"}, "shopify.order_paid"),  # always the same
        ({"topic_header": "X-Other"}, "other"),  # another header
        ({"topic_header": "X-None"}, ""),  # a header that is not there
    ],
)
def test_topic_comes_from_where_the_account_says(desk: Desk, settings: dict[str, str], topic: str):
    desk.connect(scheme="shopify", secret="hush", **settings)
    desk.deliver({**from_shopify(), "X-Other": "other"}, BODY)
    assert desk.stored()[0].data["topic"] == topic


def test_topic_from_body_is_read(desk: Desk):
    desk.connect(scheme="generic_hmac_sha256", header="X-Sig", secret="s3cret", topic_path="type", id_path="id")
    desk.deliver({"X-Sig": sign("s3cret", BODY).hex()}, BODY)
    (event,) = desk.stored()
    assert (event.data["topic"], event.external_id) == ("order.paid", "default:7")


def test_same_id_counts_once_and_a_year_later(desk: Desk):
    desk.connect(scheme="generic_hmac_sha256", header="X-Sig", id_header="X-Id", secret="s3cret")
    first = {"X-Sig": sign("s3cret", BODY).hex(), "X-Id": "1"}
    assert desk.deliver(first, BODY)["duplicate"] is False
    assert desk.deliver(first, BODY)["duplicate"] is True
    desk.clock.advance(timedelta(days=400))
    assert desk.deliver(first, BODY)["duplicate"] is True
    assert desk.deliver({**first, "X-Id": "2"}, BODY)["duplicate"] is False
    assert len(desk.stored()) == 2


def test_same_id_with_another_body_is_logged(desk: Desk):
    desk.connect(scheme="shopify", secret="hush")
    desk.deliver(from_shopify(), BODY)
    with capture_logs() as logs:
        assert desk.deliver(from_shopify('{"id": 8}'), '{"id": 8}')["duplicate"] is True
    assert [line["log_level"] for line in logs] == ["warning"]
    assert [event.data["body"]["id"] for event in desk.stored()] == [7]


def test_copied_delivery_under_a_new_id_changes_nothing(desk: Desk):
    desk.connect(scheme="shopify", secret="hush")
    desk.deliver(from_shopify(), BODY)
    # the id is not signed: whoever saw the delivery can write another one
    assert desk.deliver(from_shopify(id="d-2"), BODY)["duplicate"] is True
    # paid and updated at once: the same body is news under each topic
    assert desk.deliver(from_shopify(id="d-3", topic="orders/updated"), BODY)["duplicate"] is False
    assert len(desk.stored()) == 2


def test_two_accounts_keep_their_ids_apart(desk: Desk):
    desk.connect("one", scheme="shopify", secret="hush")
    desk.connect("two", scheme="shopify", secret="hush")
    assert not any(desk.deliver(from_shopify(), BODY, account=name)["duplicate"] for name in ("one", "two"))
    assert len(desk.stored()) == 2


def test_fifty_copies_at_once_make_one_event(desk: Desk):
    desk.connect(scheme="shopify", secret="hush")
    desk.engine.writer.start()
    answers: list[bool] = []
    threads = [
        threading.Thread(target=lambda: answers.append(desk.deliver(from_shopify(), BODY)["duplicate"]))
        for _ in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False] + [True] * 49
    assert len(desk.stored()) == 1


@pytest.mark.parametrize(
    "body",
    [
        "",  # nothing
        "order=1",  # a form
        "7",  # JSON, but no record
        '{"a": 1, "a": 2}',  # two readers, two meanings
        '{"a": NaN}',  # no JSON at all
        "[" * 5000 + "]" * 5000,  # to exhaust the parser
        '{"a": "\\ud800"}',  # half a character
        '\ufeff{"a": 1}',  # byte order mark
    ],
)
def test_signed_nonsense_is_an_error_of_the_sender(desk: Desk, body: str):
    desk.connect(scheme="shopify", secret="hush")
    with pytest.raises(InvalidInput):
        desk.deliver(from_shopify(body), body)
    assert desk.stored() == []


def test_ping_of_woocommerce_is_answered_and_forgotten(desk: Desk):
    desk.connect(scheme="woocommerce", secret="hush")
    assert desk.deliver({}, "webhook_id=12") == {"ignored": "ping"}
    for body in ("webhook_id=12&x=1", '{"webhook_id": 12}', "webhook_id=12\n"):
        with pytest.raises(NotAllowed):
            desk.deliver({}, body)
    assert desk.stored() == []


def test_headers_of_a_delivery_are_not_kept(desk: Desk):
    desk.connect(scheme="shopify", secret="hush")
    desk.deliver({**from_shopify(), "Authorization": "Bearer SENTINEL-SECRET", "Cookie": "s=SENTINEL-SECRET"}, BODY)
    assert "SENTINEL" not in repr(desk.stored())


def test_rule_starts_from_a_signed_delivery(desk: Desk):
    rule = """
        rule: paid-elsewhere
        when: {event: webhook.received}
        if: {field: topic, is: equal, value: orders/paid}
        then:
          - do: messages.send
            with: {text: "Order {{ body.order.number }} is paid"}
        owner: shop
    """
    put_rule(desk.engine, rule)
    desk.connect(scheme="shopify", secret="hush")
    desk.deliver(from_shopify(), BODY)
    desk.deliver(from_shopify(topic="orders/updated", id="d-2"), BODY)
    desk.engine.drain()
    with desk.engine.db.read() as conn:
        assert [effect.params for effect in list_effects(conn)] == [{"text": "Order A-1 is paid"}]


def test_check_tells_the_address_to_enter(desk: Desk):
    told = desk.engine.invoker.check("webhooks", {"secret": "whsec_AQID"}, "my-shop")
    assert told["next"]["en"].endswith("/hooks/webhooks/my-shop/in")
    with pytest.raises(SignInError, match="whsec_"):
        desk.engine.invoker.check("webhooks", {"secret": "not base64!"}, "my-shop")
