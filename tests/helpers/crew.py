"""A scheduler with workers of its own choosing, each a daemon that a test may hurt."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests
from harness import Daemon, System, eventually
from proxy import Proxy, Reserved, proxied

from runyard.daemon.keys import make_keys


def links(lease: float) -> list[str]:
    """Give the options of links that end soon when they are silent."""
    return [f"--lease={lease}", f"--durable-lease={lease}", "--heartbeat=0.3", "--silence=1.2"]


class Hand:
    """A worker daemon at a port that stays its own, started as often as the test likes."""

    def __init__(self, folder: Path, name: str, slots: int, keys: Path) -> None:
        self.name = name
        self._reserved = Reserved()
        self.port = self._reserved.number
        self._arguments = (
            "worker", "--allow-unsandboxed", "--isolation=none",
            f"--name={name}", f"--slots={slots}",
            f"--listen=tcp:{self.port}:interface=127.0.0.1", f"--state={folder / name}",
            f"--controller-key={keys / 'controller.pub'}",
            f"--fleet-secret={keys / 'fleet.secret'}",
        )  # fmt: skip
        self.daemon: Daemon | None = None

    def start(self) -> None:
        self.daemon = Daemon(*self._arguments)

    @property
    def process(self) -> psutil.Process:
        assert self.daemon is not None
        return psutil.Process(self.daemon.pid)

    def send(self, number: int) -> None:
        assert self.daemon is not None
        self.daemon.process.send_signal(number)

    def kill(self) -> None:
        """Kill it, and it alone, outright."""
        self.send(signal.SIGKILL)
        assert self.daemon is not None
        self.daemon.process.wait()

    def close(self) -> None:
        if self.daemon is not None and self.daemon.process.poll() is None:
            self.send(signal.SIGCONT)
            self.daemon.stop()
        self._reserved.close()


class Crew:
    """The scheduler, its workers, and the proxy before each."""

    def __init__(self, running: System, hands: list[Hand], proxies: list[Proxy]) -> None:
        self.running = running
        self.hands = hands
        self.proxies = proxies

    def linked(self) -> set[str]:
        return {worker["name"] for worker in self.running.workers()}


@contextmanager
def crew(
    folder: Path, *options: str, slots: tuple[int, ...] = (2,), start: int | None = None
) -> Iterator[Crew]:
    """Have a scheduler and a worker for each number of slots; the first `start` are started."""
    with ExitStack() as stack:
        state = folder / "scheduler"
        make_keys(state / "keys")
        hands = []
        for number, count in enumerate(slots, 1):
            hands.append(Hand(folder, f"w{number}", count, state / "keys"))
            stack.callback(hands[-1].close)
        for hand in hands[:start]:
            hand.start()
        proxies = [stack.enter_context(proxied(hand.port)) for hand in hands]
        workers = [f"--worker=tcp:127.0.0.1:{proxy.port}" for proxy in proxies]
        running = System(state, *workers, *options)
        stack.callback(running.stop)
        made = Crew(running, hands, proxies)
        expected = {hand.name for hand in hands[:start]}
        eventually("its workers are linked", lambda: made.linked() == expected)
        yield made


def post(running: System, code: str, **fields: Any) -> str:
    """Send a task that nobody waits for; give its id."""
    sent = {"code": code, "wait": False, **fields}
    answer = requests.post(f"{running.url}/execute", json=sent, timeout=30)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def look(running: System, task: str, wait: float = 0) -> dict[str, Any]:
    """Give a task's document, once it is finished or the time is over."""
    query = {"wait": wait} if wait else {}
    answer = requests.get(f"{running.url}/tasks/{task}", query, timeout=wait + 30)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def finished(running: System, tasks: list[str], seconds: float = 60) -> list[dict[str, Any]]:
    """Wait for the ends of tasks; give their documents."""
    documents = [look(running, task, seconds) for task in tasks]
    assert {document["state"] for document in documents} == {"finish"}
    return documents


def counts(running: System) -> dict[str, int]:
    """GET /debug/counts."""
    found: dict[str, int] = requests.get(f"{running.debug_url}/debug/counts", timeout=10).json()
    return found
