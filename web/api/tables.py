"""All routes of the API in one table: what is not here does not exist."""

from web.api import (
    accounts,
    caps,
    effects,
    events,
    hooks,
    imports,
    jobs,
    pause,
    plugins,
    recipes,
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
    for noun in (
        *(events, rules, recipes, switching, versions, hooks, runs, effects, imports, jobs),
        *(plugins, accounts, pause, caps, schemas, tokens),
    )
    for route in noun.ROUTES
)
