"""The guard: plugin code may raise, hang or end the program, and only its own call feels it."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from core.errors import InvalidInput, PluginError, RejectedError, StorageError, TemporaryError
from core.guarded import Guard, HungError, translated


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Ends what hangs once the test is over."""
    event = threading.Event()
    yield event
    event.set()


def raise_(error: BaseException) -> Any:
    raise error


# what plugin code may raise, and the words about it
RAISED: list[tuple[BaseException, str]] = [
    (ValueError("bad"), "plugin p: raised ValueError: bad"),
    (SystemExit(3), "plugin p: raised SystemExit: 3"),
    (KeyboardInterrupt("now"), "plugin p: raised KeyboardInterrupt: now"),
    (GeneratorExit(), "plugin p: raised GeneratorExit"),
    (StopIteration(5), "plugin p: raised StopIteration: 5"),
    (MemoryError(), "plugin p: raised MemoryError"),
    (RecursionError("deep"), "plugin p: raised RecursionError: deep"),
    (BaseExceptionGroup("many", [SystemExit(1)]), "plugin p: raised BaseExceptionGroup: many"),
]


@pytest.mark.parametrize(("error", "words"), RAISED, ids=lambda value: type(value).__name__)
def test_anything_raised_becomes_a_plugin_error(error: BaseException, words: str) -> None:
    with pytest.raises(PluginError) as raised:
        Guard().call("p", lambda: raise_(error), limit_s=5)
    assert raised.value.message.startswith(words)
    assert not isinstance(raised.value, HungError)


class Vicious(Exception):
    """An error that cannot even be written out."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_error_without_words_becomes_a_plugin_error() -> None:
    with pytest.raises(PluginError):
        Guard().call("p", lambda: raise_(Vicious()), limit_s=5)
    with pytest.raises(PluginError):
        translated("p", lambda: raise_(Vicious()))


OURS = [
    InvalidInput("a", "b"),
    RejectedError("p", "no"),
    TemporaryError("p", "later", 5),
    StorageError("full"),
    PluginError("q", "x"),
]


@pytest.mark.parametrize("error", OURS, ids=lambda value: type(value).__name__)
def test_errors_of_our_tree_pass_unchanged(error: BaseException) -> None:
    for call in (
        lambda: Guard().call("p", lambda: raise_(error), limit_s=5),
        lambda: translated("p", lambda: raise_(error)),
    ):
        with pytest.raises(type(error)) as raised:
            call()
        assert raised.value is error


def refused(kind: type[Any], text: str, *, lost: bool = False) -> Any:
    return kind("INSERT", {}, Exception(text), connection_invalidated=lost)


# what the database says inside plugin code: the machine's fault, or the plugin's
DATABASE = [
    (refused(OperationalError, "database or disk is full"), StorageError, "the disk is full: free some space"),
    (refused(OperationalError, "database is locked"), StorageError, "another program holds the database"),
    (refused(OperationalError, "disk I/O error"), StorageError, "check its health"),
    (refused(OperationalError, "server closed", lost=True), StorageError, ""),
    (refused(OperationalError, "no such table: x"), PluginError, "no such table: x"),
    (refused(IntegrityError, "UNIQUE constraint failed"), PluginError, "raised IntegrityError"),
]


@pytest.mark.parametrize(("error", "kind", "words"), DATABASE, ids=range(len(DATABASE)))
def test_full_disk_is_not_the_plugins_fault(error: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind) as raised:
        translated("p", lambda: raise_(error))
    assert words in str(raised.value)


def test_answer_comes_back_and_the_caller_waits_for_it() -> None:
    assert Guard().call("p", lambda: {"a": 1}, limit_s=5) == {"a": 1}
    assert Guard().call("p", lambda: None, limit_s=5) is None


def test_code_runs_on_a_thread_of_its_own() -> None:
    names = {Guard().call("p", lambda: threading.current_thread().name, limit_s=5) for _ in range(2)}
    assert names == {"vitrin-plugin-p"}


def test_hang_is_left_behind_in_time(released: threading.Event) -> None:
    began = time.monotonic()
    with pytest.raises(HungError, match=r"plugin p: did not come back within 0\.05 s") as raised:
        Guard().call("p", lambda: released.wait(20), limit_s=0.05)
    assert time.monotonic() - began < 5
    assert raised.value.code == "plugin_hung"


def test_hanging_plugin_gets_no_more_threads(released: threading.Event) -> None:
    guard = Guard()
    for _ in range(4):
        with pytest.raises(HungError, match="did not come back"):
            guard.call("p", lambda: released.wait(20), limit_s=0.01)
    count = threading.active_count()
    with pytest.raises(HungError, match="4 earlier calls never came back; switch it off and on again"):
        guard.call("p", lambda: 1, limit_s=5)
    assert threading.active_count() == count
    assert guard.call("another", lambda: 1, limit_s=5) == 1


def test_plugin_that_came_back_late_may_be_called_again() -> None:
    guard, done = Guard(), threading.Event()
    for _ in range(4):
        with pytest.raises(HungError):
            guard.call("p", lambda: done.wait(20), limit_s=0.01)
    done.set()
    for thread in threading.enumerate():
        if thread.name == "vitrin-plugin-p":
            thread.join(10)
    assert guard.call("p", lambda: "back", limit_s=5) == "back"


def test_many_calls_at_once_are_not_mistaken_for_hanging() -> None:
    guard, answers = Guard(), []
    start = threading.Barrier(4)

    def call() -> None:
        answers.append(guard.call("p", lambda: start.wait(10), limit_s=10))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(answers) == 4
