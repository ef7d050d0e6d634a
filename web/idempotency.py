"""Idempotency-Key on POST: the answer is kept in the transaction of the work, so a repeat never does it twice."""

import hashlib
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from werkzeug.exceptions import BadRequest, UnprocessableEntity

from core.answers import Answer, find_answer, forget_answers, keep_answer
from core.errors import Conflict
from core.writer import Tx
from web.problems import make_problem
from web.routes import JSON, PROBLEM, Reply

HEADER = "idempotency-key"
REPEATED = "Idempotency-Replayed"

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
#: A table of one day's keys is small: an hour is often enough.
_CLEAN_EVERY = timedelta(hours=1)


class Cleaner:
    """Deletes old answers now and then, on the back of a call that writes anyway."""

    def __init__(self) -> None:
        self._next: datetime | None = None
        self._lock = threading.Lock()

    def clean(self, tx: Tx, now: datetime) -> None:
        with self._lock:
            if self._next is not None and now < self._next:
                return
            self._next = now + _CLEAN_EVERY
        forget_answers(tx, now)


@dataclass(slots=True, kw_only=True)
class KeyedCall:
    """One call with an Idempotency-Key; see `routes.Keeper`."""

    token: str
    key: str
    request_hash: str
    now: datetime
    cleaner: Cleaner
    kept: bool = False

    def open(self, tx: Tx) -> Reply | None:
        found = find_answer(tx.conn, self.token, self.key, self.now)
        if found is None:
            return None
        self.kept = True
        if found.request_hash != self.request_hash:
            raise UnprocessableEntity("this Idempotency-Key came with another request before; use a new key")
        media = PROBLEM if found.status >= 400 else JSON
        body = None if found.status == 204 else found.body
        return Reply(status=found.status, body=body, media=media, headers={REPEATED: "true"})

    def keep(self, tx: Tx, reply: Reply) -> None:
        if reply.once:
            words = "this call was answered before, with something that is shown only once; make a new one"
            reply = make_problem(409, "conflict", words)
        self.cleaner.clean(tx, self.now)
        answer = Answer(request_hash=self.request_hash, status=reply.status, body=reply.body)
        if not keep_answer(tx, self.token, self.key, answer, self.now):
            raise Conflict("a call with the same Idempotency-Key is being answered at this moment; try again")
        self.kept = True


def read_key(headers: Mapping[str, str]) -> str | None:
    """Return the key of a call, if it has one."""
    key = headers.get(HEADER)
    if key is not None and not _KEY.fullmatch(key):
        raise BadRequest("Idempotency-Key: needs 1 to 255 visible ASCII characters")
    return key


def hash_request(*parts: Any) -> str:
    """Return a hash by which a repeated request is told from another one with the same key."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()
