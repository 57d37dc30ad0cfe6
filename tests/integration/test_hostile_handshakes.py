"""Handshakes that stall, are replayed, reflected, or offer what cannot be, in both directions."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from harness import eventually
from parts import Parts, about, parts
from rawpeer import FalseWorker, Peer, Script, as_controller, as_worker, dial, greeting, line

from runyard.protocols.lines import HANDSHAKE_S
from runyard.protocols.messages import MOST_ATTEMPTS

HALF = b'{"verb":"Hel'


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with parts(tmp_path_factory.mktemp("handshakes")) as running:
        yield running


def welcome(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "version": 1, "name": "x", "heartbeat": 5, "silence": 15, "nonce": "n", "proof": "00",
    }  # fmt: skip
    return line("Welcome", **(fields | changes))


def refused(peer: Peer, why: str) -> None:
    assert peer.ended()
    assert why in peer.reason(), peer.seen


def stalls(data: bytes) -> Script:
    def script(peer: Peer) -> None:
        peer.write(data)
        refused(peer, "no proof within")

    return script


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (welcome(), "proof is wrong"),
        (welcome(proof="zz"), "proof is wrong"),
        (welcome(proof="\u00e9"), "proof is wrong"),
        (welcome(proof=None), "malformed"),
        (welcome(version=3), "not offered"),
        (welcome(version=0), "version"),
        (welcome(version="1"), "version"),
        (welcome(version=True), "version"),
        (welcome(heartbeat=-1), "heartbeat"),
        (welcome(silence=10**9), "silence"),
        (welcome(name="x" * 2000), "name"),
        (line("Proof", proof="00"), "not this side's"),
        (line("Resume", attempts=[]), "before the proofs"),
    ],
)
def test_a_controller_that_proves_nothing_is_none(both: Parts, answer: bytes, why: str) -> None:
    peer = dial(both.port)
    peer.hears("Hello")
    peer.write(answer)
    refused(peer, why)
    assert len(about(both.worker.read(), peer.port)) == 1
    peer.close()


def test_a_controller_s_recorded_proof_is_worth_nothing(both: Parts) -> None:
    first = dial(both.port)
    as_controller(first, both.keys, "recorded")
    second = dial(both.port)
    second.write(b"".join(first.said))
    refused(second, "the controller's proof is wrong")
    third = dial(both.port)
    hello = third.hears("Hello")
    proof = next(each["proof"] for each in first.seen if each["verb"] == "Proof")
    third.write(welcome(nonce=hello["nonce"], name=hello["name"], proof=proof))
    refused(third, "the controller's proof is wrong")
    for peer in (first, second, third):
        peer.close()


def replays(keys: Path) -> Script:
    """Prove ourselves once; then say the same again, word for word."""
    record: list[bytes] = []

    def script(peer: Peer) -> None:
        if not record:
            as_worker(peer, keys, "replayed", runtimes=["other"])
            record.extend(peer.said)
        elif record[-1]:
            record.append(b"")
            peer.write(b"".join(record))
            refused(peer, "the worker's proof is wrong")

    return script


def reflects(peer: Peer) -> None:
    peer.say("Hello", **greeting("mirror"))
    heard = peer.hears("Welcome")
    peer.say("Proof", proof=heard["proof"])
    refused(peer, "the worker's proof is wrong")


def reflects_all(peer: Peer) -> None:
    peer.say("Hello", **greeting("mirror"))
    heard = peer.hears("Welcome")
    peer.say("Welcome", **{k: v for k, v in heard.items() if k not in ("verb", "raw")})
    refused(peer, "not this side's")


def greets(why: str, **changes: Any) -> Script:
    def script(peer: Peer) -> None:
        peer.say("Hello", **greeting("odd", **changes))
        refused(peer, why)

    return script


def greets_twice(peer: Peer) -> None:
    peer.say("Hello", **greeting("twice"))
    peer.hears("Welcome")
    peer.say("Hello", **greeting("twice"))
    refused(peer, "Hello comes once")


def takes_a_name(keys: Path) -> Script:
    def script(peer: Peer) -> None:
        with pytest.raises(AssertionError, match="ended before Resume"):
            as_worker(peer, keys, "real")
        assert "is linked already" in peer.reason()

    return script


def test_a_worker_that_proves_nothing_is_none_and_stalls_end(tmp_path: Path) -> None:
    keys = tmp_path / "s" / "keys"
    hello = line("Hello", **greeting("stalled"))
    scripts = [
        stalls(b""), stalls(HALF), stalls(hello), stalls(hello + HALF), reflects, reflects_all,
        greets_twice,
        greets("no common version", versions=[3]), greets("no common version", versions=[]),
        greets("versions", versions=["1"]), greets("versions", versions=[1] * 17),
        greets("versions", versions=1), greets("slots", slots=1_000_000), greets("slots", slots=0),
        greets("slots", slots=True), greets("slots", slots=MOST_ATTEMPTS + 1),
        greets("runtimes", runtimes=["x"] * 65), greets("name", name="x" * 200),
    ]  # fmt: skip
    false = [FalseWorker(each) for each in scripts]
    recorder = FalseWorker(replays(keys), once=False)
    everybody = [*false, recorder]
    with parts(tmp_path, *(f"--worker={each.address}" for each in everybody)) as both:
        with ThreadPoolExecutor(2) as pool:
            for stalled in [pool.submit(stalls(each), dial(both.port)) for each in (b"", HALF)]:
                stalled.result()
        both.runs()
        for each in false:
            each.finished()
        eventually("it was replayed", lambda: len(recorder.peers) > 2)
        assert recorder.failures == []
        assert all(each.took >= HANDSHAKE_S * 0.9 for each in false[:4])
        log = both.system.daemon.read()
        assert [len(about(log, each.port)) for each in false] == [1] * len(false)
        assert "Traceback" not in log + both.worker.read()
        assert both.workers() == {"real"}
    for each in everybody:
        each.close()


def test_a_name_that_is_taken_is_not_given_twice(tmp_path: Path) -> None:
    ready: list[bool] = []

    def script(peer: Peer) -> None:
        eventually("the other is there", lambda: bool(ready), 4)
        takes_a_name(tmp_path / "s" / "keys")(peer)

    false = FalseWorker(script)
    with parts(tmp_path, f"--worker={false.address}") as both:
        ready.append(True)
        false.finished()
        both.runs()
    false.close()
