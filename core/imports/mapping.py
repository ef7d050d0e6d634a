"""Which column goes where: guessed from headings and samples, chosen by people, applied to rows."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import InvalidInput
from core.imports.cells import Habits, is_empty
from core.imports.fields import KINDS, Field, find_field
from core.imports.limits import Row
from core.text import fold

_NOISE = re.compile(r"[\s_\-./:*()\[\]]+")
_PHONE = re.compile(r"\+?[\d\s()\-]{10,18}", re.ASCII)
#: No phone number or address is longer.
_LONGEST = 320
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFault:
    """What is wrong with a row, and in which column."""

    row: int
    column: str | None
    message: str


class RowError(Exception):
    """Carries the faults of one row, and what could be read of it, to whoever works through the file."""

    def __init__(self, faults: Sequence[RowFault], values: Mapping[str, Any] | None = None) -> None:
        super().__init__(faults[0].message)
        self.faults = faults
        self.values = dict(values or {})


def guess(kind: str, header: Sequence[str], samples: Sequence[Row]) -> list[str | None]:
    """Return the likely field of each column; none is given twice."""
    taken: set[str] = set()
    guessed: list[str | None] = []
    for heading in header:
        field = _by_heading(kind, heading, taken)
        guessed.append(field)
        taken |= {field} if field else set()
    for index, field in enumerate(guessed):
        if field is None and (found := _by_samples(kind, index, samples)) and found not in taken:
            guessed[index] = found
            taken.add(found)
    return guessed


def _by_heading(kind: str, heading: str, taken: set[str]) -> str | None:
    wanted = _bare(heading)
    if not wanted:
        return None
    for field in KINDS[kind]:
        if field.name not in taken and wanted in map(_bare, field.words):
            return field.name
    return None


def _bare(heading: str) -> str:
    return _NOISE.sub("", fold(heading))


def _by_samples(kind: str, index: int, samples: Sequence[Row]) -> str | None:
    """Know phone numbers and addresses by their look, whatever stands above them."""
    texts = [str(row.cells[index]) for row in samples if index < len(row.cells) and not is_empty(row.cells[index])]
    prefix = {"customers": "", "orders": "customer_"}.get(kind)
    if prefix is None or not texts:
        return None
    if max(map(len, texts)) > _LONGEST:
        return None
    if all(_EMAIL.fullmatch(text) for text in texts):
        return f"{prefix}email"
    return f"{prefix}phone" if all(_PHONE.fullmatch(text) and text[0] in "+05" for text in texts) else None


def check_mapping(kind: str, header: Sequence[str], mapping: Any) -> list[str | None]:
    """Return a chosen mapping, one field or null for each column; raise InvalidInput for the first wrong one."""
    if not isinstance(mapping, (list, tuple)) or len(mapping) != len(header):
        raise InvalidInput("mapping", f"must list {len(header)} fields, one for each column; null leaves a column out")
    chosen: list[str | None] = []
    for index, name in enumerate(mapping):
        if name is not None and (not isinstance(name, str) or find_field(kind, name) is None):
            known = ", ".join(field.name for field in KINDS[kind])
            raise InvalidInput(f"mapping[{index}]", f"is no field of {kind}; known are {known} and fields.NAME")
        if name is not None and name in chosen:
            raise InvalidInput(f"mapping[{index}]", f"{name} is taken by the column {header[chosen.index(name)]!r}")
        chosen.append(name)
    missing = [field.name for field in KINDS[kind] if field.required and field.name not in chosen]
    if missing:
        raise InvalidInput("mapping", f"needs a column for {', '.join(missing)}")
    return chosen


class Mapped:
    """Reads rows by a mapping."""

    def __init__(self, kind: str, header: Sequence[str], mapping: Sequence[str | None], habits: Habits) -> None:
        self._header = header
        self._habits = habits
        found = ((index, find_field(kind, name)) for index, name in enumerate(mapping) if name)
        self._fields: list[tuple[int, Field]] = [(index, field) for index, field in found if field is not None]
        self._columns = {field.name: header[index] for index, field in self._fields}

    def read(self, row: Row) -> dict[str, Any]:
        """Return the row's values by field, empty cells left out; raise RowError naming every column that is wrong."""
        if len(row.cells) > len(self._header):
            words = f"has {len(row.cells)} cells, but there are {len(self._header)} headings"
            raise RowError([RowFault(row=row.number, column=None, message=words)])
        values: dict[str, Any] = {}
        wrong: list[RowFault] = []
        for index, field in self._fields:
            cell = row.cells[index] if index < len(row.cells) else None
            if is_empty(cell):
                if field.required:
                    wrong.append(RowFault(row=row.number, column=self._header[index], message="must not be empty"))
                continue
            try:
                values[field.name] = field.read(cell, self._habits)
            except InvalidInput as exc:
                wrong.append(RowFault(row=row.number, column=self._header[index], message=exc.reason))
        if wrong:
            raise RowError(wrong, values)
        return values

    def column_of(self, path: str, names: Mapping[str, str]) -> str | None:
        """Return the heading of the column from which the value at a path of the shop came."""
        parts = re.sub(r"\[\d+\]", "", path).split(".")
        for start in range(len(parts)):
            for end in range(len(parts), start, -1):
                name = ".".join(parts[start:end])
                for field in (names.get(name, name), name):
                    if field in self._columns:
                        return self._columns[field]
        return None
