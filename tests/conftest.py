"""What pytest-twisted does not check by itself: nothing is left behind, no error goes unseen."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet import reactor as installed
from twisted.logger import LogLevel, globalLogPublisher

reactor: Any = installed
PUBLISHER: Any = globalLogPublisher
WORRYING = (LogLevel.critical,)


def pytest_sessionstart() -> None:
    """Begin as everywhere: a shell's `&` and nohup have signals ignored, as programs inherit it."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            own = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, own)


def pytest_collection_finish() -> None:
    """Keep what the imports made out of each test's garbage collection, which is then quick."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a delayed call, a reader or an unhandled error.

    A test that means to cause an error takes the fixture `logged_failures` and looks at it itself.
    """
    seen: list[dict[str, Any]] = []

    def observe(event: dict[str, Any]) -> None:
        if event.get("log_level") in WORRYING or event.get("log_failure") is not None:
            seen.append(event)

    readers = set(reactor.getReaders())
    PUBLISHER.addObserver(observe)
    try:
        yield
        gc.collect()
    finally:
        PUBLISHER.removeObserver(observe)
    expected = "logged_failures" in request.fixturenames
    assert expected or not seen, [event.get("log_failure", event) for event in seen]
    calls = [call for call in reactor.getDelayedCalls() if call.active()]
    for call in calls:
        call.cancel()
    assert not calls, f"delayed calls are left: {calls}"
    left = {
        reader
        for reader in set(reactor.getReaders()) - readers
        if type(reader).__module__ != "twisted.internet._signals"  # the reactor's own wakers
    }
    assert not left, f"readers are left: {left}"


@pytest.fixture
def logged_failures() -> Iterator[list[Any]]:
    """Collect the failures that are logged, for a test that causes them."""
    failures: list[Any] = []

    def observe(event: dict[str, Any]) -> None:
        if event.get("log_failure") is not None:
            failures.append(event["log_failure"])

    PUBLISHER.addObserver(observe)
    yield failures
    gc.collect()
    PUBLISHER.removeObserver(observe)
