"""Plugins from outside: packages that are found by their entry point, as if they had been installed."""

import shutil
import sys
import tomllib
from itertools import count
from pathlib import Path

import pytest

_numbers = count()
SOURCE = Path(__file__).parent / "outside_plugin"


class Packages:
    """A folder of installed packages for one test."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        folder.mkdir()
        self._folder = folder
        self._modules: list[str] = []
        patch.syspath_prepend(folder)

    def install(self, name: str, code: str) -> None:
        """Install a package of one file under an entry point."""
        # Its own name each time: a module whose import hangs keeps the name's import lock for ever.
        module = f"{name}_plugin_{next(_numbers)}"
        (self._folder / f"{module}.py").write_text(code, encoding="utf-8")
        self._register(f"vitrin-{name}", "1.0.0", f"A plugin named {name}", {name: module})

    def install_project(self, source: Path) -> None:
        """Install a project's package with the entry points that its pyproject.toml names."""
        project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        for module in project["entry-points"]["vitrin"].values():
            shutil.copytree(source / module, self._folder / module, ignore=shutil.ignore_patterns("__pycache__"))
        self._register(project["name"], project["version"], project["description"], project["entry-points"]["vitrin"])

    def _register(self, name: str, version: str, summary: str, points: dict[str, str]) -> None:
        info = self._folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: {summary}\n")
        lines = [f"{point} = {module}" for point, module in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[vitrin]", *lines, ""]))
        self._modules += points.values()

    def forget(self) -> None:
        """Let the next test import its own, and let go what hangs on purpose."""
        for name in [name for name in sys.modules if name.split(".")[0] in self._modules]:
            hanging = getattr(sys.modules.pop(name), "forever", None)
            if hanging is not None:
                hanging.set()
