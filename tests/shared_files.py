"""The one way from the tests to the recorded data and attack tables that live beside the project."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def _need(path: Path) -> Path:
    if path.exists():
        return path
    if os.environ.get("CI"):
        pytest.fail(f"{path.name} is missing: continuous integration needs the shared folder beside the project")
    pytest.skip(f"shared folder beside the project has no {path.relative_to(SHARED)}")


def data(name: str) -> Path:
    """Return the path of a file or folder of recorded data."""
    return _need(SHARED / "data" / name)


def vector_file(name: str) -> Path:
    """Return the path of a file that belongs to an attack table."""
    return _need(SHARED / "vectors" / name)


@cache
def _table(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def vectors(name: str) -> dict[str, Any]:
    """Return one attack table: keys `rows`, `expect`, and what its README says."""
    return _table(_need(SHARED / "vectors" / f"{name}.json"))
