"""What is looked at when a template is saved: its markup before the parser sees it, its tree after."""

import difflib
import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

from liquid.ast import Node
from liquid.builtin.expressions import BooleanExpression, FilteredExpression, Path
from liquid.builtin.expressions.primitive import IntegerLiteral, RangeLiteral
from liquid.builtin.tags.case_tag import MultiExpressionBlockNode
from liquid.builtin.tags.for_tag import ForNode
from liquid.exceptions import LiquidError
from liquid.expression import Expression

from core.errors import RuleError
from rules.template_engine import MAX_ITEMS, MAX_TEXT
from rules.template_filters import FILTERS

#: Characters between {{ and }}; the parser's own patterns take quadratic time, so their food is cut small.
MAX_MARKUP = 1_000
MAX_PIECES = 5_000
_MAX_BRACKETS = 40

_OPENER = re.compile(r"\{\{|\{%")
_TAG_NAME = re.compile(r"-?\s*(#|\w*)")
_LONG_SPACE = re.compile(r"\s{101}")
_ENDRAW = re.compile(r"\{%-?\s*endraw\s*-?%\}")
_TAGS = ("assign", "break", "capture", "case", "comment", "continue", "for", "if", "raw", "unless")
_ENDS = {f"end{name}" for name in _TAGS} - {"endassign", "endbreak", "endcontinue"}
_PARTS = {"#", "else", "elsif", "when", *_TAGS, *_ENDS}
_SIGNATURES = {name: inspect.signature(work) for name, work in FILTERS.items()}
#: Steps of a path that read a list or text itself and are no field of the data.
_OWN_STEPS = ("size", "first", "last")


def line_of(text: str, index: int) -> int:
    """Return the number of the line that holds a place of the text."""
    return text.count("\n", 0, max(index, 0)) + 1


def refusal(text: str, index: int, reason: str) -> RuleError:
    """Return the error for a place of the text, with its line."""
    return RuleError("", f"line {line_of(text, index)}: {reason}")


def check_markup(text: str) -> None:
    """Walk once over the openers; refuse what is not closed, too long, or a tag that is not offered."""
    if len(text) > MAX_TEXT:
        raise RuleError("", f"line 1: the text has {len(text):,} characters; {MAX_TEXT:,} is the most")
    at = pieces = comments = 0
    while opener := _OPENER.search(text, at):
        start = opener.start()
        closer = "}}" if opener.group() == "{{" else "%}"
        end = text.find(closer, start + 2, start + 2 + MAX_MARKUP + 2)
        if end < 0:
            reason = f"{opener.group()} is not closed by {closer} within {MAX_MARKUP:,} characters"
            raise refusal(text, start, reason)
        inner = text[start + 2 : end]
        _check_piece(text, start, inner)
        at = end + 2
        pieces += 1
        if pieces > MAX_PIECES:
            raise refusal(text, start, f"there are more than {MAX_PIECES:,} pieces of markup")
        if closer == "%}":
            name = _tag_name(inner)
            comments += (name == "comment") - (name == "endcomment")
            if name not in _PARTS and (comments <= 0 or name == "doc"):
                raise refusal(text, start, f"the tag {name!r} is not offered{_alternatives(name, _TAGS)}")
            if name == "raw":
                at = _after_raw(text, start, at)


def _tag_name(inner: str) -> str:
    found = _TAG_NAME.match(inner)
    return found.group(1) if found else ""


def _after_raw(text: str, start: int, at: int) -> int:
    end = _ENDRAW.search(text, at)
    if end is None:
        raise refusal(text, start, "raw is not closed by endraw")
    return end.end()


def _check_piece(text: str, start: int, inner: str) -> None:
    if _LONG_SPACE.search(inner):
        raise refusal(text, start, "there are more than 100 spaces in a row inside markup")
    if inner.count("(") + inner.count("[") > _MAX_BRACKETS:
        raise refusal(text, start, f"there are more than {_MAX_BRACKETS} brackets inside one piece of markup")


def _alternatives(name: str, offered: Iterable[str]) -> str:
    close = difflib.get_close_matches(name[:30], list(offered), n=3)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def check_tree(text: str, nodes: list[Node]) -> frozenset[str]:
    """Check filters and ranges of the parsed template; return the fields it reads, as dotted paths.

    Places in lists are left out, as in conditions: `order.lines[0].sku` and the `line.sku` of a loop
    over `order.lines` are both `order.lines.sku`.
    """
    survey = _Survey(text)
    survey.nodes(nodes, {})
    return frozenset(survey.fields)


