"""The choice of the carrier, by the settings."""

from importlib import import_module

from core.errors import InvalidInput
from core.queues.port import Carrier
from core.settings import Settings


def make_carrier(settings: Settings, node: str) -> Carrier | None:
    """Return what carries hints between processes, or None where each looks into the database by itself."""
    if settings.queue == "local":
        return None
    need_shared_database(settings, "the queue celery")
    try:
        # Celery is an extra: one process needs none.
        celery = import_module("core.queues.celery")
    except ModuleNotFoundError as exc:
        raise InvalidInput(
            "queue", f"celery is not installed here ({exc.name} is missing): install the extra 'scale'"
        ) from exc
    return celery.CeleryCarrier(settings.broker, node)


def need_shared_database(settings: Settings, what: str) -> None:
    """Raise InvalidInput where the database is not one that several processes may work on."""
    if not settings.database.startswith("postgresql"):
        raise InvalidInput(
            "database", f"{what} needs PostgreSQL (postgresql://...): on SQLite, './vitrin run' does all in one process"
        )
