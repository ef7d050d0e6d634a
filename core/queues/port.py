"""What the engine asks of a carrier: tell other processes which runs and jobs are ready.

A hint names ids and nothing else. It may be lost, come twice, late, or to a process that has no use for it: the
database says what is due, and who owns it.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

RUNS, JOBS = "runs", "jobs"

#: Called with the kind of a hint (`RUNS` or `JOBS`) and its ids.
Taker = Callable[[str, list[str]], None]


class Carrier(Protocol):
    """Carries hints to one of the processes that listen; never raises and never waits for a broker."""

    def start(self) -> None:
        """Be ready to tell; nothing is heard before `listen`."""
        ...

    def tell(self, kind: str, klass: str, ids: Sequence[str]) -> None:
        """Hand ids over to be told; where no broker answers they are dropped, and found by the sweep."""
        ...

    def listen(self, take: Taker) -> None:
        """Call `take` with each hint from now on, one at a time, on a thread of the carrier's."""
        ...

    def stop(self) -> None:
        """Tell what was handed over, where the broker answers, and hear nothing more."""
        ...
