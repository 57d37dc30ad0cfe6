"""A real janitor that lacks something for one zygote: that one fails, and it serves on."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runyard.worker.sandbox.inputs import memory_file
from runyard.worker.sandbox.jail.janitors import PROGRAM

LOW = 3
"""The lowest number that a janitor of the tests has free: its socket has a high one."""
HIGH = 64
ANSWER_S = 10.0


class Janitor:
    """A janitor in a process, told by the test."""

    def __init__(self) -> None:
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.settimeout(ANSWER_S)
        with theirs:
            high = fcntl.fcntl(theirs, fcntl.F_DUPFD_CLOEXEC, HIGH)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(PROGRAM), str(high)],
                pass_fds=[high], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        finally:
            os.close(high)

    def asks(self, packet: dict[str, Any], *, descriptor: bool = True) -> None:
        content = [memory_file(b"{}")] if descriptor else []
        socket.send_fds(self.ours, [json.dumps(packet).encode()], content)
        for each in content:
            os.close(each)

    def starts(self, name: int, *groups: str, descriptor: bool = True) -> None:
        uid = None if os.geteuid() else 7
        usual: dict[str, Any] = {"uid": uid, "env": {}, "argv": ["/bin/true"], "settings": []}
        self.asks(usual | {"zygote": name, "groups": groups, "files": []}, descriptor=descriptor)

    def says(self) -> dict[str, Any]:
        data, descriptors, _, _ = socket.recv_fds(self.ours, 4096, 2)
        for each in descriptors:
            os.close(each)
        told: dict[str, Any] = json.loads(data)
        return told

    def may_open(self, more: int) -> None:
        limit = (LOW + more, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, limit)


@pytest.fixture
def janitor() -> Iterator[Janitor]:
    made = Janitor()
    yield made
    made.ours.close()
    assert made.process.wait(ANSWER_S) == 0


def test_a_zygote_that_cannot_be_started_fails_alone_and_says_why(janitor: Janitor) -> None:
    janitor.starts(1, descriptor=False)
    assert "its socket did not come" in janitor.says()["failed"]
    for free in range(4):  # for its socket, the two of the pipe, the pidfd
        janitor.may_open(free)
        janitor.starts(free)
        told = janitor.says()
        assert (told["zygote"], list(told)) == (free, ["zygote", "failed"])
        assert "descriptor is free" in told["failed"] or "open files" in told["failed"]
    janitor.may_open(HIGH - LOW)
    janitor.starts(9)
    assert "pid" in janitor.says()


def test_one_whose_group_takes_no_process_tells_why_with_its_end(
    janitor: Janitor, tmp_path: Path
) -> None:
    janitor.starts(1, str(tmp_path / "none"))
    told = janitor.says()
    assert (told["zygote"], told["exited"]) == (1, 9)
    assert str(tmp_path) in told["failed"]


def test_without_its_layout_it_ends_so_that_another_is_started(janitor: Janitor) -> None:
    janitor.asks({"layout": True}, descriptor=False)
    assert janitor.process.wait(ANSWER_S) == 0


def test_groups_are_the_worker_s_to_read_and_remove_while_it_is_there(
    janitor: Janitor, tmp_path: Path
) -> None:
    groups = [tmp_path / "a", tmp_path / "b"]
    for name, group in enumerate(groups):
        group.mkdir()  # attaching fails where there is a folder in place of its file
        (group / "cgroup.procs").mkdir()
        janitor.starts(name, str(group))
        assert "exited" in janitor.says()
        (group / "cgroup.procs").rmdir()
    assert all(group.exists() for group in groups)
    groups[0].rmdir()
    janitor.ours.close()
    assert janitor.process.wait(ANSWER_S) == 0
    assert not groups[1].exists()
