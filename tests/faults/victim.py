"""Lives that end by SIGKILL: forks engine processes on one database and kills them, at random and at named places.

Run as a script: reads a plan (JSON) from its argument and prints what was acknowledged (JSON).
"""

import json
import os
import random
import select
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.crash import arm
from core.events import Event
from core.host import Builtin
from core.ids import new_id
from core.settings import load_settings
from plugins import BUILTINS
from rules.engine import Engine

PROVIDER = Builtin(name="provider", module="faults.provider", summary="counts what is sent", on=True)

RULES = """
rule: task-each
when: {event: order.paid}
then:
  - do: tasks.create
    with: {title: "pack {{ order.id }}"}
---
rule: send-each
when: {event: order.paid}
then:
  - do: provider.send_keyed
    with: {url: "URL", number: "{{ order.number }}"}
  - do: provider.send_plain
    with: {url: "URL", number: "{{ order.number }}"}
  - do: customers.add_tag
    with: {tag: "buyer"}
---
rule: wait-each
when: {event: order.paid}
then:
  - wait: {event: order.packed, timeout: 1 hour}
  - do: tasks.create
    with: {title: "hand over {{ order.id }}"}
"""


def open_engine(plan: dict[str, Any]) -> Engine:
    flags = {"home": plan["home"], "zone": "UTC", "allow_hosts": plan["allow"], "log_level": "error"}
    engine = Engine(load_settings({**flags, **plan.get("flags", {})}, {}), {**BUILTINS, "provider": PROVIDER})
    engine.open()
    return engine


def live(plan: dict[str, Any], start: int, count: int, told: int) -> None:
    """One life: take events in from `start` on, tell each that is acknowledged, and work until killed or done."""
    engine = open_engine(plan)
    engine.start()
    for number in range(start, start + count):
        taken = engine.take([event(number, "order.paid"), event(number, "order.packed")])
        assert len(taken) == 2
        os.write(told, f"{number}\n".encode())
    while engine.runner.next_due() is not None:
        time.sleep(0.01)
    engine.close()
    os.write(told, b"done\n")


def event(number: int, type: str) -> Event:
    now = datetime.now(UTC)
    return Event(
        id=new_id(),
        source="shop",
        external_id=f"{type}/{number}",
        type=type,
        time=now,
        received_at=now,
        key=f"A{number}",
        customer=f"c{number % 7}",
        data={"order": {"id": f"A{number}", "number": number}, "customer": {"id": f"c{number % 7}"}},
    )


class Lives:
    """Starts one life after another; what was acknowledged counts on, what was not is delivered again."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.acknowledged = 0
        self.kills = 0

    def one(self, *, after_s: float | None = None, at: str = "", events: int = 25) -> bool:
        """Live until killed (after a time, or at a named place); return True where the life ended by itself."""
        reading, telling = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            arm(at)
            live(self.plan, self.acknowledged, events, telling)
            os._exit(0)
        os.close(telling)
        ended = self._listen(reading, child, after_s)
        _, status = os.waitpid(child, 0)
        os.close(reading)
        if os.WIFSIGNALED(status):
            self.kills += 1
        elif status != 0:
            raise SystemExit(f"a life ended with status {status}")
        return ended

    def _listen(self, reading: int, child: int, after_s: float | None) -> bool:
        """Read what the child tells until it is done, or its time is up."""
        until = None if after_s is None else time.monotonic() + after_s
        text = b""
        while True:
            left = 60.0 if until is None else max(until - time.monotonic(), 0.0)
            ready, _, _ = select.select([reading], [], [], left)
            chunk = os.read(reading, 65536) if ready else b""
            text += chunk
            if not ready:
                os.kill(child, signal.SIGKILL)
                until = None
            elif not chunk:
                return self._count(text)

    def _count(self, text: bytes) -> bool:
        lines = text.decode().split("\n")[:-1]
        numbers = [int(line) for line in lines if line != "done"]
        self.acknowledged = max([self.acknowledged, *(number + 1 for number in numbers)])
        return "done" in lines


def main(plan: dict[str, Any]) -> None:
    chance = random.Random(plan["seed"])
    engine = open_engine(plan)
    for text in RULES.replace("URL", plan["url"]).split("---"):
        engine.publish(text, actor="test", state="on")
    engine.close()
    lives = Lives(plan)
    for place in plan["places"]:
        lives.one(at=f"{place}:{chance.randint(1, 4)}", after_s=5.0)
    while lives.kills < plan["kills"]:
        lives.one(after_s=chance.uniform(0.05, 0.7))
    if not lives.one(events=0):
        raise SystemExit("the last life did not come to its end")
    sys.stdout.write(json.dumps({"acknowledged": lives.acknowledged, "kills": lives.kills}) + "\n")


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
