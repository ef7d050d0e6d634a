"""The entry point and the only wiring: makes sure that our names are ours, then hands the built-in plugins down."""

import sys
from importlib.util import find_spec
from pathlib import Path

HOME = Path(__file__).resolve().parent
#: Our packages stand beside this file; one of the same name that is found elsewhere is not ours.
ROOMS = ("core", "rules", "plugins", "web", "commands")


def find_stranger(home: Path = HOME) -> str | None:
    """Return in words which of our names resolves elsewhere, or None."""
    for name in ROOMS:
        spec = find_spec(name)
        places = [Path(place).resolve() for place in (spec.submodule_search_locations or [])] if spec else []
        if places != [home / name]:
            found = ", ".join(map(str, places)) or (spec and spec.origin) or "nowhere"
            return f"the package {name!r} is found in {found}, not in {home / name}"
    return None


if stranger := find_stranger():
    sys.exit(f"error: {stranger}: Vitrin does not start with foreign code. Look at PYTHONPATH and the current folder.")

# Only now: an import would run the foreign code.
from commands.line import run_line  # noqa: E402
from plugins import BUILTINS  # noqa: E402


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run_line(BUILTINS, sys.argv[1:]))


if __name__ == "__main__":
    main()
