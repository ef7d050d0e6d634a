"""Translate a regular expression as people type it (Python's dialect) into RE2's, or say why it cannot be.

Two programs come out. The plain one serves ASCII text. RE2 knows word edges (`\\b`) between ASCII
letters only, so where a pattern asks for them a second program serves all other text: there every
word edge of the text carries MARKs, `\\b` means one of them, and every other character may have any number
of them before it.
"""

import re

from core.errors import RuleError

#: A private-use character; texts that hold it themselves get U+FFFD in its place.
MARK = "\ue000"

#: Marks at one edge, so that as many `\b` in a row may stand at the same place.
_MARKS = MARK * 3

#: What \w means here: letters, digits and marks of all scripts, as few ranges as possible (each costs program space).
WORD = (
    r"0-9A-Za-z_\x{AA}\x{B5}\x{BA}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1FFF}\x{200C}\x{200D}\x{2C00}-\x{2DFF}"
    r"\x{3005}-\x{3007}\x{3040}-\x{D7FF}\x{F900}-\x{FDFF}\x{FE70}-\x{FEFC}\x{FF10}-\x{FF19}\x{10000}-\x{1F0FF}"
)
SPACE = r"\t\n\v\f\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}"
TURKISH_I = "iIıİ"

_CLASS_ESCAPES = {"w": WORD, "s": SPACE, "d": "0-9"}
_CONTROLS = {"a": "\x07", "f": "\x0c", "n": "\n", "r": "\r", "t": "\t", "v": "\x0b"}
_QUANTIFIER = re.compile(r"[*+?]|\{(\d*)(,?)(\d*)\}")
_FLAGS = re.compile(r"\?([a-zA-Z]*)(?:-([a-zA-Z]+))?([:)])")
_NAME = re.compile(r"\?P?<([A-Za-z_]\w*)>")
_HEX = re.compile(r"x\{([0-9A-Fa-f]{1,6})\}|x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})")
_OCTAL = re.compile(r"0[0-7]{0,2}|[1-7][0-7]{2}")
_PROPERTY = re.compile(r"[pP](?:\{\^?\w+\}|\w)")
_POSIX = re.compile(r"\[:\^?\w+:\]")

#: The start of a group RE2 cannot do, and its name in words.
_REFUSED_GROUPS = (
    ("?=", "looking ahead, (?=...)"),
    ("?!", "looking ahead, (?!...)"),
    ("?<=", "looking behind, (?<=...)"),
    ("?<!", "looking behind, (?<!...)"),
    ("?P=", "a reference to an earlier group, (?P=...)"),
    ("?>", "an atomic group, (?>...)"),
    ("?(", "a condition on a group, (?(...)...)"),
)


def translate(text: str, *, ignore_case: bool) -> tuple[str, str | None]:
    """Return RE2's wording for ASCII text, and the one for all other text where that must differ."""
    return _Translator(text, ignore_case=ignore_case).run()


def mark_edges(text: str) -> str:
    """Put marks at every edge between a word and what is not a word."""
    return re.sub(r"\b", _MARKS, text)


