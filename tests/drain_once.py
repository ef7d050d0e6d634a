"""A process of its own that does what is due in a folder and ends; tests kill it at a named point.

python drain_once.py HOME PLUGIN ALLOWED_HOST...
"""

import os
import subprocess
import sys
from pathlib import Path

from engines import make_engine

ROOT = Path(__file__).resolve().parents[1]


def main(home: str, plugin: str, *allow: str) -> None:
    engine = make_engine(Path(home), plugins_on=(plugin,), allow_hosts=allow)
    engine.drain()
    engine.close()


def run_killed(point: str, home: Path, plugin: str, *allow: str) -> int:
    """Run such a process until it kills itself at `point`; return how it ended."""
    env = {**os.environ, "VITRIN_CRASH_AT": point, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    command = [sys.executable, __file__, str(home), plugin, *allow]
    return subprocess.run(command, env=env, timeout=60, check=False).returncode


if __name__ == "__main__":
    main(*sys.argv[1:])
