"""Regular expressions typed by users: searched in linear time by RE2, refused in words where they cannot be."""

import unicodedata
from functools import lru_cache
from typing import Any

import re2

from core.errors import RuleError
from core.pattern_syntax import MARK, mark_edges, translate

#: Characters of a text that are looked at; what stands after them is not seen, and `$` does not match at the cut.
MAX_INPUT = 4_096
MAX_PATTERN = 1_000
#: Instructions of a compiled program: the measured worst case stays under 0.1 s at this size.
MAX_PROGRAM = 10_000

_MEMORY = 2 * 1024 * 1024
#: Stands for the part of a text that was cut off: no pattern can name it.
_CUT = "\uffff"

#: How RE2's message starts, and what we say.
_WORDS = (
    ("missing ]", "has a [ that is not closed by ]"),
    ("missing )", "has a ( that is not closed by )"),
    ("unexpected )", "has a ) without a ("),
    ("no argument for repetition operator", "repeats nothing: * + ? or {} stands where there is nothing before it"),
    ("bad repetition operator", "has two repetitions in a row"),
    ("invalid repetition size", "repeats too often; 1,000 times is the most, nested repetitions multiplied"),
    ("pattern too large", "is too large; use fewer or smaller repetitions"),
    ("invalid character class range", "has a character range that ends before it starts, or names an unknown set"),
    ("expression nests too deeply", "nests its groups too deeply"),
)


class Pattern:
    """One compiled expression; ask it about texts of any length and content."""

    __slots__ = ("_edged", "_plain", "ignore_case", "text")

    def __init__(self, text: str, ignore_case: bool, plain: Any, edged: Any) -> None:
        self.text = text
        self.ignore_case = ignore_case
        self._plain = plain
        self._edged = edged

    def search(self, text: str) -> bool:
        """Tell whether the pattern occurs in the first 4,096 characters of `text`."""
        program, subject = self._prepare(text)
        return program.search(subject) is not None

    def fullmatch(self, text: str) -> bool:
        """Tell whether the whole `text` is one occurrence; a text longer than 4,096 characters never is."""
        if len(text) > MAX_INPUT:
            return False
        program, subject = self._prepare(text)
        return program.fullmatch(subject) is not None

    def find(self, text: str) -> str | None:
        """Return the first group of the first occurrence, or the whole of it where there is no group."""
        program, subject = self._prepare(text)
        found = program.search(subject)
        if found is None:
            return None
        taken = found.group(1) if program.groups else found.group()
        return None if taken is None else taken.decode().replace(MARK, "").removesuffix(_CUT)

    def __repr__(self) -> str:
        return f"Pattern({self.text!r}, ignore_case={self.ignore_case})"

    def _prepare(self, text: str) -> tuple[Any, bytes]:
        cut = text[:MAX_INPUT] + _CUT if len(text) > MAX_INPUT else text
        if cut.isascii():
            return self._plain, cut.encode()
        plain = _plain_letters(cut)
        if self._edged is None:
            return self._plain, plain.encode()
        return self._edged, mark_edges(plain).encode()


def compile_pattern(text: str, *, path: str = "", ignore_case: bool = False) -> Pattern:
    """Compile what a user typed; raise RuleError at `path` with the reason where it cannot be searched safely.

    The dialect is Python's without what needs unbounded time (look-around, references to groups).
    Letters are letters in every script (`\\w`, `\\b`), and where case is ignored i, İ, ı and I are one letter.
    """
    try:
        return _compile(text, ignore_case)
    except RuleError as exc:
        raise RuleError(path, exc.reason) from exc


@lru_cache(maxsize=256)
def _compile(text: str, ignore_case: bool) -> Pattern:
    if len(text) > MAX_PATTERN:
        raise RuleError("", f"the pattern has {len(text):,} characters; {MAX_PATTERN:,} is the most")
    if any("\ud800" <= char <= "\udfff" for char in text) or MARK in text or _CUT in text:
        raise RuleError("", "the pattern holds a character that is no text (half of a pair, or private use)")
    plain, edged = translate(unicodedata.normalize("NFC", text), ignore_case=ignore_case)
    compiled = _program(plain, ignore_case)
    return Pattern(text, ignore_case, compiled, _program(edged, ignore_case) if edged else None)


def _program(wording: str, ignore_case: bool) -> Any:
    options = re2.Options()
    options.max_mem = _MEMORY
    options.log_errors = False
    options.case_sensitive = not ignore_case
    try:
        program = re2.compile(wording, options)
    except (re2.error, OverflowError, RecursionError, ValueError) as exc:
        raise RuleError("", f"the pattern {_reason(exc)}") from exc
    if program.programsize > MAX_PROGRAM:
        raise RuleError("", "the pattern is too large; use fewer or smaller repetitions")
    return program


def _reason(exc: Exception) -> str:
    said = exc.args[0] if exc.args else ""
    said = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    for start, words in _WORDS:
        if said.startswith(start):
            return words
    return f"cannot be read: {said}" if said else "cannot be read"


def _plain_letters(text: str) -> str:
    """Compose letters and drop what is no text, so that one letter is one character for the pattern too."""
    safe = text.encode(errors="replace").decode().replace(MARK, "\ufffd")
    return unicodedata.normalize("NFC", safe).replace("i\u0307", "i")
