"""What a programmer would write by hand for this one workload: the limit that the matcher is measured against.

Neither folds case, reads what is missing or explains anything; both find the same rules in these orders.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from ahocorasick_rs import AhoCorasick

Document = Mapping[str, Any]
Finder = Callable[[Document], list[str]]
_LEAST, _MOST = Decimal("-Infinity"), Decimal("Infinity")
_LARGE = Decimal(6_000)


def one_lambda_a_rule(documents: Iterable[Document]) -> Finder:
    """Return a loop over one lambda for each rule."""
    tests = [(_lambda(document["if"]["all"]), document["rule"]) for document in documents]
    return lambda data: [name for test, name in tests if test(data)]


def _lambda(rows: list[Any]) -> Callable[[Document], bool]:
    first, second = rows
    if "any" in first:
        city, sku = (row["value"] for row in first["any"])
        low, high = map(_amount, second["value"])
        return lambda data: (
            (data["customer"]["city"] == city or any(item["product"]["sku"] == sku for item in data["order"]["items"]))
            and low <= Decimal(data["order"]["total"]["amount"]) <= high
        )
    return _LAMBDAS[first["field"]](first, second)


def _city_lambda(first: Document, second: Document) -> Callable[[Document], bool]:
    cities, limit = frozenset(first["value"]), _amount(second["value"])
    if second["is"] == "at_least":
        return lambda data: data["customer"]["city"] in cities and Decimal(data["order"]["total"]["amount"]) >= limit
    return lambda data: data["customer"]["city"] in cities and Decimal(data["order"]["total"]["amount"]) < limit


def _product_lambda(first: Document, second: Document) -> Callable[[Document], bool]:
    statuses, sku = frozenset(first["value"]), second["value"]
    return lambda data: (
        data["order"]["status"] in statuses and any(item["product"]["sku"] == sku for item in data["order"]["items"])
    )


def _customer_lambda(first: Document, second: Document) -> Callable[[Document], bool]:
    customer, channels = first["value"], frozenset(second["value"])
    return lambda data: data["customer"]["id"] == customer and data["order"]["channel"] in channels


def _tag_lambda(first: Document, second: Document) -> Callable[[Document], bool]:
    (tag,), status = first["value"], second["any"][0]["value"]
    return lambda data: (
        tag in data["order"]["tags"]
        and (data["order"]["status"] == status or Decimal(data["order"]["total"]["amount"]) > _LARGE)
    )


def _note_lambda(first: Document, second: Document) -> Callable[[Document], bool]:
    word, channel = first["value"], second["value"]
    return lambda data: word in data["order"]["note"] and data["order"]["channel"] != channel


_LAMBDAS = {
    "customer.city": _city_lambda,
    "order.status": _product_lambda,
    "customer.id": _customer_lambda,
    "order.tags": _tag_lambda,
    "order.note": _note_lambda,
}


def _amount(value: Document) -> Decimal:
    return Decimal(value["amount"])


def one_loop_for_all(documents: Iterable[Document]) -> Finder:
    """Return a loop that looks up exactly what these rules ask for, and nothing else."""
    tables = _Tables()
    for document in documents:
        tables.put(document["rule"], *document["if"]["all"])
    return tables.finder()


class _Tables:
    """The rules of the workload, by what they ask first."""

    def __init__(self) -> None:
        #: value -> (lowest total, total from which on it is too much, name)
        self.by_city: dict[str, list[tuple[Decimal, Decimal, str]]] = defaultdict(list)
        self.by_either: dict[str, list[tuple[Decimal, Decimal, str]]] = defaultdict(list)
        #: value -> (statuses or channels, name)
        self.by_product: dict[str, list[tuple[frozenset[str], str]]] = defaultdict(list)
        self.by_customer: dict[str, list[tuple[frozenset[str], str]]] = defaultdict(list)
        #: value -> (status or channel, name)
        self.by_tag: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self.by_word: dict[str, list[tuple[str, str]]] = defaultdict(list)

    def put(self, name: str, first: Document, second: Document) -> None:
        if "any" in first:
            low, high = map(_amount, second["value"])
            for row in first["any"]:
                self.by_either[row["value"]].append((low, high.next_plus(), name))
        elif first["field"] == "customer.city":
            limit = _amount(second["value"])
            span = (limit, _MOST) if second["is"] == "at_least" else (_LEAST, limit)
            for city in set(first["value"]):
                self.by_city[city].append((*span, name))
        elif first["field"] == "order.status":
            self.by_product[second["value"]].append((frozenset(first["value"]), name))
        elif first["field"] == "customer.id":
            self.by_customer[first["value"]].append((frozenset(second["value"]), name))
        elif first["field"] == "order.tags":
            self.by_tag[first["value"][0]].append((second["any"][0]["value"], name))
        else:
            self.by_word[first["value"]].append((second["value"], name))

    def finder(self) -> Finder:
        city_get, either_get, product_get = self.by_city.get, self.by_either.get, self.by_product.get
        customer_get, tag_get, by_word = self.by_customer.get, self.by_tag.get, self.by_word
        words = list(by_word)
        find_words = AhoCorasick(words).find_matches_as_indexes

        def find(data: Document) -> list[str]:
            order, customer = data["order"], data["customer"]
            total, status, channel = Decimal(order["total"]["amount"]), order["status"], order["channel"]
            found = [name for low, high, name in city_get(customer["city"], ()) if low <= total < high]
            found += [name for low, high, name in either_get(customer["city"], ()) if low <= total < high]
            skus = {item["product"]["sku"] for item in order["items"]}
            for sku in skus:
                found += [name for statuses, name in product_get(sku, ()) if status in statuses]
                found += [name for low, high, name in either_get(sku, ()) if low <= total < high and name not in found]
            found += [name for channels, name in customer_get(customer["id"], ()) if channel in channels]
            for tag in set(order["tags"]):
                found += [name for wanted, name in tag_get(tag, ()) if status == wanted or total > _LARGE]
            for number, _, _ in find_words(order["note"]):
                found += [name for wanted, name in by_word[words[number]] if channel != wanted]
            return found

        return find
