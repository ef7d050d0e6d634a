"""Markdown pages as tests read them: prose, fenced blocks, links, headings, lines of the command line."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = "./vitrin"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
#: Words of lines that show how a command is written, and are no command themselves.
_STANDS_FOR = frozenset({"COMMAND", "[OPTIONS]"})
_ASSIGNED = re.compile(r"[A-Z_]+=")
#: What ends a command on a line of the shell.
_ENDS = frozenset({"|", ">", ">>", "<", "&&", "||", ";"})


@dataclass(frozen=True)
class Page:
    """One page of the documentation."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def prose(self) -> str:
        """The text without its fenced blocks."""
        return _FENCE.sub("", self.text)

    def blocks(self, language: str) -> list[str]:
        """Return the fenced blocks in this language."""
        return [found[2] for found in _FENCE.finditer(self.text) if found[1] == language]

    @cached_property
    def links(self) -> list[str]:
        """The targets of all links that lead to no other site."""
        targets = _LINK.findall(_CODE.sub("code", self.prose))
        return [target for target in targets if not target.startswith(("http://", "https://", "mailto:"))]

    @cached_property
    def anchors(self) -> set[str]:
        """The names under which the headings can be reached."""
        plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(self.prose)]
        return {heading.strip().replace(" ", "-") for heading in plain}

    def commands(self) -> Iterator[tuple[list[str], bool]]:
        """Yield the words of each command of ours, and whether they are a whole line; in the text it may be named."""
        for block in (*self.blocks("sh"), *self.blocks("")):
            for line in block.replace("\\\n", " ").splitlines():
                yield from ((words, True) for words in _commands(line))
        for found in _CODE.findall(self.prose):
            yield from ((words, False) for words in _commands(found))


def _commands(line: str) -> Iterator[list[str]]:
    """Yield the words behind our program's name, up to what ends the command."""
    if "vitrin " not in line:
        return
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return
    while words:
        end = next((place for place, word in enumerate(words) if word in _ENDS), len(words))
        part, words = words[:end], words[end + 1 :]
        while part and _ASSIGNED.match(part[0]):
            part = part[1:]
        if part and (part[0] == PROGRAM or part[0].endswith("/vitrin")) and not _STANDS_FOR & {*part}:
            yield part[1:]


PAGES = [
    Page(path)
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGELOG.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    )
]
