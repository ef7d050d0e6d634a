"""`ctx.store`: a plugin's own small documents, in the transaction that its call belongs to."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from core.errors import InvalidInput
from core.tables import plugin_store


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginStore:
    """Reads and writes one plugin's documents of one account."""

    conn: Connection
    plugin: str
    account: str
    now: datetime

    def get(self, key: str, default: Any = None) -> Any:
        query = select(plugin_store.c.value).where(*self._at(key))
        row = self.conn.execute(query).one_or_none()
        return default if row is None else row.value

    def put(self, key: str, value: Any) -> None:
        if not key or len(key) > 200:
            raise InvalidInput("key", "needs 1 to 200 characters")
        dialect = sqlite if self.conn.dialect.name == "sqlite" else postgresql
        names = {"plugin": self.plugin, "account": self.account, "key": key}
        row = dialect.insert(plugin_store).values(**names, value=value, changed_at=self.now)
        changed = {"value": row.excluded.value, "changed_at": self.now}
        self.conn.execute(row.on_conflict_do_update(index_elements=list(names), set_=changed))

    def delete(self, key: str) -> None:
        self.conn.execute(delete(plugin_store).where(*self._at(key)))

    def _at(self, key: str) -> tuple[Any, ...]:
        table = plugin_store.c
        return table.plugin == self.plugin, table.account == self.account, table.key == key
