"""A folder of recorded orders, played as the events that a shop would have sent, in time order."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from commands.recorded_files import read_recording
from commands.recorded_order import FIRST_REVIEW, Person, RecordedOrder, describe_review
from core.errors import InvalidInput

SOURCE = "recording"
SAO_PAULO = ZoneInfo("America/Sao_Paulo")


class Recording:
    """Reads all files at once and keeps them small; the data of an event is made only when it is asked for.

    The files' times are local to `zone`; `products` names another folder for the products file.
    """

    def __init__(self, folder: Path, products: Path | None = None, zone: ZoneInfo = SAO_PAULO) -> None:
        people, orders = read_recording(folder, products, zone)
        # Sorted by id, so that an order's place in the list settles ties in time.
        self._orders = [orders[order_id] for order_id in sorted(orders)]
        self._people = _first_addresses(self._orders, people)
        self._timeline = sorted(
            (moment, place, step) for place, order in enumerate(self._orders) for moment, step in order.steps()
        )

    @property
    def count(self) -> int:
        """How many events there are."""
        return len(self._timeline)

    def customers(self) -> Iterator[dict[str, str]]:
        """Yield every person once, with the address of the first order."""
        for person in self._people:
            yield person.describe()

    def events(self, start: int = 0) -> Iterator[dict[str, Any]]:
        """Yield the events in time order, without the first `start`; the order is the same every time."""
        if start < 0:
            raise InvalidInput("start", f"expected 0 or more events to skip, found {start}")
        for place in range(start, len(self._timeline)):
            moment, order, step = self._timeline[place]
            yield _event(self._orders[order], moment, step)


def _event(order: RecordedOrder, moment: int, step: int) -> dict[str, Any]:
    data = {"order": order.describe(moment, step), "customer": order.person.describe()}
    if step < FIRST_REVIEW:
        type_ = f"order.{order.step_name(step)}"
        event_id = f"{order.id}/{type_}"
    else:
        review = order.reviews[step - FIRST_REVIEW]
        data["review"] = describe_review(review)
        type_ = "review.created"
        event_id = f"{order.id}/{review.id}/{type_}"
    return {
        "type": type_,
        "source": SOURCE,
        "id": event_id,
        "time": datetime.fromtimestamp(moment, UTC),
        "key": order.id,
        "customer": order.person.id,
        "data": data,
    }


def _first_addresses(orders: list[RecordedOrder], people: dict[str, Person]) -> list[Person]:
    first: dict[str, Person] = {}
    for order in sorted(orders, key=lambda order: order.steps()[0]):
        first.setdefault(order.person.id, order.person)
    for person in people.values():
        first.setdefault(person.id, person)
    return [first[person_id] for person_id in sorted(first)]
