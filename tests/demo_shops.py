"""Demo shops for tests: the real story and stand-ins, with a past that is short or whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from databases import place_database
from engines import make_tables

from commands.demo_story import Player, connect_chat, load_kit
from core.clock import VirtualClock
from core.http import HttpClient
from core.settings import load_settings
from plugins import BUILTINS
from rules.engine import Engine, Parts

NOW = datetime(2026, 4, 1, 9, tzinfo=UTC)


def kit_of(days: int) -> Any:
    """Return the demo's kit with a past of so many days."""
    kit = load_kit(BUILTINS)
    begin = lambda now: now - timedelta(days=days)  # noqa: E731 - stands for a function of the module
    return SimpleNamespace(Story=kit.Story, ChatProvider=kit.ChatProvider, begin_of=begin)


@contextmanager
def demo_shop(home: Path, *, seed: int = 7, days: int = 6, now: datetime = NOW) -> Iterator[SimpleNamespace]:
    """Yield an open demo shop whose past has not been played yet: engine, player, clock and chat."""
    kit, clock = kit_of(days), VirtualClock(now)
    place_database(home, make_tables)
    with kit.ChatProvider(seed, now_s=lambda: clock.now().timestamp()) as chat:
        flags = {"home": home, "synchronous": "off", "demo": True, "plugins_on": "demo", "allow_hosts": chat.address}
        shop = {"zone": "Europe/Istanbul", "currency": "TRY", "region": "TR"}
        engine = Engine(load_settings(flags | shop, {}), BUILTINS, Parts(clock=clock, http=HttpClient()))
        try:
            engine.open()
            connect_chat(engine, chat.url, chat.token)
            player = Player(engine, kit, seed=seed, now=now)
            yield SimpleNamespace(engine=engine, player=player, clock=clock, chat=chat, now=now)
        finally:
            engine.close()


def play_past(shop: SimpleNamespace) -> int:
    """Play the past of a demo shop; return the number of steps."""
    return shop.player.play_past(shop.clock, shop.now, lambda _done, _total: None)
