"""Spoilt bytes from many clients at once: each is answered or hung up on, nobody else notices."""

from __future__ import annotations

import os
import random
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from byte_corpus import corpus
from byte_storm import Storm
from byte_wire import read_answers
from harness import System, eventually, system

FUZZ_S, WARM_UP_S = 120.0, 15.0
QUICK_S, QUICK_WARM_UP_S = 1.5, 0.2
QUICK_SEED = 20_240_229
GROWTH_BYTES = 40 * 1024 * 1024
LAG_MS = 250.0
DELIVERY = 65_536
"""Bytes that a reactor reads at a time."""
FLOOD_LAG_MS = 100.0
LOOKS = 50
POOL_THREADS = 2
"""Threads that large requests start, and that stay."""

Standing = dict[str, int]


@pytest.fixture
def runyard(tmp_path: Path) -> Iterator[System]:
    options = ("--head-timeout=2", "--idle-timeout=2", "--keep=5")
    with system(tmp_path / "state", *options) as running:
        yield running


def standing(runyard: System) -> Standing | None:
    """Count what must not pile up, None while something is under way."""
    everyone = [psutil.Process(runyard.daemon.pid), *runyard.processes()]
    counts = requests.get(f"{runyard.debug_url}/debug/counts", timeout=10).json()
    if counts["unfinished"] or counts["slots_in_use"]:
        return None
    return {
        "descriptors": sum(process.num_fds() for process in everyone),
        "threads": sum(process.num_threads() for process in everyone),
        "processes": len(everyone),
        **counts,
    }


def settled(runyard: System) -> Standing:
    """Give what stands when everything of before is gone: the least that is seen for a while."""
    seen: list[Standing] = []

    def enough() -> bool:
        now = standing(runyard)
        seen.extend([now] if now else [])
        return len(seen) >= LOOKS

    eventually("quiet", enough)
    return {name: min(each[name] for each in seen) for name in seen[0]}


def memory(runyard: System) -> list[int]:
    """Give the resident bytes of the scheduler and of its worker."""
    scheduler = psutil.Process(runyard.daemon.pid)
    return [each.memory_info().rss for each in (scheduler, *scheduler.children())]


def check_findings(storm: Storm) -> None:
    told = "\n\n".join(storm.findings)
    how = f"RUNYARD_FUZZ_SEED={storm.seed}, and for one case alone RUNYARD_FUZZ_CASE="
    assert not storm.findings, f"{how}\n\n{told}"


def check_logs(storm: Storm) -> None:
    log = storm.runyard.state / "workers" / "local-1" / "log"
    lines = (storm.runyard.daemon.read() + log.read_text()).splitlines()
    said = [line for line in lines if "Timing out client" not in line]
    for at, line in enumerate(said):
        bad = any(word in line for word in ("Traceback", "Unhandled", "#critical"))
        told = "\n".join(said[max(0, at - 3) : at + 40])
        assert not bad, f"RUNYARD_FUZZ_SEED={storm.seed}\n{told}"


def campaign(runyard: System, seed: int, warm_up: float, seconds: float) -> Storm:
    storm = Storm(runyard, seed, corpus(runyard.run("print(1)")["id"]))
    storm.run(warm_up, "w")
    check_findings(storm)
    before, held = settled(runyard), memory(runyard)
    before["threads"] += POOL_THREADS
    storm.run(seconds, "t")
    sys.stdout.write(f"{storm}\n")
    check_findings(storm)
    more: Standing = {}

    def nothing_left() -> bool:
        now = standing(runyard) or {"unfinished": 1}
        more.clear()
        more.update({name: now[name] for name in now if now[name] > before[name]})
        return not more

    try:
        eventually("nothing is left", nothing_left)
    except AssertionError:
        assert more == {}, f"more than {before}"
        raise
    grown = [after - first for first, after in zip(held, memory(runyard), strict=True)]
    sys.stdout.write(f"grown by {grown} bytes\n")
    assert max(grown) < GROWTH_BYTES
    check_logs(storm)
    return storm


def test_a_few_hundred_spoilt_requests_disturb_nobody(runyard: System) -> None:
    campaign(runyard, QUICK_SEED, QUICK_WARM_UP_S, QUICK_S)


def test_a_delivery_full_of_small_requests_does_not_hold_the_reactor(runyard: System) -> None:
    small, last = b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
    count = (DELIVERY - len(last)) // len(small)
    parts = urlsplit(runyard.url)
    address = (str(parts.hostname), parts.port or 0)
    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(requests.get, f"{runyard.debug_url}/debug/lag?wait=2", timeout=60)
        with socket.create_connection(address, timeout=60) as connection:
            connection.sendall(small * count + last)
            received = b"".join(iter(lambda: connection.recv(DELIVERY), b""))
        lag = looking.result().json()
    assert read_answers(received, may_be_head=False) == ([200] * (count + 1), b"")
    assert lag["worst_own_ms"] < FLOOD_LAG_MS


@pytest.mark.slow
def test_two_minutes_of_spoilt_requests_disturb_nobody(runyard: System) -> None:
    seed = os.environ.get("RUNYARD_FUZZ_SEED") or random.SystemRandom().getrandbits(32)
    only = os.environ.get("RUNYARD_FUZZ_CASE")
    if only:
        storm = Storm(runyard, int(seed), corpus(runyard.run("print(1)")["id"]))
        storm.replay(only)
        check_findings(storm)
        check_logs(storm)
        return
    storm = campaign(runyard, int(seed), WARM_UP_S, FUZZ_S)
    assert max(storm.own_lags) < LAG_MS
