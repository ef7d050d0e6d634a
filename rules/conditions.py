"""Conditions: compiled once, asked often, and able to explain themselves.

Three values: True, False and None ("not known": something is missing). Groups follow Kleene's logic. An
explanation asks the same compiled tests, so it cannot disagree with the evaluation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from core.errors import RuleError
from rules.fields import MISSING, Values, getter, items_on, split_path, walk
from rules.operators import ASKING, OPERATORS, Compared, Operator, Test
from rules.templates import Template, compile_template, resolve_value
from rules.values import read_number

Verdict = bool | None
Data = Mapping[str, Any]

#: Name in the picture's `facts` under which the slots of those stand that were asked.
ASKED = "?"
OVER = ("any_item", "every_item", "no_item")
#: What the engine puts into the picture: an item of a list cannot stand in for it.
_OURS = ("now", "event", "facts", "steps", "shop", "changes")


@dataclass(frozen=True, slots=True, kw_only=True)
class FactUse:
    """A condition's question to a named fact."""

    name: str
    #: Parameters; templates in them are rendered against the event.
    params: tuple[tuple[str, Any], ...]
    #: Under which key the answer stands in the picture's `facts`.
    slot: str

    def is_asked(self, data: Data) -> bool:
        """Tell whether the fact has been asked, with or without an answer (see `ASKED`)."""
        facts = data.get("facts", {})
        return self.slot in facts or self.slot in facts.get(ASKED, ())


class Condition(Protocol):
    """A compiled condition."""

    def test(self, data: Data) -> Verdict: ...

    def explain(self, data: Data) -> dict[str, Any]:
        """Return the verdict with path, expected and actual, and the same for every part."""
        ...

    @property
    def facts(self) -> tuple[FactUse, ...]: ...

    @property
    def fields(self) -> frozenset[str]: ...

    @property
    def foreign(self) -> bool:
        """Tell whether an operator of a plugin decides a part of it."""
        ...

    @property
    def needs_runner(self) -> bool:
        """Tell whether "not known" at intake may become true in the runner: facts or plugins have a say."""
        ...