def bad_piece(text: str, parse: Callable[[str], object]) -> int:
    """Return where the first piece of markup stands that does not parse by itself, or the end of the text.

    The parser knows no place for what ends too early, so the pieces are tried one by one.
    """
    at = 0
    while opener := _OPENER.search(text, at):
        closer = "}}" if opener.group() == "{{" else "%}"
        at = text.find(closer, opener.end()) + 2
        piece = text[opener.start() : at]
        name = _tag_name(piece[2:-2]) if closer == "%}" else ""
        if name == "elsif":
            name, piece = "if", piece.replace("elsif", "if", 1)
        if name == "raw":
            at = _after_raw(text, opener.start(), at)
        elif name in _TAGS or not name:
            try:
                parse(piece + (f"{{% end{name} %}}" if f"end{name}" in _ENDS else ""))
            except LiquidError:
                return opener.start()
    return len(text)


class _Survey:
    def __init__(self, text: str) -> None:
        self.text = text
        self.fields: set[str] = set()
        self.assigned: set[str] = set()

    def nodes(self, nodes: Iterable[Node], scope: dict[str, str | None]) -> None:
        """Visit nodes in order; `scope` tells what a loop's name stands for."""
        for node in nodes:
            for expression in node.expressions():
                self.expression(expression, scope)
            if isinstance(node, MultiExpressionBlockNode):
                self.expression(node.expression, scope, condition=True)
            self.assigned.update(node.template_scope())
            inner = scope
            if isinstance(node, ForNode):
                loop: Any = node.expression
                inner = {**scope, "forloop": None, str(loop.identifier): self.name_of(loop.iterable, scope)}
            children: Any = node.children
            self.nodes(children(None), inner)

    def expression(self, expression: Expression, scope: dict[str, str | None], *, condition: bool = False) -> None:
        """Visit one expression and what is in it."""
        if isinstance(expression, FilteredExpression):
            self.filters(expression.filters or [])
        if isinstance(expression, RangeLiteral) and condition:
            self.range(expression)
        if isinstance(expression, Path) and (name := self.name_of(expression, scope)):
            self.fields.add(name)
        for child in expression.children():
            self.expression(child, scope, condition=condition or isinstance(expression, BooleanExpression))

    def filters(self, filters: list[Any]) -> None:
        """Refuse a filter that is not offered, or called with arguments it does not take."""
        for used in filters:
            signature = _SIGNATURES.get(used.name)
            if signature is None:
                reason = f"the filter {used.name!r} is not offered{_alternatives(used.name, FILTERS)}"
                raise refusal(self.text, used.token.start_index, reason)
            named = {arg.name: None for arg in used.args if hasattr(arg, "name")}
            try:
                signature.bind(None, None, *(None for arg in used.args if not hasattr(arg, "name")), **named)
            except TypeError as exc:
                reason = f"the filter {used.name!r} does not take these arguments: {exc}"
                raise refusal(self.text, used.token.start_index, reason) from exc

    def range(self, expression: RangeLiteral) -> None:
        """Refuse a range that a condition would walk through, unless it is seen to be short."""
        ends = (expression.start, expression.stop)
        sizes = [end.value for end in ends if isinstance(end, IntegerLiteral)]
        if len(sizes) != len(ends) or sizes[1] - sizes[0] >= MAX_ITEMS:
            reason = f"a range in a condition needs two whole numbers, at most {MAX_ITEMS:,} apart"
            raise refusal(self.text, expression.token.start_index, reason)

    def name_of(self, expression: Expression, scope: dict[str, str | None]) -> str | None:
        """Return the field that a path reads, or None where it reads a name of the template's own."""
        if not isinstance(expression, Path):
            return None
        head = expression.path[0]
        if not isinstance(head, str):
            return None
        if head in scope:
            root = scope[head]
            if root is None:
                return None
        elif head in self.assigned:
            return None
        else:
            root = head
        steps = [root]
        for segment in expression.path[1:]:
            if isinstance(segment, Path):
                break
            if isinstance(segment, str) and segment not in _OWN_STEPS:
                steps.append(segment)
        return ".".join(steps)
