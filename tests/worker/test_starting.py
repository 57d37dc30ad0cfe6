"""What the forked child does to itself, tried in processes of their own."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runyard.worker.sandbox import starting, sweeping


def in_a_child(code: str) -> str:
    path = str(Path(starting.__file__).parent)
    source = (
        f"import sys; sys.path.append({path!r})\nimport os, resource, starting, sweeping\n{code}"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", source], capture_output=True, text=True, timeout=30,
        check=False,
    )  # fmt: skip
    assert not done.stderr
    return done.stdout


def test_a_limit_above_an_inherited_one_that_may_not_be_raised_is_that_one() -> None:
    code = (
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))\n"
        "real = resource.setrlimit\n"
        "def strict(which, pair):\n"
        "    if pair[1] > resource.getrlimit(which)[1]: raise ValueError('not allowed')\n"
        "    real(which, pair)\n"
        "resource.setrlimit = strict\n"
        "starting._limit(resource.RLIMIT_NOFILE, 1024, 1024)\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))\n"
        "starting._limit(resource.RLIMIT_NOFILE, 50, 60)\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    assert in_a_child(code) == "(100, 100)\n(50, 60)\n"


def test_a_process_that_may_not_be_ended_is_no_crash() -> None:
    code = (
        "import signal, subprocess\n"
        "child = subprocess.Popen(['/bin/sleep', '60'])\n"
        "real = signal.pidfd_send_signal\n"
        "def forbidden(process, number): raise PermissionError\n"
        "signal.pidfd_send_signal = forbidden\nprint(sweeping.sweep(0.1, sweeping.Usage()))\n"
        "signal.pidfd_send_signal = real\nprint(sweeping.sweep(5.0, sweeping.Usage()))"
    )
    assert in_a_child(code) == "False\nTrue\n"


def test_a_stranger_that_has_a_listed_number_by_now_is_left_alone() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as stranger:
        try:
            code = (
                "import subprocess\n"
                "child = subprocess.Popen(['/bin/sleep', '60'])\n"
                "listed = sweeping.children_of\n"
                f"sweeping.children_of = lambda parents: [{stranger.pid}, *listed(parents)]\n"
                "print(sweeping.sweep(5.0, sweeping.Usage()))"
            )
            assert in_a_child(code) == "True\n"
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_processes_that_are_far_down_are_ended_too() -> None:
    code = (
        "import signal\n"
        "starting.prctl(36, 1, 0, 0, 0)\n"  # a subreaper, as the helper is
        "me, (reading, writing) = os.getpid(), os.pipe()\n"
        "for _ in range(3 * sweeping.DEPTH):\n"
        "    if os.fork(): break\n"
        "else: os.write(writing, b'x')\n"
        "if os.getpid() != me: signal.pause()\n"
        "os.read(reading, 1)\n"
        "print(len(sweeping.children_of({me})), sweeping.sweep(5.0, sweeping.Usage()))"
    )
    assert in_a_child(code) == "96 True\n"


def test_a_signal_that_is_blocked_here_is_not_in_the_job() -> None:
    code = (
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, {15, 34})\n"
        "given = dict(rlimits={}, uid=None, gid=None, cwd='/', env={},"
        " argv=['/bin/grep', 'SigBlk', '/proc/self/status'])\n"
        "pid, _ = starting.spawn(given, [0, 0, 0, 1, 2])\nos.waitpid(pid, 0)"
    )
    assert in_a_child(code).split() == ["SigBlk:", "0" * 16]


def order(**more: object) -> dict[str, object]:
    fields: dict[str, object] = {
        "rlimits": {}, "uid": None, "gid": None, "cwd": "/", "argv": ["/bin/true"], "env": {},
    }  # fmt: skip
    return fields | more


def open_now() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_machine_with_no_process_free_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "PAUSES_S", (0.01, 0.01))
    tries = []

    def busy() -> int:
        tries.append(1)
        raise BlockingIOError(11, "Resource temporarily unavailable")

    before = open_now()
    monkeypatch.setattr(os, "fork", busy)
    with pytest.raises(BlockingIOError):
        starting.spawn(order(), [])
    assert len(tries) == 3
    assert open_now() == before
    monkeypatch.undo()
    pid, began = starting.spawn(order(), [])
    assert os.waitpid(pid, 0)[1] == 0
    assert 0 <= time.monotonic() - began < 60


def test_what_stops_a_job_before_its_exec_comes_with_its_number() -> None:
    before = open_now()
    with pytest.raises(FileNotFoundError, match="No such file"):
        starting.spawn(order(argv=["/no/such/program"]), [])
    with pytest.raises(OSError, match=r"ValueError|OSError"):
        starting.spawn(order(rlimits={"RLIMIT_CORE": (2, 1)}), [])
    assert open_now() == before
    assert sweeping.children_of({os.getpid()}) is not None
    assert resource.getrlimit(resource.RLIMIT_CORE)[0] != 2
