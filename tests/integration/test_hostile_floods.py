"""Peers that send without end, in both directions."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hostility import MB, noise
from parts import Parts, about, parts
from rawpeer import FalseWorker, Peer, as_controller, as_worker, dial, line

SIZE = 10 * MB
SLACK = 32 * MB
OWN_LAG_MS = 150.0
"""How long a reactor may keep others waiting by its own work, on a machine that others use too."""
FLOODS: dict[str, bytes] = {
    "line ends": b"\n" * SIZE,
    "empty objects": b"{}\n" * (SIZE // 3),
    "no line end": b"x" * SIZE,
    "pings": line("Ping", beat=1) * (SIZE // len(line("Ping", beat=1))),
    "noise": noise(SIZE),
}


def pour(peer: Peer, data: bytes) -> None:
    """Send it all while another thread reads what is answered."""
    reader = threading.Thread(target=peer.drain, daemon=True)
    reader.start()
    peer.write(data)
    peer.say("Nothing")
    reader.join(30)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with parts(tmp_path_factory.mktemp("floods")) as running:
        yield running


def pulse(peer: Peer, until: threading.Event) -> float:
    """Ask a worker for Pongs; give the longest that one took, in seconds."""
    worst = 0.0
    while not until.is_set():
        began = time.monotonic()
        peer.say("Ping")
        peer.hears("Pong")
        worst = max(worst, time.monotonic() - began)
        until.wait(0.005)
    return worst


@pytest.mark.slow
@pytest.mark.parametrize("proven", [False, True])
@pytest.mark.parametrize("kind", FLOODS)
def test_a_worker_stands_a_flood(both: Parts, kind: str, proven: bool) -> None:
    good = dial(both.port)
    as_controller(good, both.keys, "good")
    peer, over, before = dial(both.port), threading.Event(), both.rss()
    if proven:
        as_controller(peer, both.keys)
    with ThreadPoolExecutor(1) as pool:
        worst = pool.submit(pulse, good, over)
        pour(peer, FLOODS[kind])
        over.set()
    assert len(about(both.worker.read(), peer.port)) == 1
    assert both.rss() - before < SLACK
    assert worst.result() < 1
    both.runs()
    peer.close()
    good.close()


@pytest.mark.slow
@pytest.mark.parametrize("proven", [False, True])
@pytest.mark.parametrize("kind", FLOODS)
def test_a_scheduler_stands_a_flood(tmp_path: Path, kind: str, proven: bool) -> None:
    go = threading.Event()

    def script(peer: Peer) -> None:
        if proven:
            as_worker(peer, tmp_path / "s" / "keys", "false", slots=1, runtimes=["other"])
            go.wait(30)
        pour(peer, FLOODS[kind])

    false = FalseWorker(script)
    with parts(tmp_path, f"--worker={false.address}") as both, ThreadPoolExecutor(1) as pool:
        before = both.rss()
        lag = pool.submit(both.lag, 2)
        go.set()
        false.finished()
        both.runs()
        found = lag.result()
        assert found["worst_own_ms"] < OWN_LAG_MS
        assert both.rss() - before < SLACK
        assert len(about(both.system.daemon.read(), false.port)) == 1
    false.close()