class _Translator:
    def __init__(self, text: str, *, ignore_case: bool) -> None:
        self.text = text
        self.at = 0
        self.plain: list[str] = []
        self.marked: list[str] = []
        self.has_edges = False
        self.flags = {"i"} if ignore_case else set()
        self.outer_flags: list[set[str]] = []
        self.names: set[str] = set()

    def run(self) -> tuple[str, str | None]:
        """Walk the text once, from left to right, without recursion."""
        while self.at < len(self.text):
            self._step()
        plain = "".join(self.plain)
        if not self.has_edges:
            return plain, None
        return plain, f"(?:{''.join(self.marked)}){MARK}*"

    def _step(self) -> None:
        char = self.text[self.at]
        if char == "\\":
            self._escape()
        elif char == "[":
            self._class()
        elif char == "(":
            self._group()
        elif char == ")":
            self.flags = self.outer_flags.pop() if self.outer_flags else self.flags
            self._same(")")
        elif char in "|^":
            self._same(char)
        elif char == "$":
            self._pair("$", f"{MARK}*$")
        elif char == ".":
            self.at += 1
            self._atom(".", f"[^{MARK}]" if "s" in self.flags else f"[^\\n{MARK}]")
        elif char in "*+?{" and (found := _QUANTIFIER.match(self.text, self.at)) and found.group() not in ("{}", "{,}"):
            self._quantifier(found)
        else:
            self.at += 1
            self._literal(char)

    def _same(self, fragment: str) -> None:
        self.at += len(fragment)
        self.plain.append(fragment)
        self.marked.append(fragment)

    def _pair(self, plain: str, marked: str, *, taken: int = 1) -> None:
        self.at += taken
        self.plain.append(plain)
        self.marked.append(marked)

    def _atom(self, plain: str, marked: str) -> None:
        self.plain.append(plain)
        self.marked.append(f"(?:{MARK}*{marked})")

    def _literal(self, char: str) -> None:
        if "i" in self.flags and char in TURKISH_I:
            self._atom(f"[{TURKISH_I}]", f"[{TURKISH_I}]")
        else:
            self._atom(_quote(char), _quote(char))

    def _quantifier(self, found: re.Match[str]) -> None:
        self.at = found.end()
        fragment = found.group()
        if fragment.startswith("{,"):  # Python counts from nought; RE2 would read the braces as text
            fragment = "{0" + fragment[1:]
        self.plain.append(fragment)
        self.marked.append(fragment)

    def _escape(self) -> None:
        rest = self.text[self.at + 1 : self.at + 2]
        if not rest:
            raise self._refusal("ends in a lone backslash; write \\\\ for a backslash")
        if rest == "b":
            self.has_edges = True
            self._pair("\\b", MARK, taken=2)
        elif rest == "B":
            raise self._refusal("has \\B, which is not offered; name the characters that may stand there")
        elif rest == "A":
            self._pair("\\A", "\\A", taken=2)
        elif rest in "zZ":
            self._pair("\\z", f"{MARK}*\\z", taken=2)
        elif rest == "Q":
            self._quoted()
        elif rest in "wsd":
            self.at += 2
            self._atom(f"[{_CLASS_ESCAPES[rest]}]", f"[{_CLASS_ESCAPES[rest]}]")
        elif rest in "WSD":
            self.at += 2
            self._atom(f"[^{_CLASS_ESCAPES[rest.lower()]}]", f"[^{_CLASS_ESCAPES[rest.lower()]}{MARK}]")
        elif found := _PROPERTY.match(self.text, self.at + 1):
            self.at = found.end()
            self._atom("\\" + found.group(), f"(?:\\{found.group()})")
        else:
            self._literal(self._escaped_char())

    def _quoted(self) -> None:
        end = self.text.find("\\E", self.at)
        quoted = self.text[self.at + 2 : end] if end >= 0 else self.text[self.at + 2 :]
        self.at = end + 2 if end >= 0 else len(self.text)
        for char in quoted:
            self._literal(char)

    def _escaped_char(self) -> str:
        start = self.at + 1
        char = self.text[start : start + 1]
        if found := _HEX.match(self.text, start):
            self.at = found.end()
            code = int(next(group for group in found.groups() if group), 16)
            if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                raise self._refusal(f"names the character number {code:x}, which does not exist")
            return chr(code)
        if found := _OCTAL.match(self.text, start):
            self.at = found.end()
            return chr(int(found.group(), 8))
        if char.isdigit() or char == "k":
            raise self._refusal(f"refers back to an earlier group (\\{char}), which needs unbounded time")
        self.at = start + 1
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char.isascii() and char.isalnum():
            raise self._refusal(f"has \\{char}, which means nothing here")
        return char

    def _group(self) -> None:
        after = self.text[self.at + 1 : self.at + 5]
        for start, words in _REFUSED_GROUPS:
            if after.startswith(start):
                raise self._refusal(f"uses {words}, which needs unbounded time; say it without")
        if after.startswith("?#"):
            self._comment()
        elif not after.startswith("?"):
            self.outer_flags.append(set(self.flags))
            self._same("(")
        elif found := _NAME.match(self.text, self.at + 1):
            self._named(found)
        elif found := _FLAGS.match(self.text, self.at + 1):
            self._flag_group(found)
        else:
            raise self._refusal(f"has a group that starts with ({after[:2]}, which is not offered")

    def _comment(self) -> None:
        end = self.text.find(")", self.at)
        if end < 0:
            raise self._refusal("has a comment (?# that is not closed")
        self.at = end + 1

    def _named(self, found: re.Match[str]) -> None:
        name = found.group(1)
        if name in self.names:
            raise self._refusal(f"names two groups {name!r}; give each its own name")
        self.names.add(name)
        self.outer_flags.append(set(self.flags))
        self.at = found.end()
        self.plain.append(f"(?P<{name}>")
        self.marked.append(f"(?P<{name}>")

    def _flag_group(self, found: re.Match[str]) -> None:
        on, off, end = found.groups(default="")
        strange = set(on + off) - set("imsua")
        if strange:
            raise self._refusal(f"sets the flag {min(strange)!r}; only i, m and s are offered")
        if end == ":":
            self.outer_flags.append(set(self.flags))
        self.flags = (self.flags | set(on)) - set(off)
        self.at = found.end()
        kept_on, kept_off = (re.sub("[ua]", "", part) for part in (on, off))
        if not (kept_on or kept_off) and end == ")":
            return
        fragment = f"(?{kept_on}{'-' + kept_off if kept_off else ''}{end}"
        self.plain.append(fragment)
        self.marked.append(fragment)

    def _class(self) -> None:
        opened = self.at
        self.at += 1
        negated = self.text.startswith("^", self.at)
        self.at += negated
        items: list[str] = []
        has_i = False
        while not items or not self.text.startswith("]", self.at):
            if self.at >= len(self.text):
                self.at = opened
                raise self._refusal("has a [ that is not closed by ]")
            item, covers_i = self._class_item()
            items.append(item)
            has_i = has_i or covers_i
        self.at += 1
        if has_i and "i" in self.flags:
            items.append(TURKISH_I)
        body = "".join(items)
        if negated:
            self._atom(f"[^{body}]", f"[^{body}{MARK}]")
        else:
            self._atom(f"[{body}]", f"[{body}]")

    def _class_item(self) -> tuple[str, bool]:
        """Read one character, range or named set; tell whether it holds one of the four letters i."""
        if found := _POSIX.match(self.text, self.at):
            self.at = found.end()
            return found.group(), False
        named = self._named_set()
        if named:
            return named, False
        low = high = self._class_char()
        if self.text.startswith("-", self.at) and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
            dash = self.at
            self.at += 1
            if self._is_named_set():
                self.at = dash
            else:
                high = self._class_char()
        covers_i = any(low <= char <= high for char in TURKISH_I)
        return (_quote(low) if low == high else f"{_quote(low)}-{_quote(high)}"), covers_i

    def _is_named_set(self) -> bool:
        return self.text[self.at : self.at + 1] == "\\" and self.text[self.at + 1 : self.at + 2] in tuple("wsdWSDpP")

    def _named_set(self) -> str:
        if not self._is_named_set():
            return ""
        if found := _PROPERTY.match(self.text, self.at + 1):
            self.at = found.end()
            return "\\" + found.group()
        letter = self.text[self.at + 1]
        if letter not in "wsdSD":
            raise self._refusal(f"has \\{letter} inside [ ]; write [^\\{letter.lower()}] or \\p{{L}} (a letter)")
        self.at += 2
        return _CLASS_ESCAPES.get(letter, "\\" + letter)

    def _class_char(self) -> str:
        char = self.text[self.at : self.at + 1]
        if char != "\\":
            self.at += 1
            return char
        if self.text.startswith("\\b", self.at):
            self.at += 2
            return "\x08"
        if self.at + 1 >= len(self.text):
            raise self._refusal("ends in a lone backslash; write \\\\ for a backslash")
        return self._escaped_char()

    def _refusal(self, reason: str) -> RuleError:
        return RuleError("", f"the pattern {reason} (character {self.at + 1})")


def _quote(char: str) -> str:
    if char.isalnum() or char in " _":
        return char
    return f"\\x{{{ord(char):x}}}"
