"""Where uploaded files lie: under generated names inside one folder, whatever they were called."""

import contextlib
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from core.errors import InvalidInput, NotFound, StorageError
from core.ids import new_id

#: The largest file that is taken.
MOST_BYTES = 100_000_000
_STORED = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.upload", re.ASCII)
_LONGEST_NAME = 120
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class Files:
    """Keeps uploads in a folder of their own."""

    def __init__(self, folder: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder
        self._most_bytes = most_bytes

    def save(self, parts: Iterable[bytes]) -> str:
        """Store an upload and return its generated name; raise InvalidInput where it is too large or empty."""
        name = f"{new_id()}.upload"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._write(self._folder / name, parts)
        except OSError as exc:
            reason = (
                f"the file could not be stored in {self._folder}: {exc.strerror}; free some space or mend the folder"
            )
            raise StorageError(reason) from exc
        return name

    def _write(self, path: Path, parts: Iterable[bytes]) -> None:
        size = 0
        # A new file only (no link that somebody put there), readable by nobody else.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                for part in parts:
                    size += len(part)
                    if size > self._most_bytes:
                        raise InvalidInput("file", f"is larger than {self._most_bytes // 10**6} MB; split it")
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            if size == 0:
                raise InvalidInput("file", "is empty")
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def path(self, name: str) -> Path:
        """Return where a stored upload lies; only names that we generated are looked up."""
        if not _STORED.fullmatch(name):
            raise NotFound(f"no stored file {name!r}")
        path = self._folder / name
        if path.is_symlink() or not path.is_file():
            raise NotFound(f"the stored file {name} is gone: uploads are kept for a while only; upload it again")
        return path

    def delete(self, name: str) -> None:
        """Remove a stored upload, if it is still there."""
        with contextlib.suppress(NotFound):
            self.path(name).unlink(missing_ok=True)


def check_name(name: str) -> str:
    """Return the name that a file was sent under; raise InvalidInput for a path and for signs that no name has."""
    if "/" in name or "\\" in name:
        raise InvalidInput("name", "is a path; send the name of the file alone")
    if any(unicodedata.category(char) in _INVISIBLE for char in name):
        raise InvalidInput("name", "holds control characters or invisible signs")
    if not name.strip(". ") or len(name) > _LONGEST_NAME:
        raise InvalidInput("name", f"needs 1 to {_LONGEST_NAME} characters, and not only dots")
    return name


def shown_name(name: str) -> str:
    """Return a name fit for showing: the last part of a path, without controls and invisible signs."""
    last = PurePosixPath(name.replace("\\", "/")).name
    kept = "".join(char for char in last if unicodedata.category(char) not in _INVISIBLE)
    return kept.strip()[:_LONGEST_NAME] or "file"
