"""The backup's one file: a zip of known names with a manifest, believed in nothing that was not checked."""

import hashlib
import json
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from core.durable import sync_file
from core.errors import InvalidInput

FORMAT = "vitrin backup"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
SQLITE = "database.sqlite"
POSTGRES = "database.pgdump"
KEY = "secret.key"

#: What each part may be at most; the database is bounded by the archive's own size (see `_check_entries`).
_NAMES = frozenset({MANIFEST, SQLITE, POSTGRES, KEY})
_SMALL = {MANIFEST: 1 << 20, KEY: 64 * 1024}
_FREE_SIZE = 64 << 20
_RATIO = 200
_CHUNK = 1 << 20

#: Told the bytes that were just moved.
Moved = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file in the archive."""

    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a backup says about itself."""

    made_at: datetime
    #: The program that made it.
    version: str
    #: sqlite, postgresql
    database: str
    #: By owner of tables (core, plugins): the step their schema is at.
    schema: Mapping[str, str]
    #: Rows by table.
    counts: Mapping[str, int]
    #: Number and hash of the newest row of the audit trail.
    audit: tuple[int, str]
    files: Mapping[str, Part]

    def to_json(self) -> bytes:
        document = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)}
        return json.dumps(document, indent=1, default=lambda value: value.isoformat()).encode()


class ArchiveWriter:
    """Adds parts to a new archive; the manifest comes last, because it holds their checksums."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        self._path = path
        self._out = os.fdopen(descriptor, "wb")
        self._zip = zipfile.ZipFile(self._out, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        self.parts: dict[str, Part] = {}

    def add(self, name: str, source: Path, moved: Moved) -> None:
        """Add a file; a database dump that is packed already is stored as it is."""
        digest, size = hashlib.sha256(), 0
        with source.open("rb") as content, self._zip.open(self._entry(name), "w", force_zip64=True) as out:
            while chunk := content.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                out.write(chunk)
                moved(len(chunk))
        self.parts[name] = Part(size=size, sha256=digest.hexdigest())

    def finish(self, manifest: Manifest) -> None:
        """Add the manifest and flush everything to the disk."""
        self._zip.writestr(self._entry(MANIFEST), manifest.to_json())
        self.close()
        sync_file(self._path)

    def close(self) -> None:
        self._zip.close()
        self._out.close()

    def _entry(self, name: str) -> zipfile.ZipInfo:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = (stat.S_IFREG | 0o600) << 16
        entry.compress_type = zipfile.ZIP_STORED if name == POSTGRES else zipfile.ZIP_DEFLATED
        return entry


class ArchiveReader:
    """An archive whose entries and manifest were checked; parts are checked as they are unpacked."""

    def __init__(self, archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self._zip = archive
        self.manifest = manifest

    def has(self, name: str) -> bool:
        return name in self.manifest.files

    def unpack(self, name: str, target: Path, moved: Moved) -> None:
        """Write a part to a new file; raise InvalidInput where it is not what the manifest says."""
        part = self.manifest.files[name]
        descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        with _damage_in_words(), self._zip.open(name) as content, os.fdopen(descriptor, "wb") as out:
            # The archive's own reader gives no byte more than the size that was checked.
            if _copy(content, out, moved) != part.sha256:
                raise InvalidInput("backup", f"{name} in it is damaged: its checksum differs; use another backup")
        sync_file(target)


@contextmanager
def open_archive(path: Path) -> Iterator[ArchiveReader]:
    """Open a backup; raise InvalidInput where it is none, is damaged, or is made to do harm."""
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError as exc:
        raise InvalidInput("backup", f"the file {path} does not exist") from exc
    except OSError as exc:
        raise InvalidInput("backup", f"the file {path} cannot be read: {exc.strerror}") from exc
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as exc:
        raise InvalidInput("backup", f"{path.name} is not a backup of Vitrin, or was cut off") from exc
    with archive:
        _check_entries(archive.infolist(), path.stat().st_size)
        manifest = _read_manifest(archive)
        _check_files(manifest, archive.infolist())
        yield ArchiveReader(archive, manifest)


def _check_entries(entries: list[zipfile.ZipInfo], packed: int) -> None:
    names = [entry.filename for entry in entries]
    strange = [name for name in names if name not in _NAMES]
    if strange:
        raise InvalidInput("backup", f"holds {strange[0][:80]!r}, which no backup of Vitrin holds")
    if len(set(names)) != len(names) or MANIFEST not in names:
        raise InvalidInput("backup", "holds a name twice, or no manifest")
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or entry.flag_bits & 0x1:
            raise InvalidInput("backup", f"{entry.filename} in it is a link, or locked with a password")
        if entry.file_size > _SMALL.get(entry.filename, _FREE_SIZE + _RATIO * packed):
            raise InvalidInput("backup", f"{entry.filename} in it would unpack to {entry.file_size} bytes: too many")


def _read_manifest(archive: zipfile.ZipFile) -> Manifest:
    with _damage_in_words(), archive.open(MANIFEST) as content:
        text = content.read(_SMALL[MANIFEST] + 1)
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise ValueError
        if document["format_version"] > FORMAT_VERSION:
            raise InvalidInput("backup", "was made by a newer version of Vitrin: restore it with that version")
        return Manifest(
            made_at=_moment(document["made_at"]),
            version=_word(document["version"]),
            database=_word(document["database"]),
            schema={_word(name): _word(step) for name, step in document["schema"].items()},
            counts={_word(name): _size(rows) for name, rows in document["counts"].items()},
            audit=(_size(document["audit"][0]), _word(document["audit"][1])),
            files={
                _word(name): Part(size=_size(part["size"]), sha256=_word(part["sha256"]))
                for name, part in document["files"].items()
            },
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as exc:
        raise InvalidInput("backup", "has a manifest that no version of Vitrin wrote") from exc


def _check_files(manifest: Manifest, entries: list[zipfile.ZipInfo]) -> None:
    found = {entry.filename: entry.file_size for entry in entries if entry.filename != MANIFEST}
    if found != {name: part.size for name, part in manifest.files.items()}:
        raise InvalidInput("backup", "does not hold what its manifest lists: it is damaged, use another one")
    if {"sqlite": SQLITE, "postgresql": POSTGRES}.get(manifest.database) not in found:
        raise InvalidInput("backup", "holds no database")


def _copy(content: Any, out: BinaryIO, moved: Moved) -> str:
    digest = hashlib.sha256()
    while chunk := content.read(_CHUNK):
        digest.update(chunk)
        out.write(chunk)
        moved(len(chunk))
    return digest.hexdigest()


@contextmanager
def _damage_in_words() -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as exc:
        raise InvalidInput("backup", "is damaged: it cannot be unpacked; use another one") from exc


def _word(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 200 or not value.isprintable():
        raise ValueError
    return value


def _size(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError
    return value


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(_word(value))
    if moment.tzinfo is None:
        raise ValueError
    return moment
