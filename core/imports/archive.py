"""Zip files that may be opened: few entries, no wild ratio, no names that lead elsewhere, nothing declared twice."""

import zipfile
from pathlib import Path
from typing import IO

from core.errors import InvalidInput

#: Entries, bytes in all when unpacked, and how many times smaller a large entry may have been packed.
MOST_ENTRIES = 1_000
MOST_UNPACKED = 250_000_000
MOST_RATIO = 200
_SMALL = 1_000_000
_ENCRYPTED = 0x1
_LINK = 0o120000
_FORMATS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
#: Document types declare entities, which grow without limit or read files: no workbook has one.
_DOCTYPES = [text.encode(code) for text in ("<!DOCTYPE", "<!ENTITY") for code in ("utf-8", "utf-16-le", "utf-16-be")]
_CHUNK = 65_536


def open_archive(path: Path) -> zipfile.ZipFile:
    """Open a zip file that keeps all limits; raise InvalidInput naming what it breaks."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as exc:
        raise InvalidInput("file", "is no readable zip file; save it again and upload it anew") from exc
    try:
        _check_entries(archive.infolist())
    except InvalidInput:
        archive.close()
        raise
    return archive


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MOST_ENTRIES:
        raise InvalidInput("file", f"has {len(entries)} entries; at most {MOST_ENTRIES} are opened")
    # Declared sizes can be trusted: no more than that is ever unpacked.
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > MOST_UNPACKED:
        raise InvalidInput("file", f"unpacks to {unpacked // 10**6} MB; at most {MOST_UNPACKED // 10**6} are read")
    names: set[str] = set()
    for entry in entries:
        _check_entry(entry)
        if entry.filename.casefold() in names:
            raise InvalidInput("file", "holds the same entry twice")
        names.add(entry.filename.casefold())


def _check_entry(entry: zipfile.ZipInfo) -> None:
    # `orig_filename`: on Windows zipfile itself would turn backslashes.
    name = entry.orig_filename
    parts = name.split("/")
    if not name or "\\" in name or "\0" in name or ":" in name or name.startswith("/") or ".." in parts:
        raise InvalidInput("file", "holds an entry whose name leads out of its folder")
    if (entry.external_attr >> 16) & 0o170000 == _LINK:
        raise InvalidInput("file", "holds a link")
    if entry.flag_bits & _ENCRYPTED:
        raise InvalidInput("file", "is protected by a password; save it without one")
    if entry.compress_type not in _FORMATS:
        raise InvalidInput("file", "is packed in an unusual way; save it again as a plain zip or workbook")
    if entry.file_size > _SMALL and entry.file_size > MOST_RATIO * max(1, entry.compress_size):
        raise InvalidInput("file", f"holds an entry that unpacks to more than {MOST_RATIO} times its size")


def check_markup(archive: zipfile.ZipFile) -> None:
    """Raise InvalidInput where an XML entry declares a document type, or an entry is damaged."""
    for entry in archive.infolist():
        if entry.filename.endswith((".xml", ".rels")):
            with archive.open(entry) as file:
                _check_stream(file)


def _check_stream(file: IO[bytes]) -> None:
    kept = b""
    try:
        while chunk := file.read(_CHUNK):
            window = kept + chunk
            if any(mark in window for mark in _DOCTYPES):
                raise InvalidInput("file", "declares a document type, which no workbook has")
            kept = window[-32:]
    except (zipfile.BadZipFile, EOFError, OSError) as exc:
        raise InvalidInput("file", "is damaged; save it again and upload it anew") from exc
