"""One jail without a reactor, for the probe at start: made, asked to run a program, ended."""

from __future__ import annotations

import array
import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from runyard.worker.sandbox.inputs import memory_file

JANITOR = Path(__file__).with_name("janitor.py")
MAX_PACKET = 4 * 1024
MOST_OUTPUT = 64 * 1024


class JailFailed(Exception):
    """The jail could not be made or did not answer; the text says why."""


@frozen
class Seen:
    """What became of a program: its wait status and what it wrote."""

    status: int
    stdout: bytes
    stderr: bytes


class DirectJail:
    """A janitor and one zygote of its."""

    def __init__(self, janitor: socket.socket, slot: socket.socket, log: Any) -> None:
        self._janitor = janitor
        self._slot = slot
        self._log = log

    def start(self, zygote: dict[str, Any], theirs: socket.socket, seconds: float) -> None:
        """Start the zygote and wait until a child of it is ready. Raises JailFailed."""
        send(self._janitor, zygote | {"zygote": 1}, [theirs.fileno()])
        theirs.close()
        until = time.monotonic() + seconds
        while True:
            if self._said(self._slot, 0.0) is not None:
                return
            told = self._said(self._janitor, 0.05)
            if told is not None and ("failed" in told or "exited" in told):
                raise JailFailed(told.get("failed") or self.complaint())
            if time.monotonic() > until:
                raise JailFailed(f"the jail was not ready within {seconds:g} s")

    def wait_ready(self, seconds: float) -> None:
        """Wait until a helper that is already there says that it is ready. Raises JailFailed."""
        if self._said(self._slot, seconds) is None:
            raise JailFailed(f"a slot's helper was not ready within {seconds:g} s")

    def run(self, order: bytes, code: bytes, seconds: float) -> Seen:
        """Run a program to its end. Raises JailFailed."""
        with contextlib.ExitStack() as stack:
            given = [memory_file(content) for content in (order, code, b"", b"")]
            pipes = [os.pipe(), os.pipe()]
            for descriptor in (*given, *(end for pipe in pipes for end in pipe)):
                stack.callback(os.close, descriptor)
            send(self._slot, {"run": "probe"}, [*given[:3], *(pipe[1] for pipe in pipes), given[3]])
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                told = self._said(self._slot, 0.1)
                if told is not None and "failed" in told:
                    raise JailFailed(told["failed"])
                if told is not None and "ended" in told:
                    stdout, stderr = (content(pipe[0]) for pipe in pipes)
                    return Seen(told["ended"], stdout, stderr)
        raise JailFailed(f"a program in the jail did not end within {seconds:g} s")

    def complaint(self) -> str:
        """Give what the jail has written to its log."""
        self._log.seek(0)
        text = self._log.read(MOST_OUTPUT).decode("utf-8", "replace").strip()
        return text.splitlines()[-1] if text else "it ended without a word"

    def _said(self, channel: socket.socket, seconds: float) -> dict[str, Any] | None:
        if not select.select([channel], [], [], seconds)[0]:
            return None
        try:
            data, rights, _, _ = socket.recv_fds(channel, MAX_PACKET, 2)
        except ConnectionResetError:  # it ended with packets of ours unread
            data, rights = b"", []
        for descriptor in rights:
            os.close(descriptor)
        if not data:
            raise JailFailed(self.complaint())
        values: dict[str, Any] = json.loads(data)
        return values


def send(channel: socket.socket, packet: dict[str, Any], descriptors: list[int]) -> None:
    """Send a packet with descriptors, which stay ours."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
    channel.sendmsg([json.dumps(packet).encode()], rights)


def content(pipe: int) -> bytes:
    """Read what a pipe holds, without waiting."""
    os.set_blocking(pipe, False)
    try:
        return os.read(pipe, MOST_OUTPUT)
    except BlockingIOError:
        return b""


@contextlib.contextmanager
def direct_jail(
    layout: dict[str, Any], zygote: dict[str, Any], log: Any, seconds: float
) -> Iterator[DirectJail]:
    """Have a jail for a while; `log` is a file that takes what its processes complain of.

    Raises:
        JailFailed: it could not be made.
        OSError: not even the janitor could be started.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    slot, zygotes = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    described = memory_file(json.dumps(layout).encode())
    with ours, slot:
        argv = [sys.executable, "-I", "-S", str(JANITOR), str(theirs.fileno())]
        process = subprocess.Popen(  # noqa: S603 (our own program)
            argv, env={}, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
            pass_fds=[theirs.fileno()],
        )  # fmt: skip
        theirs.close()
        try:
            send(ours, {"layout": True}, [described])
            jail = DirectJail(ours, slot, log)
            jail.start(zygote, zygotes, seconds)
            yield jail
        finally:
            os.close(described)
            zygotes.close()
            ours.close()
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
