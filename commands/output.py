"""What the answers look like in words: aligned columns, times in the shop's zone, nothing that steers a terminal."""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_NARROWEST = 10


def plain_line(text: str) -> str:
    """Return text in which control characters are written out: stored text must not steer the terminal."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def cell(value: Any, zone: ZoneInfo | None = None) -> str:
    """Return a value as one line of a table."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(zone):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, Mapping):
        return plain_line(json.dumps(value, ensure_ascii=False, default=str)) if value else "-"
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(sorted(map(str, value))) or "-"
    return plain_line(str(value)).replace("\n", " ").replace("\t", " ")


def columns(rows: Sequence[Mapping[str, Any]], names: Sequence[str], *, zone: ZoneInfo | None = None) -> str:
    """Return rows as aligned columns under their names; on a terminal the last column is cut at its edge."""
    if not rows:
        return ""
    table = [[name.replace("_", " ").upper() for name in names]]
    table += [[cell(row.get(name), zone) for name in names] for row in rows]
    widths = [max(len(line[place]) for line in table) for place in range(len(names))]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    return "\n".join(_line(line, widths, room) for line in table)


def _line(cells: Sequence[str], widths: Sequence[int], room: int) -> str:
    text = "  ".join(text.ljust(width) for text, width in zip(cells, widths, strict=True)).rstrip()
    return text if not room or len(text) <= room else f"{text[: max(room - 1, _NARROWEST)]}…"


def pairs(values: Mapping[str, Any], *, zone: ZoneInfo | None = None) -> str:
    """Return names and values, one pair a line."""
    width = max((len(name) for name in values), default=0) + 2
    lines = ((name.replace("_", " ").ljust(width), cell(value, zone)) for name, value in values.items())
    return "\n".join(f"{name}{value}" for name, value in lines)


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


@contextmanager
def progress_bar(title: str) -> Iterator[Any]:
    """Show a bar on stderr while something long goes on; yields `moved(done, total)`. Silent where nobody looks."""
    console = Console(stderr=True)
    parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*parts, console=console, disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total=None: progress.update(task, completed=done, total=total)
