"""The menu: what stands where, for whom, in which order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from core.shop.tasks import count_open
from rules.needs import count_held, count_paused
from web.texts import mark
from web.visits import ADMIN, DEVELOPER, EDITORS, EVERYBODY, MANAGER, STAFF, Visit

Count = Callable[[Any], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One row of the menu."""

    key: str
    icon: str
    label: str
    address: str
    roles: tuple[str, ...]
    #: How many things wait there, read from the database.
    count: Count | None = None
    #: The count is shown as something wrong.
    hot: bool = False
    #: The heading that stands before it.
    head: str = ""
    #: Stands in the bar at the bottom of a phone.
    phone: bool = False


MENU: tuple[Item, ...] = (
    Item(key="today", icon="home", label=mark("Today"), address="/today", roles=EVERYBODY, phone=True),
    Item(
        key="tasks",
        icon="task",
        label=mark("Tasks"),
        address="/tasks",
        roles=(ADMIN, MANAGER, STAFF),
        count=count_open,
        phone=True,
    ),
    Item(
        key="automations",
        icon="bolt",
        label=mark("Automations"),
        address="/automations",
        roles=(ADMIN, MANAGER, DEVELOPER),
        count=count_paused,
        hot=True,
        head=mark("Automate"),
        phone=True,
    ),
    Item(key="switches", icon="yes", label=mark("Switches"), address="/switches", roles=(STAFF,), phone=True),
    Item(key="runs", icon="history", label=mark("Runs"), address="/runs", roles=EVERYBODY, phone=True),
    Item(key="approvals", icon="hand", label=mark("Approvals"), address="/approvals", roles=EDITORS, count=count_held),
    Item(key="why", icon="question", label=mark("Why?"), address="/why", roles=EVERYBODY),
    Item(
        key="orders",
        icon="box",
        label=mark("Orders"),
        address="/orders",
        roles=(ADMIN, MANAGER, STAFF),
        head=mark("Shop"),
    ),
    Item(key="customers", icon="users", label=mark("Customers"), address="/customers", roles=(ADMIN, MANAGER, STAFF)),
    Item(key="products", icon="tag", label=mark("Products"), address="/products", roles=(ADMIN, MANAGER, STAFF)),
    Item(key="imports", icon="upload", label=mark("Imports"), address="/imports", roles=EDITORS),
    Item(
        key="plugins",
        icon="plug",
        label=mark("Plugins"),
        address="/plugins",
        roles=(ADMIN, MANAGER, DEVELOPER),
        head=mark("System"),
    ),
    Item(
        key="exchange", icon="retry", label=mark("Exchange log"), address="/exchange", roles=(ADMIN, MANAGER, DEVELOPER)
    ),
    Item(key="dev", icon="code", label=mark("Developers"), address="/dev", roles=(ADMIN, DEVELOPER)),
    Item(key="settings", icon="gear", label=mark("Settings"), address="/settings", roles=(ADMIN, DEVELOPER)),
)


def items_of(visit: Visit) -> Iterator[tuple[Item, int]]:
    """Yield the rows that this person sees, each with its count."""
    role = visit.person.role
    with visit.engine.db.read() as conn:
        for item in MENU:
            if role in item.roles:
                yield item, item.count(conn) if item.count else 0
