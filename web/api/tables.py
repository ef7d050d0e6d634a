"""All routes of the API in one table: what is not here does not exist."""

from web.api import (
    accounts,
    effects,
    events,
    hooks,
    pause,
    plugins,
    rules,
    runs,
    schemas,
    switching,
    tokens,
    versions,
)
from web.routes import Route

BASE = "/api/v1"

ROUTES: tuple[Route, ...] = tuple(
    route
    for noun in (events, rules, switching, versions, hooks, runs, effects, plugins, accounts, pause, schemas, tokens)
    for route in noun.ROUTES
)
