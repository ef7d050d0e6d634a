"""Order: what has one key is handled in the order it came, however many threads send, walk and call at once."""

import threading
import time
from collections import defaultdict
from random import Random
from typing import Any

import pytest
from sqlalchemy import func, select
from stage import Script, Stage

from rules.tables import runs

THREADS, KEYS_EACH, EVENTS_EACH = 4, 3, 45
STEPS = {
    "local": "  - {do: stage.say, with: {text: '{{ event.key }}:{{ n }}'}}\n",
    "outside": "  - {do: stage.call, with: {text: '{{ event.key }}:{{ n }}'}}\n",
    "both": (
        "  - {do: stage.call, with: {text: 'first:{{ n }}'}}\n"
        "  - {do: stage.say, with: {text: '{{ event.key }}:{{ n }}'}}\n"
    ),
}


def unfinished(stage: Stage) -> int:
    with stage.read() as conn:
        return conn.execute(select(func.count()).select_from(runs).where(runs.c.finished_at.is_(None))).scalar_one()


def _answer_slowly(_ctx: Any) -> dict[str, Any]:
    threading.Event().wait(0.001)
    return {}


def wait_until_done(stage: Stage) -> None:
    end_s, rest = time.monotonic() + 90, threading.Event()
    while unfinished(stage):
        assert time.monotonic() < end_s, "not all runs end"
        rest.wait(0.02)


@pytest.mark.parametrize("steps", STEPS)
def test_order_of_a_key_holds_under_load(stage: Stage, clean_script: Script, steps: str) -> None:
    stage.rule(
        "rule: in-line\nwhen: {event: stage.happened}\nthen:\n" + STEPS[steps] + "mode: {run: queued, most: 1000}\n"
    )
    clean_script.answers = [_answer_slowly] * 1_000
    stage.engine.start()

    def send(number: int) -> None:
        random = Random(number)
        counts: dict[str, int] = defaultdict(int)
        sent = 0
        while sent < EVENTS_EACH:
            some = []
            for _ in range(random.randint(1, 4)):
                key = f"{number}-{random.randrange(KEYS_EACH)}"
                some.append(stage.event(data={"n": counts[key]}, key=key))
                counts[key] += 1
            stage.engine.take(some)
            sent += len(some)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until_done(stage)
    assert set(stage.outcomes()) == {"acted"}
    seen: dict[str, list[int]] = defaultdict(list)
    for text in stage.said:
        key, _, number = (text["text"] if isinstance(text, dict) else text).partition(":")
        if key != "first":
            seen[key].append(int(number))
    assert sum(map(len, seen.values())) >= THREADS * EVENTS_EACH
    assert all(numbers == list(range(len(numbers))) for numbers in seen.values()), seen
