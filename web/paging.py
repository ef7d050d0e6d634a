"""Pages of lists: `?limit=&cursor=` in, `{data, next}` out. Cursors are opaque; others than ours are refused."""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson
from werkzeug.exceptions import BadRequest

MOST = 500
USUAL = 50

LIMIT = {"type": "integer", "minimum": 1, "maximum": MOST, "default": USUAL, "description": "How many at most."}
CURSOR = {"type": "string", "maxLength": 600, "description": "`next` of the page before."}
QUERY: Mapping[str, Mapping[str, Any]] = {"limit": LIMIT, "cursor": CURSOR}


def page_schema(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a page of such rows."""
    return {
        "type": "object",
        "required": ["data", "next"],
        "properties": {"data": {"type": "array", "items": row}, "next": {"type": ["string", "null"]}},
    }


def write_cursor(kind: str, *values: str | int) -> str:
    """Return the cursor after a row that sorts by these values; `kind` names the list and its order."""
    return base64.urlsafe_b64encode(orjson.dumps([kind, *values])).decode().rstrip("=")


def read_cursor(cursor: str | None, kind: str, *types: type) -> list[Any] | None:
    """Return the values of a cursor of this list; raise BadRequest for any other text."""
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        found = orjson.loads(base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error) as exc:
        raise _not_ours() from exc
    fits = isinstance(found, list) and len(found) == len(types) + 1 and found[0] == kind
    if not fits or any(type(value) is not wanted for value, wanted in zip(found[1:], types, strict=True)):
        raise _not_ours()
    if any(isinstance(value, str) and "\0" in value for value in found):
        raise _not_ours()
    if any(isinstance(value, int) and abs(value) >= 1 << 63 for value in found):
        raise _not_ours()
    return found[1:]


def _not_ours() -> BadRequest:
    return BadRequest("cursor: is not one that this list gave; leave it out to begin at the first page")


def cut(rows: Sequence[Any], limit: int, cursor_of: Callable[[Any], str]) -> tuple[Sequence[Any], str | None]:
    """Split limit + 1 rows into a page and the cursor of the next one."""
    return (rows, None) if len(rows) <= limit else (rows[:limit], cursor_of(rows[limit - 1]))


def page_of(
    rows: Iterable[dict[str, Any]], query: Mapping[str, Any], *, kind: str, sort: str = "name"
) -> dict[str, Any]:
    """Return a page of a list that is small enough to be sorted in memory: by `sort`, then by name."""
    field, down = sort.lstrip("-"), sort.startswith("-")
    ordered = sorted(rows, key=lambda row: (str(row[field] or ""), row["name"]), reverse=down)
    kind = f"{kind}:{sort}"
    after = read_cursor(query.get("cursor"), kind, str, str)
    if after is not None:
        place = tuple(after)
        ordered = [row for row in ordered if _is_after((str(row[field] or ""), row["name"]), place, down)]
    limit = query["limit"]
    page, following = cut(ordered, limit, lambda row: write_cursor(kind, str(row[field] or ""), row["name"]))
    return {"data": list(page), "next": following}


def _is_after(key: tuple[str, str], place: tuple[Any, ...], down: bool) -> bool:
    return key < place if down else key > place
