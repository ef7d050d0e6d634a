"""The page of files that can be imported: the fields that columns go to, and how cells are read."""

from collections.abc import Mapping

from commands.reference.markdown import code, codes, page, table
from core.imports import cells
from core.imports.cells import DATE_ORDERS
from core.imports.csv_file import DELIMITERS, ENCODINGS
from core.imports.fields import CUSTOM, KINDS, Field
from core.imports.files import MOST_BYTES
from core.imports.limits import MOST_CELL, MOST_COLUMNS, MOST_ROWS
from core.imports.options import KNOWN
from core.imports.reading import FORMATS
from core.imports.service import UNDO

_ABOUT = """\
What a file with records of the shop may hold. How to import one: [Import files](../howto/import-files.md). Each
column goes to one field; which one is guessed from its heading, in English, Turkish or Russian and in any case."""
#: How a cell is read -> what may stand in it.
_KINDS: Mapping[object, str] = {
    cells.read_text: "text",
    cells.read_number: "number",
    cells.read_amount: "amount, with or without its currency",
    cells.read_currency: "currency, such as TRY",
    cells.read_whole: "whole number",
    cells.read_flag: "yes or no",
    cells.read_moment: "date and time",
    cells.read_day: "day",
    cells.read_list: "words with commas or semicolons between",
}
#: Option -> what it says.
OPTIONS = {
    "format": f"{codes(FORMATS)}; known by the content when left out",
    "encoding": f"of a CSV file: {codes(ENCODINGS)}; found out when left out",
    "delimiter": f"of a CSV file: {', '.join(DELIMITERS.values())}; found out when left out",
    "sheet": "of a workbook; the first one when left out",
    "decimal": "the decimal mark, `.` or `,`, where numbers leave it open",
    "date_order": f"of days written with numbers: {codes(DATE_ORDERS)}; `dmy` when left out",
    "zone": "of dates and times without one; the shop's when left out",
    "currency": "of amounts without one; the shop's when left out",
    "source": "whose numbers the file's record numbers are",
    "emit": "`true`: automations start for imported rows; they do not when left out",
}


def make_files() -> str:
    """Return the page of files."""
    days = UNDO.days
    return page(
        "Files to import",
        _ABOUT,
        "## Formats",
        f"{', '.join(name.upper() for name in FORMATS)} (JSON lines): the format is known by the content, not by the "
        "name. The first row holds the headings; in JSON lines the names of the fields do.",
        table(("limit", "most"), _limits(days)),
        "## Options",
        table(("option", "what it says"), ((code(name), OPTIONS[name]) for name in KNOWN)),
        *(part for kind, fields in KINDS.items() for part in _kind(kind, fields)),
    )


def _limits(days: int) -> tuple[tuple[str, str], ...]:
    return (
        ("size of a file", f"{MOST_BYTES // 10**6} MB"),
        ("rows", f"{MOST_ROWS:,}"),
        ("columns", f"{MOST_COLUMNS}"),
        ("characters in a cell", f"{MOST_CELL:,}"),
        ("days in which an import can be undone", f"{days}"),
    )


def _kind(kind: str, fields: tuple[Field, ...]) -> tuple[str, ...]:
    rows = (
        (code(one.name), one.title["en"], _KINDS[one.read], "yes" if one.required else "", codes(one.words[2:8]))
        for one in fields
    )
    own = f"Columns may also go to a field of your own, named `{CUSTOM}NAME`."
    return (
        f"## {kind}",
        table(("field", "title", "a cell holds", "needed", "headings it is known by, among others"), rows),
        own if kind in ("customers", "products", "orders") else "",
    )
