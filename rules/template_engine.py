"""The Liquid engine as Vitrin runs it: few tags, own limits, no way from data to objects or markup."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from functools import partial
from typing import Any, ClassVar

from liquid import Environment
from liquid.ast import Node
from liquid.builtin import content, illegal, output
from liquid.builtin.expressions import Path, StringLiteral
from liquid.builtin.tags import (
    assign_tag,
    capture_tag,
    case_tag,
    comment_tag,
    for_tag,
    if_tag,
    inline_comment_tag,
    unless_tag,
)
from liquid.context import RenderContext
from liquid.exceptions import BreakLoop, ContinueLoop, LiquidTypeError, ResourceLimitError
from liquid.undefined import UNDEFINED, Undefined, is_undefined
from liquid.utils import ReadOnlyChainMap

from rules.template_channels import CHANNELS, Channel, Ready
from rules.template_filters import FILTERS
from rules.template_formats import to_text

MAX_TEXT = 65_536
MAX_ITEMS = 10_000
#: Characters and list items that `assign` and `capture` may hold at one time, about bytes.
MAX_LOCALS = 2 * 1024 * 1024
#: One step is about half a microsecond: a lookup, an eighth of a loop body's text, sixteen characters of a value.
MAX_STEPS = 400_000
MAX_CPU_S = 0.25

_LOOK_EVERY = 2_000
#: Values shorter than this cost nothing beside the lookup itself.
_LARGE = 256


class Run(RenderContext):
    """One rendering: where names are looked up, and what it has used of its limits."""

    __slots__ = (
        "blanks", "channel", "currency", "deadline", "language", "left", "local_sizes", "local_total", "look_at", "zone"
    )  # fmt: skip

    def __init__(
        self,
        bound: Any,
        fields: Mapping[str, Any],
        *,
        zone: tzinfo,
        language: str,
        currency: str | None,
        blanks: list[str] | None,
    ) -> None:
        self.env = bound.env
        self.template = bound
        self.locals = {}
        self.globals = fields
        self.counters: dict[str, int] = {}
        self.scope = ReadOnlyChainMap(self.locals, fields)
        self.tag_namespace: dict[str, Any] = {"stopindex": {}}
        self.loops: list[Any] = []
        self.disabled_tags: list[str] = []
        self.autoescape = False
        self.parent_context = None
        self.zone = zone
        self.language = language
        self.currency = currency
        self.blanks = blanks
        self.channel: Channel = bound.env.channel
        self.left = MAX_STEPS
        self.look_at = MAX_STEPS - _LOOK_EVERY
        self.deadline = 0.0
        self.local_sizes: dict[str, int] = {}
        self.local_total = 0

    def tick(self, steps: int) -> None:
        """Take `steps` from the budget; raise where it or the processor time is used up."""
        self.left -= steps
        if self.left < self.look_at:
            self.look()

    def look(self) -> None:
        """Compare with the limits now; the clock starts at the first look, so that small texts never read it."""
        now = time.thread_time()
        if not self.deadline:
            self.deadline = now + MAX_CPU_S
        if self.left < 0 or now > self.deadline:
            raise ResourceLimitError("the text takes too much work; shorten its loops or lists", token=None)
        self.look_at = self.left - _LOOK_EVERY

    def get(self, path: list[object], *, token: Any, default: object = UNDEFINED) -> object:
        """Resolve a path through dicts and lists only; what is absent is undefined, never an error."""
        value: Any = None
        try:
            value = self.scope[path[0]]  # type: ignore[index]
            for segment in path[1:]:
                value = _item(value, segment)
        except (KeyError, IndexError, TypeError):
            return Undefined(".".join(map(str, path)), token=token) if default is UNDEFINED else default
        size = len(value) if isinstance(value, (str, list, dict)) else 0
        self.tick(1 if size < _LARGE else size >> 4)
        return value

    def resolve(self, name: str, *, token: Any = None, default: object = UNDEFINED) -> Any:
        """Look up one name."""
        return self.get([name], token=token, default=default)

    def filter(self, name: str, token: Any) -> Callable[..., object]:
        """Return the filter bound to this run, which lends it language, zone and limits."""
        self.tick(8)
        return partial(FILTERS[name], self)

    def assign(self, key: str, val: Any) -> None:
        """Keep a value under a name, within the limit for all of them."""
        if isinstance(val, range):
            val = self.items(val)
        size = 64 * len(val) if isinstance(val, list) else sys.getsizeof(val, 64)
        self.local_total += size - self.local_sizes.get(key, 0)
        self.local_sizes[key] = size
        if self.local_total > MAX_LOCALS:
            raise ResourceLimitError("assign and capture hold too much; keep less", token=None)
        self.locals[key] = val

    def get_buffer(self, buf: Any = None) -> Any:
        """Return where a captured block writes to."""
        return Buffer()

    def text(self, value: object) -> str:
        """Return a value as unescaped text, charged by its length."""
        if isinstance(value, Ready):
            value = self.channel.unready(value)
        elif not isinstance(value, str):
            value = to_text(self, value)
        if len(value) > _LARGE:
            self.tick(len(value) >> 4)
        return value

    def items(self, value: object) -> Sequence[Any]:
        """Return a value as a list of bounded length; what is no list is a list of one, and nothing is empty."""
        if value is None or is_undefined(value):
            return []
        if not isinstance(value, (list, tuple, range)):
            return [value]
        size = len(value)
        if size > MAX_ITEMS:
            raise ResourceLimitError(f"a list has {size:,} items; {MAX_ITEMS:,} is the most", token=None)
        self.tick(size)
        return list(value) if isinstance(value, range) else value

    def room(self, size: int) -> None:
        """Refuse a text before it is built."""
        if size > MAX_TEXT:
            raise ResourceLimitError(f"the text grows over {MAX_TEXT:,} characters", token=None)

    def note_blank(self, expression: Any, value: object) -> None:
        """Remember a field that puts nothing into the text."""
        if self.blanks is None or not isinstance(expression.left, Path):
            return
        if expression.filters and not _is_blank(value):
            if expression.filters[0].name == "default":
                return
            value = expression.left.evaluate(self)
        name = str(expression.left)
        if _is_blank(value) and name not in self.blanks:
            self.blanks.append(name)


class Buffer:
    """Where a text is written to, up to its limit."""

    __slots__ = ("parts", "size")

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.size = 0

    def write(self, text: str) -> int:
        """Append; raise over the limit."""
        size = len(text)
        self.size += size
        if self.size > MAX_TEXT:
            raise ResourceLimitError(f"the text grows over {MAX_TEXT:,} characters", token=None)
        self.parts.append(text)
        return size

    def getvalue(self) -> str:
        """Return all that was written."""
        return "".join(self.parts)

    def tail(self, size: int) -> str:
        """Return the last characters written, to see whether a value lands inside a tag."""
        taken: list[str] = []
        for part in reversed(self.parts):
            taken.append(part)
            size -= len(part)
            if size <= 0:
                break
        return "".join(reversed(taken))


class _OutputNode(output.OutputNode):
    __slots__ = ()

    def render_to_output(self, context: Any, buffer: Any) -> int:
        value = self.expression.evaluate(context)
        if context.blanks is not None:
            context.note_blank(self.expression, value)
        return buffer.write(context.channel.fit(context, value, buffer))


class _OutputTag(output.Output):
    node_class = _OutputNode


class _CaptureNode(capture_tag.CaptureNode):
    __slots__ = ()

    def _assign(self, context: Any, buf: Any) -> None:
        context.assign(self.name, Ready(buf.getvalue()))


class _CaptureTag(capture_tag.CaptureTag):
    node_class = _CaptureNode


class _ForNode(for_tag.ForNode):
    __slots__ = ("weight",)

    def __init__(self, token: Any, expression: Any, block: Any, default: Any = None) -> None:
        super().__init__(token, expression, block, default)
        # The block's own token is the tag that ends it, so this is the length of its source.
        self.weight = 1 + (max(block.token.start_index - token.start_index, 0) >> 3)

    def render_to_output(self, context: Any, buffer: Any) -> int:
        items = self._items(context)
        if not items:
            return self.default.render(context, buffer) if self.default else 0
        loop: dict[str, Any] = {"parentloop": context.loops[-1] if context.loops else None}
        namespace: dict[str, Any] = {"forloop": loop}
        written = 0
        context.loops.append(loop)
        try:
            with context.extend(namespace):
                for index, item in enumerate(items):
                    context.tick(self.weight)
                    namespace[self.expression.identifier] = item
                    loop.update(_loop_state(index, len(items)))
                    try:
                        written += self.block.render(context, buffer)
                    except ContinueLoop:
                        continue
                    except BreakLoop:
                        break
        finally:
            context.loops.pop()
        return written

    def _items(self, context: Any) -> Sequence[Any]:
        """Cut first and count then, so that a long range never becomes a list."""
        loop = self.expression
        value = loop.iterable.evaluate(context)
        if isinstance(value, dict):
            value = list(value.items())
        elif isinstance(value, str):
            value = [value] if value else []
        elif not isinstance(value, (list, tuple, range)):
            return []
        key = f"{loop.identifier}-{loop.iterable}"
        start = self._start(context, key)
        stop = len(value) if loop.limit is None else start + max(_whole(loop.limit.evaluate(context)), 0)
        taken = context.items(value[start:stop])
        if loop.offset is not None or loop.limit is not None:
            context.stopindex(key, start + len(taken))
        return taken[::-1] if loop.reversed else taken

    def _start(self, context: Any, key: str) -> int:
        offset = self.expression.offset
        if offset is None:
            return 0
        if isinstance(offset, StringLiteral) and offset.value == "continue":
            return context.stopindex(key)
        return max(_whole(offset.evaluate(context)), 0)


class _ForTag(for_tag.ForTag):
    node_class = _ForNode


class LiquidEnvironment(Environment):
    """Liquid with the tags and filters offered to shops, for one way of escaping."""

    block_nesting_limit: ClassVar[int] = 30
    context_depth_limit: ClassVar[int] = 40

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        super().__init__()

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        """Register what is offered and nothing else."""
        for tag in (
            content.Literal, illegal.Illegal, _OutputTag, _CaptureTag, _ForTag, assign_tag.AssignTag,
            case_tag.CaseTag, comment_tag.CommentTag, for_tag.BreakTag, for_tag.ContinueTag, if_tag.IfTag,
            inline_comment_tag.InlineCommentTag, unless_tag.UnlessTag,
        ):  # fmt: skip
            self.add_tag(tag)
        self.filters.update(FILTERS)


ENVIRONMENTS = {name: LiquidEnvironment(channel) for name, channel in CHANNELS.items()}


def write(nodes: list[Node], run: Run) -> str:
    """Render the nodes of a whole text; errors carry the node they came from as `liquid_node`."""
    buffer: Any = Buffer()
    for node in nodes:
        try:
            node.render(run, buffer)
        except Exception as exc:
            exc.liquid_node = node  # type: ignore[attr-defined]
            raise
    return buffer.getvalue()


def _item(value: Any, segment: Any) -> Any:
    """Take one step of a path: a name of a dict, a place of a list, or size, first and last."""
    if isinstance(value, dict):
        if segment in value:
            return value[segment]
        if segment == "size":
            return len(value)
        raise KeyError(segment)
    if isinstance(value, (list, tuple, range)):
        if type(segment) is int:
            return value[segment]
        if segment == "size":
            return len(value)
        if segment in ("first", "last"):
            return value[0 if segment == "first" else -1]
    elif isinstance(value, str) and segment == "size":
        return len(value)
    raise KeyError(segment)


def _loop_state(index: int, length: int) -> dict[str, Any]:
    return {
        "index": index + 1,
        "index0": index,
        "rindex": length - index,
        "rindex0": length - index - 1,
        "first": index == 0,
        "last": index == length - 1,
        "length": length,
    }


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise LiquidTypeError("limit and offset of a loop are whole numbers", token=None)
    return int(value)


def _is_blank(value: object) -> bool:
    return value is None or value == "" or is_undefined(value)
