"""Send one message to one person, and try the connection."""

from time import monotonic
from typing import Any

from core.errors import InvalidInput
from plugins.mail.client import open_smtp
from plugins.mail.message import Letter, make_id, read_address, read_line, read_link

#: A check is a hook, and hooks are given ten seconds.
_CHECK_S = 8.0


def send_message(ctx: Any, params: dict[str, Any]) -> dict[str, Any]:
    """Hand the message to the mail server; what it refuses is raised as what it means for the queue."""
    letter = read_letter(ctx, params)
    raw, to = letter.to_bytes(), letter.to.addr_spec
    options = ["SMTPUTF8", "BODY=8BITMIME"] if letter.needs_utf8 else []
    with open_smtp(ctx, greeting_name=letter.sender.domain) as smtp:
        if options and not smtp.has_extn("smtputf8"):
            ctx.reject("the mail server cannot take addresses with letters beyond ASCII before the @")
        smtp.sendmail(_return_path(ctx, letter), [to], raw, mail_options=options)
    return {"object": f"mail:{letter.id}", "message_id": letter.id, "to": to}


def preview(ctx: Any, params: dict[str, Any]) -> dict[str, Any]:
    """Show the message as it would go out."""
    letter = read_letter(ctx, params)
    return {
        "text": dict.fromkeys(("en", "tr", "ru"), letter.text),
        "subject": letter.subject,
        "to": letter.to.addr_spec,
        "html": letter.html,
    }


def check(ctx: Any) -> dict[str, Any]:
    """Connect, secure, log in, and ask for nothing."""
    sender = _sender(ctx)
    start = monotonic()
    with open_smtp(ctx, greeting_name=sender.domain, most_s=_CHECK_S) as smtp:
        smtp.noop()
    took = round((monotonic() - start) * 1000)
    return {"account": sender.addr_spec, "latency_ms": took, "latency": f"{took} ms"}


def read_letter(ctx: Any, params: dict[str, Any]) -> Letter:
    """Return the checked message; raise InvalidInput naming the parameter."""
    sender = _sender(ctx)
    reply_to, unsubscribe = params.get("reply_to"), params.get("unsubscribe")
    return Letter(
        id=make_id(ctx.idempotency_key or "preview", sender.domain),
        date=ctx.now,
        sender=sender,
        to=_recipient(ctx, params),
        subject=read_line(params["subject"], "with.subject"),
        text=params["text"],
        html=params.get("html") or "",
        reply_to=read_address(reply_to, "with.reply_to") if reply_to else None,
        unsubscribe=read_link(unsubscribe, "with.unsubscribe") if unsubscribe else "",
    )


def _recipient(ctx: Any, params: dict[str, Any]) -> Any:
    if given := params.get("to"):
        return read_address(given, "with.to")
    customer = ctx.event_data.get("customer")
    order = ctx.event_data.get("order")
    if not isinstance(customer, dict) and isinstance(order, dict):
        customer = order.get("customer")
    address = customer.get("email") if isinstance(customer, dict) else None
    if not isinstance(address, str) or not address:
        raise InvalidInput("with.to", "is missing, and the event names no customer with an e-mail address")
    return read_address(address, "customer.email")


def _sender(ctx: Any) -> Any:
    address = ctx.settings.get("sender_address")
    if not address:
        raise InvalidInput("settings.sender_address", "is missing: enter the address that messages come from")
    return read_address(address, "settings.sender_address", ctx.settings.get("sender_name") or "")


def _return_path(ctx: Any, letter: Letter) -> str:
    given = ctx.settings.get("bounce_address")
    return read_address(given, "settings.bounce_address").addr_spec if given else letter.sender.addr_spec
