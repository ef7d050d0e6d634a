"""Checks: what is left to ask of a candidate, as closures over operands that are read once an event."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from rules.conditions import Always, Condition, Group, Row
from rules.matching.asking import ASKING, Check, Data, Slots
from rules.matching.asks import Ask, find_ask
from rules.matching.operands import Operand, Read, reader

#: Place of the verdicts that several rules ask for.
_VERDICTS = 0


def conjuncts(condition: Condition) -> Iterator[Condition]:
    """Yield what must hold, all of it: the parts of nested `all`."""
    if isinstance(condition, Group) and condition.kind != "none" and (condition.kind == "all" or _is_single(condition)):
        for part in condition.parts:
            yield from conjuncts(part)
    elif not isinstance(condition, Always):
        yield condition


def _is_single(group: Group) -> bool:
    return len(group.parts) == 1


def concerns(condition: Condition, data: Data) -> bool:
    """Tell plainly whether a rule is to run: its condition holds, or may hold once the runner has asked the rest.

    What needs no runner must hold already: nothing that is asked later makes it true.
    """
    return all(_allows(part, part.test(data)) for part in conjuncts(condition))


def _allows(part: Condition, verdict: bool | None) -> bool:
    return verdict is not False if part.needs_runner else verdict is True


class Step(NamedTuple):
    """One thing left to check: the check, and what it wants."""

    check: Check
    wanted: Any = None


class Checks:
    """The checks of one event type: equal ones are made once, and read the same operands."""

    def __init__(self) -> None:
        #: What a new event starts with.
        self.blank: Slots = [None]
        self._places: dict[Operand, tuple[int, Read]] = {}
        self._by_test: dict[tuple[Operand, str], Check] = {}
        #: Rows that are asked plainly, and the choices of the others: kept as long as a rule has them.
        self._shared: WeakValueDictionary[Any, Any] = WeakValueDictionary()

    def place(self, operand: Operand) -> tuple[int, Read]:
        """Return where an operand stands among the slots, and how it is read."""
        found = self._places.get(operand)
        if found is None:
            found = self._places[operand] = len(self.blank), reader(operand)
            self.blank.append(None)
        return found

    def of_all(self, parts: Iterable[Condition]) -> list[Step]:
        """Return what is left to check: nothing, one step, or the cheapest step and that of all the others."""
        steps = [step for _, step in sorted(map(self._of, parts), key=itemgetter(0))]
        return steps if len(steps) < 3 else [steps[0], Step(_every(steps[1:]))]

    def _of(self, part: Condition) -> tuple[int, Step]:
        """Return how much a part costs to check, and how it is done."""
        if part.needs_runner:
            return 5, Step(_open(part.test))
        if isinstance(part, Row):
            return self._of_row(part)
        if isinstance(part, Group) and part.kind != "none":
            inner = [self._of(each)[1] for each in part.parts]
            return 3, Step(_some(inner) if part.kind == "any" else _every(inner))
        return 4, Step(_plainly(part.test))

    def _of_row(self, row: Row) -> tuple[int, Step]:
        ask = find_ask(row)
        if ask is not None:
            return _cost(ask), Step(self._asking(ask), self._same(ask.wanted))
        key = _description(row)
        if key is None:
            return 4, Step(_plainly(row.test))
        check = self._shared.get(key)
        if check is None:
            check = self._shared[key] = _once(row.test)
        return 4, Step(check)

    def _asking(self, ask: Ask) -> Check:
        key = ask.operand, ask.test
        check = self._by_test.get(key)
        if check is None:
            check = self._by_test[key] = ASKING[ask.test](*self.place(ask.operand))
        return check

    def _same(self, wanted: Any) -> Any:
        """Return one set for all rules that choose the same: what many share stays in the processor's cache."""
        return self._shared.setdefault(wanted, wanted) if isinstance(wanted, frozenset) else wanted


def _description(row: Row) -> tuple[Any, ...] | None:
    """Return what makes two rows without an ask the same; None where that is hard to tell."""
    if row.also is not None or row.over == "count":
        return None
    return row.subject, row.operator, repr(row.wanted), row.over, row.if_unknown


def _cost(ask: Ask) -> int:
    """Return how dear the operand is, roughly: one text, a sum, many values."""
    if len(ask.operand.parts) > 2 or ask.operand.reach != "item":
        return 2
    return 1 if ask.operand.kind == "number" else 0


def _plainly(test: Callable[[Data], bool | None]) -> Check:
    return lambda data, _slots, _wanted: test(data) is True


def _open(test: Callable[[Data], bool | None]) -> Check:
    """What the runner has a say in may still become true unless it is false already."""
    return lambda data, _slots, _wanted: test(data) is not False


def _once(test: Callable[[Data], bool | None]) -> Check:
    """Ask once an event, however many rules ask the same."""
    key = object()

    def check(data: Data, slots: Slots, _wanted: Any) -> bool:
        verdicts = slots[_VERDICTS]
        if verdicts is None:
            verdicts = slots[_VERDICTS] = {}
        verdict = verdicts.get(key)
        if verdict is None:
            verdict = verdicts[key] = test(data) is True
        return verdict

    return check


def _every(steps: Sequence[Step]) -> Check:
    if len(steps) == 2:
        (one, first), (two, second) = steps
        return lambda data, slots, _wanted: one(data, slots, first) and two(data, slots, second)
    return lambda data, slots, _wanted: all(check(data, slots, wanted) for check, wanted in steps)


def _some(steps: Sequence[Step]) -> Check:
    if len(steps) == 2:
        (one, first), (two, second) = steps
        return lambda data, slots, _wanted: one(data, slots, first) or two(data, slots, second)
    return lambda data, slots, _wanted: any(check(data, slots, wanted) for check, wanted in steps)
