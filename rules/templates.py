"""User text in Liquid: compiled when saved, rendered within limits, never an error but RuleError."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, tzinfo
from typing import Any

from liquid.ast import Node
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.output import OutputNode
from liquid.exceptions import LiquidError, LiquidInterrupt
from liquid.undefined import is_undefined

from core.errors import RuleError
from rules.plain import PlainData, plain
from rules.template_channels import ALIASES, CHANNELS
from rules.template_check import bad_piece, check_markup, check_tree, refusal
from rules.template_engine import ENVIRONMENTS, MAX_TEXT, Run, write

#: Source characters of the compiled templates kept; their trees take about a hundred times as much memory.
CACHED_CHARS = 500_000

#: What a template of a stranger can make Python raise, and what it means for its author. First match counts.
_FAILURES: tuple[tuple[type[Exception], str], ...] = (
    (RecursionError, "is nested too deep"),
    (MemoryError, "needs too much memory"),
    (OverflowError, "has a number or range that is too large"),
    (ZeroDivisionError, "divides by zero"),
    (ArithmeticError, "has a number it cannot calculate with"),
    (LiquidInterrupt, "has break or continue outside of a loop"),
    (UnicodeError, "has a character that is no text"),
    (ValueError, "has a value it cannot use"),
    (TypeError, "has values of kinds that do not go together"),
    (LookupError, "asks for something that is not there"),
    (AttributeError, "asks for something that is not there"),
    (AssertionError, "cannot be read"),
    (RuntimeError, "cannot be worked out"),
)
_CAUGHT = (LiquidError, *(kind for kind, _ in _FAILURES))


class _Compiled:
    """What the cache keeps: shared by all rules that hold the same text."""

    __slots__ = ("bound", "fields", "nodes", "only_path", "text")

    def __init__(self, text: str, channel: str) -> None:
        check_markup(text)
        self.text = text
        self.bound: Any = ENVIRONMENTS[channel].from_string(text)
        self.nodes: list[Node] = self.bound.nodes
        self.fields = check_tree(text, self.nodes)
        self.only_path = _only_path(self.nodes)


class Template:
    """One user text, ready to render; `path` names its place in the rule for error messages."""

    __slots__ = ("_compiled", "channel", "fields", "is_plain", "path", "text")

    def __init__(self, text: str, channel: str, path: str, compiled: _Compiled | None) -> None:
        self.text = text
        self.channel = channel
        self.path = path
        #: Dotted paths that the text reads from the data, for checks at save time.
        self.fields: frozenset[str] = compiled.fields if compiled else frozenset()
        #: True where there is no markup: rendering returns the text itself.
        self.is_plain = compiled is None
        self._compiled = compiled

    def render(
        self,
        data: Mapping[str, Any] | PlainData,
        *,
        zone: tzinfo,
        language: str = "en",
        currency: str | None = None,
        strict: bool = False,
    ) -> str:
        """Return the text for these data; any failure is a RuleError with path and line.

        A field that is missing leaves nothing in the text, or with `strict` raises.
        `now` and `today` are the `now` of the data: the template has no clock of its own.
        """
        if self._compiled is None:
            return self.text
        blanks: list[str] | None = [] if strict else None
        text = self._write(self._compiled, self._run(data, zone, language, currency, blanks))
        if blanks:
            raise RuleError(self.path, f"these fields are empty: {', '.join(blanks)}")
        return text

    def missing(
        self, data: Mapping[str, Any] | PlainData, *, zone: tzinfo, language: str = "en", currency: str | None = None
    ) -> list[str]:
        """Return the fields that would put nothing into the text for these data; `default` fills a gap."""
        if self._compiled is None:
            return []
        blanks: list[str] = []
        self._write(self._compiled, self._run(data, zone, language, currency, blanks))
        return blanks

    def resolve(
        self, data: Mapping[str, Any] | PlainData, *, zone: tzinfo, language: str = "en", currency: str | None = None
    ) -> Any:
        """Return the value itself, with its type, where the text is one `{{ path }}`; the rendered text elsewhere."""
        if self._compiled is None or self._compiled.only_path is None:
            return self.render(data, zone=zone, language=language, currency=currency)
        run = self._run(data, zone, language, currency, None)
        try:
            value = self._compiled.only_path.evaluate(run)
        except _CAUGHT as exc:
            raise self._failure(exc) from exc
        return None if is_undefined(value) else value

    def _run(
        self,
        data: Mapping[str, Any] | PlainData,
        zone: tzinfo,
        language: str,
        currency: str | None,
        blanks: list[str] | None,
    ) -> Run:
        assert self._compiled is not None
        fields = plain(data, path=self.path).fields
        return Run(self._compiled.bound, fields, zone=zone, language=language, currency=currency, blanks=blanks)

    def _write(self, compiled: _Compiled, run: Run) -> str:
        try:
            return write(compiled.nodes, run)
        except _CAUGHT as exc:
            raise self._failure(exc) from exc

    def _failure(self, exc: Exception) -> RuleError:
        node = getattr(exc, "liquid_node", None)
        token = getattr(exc, "token", None) or (node.token if node else None)
        reason = refusal(self.text, token.start_index if token else 0, _words(exc)).reason
        return RuleError(self.path, reason)


def compile_template(text: str, *, path: str = "", channel: str = "text") -> Template:
    """Compile user text for a channel (text, sms, html, mail_html, json); raise RuleError with path and line.

    Meant for the moment a rule is saved, and cheap after it: equal texts share one compiled tree.
    """
    escaping = ALIASES.get(channel, channel)
    if escaping not in CHANNELS:
        raise RuleError(path, f"there is no channel {channel!r}; use one of {', '.join([*CHANNELS, *ALIASES])}")
    if "{{" not in text and "{%" not in text:
        if len(text) > MAX_TEXT:
            raise RuleError(path, f"line 1: the text has {len(text):,} characters; {MAX_TEXT:,} is the most")
        return Template(text, escaping, path, None)
    compiled = _cache.get(text, escaping)
    if compiled is None:
        compiled = _compile(text, escaping, path)
        _cache.put(text, escaping, compiled)
    return Template(text, escaping, path, compiled)


def resolve_value(
    value: str | Template,
    data: Mapping[str, Any] | PlainData,
    *,
    zone: tzinfo = UTC,
    path: str = "",
    language: str = "en",
    currency: str | None = None,
) -> Any:
    """Return what a rule's value means for these data: `{{ order.lines }}` is the list, other text is rendered."""
    template = value if isinstance(value, Template) else compile_template(value, path=path)
    return template.resolve(data, zone=zone, language=language, currency=currency)


