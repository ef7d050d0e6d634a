"""What makes a file survive a power cut: the file and then its folder are flushed to the disk."""

import os
from pathlib import Path


def sync_file(path: Path) -> None:
    """Flush a file's content to the disk."""
    _sync(path)


def sync_folder(path: Path) -> None:
    """Flush a folder's names to the disk: a new or renamed file is only then safe."""
    _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
