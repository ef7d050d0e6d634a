"""The built-in plugins: only their names, so that one that is off is never imported."""

from core.host import Builtin

BUILTINS = {
    builtin.name: builtin
    for builtin in (
        Builtin(name="shop", module="plugins.shop", summary="Tasks, tags, orders and what is known of them", on=True),
        Builtin(name="history", module="plugins.history", summary="What happened to a customer before", on=True),
        Builtin(name="files", module="plugins.files", summary="Tells of files that were imported", on=True),
        Builtin(name="messages", module="plugins.messages", summary="Messages to customers, over any channel", on=True),
        Builtin(name="webhooks", module="plugins.webhooks", summary="Signed news from and to other systems"),
        Builtin(name="mail", module="plugins.mail", summary="E-mail to customers over your own mail server"),
        Builtin(name="demo", module="plugins.demo", summary="A made-up phone shop, for demo mode only", demo=True),
    )
}
