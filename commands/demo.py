"""`demo`: a made-up phone shop that lives: its past in a few seconds, then orders as they come, told in words."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

import click

from commands.call import PROGRAM, Call, pass_call
from commands.demo_home import open_home, show_home
from commands.demo_story import Player, connect_chat, load_kit
from commands.demo_words import Teller
from commands.noun import Verb
from commands.opening import quiet_logs
from commands.output import plain_line, progress_bar
from commands.way_in import make_way_in
from core.clock import SystemClock, VirtualClock
from core.effects import count_by_kind
from core.errors import Conflict
from core.http import HttpClient
from core.people import People
from core.settings import Settings
from core.shop.orders import find_orders
from core.tokens import SCOPES, Tokens
from rules.engine import Engine, Parts
from rules.figures import read_figures
from rules.runs import count_outcomes
from web.app import create_app
from web.server import Server, make_server

#: Seconds between two steps of the story at speed 1, and how long the rules' answer to one is waited for.
_PACE_S, _ANSWER_S = 3.0, 2.0
_HEADLESS_S = 5.0
_TOKEN = "demo"  # noqa: S105 - its name


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """How the demo was asked for."""

    seed: int | None
    speed: float
    #: None: until somebody stops it.
    seconds: float | None
    headless: bool


@click.command(
    cls=Verb,
    examples=("demo", "demo --speed 5", "demo --fresh --seed 11", "demo --headless --seconds 5 --json"),
)
@click.option("--speed", type=click.FloatRange(0.1, 100), default=1.0, show_default=True, help="How fast orders come.")
@click.option("--seed", type=click.IntRange(0, 2**31), help="Another shop: the same seed makes the same orders.")
@click.option("--fresh", is_flag=True, help="Forget the demo shop that is there, and begin anew.")
@click.option("--headless", is_flag=True, help="Tell nothing but the counts at the end.")
@click.option("--seconds", type=click.FloatRange(0, 86_400), help="Stop by itself after so many seconds.")
@pass_call
def demo(call: Call, *, fresh: bool, **given: Any) -> None:
    """Make a demo shop, play orders, and tell what happens; Ctrl-C ends it, the next start goes on from there.

    The shop lies in .vitrin-demo unless --home names another folder. Nothing in it leaves this machine.
    """
    started = time.monotonic()
    choices = Choices(**given)
    if choices.headless and choices.seconds is None:
        choices = replace(choices, seconds=_HEADLESS_S)
    with open_home(call, fresh=fresh) as settings:
        quiet_logs(call, "error")
        kit = load_kit(call.builtins)
        steps = _play_past(call, settings, kit, choices.seed)
        past_s = time.monotonic() - started
        with _open(call, settings, kit, Parts(), seed=choices.seed) as (engine, player):
            show = _Show(call, engine, player, choices)
            show.run(f"{steps} steps of its past played in {past_s:.1f} s" if steps else "it goes on where it stopped")
            report = show.report(round(time.monotonic() - started, 2))
    call.show(report, None if choices.headless else lambda: _summary(report))


@contextmanager
def _open(
    call: Call, settings: Settings, kit: Any, parts: Parts, *, seed: int | None
) -> Iterator[tuple[Engine, Player]]:
    """Yield an open engine of the demo shop and the player of its story, with the stand-ins running beside it."""
    clock = parts.clock or SystemClock()
    with kit.ChatProvider(seed or 0, now_s=lambda: clock.now().timestamp()) as chat:
        allowed = (*settings.allow_hosts, chat.address)
        engine = Engine(replace(settings, allow_hosts=allowed), call.builtins, parts)
        try:
            engine.open()
            connect_chat(engine, chat.url, chat.token)
            yield engine, Player(engine, kit, seed=seed, now=clock.now())
        finally:
            engine.close()


def _play_past(call: Call, settings: Settings, kit: Any, seed: int | None) -> int:
    """Bring the shop up to now under a virtual clock; return how many steps that took."""
    now = SystemClock().now()
    clock = VirtualClock(now)
    # A power cut here costs a few seconds of a made-up past.
    quick = replace(settings, synchronous="off")
    parts = Parts(clock=clock, http=HttpClient())
    with (
        progress_bar("playing the last 30 days") as moved,
        _open(call, quick, kit, parts, seed=seed) as (_, player),
    ):
        return player.play_past(clock, now, moved)


class _Show:
    """The live part: web, worker, clock and the story, until somebody or the time ends it."""

    def __init__(self, call: Call, engine: Engine, player: Player, choices: Choices) -> None:
        self._call = call
        self._engine = engine
        self._player = player
        self._choices = choices
        self._stop = threading.Event()
        self._tokens = Tokens(engine.db, engine.writer, engine.clock)
        people = People(engine.db, engine.writer, engine.clock, on_change=self._tokens.forget)
        try:
            self._server: Server = make_server(engine, create_app(engine, tokens=self._tokens), people)
        except OSError as exc:
            where = f"{engine.settings.host}:{engine.settings.port}"
            raise Conflict(f"somebody else has begun to listen on {where}: start the demo again") from exc

    @property
    def address(self) -> str:
        host, port = self._server.address
        return f"http://{host}:{port}"

    def run(self, past: str) -> None:
        with _stopped_by_signals(self._stop):
            web = threading.Thread(target=self._serve, name="vitrin-web", daemon=True)
            self._engine.start()
            web.start()
            try:
                if not self._choices.headless:
                    self._say(_welcome(self._engine, self.address, self._make_token(), past))
                self._play()
            finally:
                self._stop.set()
                self._server.stop()
                web.join(self._engine.settings.stop_s)

    def _serve(self) -> None:
        try:
            self._server.run()
        except (OSError, ValueError):
            # The server's socket was closed just as it was about to wait for callers: that ends it too.
            if not self._stop.is_set():
                raise

    def report(self, seconds: float) -> dict[str, Any]:
        with self._engine.db.read() as conn:
            return {
                "events": read_figures(conn, self._engine.clock.now()).events,
                "runs": count_outcomes(conn),
                "effects": count_by_kind(conn),
                "address": self.address,
                "seconds": seconds,
            }

    def _play(self) -> None:
        teller = Teller(self._engine)
        seconds = self._choices.seconds
        ends = None if seconds is None else time.monotonic() + seconds
        while not self._is_over(ends):
            happened = self._player.play_next()
            if happened is None:
                self._say(["", f"The story is over. '{PROGRAM} demo --fresh' begins another; the API goes on."])
                self._stop.wait(_left(ends))
                return
            if not self._choices.headless:
                self._await(lambda happened=happened: teller.is_settled(happened))
                self._say([*teller.tell(happened), *teller.tell_late()])
            self._stop.wait(min(_PACE_S / self._choices.speed, _left(ends) or _PACE_S))

    def _is_over(self, ends: float | None) -> bool:
        return self._stop.is_set() or (ends is not None and time.monotonic() >= ends)

    def _await(self, is_done: Callable[[], bool]) -> None:
        until = time.monotonic() + _ANSWER_S
        while not is_done() and time.monotonic() < until:
            self._stop.wait(0.05)

    def _say(self, lines: list[str]) -> None:
        for line in lines:
            click.echo(plain_line(line))

    def _make_token(self) -> str:
        """Return a token for this start; those of earlier ones end."""
        old = [row.id for row in self._tokens.list_tokens() if row.name == _TOKEN and row.revoked_at is None]

        def work(tx: Any) -> str:
            for token_id in old:
                self._tokens.revoke(tx, token_id, actor="demo")
            return self._tokens.make(tx, name=_TOKEN, scopes=SCOPES, actor="demo", days=7)

        return self._engine.writer.do(work)


def _left(ends: float | None) -> float | None:
    return None if ends is None else max(ends - time.monotonic(), 0.0)


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """End in order on the first signal, at once on the second."""

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _welcome(engine: Engine, address: str, token: str, past: str) -> list[str]:
    way_in = make_way_in(engine, address) or f"{address}/sign-in"
    with engine.db.read() as conn:
        figures = read_figures(conn, engine.clock.now())
        orders = find_orders(conn, status="delivered", limit=1) or find_orders(conn, limit=1) or ["ORDER"]
    api, home = f"{address}/api/v1", show_home(engine.settings.home)
    curl = 'curl -H "Authorization: Bearer $TOKEN"'
    runs = ", ".join(f"{count} {outcome}" for outcome, count in sorted(figures.runs.items()))
    return [
        f"Your demo shop is ready: {past}.",
        f"  past     {figures.events} events; runs: {runs}",
        f"  open     {way_in}",
        "           lets you in once; in your browser",
        f"  API      {api}",
        f"  token    {token}",
        "           made for this demo, shown only now",
        f"  folder   {home}",
        "",
        "Try in another terminal:",
        f"  TOKEN={token}",
        f"  {curl} {api}/rules",
        f"  {curl} '{api}/runs?outcome=failed&limit=5'",
        f"  {curl} '{api}/why?rule=big-order&order={orders[0]}'",
        f"  {PROGRAM} --home {home} rules list",
        f"  {PROGRAM} --home {home} runs list --outcome failed",
        f"  {PROGRAM} --home {home} why --rule late-delivery --order {orders[0]}",
        "",
        "New orders come every few seconds; Ctrl-C ends the demo.",
        "",
    ]


def _summary(report: dict[str, Any]) -> str:
    done = ", ".join(f"{count} {kind}s" for kind, count in sorted(report["effects"].items()))
    return f"\nThe demo stopped after {report['seconds']:.0f} s: {report['events']} events; done: {done}."
