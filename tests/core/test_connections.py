"""Outside systems: what went in and out, and who is silent longer than usual."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from engines import START, make_engine

from core.connections import read_connections
from core.ids import new_id
from core.tables import exchanges
from rules.engine import Engine


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    engine = make_engine(tmp_path)
    yield engine
    engine.close()


def _add(engine: Engine, plugin: str, minutes: list[int], *, direction: str = "in", status: int = 200) -> None:
    rows = [
        {
            "id": new_id(),
            "at": START - timedelta(minutes=ago),
            "plugin": plugin,
            "direction": direction,
            "method": "POST",
            "url": "https://x.example/",
            "status": status,
        }
        for ago in minutes
    ]
    engine.writer.do(lambda tx: tx.conn.execute(exchanges.insert(), rows) and None)


def _read(engine: Engine) -> dict[str, Any]:
    with engine.db.read() as conn:
        return {found.plugin: found for found in read_connections(conn, START)}


def test_traffic_of_a_day_is_counted_by_direction(engine: Engine):
    _add(engine, "till", [5, 10, 60 * 30])
    _add(engine, "till", [7], direction="out", status=500)
    found = _read(engine)["till"]
    assert (found.inward, found.outward, found.failed, found.state) == (2, 1, 1, "slow")


def test_system_with_a_rhythm_is_missed(engine: Engine):
    _add(engine, "site", list(range(60 * 12, 60 * 24 * 6, 30)))
    _add(engine, "bank", list(range(2, 60 * 24 * 6, 30)))
    found = _read(engine)
    assert (found["site"].state, found["bank"].state) == ("silent", "ok")


def test_seldom_spoken_system_is_never_silent(engine: Engine):
    _add(engine, "mail", [60 * 24 * 5, 60 * 24 * 6])
    assert _read(engine)["mail"].state == "ok"


def test_forgotten_system_is_not_listed(engine: Engine):
    _add(engine, "old", [60 * 24 * 8])
    assert _read(engine) == {}