def _compile(text: str, escaping: str, path: str) -> _Compiled:
    try:
        return _Compiled(text, escaping)
    except RuleError as exc:
        raise RuleError(path, exc.reason) from exc
    except _CAUGHT as exc:
        token = getattr(exc, "token", None)
        at = token.start_index if token and token.start_index >= 0 else bad_piece(text, ENVIRONMENTS[escaping].parse)
        raise RuleError(path, refusal(text, at, _words(exc)).reason) from exc


def _words(exc: Exception) -> str:
    """Say what went wrong without the data it went wrong with."""
    cause = exc.__cause__ if isinstance(exc, LiquidError) else None
    for kind, words in _FAILURES:
        if isinstance(cause if isinstance(cause, RecursionError) else exc, kind):
            return f"the text {words}"
    return str(exc.args[0]) if exc.args else "the text cannot be read"


def _only_path(nodes: list[Node]) -> Path | None:
    if len(nodes) != 1 or not isinstance(nodes[0], OutputNode):
        return None
    expression = nodes[0].expression
    if not isinstance(expression, FilteredExpression) or expression.filters or not isinstance(expression.left, Path):
        return None
    return expression.left


class _Cache:
    """The most recently used templates, bounded by the length of their sources."""

    def __init__(self, chars: int) -> None:
        self.chars = chars
        self.used = 0
        self.kept: OrderedDict[tuple[str, str], _Compiled] = OrderedDict()
        self.lock = threading.Lock()

    def get(self, text: str, channel: str) -> _Compiled | None:
        with self.lock:
            found = self.kept.get((text, channel))
            if found is not None:
                self.kept.move_to_end((text, channel))
            return found

    def put(self, text: str, channel: str, compiled: _Compiled) -> None:
        with self.lock:
            if (text, channel) not in self.kept:
                self.used += len(text)
            self.kept[text, channel] = compiled
            while self.used > self.chars:
                (dropped, _), _ = self.kept.popitem(last=False)
                self.used -= len(dropped)


_cache = _Cache(CACHED_CHARS)
