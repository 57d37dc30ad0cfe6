"""A peer of the protocol that says what it likes: either role, a real socket, the real keys."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness import select_nothing

from runyard.daemon.keys import CONTROLLER_KEY, FLEET_SECRET, read_private, read_secret
from runyard.protocols.ids import new_token
from runyard.protocols.proofs import Handshake, controller_proof, worker_proof

PATIENCE_S = 20.0
Header = dict[str, Any]


def line(verb: str, **fields: Any) -> bytes:
    """Write a header line."""
    return json.dumps({"verb": verb, **fields}).encode() + b"\n"


class Peer:
    """One connection, read and written with patience but never for ever."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(PATIENCE_S)
        self.port = sock.getsockname()[1] if sock.family == socket.AF_INET else 0
        self.seen: list[Header] = []
        self.said: list[bytes] = []
        self.read = 0
        """Bytes that have been read."""
        self._buffer = b""

    def write(self, data: bytes) -> bool:
        """Send; False when the other side has closed before it took everything."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def say(self, verb: str, *payloads: bytes, **fields: Any) -> bool:
        """Send a message in the plain way."""
        if payloads:
            fields["payload"] = [len(each) for each in payloads]
        self.said.append(line(verb, **fields) + b"".join(payloads))
        return self.write(self.said[-1])

    def next(self) -> Header | None:
        """Read the next header (its payload is in `raw`); None when the connection has ended."""
        while b"\n" not in self._buffer:
            if not self._more():
                return None
        head, _, self._buffer = self._buffer.partition(b"\n")
        header: Header = json.loads(head)
        if "stream" not in header or header["verb"] == "Data":
            size = sum(header.get("payload", []))
            while len(self._buffer) < size:
                if not self._more():
                    return None
            header["raw"], self._buffer = self._buffer[:size], self._buffer[size:]
        self.seen.append(header)
        return header

    def hears(self, verb: str) -> Header:
        """Read until a verb comes, and live: Pings are answered."""
        while (header := self.next()) is not None:
            if header["verb"] == verb:
                return header
            if header["verb"] == "Ping":
                self.write(line("Pong", beat=header["beat"]))
        raise AssertionError(f"the connection ended before {verb}; {self.verbs()}")

    def nags(self, pause: float, taste: int = 0) -> float:
        """Ping again and again, reading at most `taste` bytes between; give how long it lasted."""
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE_S and self.say("Ping"):
            select_nothing(pause)
            try:
                if taste and not self.sock.recv(taste):
                    break
            except ConnectionResetError:
                break
        return time.monotonic() - began

    def ended(self) -> bool:
        """Read until the connection has ended."""
        with suppress(TimeoutError):
            while self.next() is not None:
                pass
            return True
        return False

    def verbs(self) -> list[str]:
        """Name what has come."""
        return [each["verb"] for each in self.seen]

    def drain(self) -> int:
        """Read until the end without a look; give the number of bytes."""
        total = 0
        with suppress(TimeoutError, ConnectionResetError):
            while size := len(self.sock.recv(1 << 20)):
                total += size
        return total

    def reason(self) -> str:
        """Give what the other side's Error said, if one came."""
        return next((each["reason"] for each in self.seen if each["verb"] == "Error"), "")

    def close(self) -> None:
        self.sock.close()

    def _more(self) -> bool:
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            return False
        self._buffer += data
        self.read += len(data)
        return bool(data)


def dial(port: int | str, window: int = 0) -> Peer:
    """Connect to a loopback port or a unix socket; `window` makes its receive buffer small."""
    if window and isinstance(port, int):
        small = socket.socket()
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        small.connect(("127.0.0.1", port))
        return Peer(small)
    if isinstance(port, int):
        return Peer(socket.create_connection(("127.0.0.1", port), PATIENCE_S))
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(port)
    return Peer(sock)


def as_controller(peer: Peer, keys: Path, name: str = "false", **changes: Any) -> Header:
    """Prove ourselves to a worker, and hear what it has; gives its Hello."""
    hello = peer.hears("Hello")
    welcome = {"version": 1, "name": name, "heartbeat": 60.0, "silence": 120.0, **changes}
    nonce = new_token()
    shake = Handshake(1, hello["name"], hello["boot"], name, hello["nonce"], nonce)
    proof = controller_proof(read_private(keys / CONTROLLER_KEY), shake)
    peer.say("Welcome", nonce=nonce, proof=proof, **welcome)
    peer.hears("Proof")
    peer.say("Resume", attempts=[])
    peer.hears("Inventory")
    return hello


def greeting(worker: str, **changes: Any) -> Header:
    """Make a worker's Hello."""
    hello = {
        "versions": [1], "name": worker, "boot": new_token(), "slots": 1, "isolation": "none",
        "nonce": new_token(), "runtimes": ["python"],
    }  # fmt: skip
    return {**hello, **changes}


def as_worker(peer: Peer, keys: Path, name: str, **changes: Any) -> Header:
    """Prove ourselves to a scheduler, and answer its Resume; gives its Welcome."""
    hello = greeting(name, **changes)
    peer.say("Hello", **hello)
    welcome = peer.hears("Welcome")
    shake = Handshake(1, name, hello["boot"], welcome["name"], hello["nonce"], welcome["nonce"])
    peer.say("Proof", proof=worker_proof(read_secret(keys / FLEET_SECRET), shake))
    peer.hears("Resume")
    peer.say("Inventory", running=[], finished=[])
    return welcome


Script = Callable[[Peer], None]


class FalseWorker:
    """An address that a scheduler dials; each connection is given to a script, in a thread.

    What the script raises is kept in `failures`. With `once` it listens no more after the first.
    """

    def __init__(self, script: Script, *, once: bool = True, window: int = 0) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        if window:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.address = f"tcp:127.0.0.1:{self.listener.getsockname()[1]}"
        self.port: int = self.listener.getsockname()[1]
        self.failures: list[BaseException] = []
        self.peers: list[Peer] = []
        self.took = 0.0
        self.over = threading.Event()
        self._script = script
        self._once = once
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                peer = Peer(self.listener.accept()[0])
                if self._once:
                    self.listener.close()
                self.peers.append(peer)
                self._play(peer)
                if self._once:
                    return

    def _play(self, peer: Peer) -> None:
        began = time.monotonic()
        try:
            self._script(peer)
        except BaseException as failure:  # noqa: BLE001 (it is shown by the test)
            self.failures.append(failure)
        finally:
            self.took = time.monotonic() - began
            peer.close()
            self.over.set()

    def finished(self) -> None:
        """Wait for the script's end, and fail as it has failed."""
        assert self.over.wait(2 * PATIENCE_S), "its script has not ended"
        if self.failures:
            raise self.failures[0]

    def close(self) -> None:
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for peer in self.peers:
            with suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE_S)


def free_port() -> int:
    """Give a port of loopback that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
