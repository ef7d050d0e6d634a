"""The page of settings, from their table."""

from pathlib import PurePosixPath
from typing import Any

from commands.reference.markdown import code, page, table
from core.settings import FILE_NAME, OTHER_NAMES, SETTINGS

_ABOUT = f"""\
A value comes from the flag, else from the environment, else from the file `{FILE_NAME}` in the home folder
(another file: `--config`), else from this table. `./vitrin settings list` shows every value and where it came
from. A name that is no setting is refused, with the nearest one that is. Lists are written with commas in flags
and in the environment."""
_FILE = f"""\
## The file

```toml
# {FILE_NAME}
zone = "Europe/Istanbul"
currency = "TRY"
port = 8480
```

A path that is not absolute starts at the folder of the file, or at the current folder for flags and the environment."""


def make_settings() -> str:
    """Return the page of settings."""
    values: dict[str, Any] = {}
    rows = []
    for setting in SETTINGS:
        default = setting.default_for(values)
        # The home folder is where the user wants it: what lies in it is shown below that name.
        values[setting.name] = PurePosixPath("HOME") if setting.name == "home" else default
        names = f"{code(setting.flag)}<br>{code(setting.variable)}"
        rows.append((code(setting.name), names, _shown(default), setting.kind.words, setting.help))
    others = [(code(name), words) for name, words in sorted(OTHER_NAMES.items())]
    return page(
        "Settings",
        _ABOUT,
        table(("setting", "flag, variable", "default", "allowed", "what for"), rows),
        _FILE,
        "## Other names in the environment",
        table(("variable", "what for"), others),
    )


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return code(str(default).lower())
    return code(", ".join(default)) if isinstance(default, tuple) else code(default)
