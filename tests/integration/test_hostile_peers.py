"""Peers that break the protocol, in both directions, over real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import eventually
from hostility import Rudeness, after_proof, before_proof
from parts import Parts, about, parts, worker
from rawpeer import FalseWorker, Peer, Script, as_controller, as_worker, dial

RUN = {"attempt": "t.1", "language": "python", "limits": {}, "lease": 10}
RESULT = {"attempt": "t.1", "outcome": "success", "isolation": "none", "detail": ""}
TO_WORKER = before_proof("Hello"), after_proof("Run", 4, "Result", RUN)
TO_SCHEDULER = before_proof("Welcome"), after_proof("Result", 2, "Run", RESULT)
SLACK = 24 * 1024 * 1024


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with parts(tmp_path_factory.mktemp("hostile")) as running:
        yield running


def meets(peer: Peer, rude: Rudeness) -> None:
    """Send it; see that the connection ends with the right words, or lives on."""
    sent = peer.write(rude.data)
    if rude.why is None:
        peer.say("Ping", beat=7)
        while peer.hears("Pong")["beat"] != 7:
            pass
        return
    assert peer.ended(), rude.name
    # What was still on its way when the other side closed makes a reset, which may eat the Error.
    if sent and len(rude.data) < 4096:
        assert rude.why in peer.reason(), (rude.name, peer.seen)


def noted(log: str, port: int, rude: Rudeness) -> None:
    lines = about(log, port)
    expected = 0 if rude.why is None else 1
    assert len(lines) == expected, (rude.name, lines)
    assert all((rude.why or "") in each for each in lines), (rude.name, lines)


def clean(log: str) -> None:
    """No fault of ours, and nothing that a peer has written as a line of its own."""
    assert "Traceback" not in log
    assert "\x1b" not in log
    assert "\n2026-01-01" not in log
    assert "\n\t" not in log


def test_a_false_controller_ends_its_own_link_only(both: Parts) -> None:
    before = both.rss()
    met: list[tuple[int, Rudeness]] = []
    for proven, table in enumerate(TO_WORKER):
        for rude in table:
            peer = dial(both.port)
            if proven:
                as_controller(peer, both.keys)
            meets(peer, rude)
            met.append((peer.port, rude))
            peer.close()
    log = both.worker.read()
    for port, rude in met:
        noted(log, port, rude)
    clean(log)
    both.runs()
    assert both.workers() == {"real"}
    assert both.rss() - before < SLACK


def test_a_false_controller_on_a_unix_socket_too(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    keys = tmp_path / "keys"
    with worker(tmp_path, keys, f"unix:{path}", "real") as daemon:
        for proven, table in enumerate(TO_WORKER):
            for rude in table[:6]:
                peer = dial(path)
                if proven:
                    as_controller(peer, keys)
                meets(peer, rude)
                peer.close()
        assert len(about_unix(daemon.read())) == 12
        clean(daemon.read())


def about_unix(log: str) -> list[str]:
    return [each for each in log.splitlines() if "#warn] link with" in each]


def rude_worker(rude: Rudeness, keys: Path | None) -> Script:
    def script(peer: Peer) -> None:
        if keys is not None:
            as_worker(peer, keys, f"false-{peer.port}")
        meets(peer, rude)

    return script


def test_a_false_worker_ends_its_own_link_only(tmp_path: Path) -> None:
    keys = tmp_path / "s" / "keys"
    cases = [
        (rude, keys if proven else None) for proven, t in enumerate(TO_SCHEDULER) for rude in t
    ]
    false = [FalseWorker(rude_worker(rude, key)) for rude, key in cases]
    try:
        with parts(tmp_path, *(f"--worker={each.address}" for each in false)) as both:
            before = both.rss()
            for each in false:
                each.finished()
            both.runs()
            eventually("no false worker is left", lambda: both.workers() == {"real"})
            log = both.system.daemon.read()
            for each, (rude, _) in zip(false, cases, strict=True):
                noted(log, each.port, rude)
            clean(log)
            assert both.rss() - before < SLACK
    finally:
        for each in false:
            each.close()
