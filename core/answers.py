"""Answers that the HTTP API gave to an Idempotency-Key: a call that is repeated within a day gets the same one."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, select

from core.lead import insert_new
from core.tables import answers
from core.writer import Tx

KEPT = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was answered, and to which request."""

    request_hash: str
    status: int
    body: Any


def find_answer(conn: Connection, token: str, key: str, now: datetime) -> Answer | None:
    query = select(answers).where(answers.c.token == token, answers.c.key == key, answers.c.at > now - KEPT)
    row = conn.execute(query).one_or_none()
    return None if row is None else Answer(request_hash=row.request_hash, status=row.status, body=row.body)


def keep_answer(tx: Tx, token: str, key: str, answer: Answer, now: datetime) -> bool:
    """Keep an answer; False when another call with this key has kept one meanwhile."""
    stale = (answers.c.token == token) & (answers.c.key == key) & (answers.c.at <= now - KEPT)
    tx.conn.execute(delete(answers).where(stale))
    values = {"request_hash": answer.request_hash, "status": answer.status, "body": answer.body, "at": now}
    return insert_new(tx.conn, answers, token=token, key=key, **values)


def forget_answers(tx: Tx, now: datetime) -> int:
    """Delete the answers that are older than a day; return how many."""
    return tx.conn.execute(delete(answers).where(answers.c.at <= now - KEPT)).rowcount
