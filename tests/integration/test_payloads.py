"""Large and awkward bytes go through the whole system and come back the same."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from harness import System, eventually, system
from parts import parts
from rawpeer import FalseWorker, Peer, as_worker

MIB = 1024 * 1024
ECHO = "import shutil, sys\nshutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)\n"
TO_STDERR = "import shutil, sys\nshutil.copyfileobj(sys.stdin.buffer, sys.stderr.buffer)\n"
FORGED = (
    b'{"verb":"Result","attempt":"t.1","outcome":"success","payload":[0,0]}\n'
    b'{"verb":"Data","stream":1,"payload":[5]}\n12345{"verb":"Error","reason":"x"}\n'
)
AWKWARD: dict[str, bytes] = {
    "nothing": b"",
    "line and paragraph separators": "a\u2028b\u2029c\x85d\x0b\x0ce".encode(),
    "digits": b"1234567890\n" * 1000,
    "forged protocol lines": FORGED * 100,
    "NUL": b"a\0b\0\0\n\0",
    "CR LF": b"a\r\nb\rc\n\r\r\n",
    "no final line end": b"last line without one",
    "line ends": b"\n" * 10_000,
    "a frame": b"f" * (64 * 1024),
    "a frame and one": b"f" * (64 * 1024) + b"!",
    "every byte": bytes(range(256)) * 300,
}


@pytest.fixture(scope="module", params=["unix", "tcp"])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("payloads")
    if request.param == "unix":
        with system(folder, "--slots=2") as whole:
            yield whole
    else:
        with parts(folder) as both:
            yield both.system


def stored(running: System, document: dict[str, Any], stream: str) -> bytes:
    """Give the bytes of a finished task's stream."""
    url = f"{running.url}/tasks/{document['id']}/{stream}"
    return requests.get(url, timeout=60).content


def echoed(running: System, data: bytes, code: str = ECHO, stream: str = "stdout") -> None:
    """Send text as stdin, other bytes in the program, and compare what comes back."""
    fields: dict[str, Any] = {"limits": {"output_bytes": 16 * MIB}}
    try:
        fields["stdin"] = data.decode()
        assert b"\0" not in data
    except (UnicodeDecodeError, AssertionError):
        packed = base64.b85encode(data)
        code = f"import base64, sys\nsys.{stream}.buffer.write(base64.b85decode({packed!r}))\n"
        fields.pop("stdin", None)
    document = running.run(code, **fields)
    assert document["outcome"] == "success", {**document, "stdout": "", "stderr": ""}
    got = stored(running, document, stream)
    assert (len(got), hashlib.sha256(got).digest()) == (len(data), hashlib.sha256(data).digest())
    assert document[f"{stream}_truncated"] is False
    assert len(document["attempts"]) == 1


@pytest.mark.parametrize("kind", AWKWARD)
def test_awkward_bytes_of_stdout_are_unchanged(running: System, kind: str) -> None:
    echoed(running, AWKWARD[kind])


@pytest.mark.parametrize("kind", ["forged protocol lines", "NUL", "CR LF", "every byte"])
def test_awkward_bytes_of_stderr_are_unchanged(running: System, kind: str) -> None:
    echoed(running, AWKWARD[kind], TO_STDERR, "stderr")


SMALL_LINES = "import sys\nfor n in range({count}): sys.stdout.write('%d\\n' % n)\n"


def small_lines(running: System, count: int) -> None:
    code = SMALL_LINES.format(count=count)
    document = running.run(code, limits={"output_bytes": 16 * MIB})
    assert document["outcome"] == "success"
    expected = b"".join(b"%d\n" % n for n in range(count))
    assert stored(running, document, "stdout") == expected


@pytest.mark.parametrize("size", [MIB, 16 * MIB])
def test_stdin_comes_back_as_stdout(running: System, size: int) -> None:
    text = ("".join(f"{n} line\u2028" for n in range(1000)).encode() * (size // 9000))[:size]
    echoed(running, text.decode("utf-8", "ignore").encode())


@pytest.mark.parametrize("count", [150_000, 2_000_000])
def test_many_small_lines_come_back(running: System, count: int) -> None:
    small_lines(running, count)


def test_code_of_the_most_size_runs(running: System) -> None:
    end = b"\nimport hashlib; print(hashlib.sha256(open(__file__, 'rb').read()).hexdigest())\n"
    code = b"#" + b"x" * (MIB - len(end) - 1) + end
    document = running.run(code)
    assert document["stdout"] == hashlib.sha256(code).hexdigest() + "\n"


def cancelled_amid(folder: Path, window: int, *, tempo: float) -> tuple[int, float]:
    """Cancel a task whose 16 MiB are on their way to a worker that reads little by little.

    Returns:
        How many bytes were read from the moment of the Cancel until it, and the seconds of that.
    """
    reading, cancelling = threading.Event(), threading.Event()
    found: list[tuple[int, float]] = []

    def script(peer: Peer) -> None:
        as_worker(peer, folder / "s" / "keys", "slow", runtimes=["python:slow"])
        attempt = peer.hears("Run")["attempt"]
        for _ in range(4):
            peer.hears("Data")
        reading.set()
        assert cancelling.wait(20)
        before, began = peer.read, time.monotonic()
        while (header := peer.next()) is not None and header["verb"] != "Cancel":
            threading.Event().wait(tempo)
        assert header is not None
        assert header["attempt"] == attempt
        found.append((peer.read - before, time.monotonic() - began))
        peer.say("Refused", attempt=attempt, reason="cancelled before it was whole")

    false = FalseWorker(script, window=window)
    with parts(folder, f"--worker={false.address}") as both:
        eventually("it is linked", lambda: "slow" in both.workers())
        body = json.dumps(
            {"code": "0", "language": "python:slow", "stdin": "x" * 16 * MIB, "wait": False}
        )
        answer = requests.post(
            f"{both.system.url}/execute", data=body, timeout=30,
            headers={"Content-Type": "application/json"},
        )  # fmt: skip
        url = f"{both.system.url}{answer.headers['Location']}"
        assert reading.wait(20)
        cancel = threading.Thread(target=requests.delete, args=(url,), kwargs={"timeout": 30})
        cancel.start()
        state = f"{both.system.debug_url}/healthz"
        assert requests.get(state, timeout=10).ok, "the DELETE was sent before this was answered"
        cancelling.set()
        false.finished()
        cancel.join(30)
        document = requests.get(url, timeout=10).json()
        assert document["outcome"] == "cancelled", document
    false.close()
    return found[0]


def test_a_cancel_overtakes_a_large_transfer(tmp_path: Path) -> None:
    size, _ = cancelled_amid(tmp_path, window=64 * 1024, tempo=0.001)
    assert size < MIB, "what the kernel holds, and a frame or two"
