"""Proven peers that lie about work, freeze, drop it, or read nothing."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from harness import System, eventually
from hostility import MB, noise
from parts import QUICK, Parts, about, parts, worker
from rawpeer import (
    FalseWorker,
    Header,
    Peer,
    Script,
    as_controller,
    as_worker,
    dial,
    free_port,
    line,
)

from runyard.sched.recovery import MOST_UNDELIVERED

DONE = {"outcome": "success", "isolation": "none", "detail": "", "exit_code": 0}
SLACK = 40 * MB


def submit(running: System, language: str, code: str = "0", **fields: Any) -> str:
    """Send a task that nobody waits for; give its URL."""
    body = {"code": code, "language": language, "wait": False, **fields}
    answer = requests.post(f"{running.url}/execute", json=body, timeout=10)
    assert answer.status_code == 202, answer.text
    return f"{running.url}{answer.headers['Location']}"


def result(url: str) -> dict[str, Any]:
    document: dict[str, Any] = requests.get(url, params={"wait": "20"}, timeout=30).json()
    return document


def takes(peer: Peer, keys: Path, name: str, slots: int = 1) -> Header:
    """Prove ourselves as a worker with a runtime of its own, and wait for a Run."""
    as_worker(peer, keys, name, runtimes=[f"python:{name}"], slots=slots)
    run = peer.hears("Run")
    peer.say("Started", attempt=run["attempt"])
    return run


def linked(both: Parts, *names: str) -> None:
    eventually("the false workers are linked", lambda: both.workers() == {"real", *names})


def o36(peer: Peer, keys: Path) -> None:
    """Send a result for nobody, then the right one twice, the second time altered."""
    as_worker(peer, keys, "false", runtimes=["python:false"])
    attempt = peer.hears("Run")["attempt"]
    peer.say("Result", b"", b"", attempt="nobody.1", **DONE)
    assert peer.hears("Ack")["discarded"] is True
    peer.say("Started", attempt=attempt)
    for number, stdout in enumerate((b"right\n", b"wrong\n")):
        peer.say("Result", stdout, b"", attempt=attempt, **DONE)
        ack = peer.hears("Ack")
        assert (ack["attempt"], ack["discarded"]) == (attempt, bool(number))
    peer.say("Ping", beat=5)
    assert peer.hears("Pong")["beat"] == 5


def test_o36_a_result_for_nobody_and_the_right_one_twice(tmp_path: Path) -> None:
    false = FalseWorker(lambda peer: o36(peer, tmp_path / "s" / "keys"))
    with parts(tmp_path, f"--worker={false.address}") as both:
        linked(both, "false")
        url = submit(both.system, "python:false")
        first = result(url)
        false.finished()
        assert first["stdout"] == "right\n"
        assert result(url) == first, "neither the result nor its time has changed"
        assert len(first["attempts"]) == 1
        both.runs()
        log = both.system.daemon.read()
        assert log.count("a result for attempt nobody.1") == 1
        assert "Traceback" not in log
    false.close()


def pours(data: bytes) -> Script:
    def script(peer: Peer) -> None:
        peer.write(data)
        peer.drain()

    return script


def test_o34_a_real_task_runs_beside_a_peer_that_sends_garbage(tmp_path: Path) -> None:
    garbage = (noise(100) + b"\r\n", line("Reboot"), b"x" * 40_000)
    false = [FalseWorker(pours(each)) for each in garbage]
    with parts(tmp_path, *(f"--worker={each.address}" for each in false)) as both:
        url = submit(both.system, "python", "import time; time.sleep(0.5); print('real')")
        ports = []
        for data in garbage:
            peer = dial(both.port)
            peer.write(data)
            peer.drain()
            ports.append(peer.port)
        for each in false:
            each.finished()
        document = result(url)
        assert (document["stdout"], len(document["attempts"])) == ("real\n", 1)
        assert both.workers() == {"real"}
        theirs, ours = both.worker.read(), both.system.daemon.read()
        assert [len(about(theirs, port)) for port in ports] == [1, 1, 1]
        assert [len(about(ours, each.port)) for each in false] == [1, 1, 1]
        assert "Traceback" not in theirs + ours
    for each in false:
        each.close()


def test_a_worker_cannot_speak_for_another_s_attempt(tmp_path: Path) -> None:
    keys, seen, lied = tmp_path / "s" / "keys", [], threading.Event()

    def honest(peer: Peer) -> None:
        attempt = takes(peer, keys, "honest")["attempt"]
        seen.append(attempt)
        assert lied.wait(20)
        peer.say("Result", b"mine\n", b"", attempt=attempt, **DONE)
        assert peer.hears("Ack")["discarded"] is False

    def liar(peer: Peer) -> None:
        as_worker(peer, keys, "liar", runtimes=["python:liar"])
        (attempt,) = eventually("it runs", lambda: list(seen))
        peer.say("Refused", attempt=attempt, reason="no")
        peer.say("Started", attempt=attempt)
        peer.say("Result", b"stolen\n", b"", attempt=attempt, **DONE)
        assert peer.hears("Ack")["discarded"] is True
        peer.say("Inventory", running=[attempt, "nobody.1"], finished=[attempt])
        assert peer.ended()
        assert "not asked for" in peer.reason()
        lied.set()

    false = [FalseWorker(honest), FalseWorker(liar)]
    with parts(tmp_path, *(f"--worker={each.address}" for each in false)) as both:
        linked(both, "honest", "liar")
        document = result(submit(both.system, "python:honest"))
        for each in false:
            each.finished()
        assert document["stdout"] == "mine\n"
        assert len(document["attempts"]) == 1
        assert "Traceback" not in both.system.daemon.read()
    for each in false:
        each.close()


@pytest.mark.parametrize("dies", [False, True])
def test_o39_a_task_that_each_worker_drops_is_final_after_its_attempts(
    tmp_path: Path, dies: bool
) -> None:
    keys, runs = tmp_path / "s" / "keys", []

    def drops(number: int) -> FalseWorker:
        boot = {} if dies else {"boot": f"b{number}"}

        def script(peer: Peer) -> None:
            as_worker(peer, keys, f"w{number}", runtimes=["python:poison"], **boot)
            runs.append(peer.hears("Run")["attempt"])
            peer.say("Started", attempt=runs[-1])

        return FalseWorker(script, once=False)

    false = [drops(number) for number in range(3)]
    with parts(tmp_path, *(f"--worker={each.address}" for each in false)) as both:
        linked(both, "w0", "w1", "w2")
        document = result(submit(both.system, "python:poison", attempts=3))
        number = 2 if dies else 3
        assert document["outcome"] == "network_fail"
        assert document["reason"] == ("poison" if dies else None), "two deaths of its own are proof"
        assert [each["number"] for each in document["attempts"]] == list(range(1, number + 1))
        workers = {each["worker"] for each in document["attempts"]}
        assert len(workers) == number, "another is preferred"
        assert all(each["failure"] for each in document["attempts"])
        assert document["detail"], document
        starts = [each["started_at"] for each in document["attempts"]]
        ends = [each["ended_at"] for each in document["attempts"]]
        assert all(start > end for start, end in zip(starts[1:], ends, strict=False)), "back-off"
        linked(both, "w0", "w1", "w2")
        both.runs()
        assert len(runs) == number, "no attempt follows"
    for each in false:
        each.close()


def test_a_worker_that_drops_its_link_on_each_run_uses_a_task_up(tmp_path: Path) -> None:
    keys, runs = tmp_path / "s" / "keys", []

    def script(peer: Peer) -> None:
        as_worker(peer, keys, "w", runtimes=["python:poison"], boot="b")
        runs.append(peer.hears("Run")["attempt"])

    false = FalseWorker(script, once=False)
    with parts(tmp_path, f"--worker={false.address}") as both:
        linked(both, "w")
        document = result(submit(both.system, "python:poison", attempts=3))
        assert document["outcome"] == "network_fail"
        assert len(document["attempts"]) == 3
        assert len(runs) == 3 + MOST_UNDELIVERED, "what never arrived is free a few times"
    false.close()


def test_o35_a_frozen_worker_s_task_goes_to_another(tmp_path: Path) -> None:
    second = free_port()
    keys = tmp_path / "s" / "keys"
    with (
        worker(tmp_path, keys, f"tcp:{second}:interface=127.0.0.1", "second") as other,
        parts(tmp_path, f"--worker=tcp:127.0.0.1:{second}", *QUICK) as both,
    ):
        linked(both, "second")
        url = submit(both.system, "python", "import time; time.sleep(1); print('done')")
        busy = eventually("it runs", lambda: [w for w in both.system.workers() if w["in_use"]])
        frozen = {"real": both.worker, "second": other}[busy[0]["name"]]
        os.kill(frozen.pid, signal.SIGSTOP)
        try:
            both.runs()
            document = result(url)
        finally:
            os.kill(frozen.pid, signal.SIGCONT)
        assert document["stdout"] == "done\n", document
        assert [each["failure"] for each in document["attempts"]] == ["network_fail", None]
        linked(both, "second")
        assert result(url) == document, "what the old attempt did is discarded"


@pytest.mark.parametrize("taste", [0, 1])
def test_a_controller_that_does_not_read_is_cut(tmp_path: Path, taste: int) -> None:
    with parts(tmp_path) as both:
        peer = dial(both.port, window=4096)
        as_controller(peer, both.keys, "deaf", heartbeat=0.2, silence=1.0)
        code = b"import sys; sys.stdout.write('x' * 16_000_000)"
        limits = {"output_bytes": 16 * 1024 * 1024}
        run = {"attempt": "t.1", "language": "python", "limits": limits, "lease": 5}
        peer.say("Run", code, b"", b"", b"", **run)
        assert peer.hears("Started")
        before = both.rss()
        assert peer.nags(0.05, taste) < 15
        (said,) = about(both.worker.read(), peer.port)
        assert "read nothing" in said
        both.runs()
        assert both.rss() - before < SLACK
        again = dial(both.port)
        as_controller(again, both.keys, "deaf")  # its Resume forgets the result
        again.close()


def test_a_worker_that_does_not_read_is_cut(tmp_path: Path) -> None:
    keys, lasted = tmp_path / "s" / "keys", []

    def script(peer: Peer) -> None:
        as_worker(peer, keys, "deaf", runtimes=["python:deaf"])
        lasted.append(peer.nags(0.05))

    false = FalseWorker(script, window=4096)
    with (
        parts(tmp_path, f"--worker={false.address}", *QUICK) as both,
        ThreadPoolExecutor(1) as pool,
    ):
        linked(both, "deaf")
        before = both.rss()
        fields = {"language": "python:deaf", "stdin": "x" * 16_000_000, "attempts": 1}
        answer = pool.submit(both.system.run, "0", **fields)
        false.finished()
        assert lasted[0] < 15
        assert answer.result()["outcome"] == "network_fail"
        (said,) = about(both.system.daemon.read(), false.port)
        assert "read nothing" in said
        both.runs()
        assert both.rss() - before < 2 * SLACK, "the task's own stdin, as text and as bytes"
    false.close()