@dataclass(frozen=True, slots=True)
class Always:
    """The condition of a rule that has none."""

    facts: tuple[FactUse, ...] = ()
    fields: frozenset[str] = frozenset()
    foreign: bool = False
    needs_runner: bool = False

    def test(self, data: Data) -> Verdict:
        return True

    def explain(self, data: Data) -> dict[str, Any]:
        return {"path": "if", "verdict": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """all, any or none of its parts."""

    kind: str
    path: str
    parts: tuple[Condition, ...]

    @property
    def facts(self) -> tuple[FactUse, ...]:
        return tuple(use for part in self.parts for use in part.facts)

    @property
    def fields(self) -> frozenset[str]:
        return frozenset().union(*(part.fields for part in self.parts))

    @property
    def foreign(self) -> bool:
        return any(part.foreign for part in self.parts)

    @property
    def needs_runner(self) -> bool:
        return any(part.needs_runner for part in self.parts)

    def test(self, data: Data) -> Verdict:
        # `all` looks for a False, `any` and `none` for a True; an unknown decides only where that is not found.
        decisive = self.kind != "all"
        unknown = False
        for part in self.parts:
            verdict = part.test(data)
            if verdict is decisive:
                return self.kind == "any"
            unknown = unknown or verdict is None
        return None if unknown else self.kind != "any"

    def explain(self, data: Data) -> dict[str, Any]:
        parts = [part.explain(data) for part in self.parts]
        return {"path": self.path, "group": self.kind, "verdict": self.test(data), "parts": parts}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a rule: subject, operator, value."""

    path: str
    #: The dotted field, or the fact's name.
    subject: str
    read: Callable[[Data], Any]
    operator: Operator
    wanted: Any
    judge: Callable[[Any, Data], Verdict]
    if_unknown: bool = False
    fact: FactUse | None = None
    over: str | None = None
    index: "Index | None" = None
    #: What must hold on the same item of the list; its fields are those of the item.
    also: Condition | None = None
    #: True when a plugin's operator decides it, or counts its items, or decides a part of `also`.
    foreign: bool = False

    @property
    def facts(self) -> tuple[FactUse, ...]:
        own = () if self.fact is None else (self.fact,)
        return own if self.also is None else (*own, *self.also.facts)

    @property
    def fields(self) -> frozenset[str]:
        return frozenset() if self.fact else frozenset((self.subject,))

    @property
    def needs_runner(self) -> bool:
        return self.foreign or bool(self.facts)

    def test(self, data: Data) -> Verdict:
        if self.fact is not None and not self.fact.is_asked(data):
            return None  # at intake nobody has asked yet: even "known" is not known
        verdict = self.judge(self.read(data), data)
        return True if verdict is None and self.if_unknown and self._is_settled(data) else verdict

    def _is_settled(self, data: Data) -> bool:
        """Tell whether an unknown is the last word: everybody who has a say has been asked."""
        asked = not self.foreign or data.get("facts", {}).get(ASKING, {}) is None
        return asked and all(use.is_asked(data) for use in self.facts)

    def explain(self, data: Data) -> dict[str, Any]:
        actual = self.read(data)
        told: dict[str, Any] = {
            "path": self.path,
            "field": self.subject,
            "is": self.operator.name,
            "expected": self.wanted,
            "actual": None if actual is MISSING else _tell(actual),
            "verdict": self.test(data),
        }
        if actual is MISSING:
            told["missing"] = True
        if self.over:
            told["over"] = self.over
        if self.fact:
            told["fact"] = True
        return told | _gap(actual, self.wanted, told["verdict"])


@dataclass(frozen=True, slots=True)
class Index:
    """What the matcher may file a row under: the field equals one of these folded values."""

    field: tuple[str, ...]
    values: frozenset[str]


def _tell(actual: Any) -> Any:
    if isinstance(actual, Values):
        return [None if item is MISSING else item for item in actual[:20]]
    if isinstance(actual, str) and len(actual) > 500:
        return actual[:500] + "…"
    return actual


def _gap(actual: Any, wanted: Any, verdict: Verdict) -> dict[str, str]:
    """Say how far a number is from its limit, where that says anything."""
    if verdict is not False or isinstance(wanted, (str, list, tuple, bool)) or isinstance(actual, (str, bool)):
        return {}
    have, need = read_number(actual), read_number(wanted)
    if have is None or need is None:
        return {}
    try:
        return {"gap": str(need - have)}
    except ArithmeticError:
        return {}


def find_compared(condition: Condition, data: Data) -> dict[str, Compared]:
    """Return what plugins' operators must be asked before the condition is decided; nothing where it is decided."""
    asking: dict[str, Compared] = {}
    verdict = condition.test({**data, "facts": {**data["facts"], ASKING: asking}})
    return asking if verdict is None else {}


# Compiling


@dataclass(frozen=True, slots=True)
class Scope:
    """What a compiler knows beyond the document: operators of plugins, names of facts."""

    operators: Mapping[str, Operator] = field(default_factory=lambda: OPERATORS)
    #: None accepts every name; otherwise names of facts that exist.
    facts: frozenset[str] | None = None


def compile_condition(document: Any, path: str = "if", scope: Scope | None = None, *, depth: int = 0) -> Condition:
    """Return the compiled condition; raise RuleError naming the first wrong branch."""
    scope = scope or Scope()
    if document is None:
        return Always()
    if depth > 20:
        raise RuleError(path, "is nested deeper than 20 groups")
    if isinstance(document, Sequence) and not isinstance(document, str):
        document = {"all": document}
    if not isinstance(document, Mapping):
        raise RuleError(path, "must be a row {field, is, value} or a group {all|any|none: [...]}")
    groups = [kind for kind in ("all", "any", "none") if kind in document]
    if groups:
        return _compile_group(document, path, scope, depth)
    return _compile_row(document, path, scope, depth)


def _compile_group(document: Mapping[str, Any], path: str, scope: Scope, depth: int) -> Condition:
    if len(document) != 1:
        raise RuleError(path, "a group has one word: all, any or none; put the rest inside it")
    ((kind, parts),) = document.items()
    if not isinstance(parts, Sequence) or isinstance(parts, str):
        raise RuleError(f"{path}.{kind}", "must be a list of conditions")
    if not parts:
        raise RuleError(f"{path}.{kind}", "is empty: add a condition or remove the group")
    compiled = tuple(
        compile_condition(part, f"{path}.{kind}[{number}]", scope, depth=depth + 1) for number, part in enumerate(parts)
    )
    return Group(kind=kind, path=path, parts=compiled)


_ROW_KEYS = {"field", "fact", "with", "is", "value", "over", "also", "if_unknown"}


def _compile_row(document: Mapping[str, Any], path: str, scope: Scope, depth: int) -> Row:
    unknown = set(document) - _ROW_KEYS
    if unknown:
        raise RuleError(path, f"unknown word {sorted(unknown)[0]!r}; a row has {', '.join(sorted(_ROW_KEYS))}")
    if ("field" in document) == ("fact" in document):
        raise RuleError(path, "needs either a field or a fact")
    operator = scope.operators.get(str(document.get("is")))
    if operator is None:
        raise RuleError(
            f"{path}.is", f"no operator {document.get('is')!r}; known: {', '.join(sorted(scope.operators))}"
        )
    wanted = document.get("value")
    test = _prepare(operator, wanted, str(document.get("field") or document.get("fact")), f"{path}.value")
    common: dict[str, Any] = {"path": path, "operator": operator, "wanted": wanted, "foreign": operator.foreign}
    common["if_unknown"] = _flag(document, "if_unknown", path)
    if "fact" in document:
        return _fact_row(document, path, scope, test, common)
    parts = split_path(document["field"], f"{path}.field")
    also: Condition | None = None
    over, counted = _over(document, path, scope)
    judge: Callable[[Any, Data], Verdict]
    if "also" in document:
        also = compile_condition(document["also"], f"{path}.also", scope, depth=depth + 1)
        judge = _same_item(parts, test, also, over, operator)
    elif operator.whole and over is None:
        judge = test
    else:
        judge = _each_item(test, over)
    label = over if isinstance(over, str) else ("count" if over else None)
    index = _index(operator, parts, wanted) if over is None and "also" not in document else None
    if common["if_unknown"]:
        index = None
    common["foreign"] |= counted or (also is not None and also.foreign)
    return Row(subject=document["field"], read=getter(parts), judge=judge, over=label, index=index, also=also, **common)


def _flag(document: Mapping[str, Any], name: str, path: str) -> bool:
    value = document.get(name, False)
    if not isinstance(value, bool):
        raise RuleError(f"{path}.{name}", "must be true or false")
    return value


def _fact_row(document: Mapping[str, Any], path: str, scope: Scope, test: Test, common: dict[str, Any]) -> Row:
    name = document["fact"]
    if not isinstance(name, str) or (scope.facts is not None and name not in scope.facts):
        raise RuleError(f"{path}.fact", f"no fact {name!r}: is the plugin that brings it switched on?")
    for word in ("over", "also"):
        if word in document:
            raise RuleError(f"{path}.{word}", "looks at the items of a field; a fact has none, ask it with include_any")
    given = document.get("with") or {}
    if not isinstance(given, Mapping):
        raise RuleError(f"{path}.with", "must be an object of parameters")
    params = tuple(sorted((str(key), _template(value, f"{path}.with.{key}")) for key, value in given.items()))
    slot = f"{name}?{orjson.dumps(dict(given), option=orjson.OPT_SORT_KEYS, default=str).decode()}"
    use = FactUse(name=name, params=params, slot=slot)

    def read(data: Data) -> Any:
        return data.get("facts", {}).get(slot, MISSING)

    return Row(subject=name, read=read, judge=test, fact=use, **common)


def _template(value: Any, path: str) -> Any:
    return compile_template(value, path=path) if isinstance(value, str) and "{" in value else value


def _prepare(operator: Operator, wanted: Any, subject: str, where: str) -> Test:
    """Return the operator's test; a value that is read at run time ({field: ...} or a template) is prepared then."""
    if operator.wants == "none":
        return operator.prepare(None, subject, where)
    if wanted is None:
        raise RuleError(where, f"is missing: the operator {operator.name} needs a {operator.wants}")
    if isinstance(wanted, Mapping) and set(wanted) == {"field"}:
        read = getter(split_path(wanted["field"], f"{where}.field"))
        return _late(operator, subject, where, read)
    if isinstance(wanted, str) and "{{" in wanted:
        template: Template = compile_template(wanted, path=where)
        return _late(operator, subject, where, lambda data: resolve_value(template, data, zone=data["now"].tzinfo))
    if isinstance(wanted, (list, tuple)) and any(isinstance(item, str) and "{{" in item for item in wanted):
        raise RuleError(where, "templates inside a list are not supported; compare with one field or one template")
    return operator.prepare(wanted, subject, where)


def is_fixed(wanted: Any) -> bool:
    """Tell whether a row's value stands in the rule, and is not read at run time."""
    if isinstance(wanted, Mapping):
        return set(wanted) != {"field"}
    return not (isinstance(wanted, str) and "{{" in wanted)


def _late(operator: Operator, subject: str, where: str, read: Callable[[Data], Any]) -> Test:
    def test(value: Any, data: Data) -> Verdict:
        try:
            wanted = read(data)
            if wanted is MISSING or wanted is None or wanted == "":
                return None
            return operator.prepare(wanted, subject, where)(value, data)
        except RuleError:
            # What came is nothing this operator can compare with: the row cannot be checked.
            return None

    return test


def _over(document: Mapping[str, Any], path: str, scope: Scope) -> tuple[str | Test | None, bool]:
    """Return how the items of a list are counted, and whether a plugin's operator does it."""
    over = document.get("over")
    if over is None or over in OVER:
        return over, False
    if not isinstance(over, Mapping) or set(over) != {"count"} or not isinstance(over["count"], Mapping):
        raise RuleError(f"{path}.over", "must be any_item, every_item, no_item or {count: {is: at_least, value: 2}}")
    count = over["count"]
    operator = scope.operators.get(str(count.get("is")))
    if operator is None or "number" not in operator.types:
        raise RuleError(f"{path}.over.count.is", "must be an operator for numbers, such as at_least")
    return operator.prepare(count.get("value"), "", f"{path}.over.count.value"), operator.foreign


def _each_item(test: Test, over: str | Test | None) -> Callable[[Any, Data], Verdict]:
    def judge(value: Any, data: Data) -> Verdict:
        if isinstance(value, Values):
            return _over_items([test(item, data) for item in value], over, data)
        if over is not None and isinstance(value, (list, tuple)):
            return _over_items([test(item, data) for item in value], over, data)
        if over is not None and (value is MISSING or value is None):
            return None
        if over is not None:
            return _over_items([test(value, data)], over, data)
        return test(value, data)

    return judge


def _over_items(verdicts: list[Verdict], over: str | Test | None, data: Data) -> Verdict:
    """Quantify: any (the default), every, none, or a count; an unknown item decides only where it matters."""
    if callable(over):
        sure, open_ = verdicts.count(True), verdicts.count(None)
        low, high = over(sure, data), over(sure + open_, data)
        return low if low == high and all(over(n, data) == low for n in range(sure, sure + open_)) else None
    if over == "every_item":
        return False if False in verdicts else None if None in verdicts else True
    found = True if True in verdicts else None if None in verdicts else False
    return found if over != "no_item" or found is None else not found


def _same_item(
    parts: tuple[str, ...], test: Test, also: Condition, over: str | Test | None, operator: Operator
) -> Callable[[Any, Data], Verdict]:
    """Judge row and `also` on one and the same item of the list that the field crosses."""

    def judge(_value: Any, data: Data) -> Verdict:
        crossed = items_on(data, parts)
        if crossed is None:
            return None
        items, rest = crossed
        verdicts = []
        ours = {name: data[name] for name in _OURS if name in data}
        for item in items:
            picture = {**data, **item, **ours} if isinstance(item, Mapping) else dict(data)
            here = (
                _each_item(test, None)(walk(item, rest), data) if not operator.whole else test(walk(item, rest), data)
            )
            there = also.test(picture)
            verdicts.append(False if here is False or there is False else None if None in (here, there) else True)
        return _over_items(verdicts, over, data)

    return judge


def _index(operator: Operator, parts: tuple[str, ...], wanted: Any) -> Index | None:
    """Return how the matcher may file this row, if its operator is an equality with constant texts."""
    from_one = [wanted] if operator.name == "equal" else wanted if operator.name == "any_of" else None
    if not isinstance(from_one, (list, tuple)) or not all(isinstance(v, str) and "{{" not in v for v in from_one):
        return None
    return Index(parts, frozenset(from_one))
