"""The pages of the UI, one menu item a file."""

from web.pages import (
    automations,
    composer,
    customers,
    dev,
    events,
    exchange,
    imports,
    me,
    orders,
    pausing,
    plugins,
    products,
    runs,
    searching,
    settings,
    signing,
    tasks,
    today,
)
from web.visits import Page

PAGES: tuple[Page, ...] = (
    signing.PAGE,
    me.PAGE,
    pausing.PAGE,
    today.PAGE,
    automations.PAGE,
    composer.PAGE,
    searching.PAGE,
    runs.PAGE,
    events.PAGE,
    tasks.PAGE,
    orders.PAGE,
    customers.PAGE,
    products.PAGE,
    imports.PAGE,
    plugins.PAGE,
    exchange.PAGE,
    dev.PAGE,
    settings.PAGE,
)
