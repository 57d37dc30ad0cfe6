"""Turning a forked child into a job. Loaded by path by the helper: standard library only."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import time

FALSE: bool = False
if FALSE:  # for the type checker alone
    from typing import Any, Protocol

    class Confinement(Protocol):
        """What a job gives up in addition (confining.py), or None: nothing."""

        def begin(self, order: dict[str, Any]) -> int:
            """Prepare it, before the uid is changed. Raises OSError."""

        def finish(self, ruleset: int) -> None:
            """Do it, just before the exec. Raises OSError."""


PR_SET_PDEATHSIG = 1  # linux/prctl.h
MAX_DESCRIPTORS = 4096
REPORT = 3
PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8)

prctl = ctypes.CDLL(None, use_errno=True).prctl


def spawn(
    order: dict[str, Any], descriptors: list[int], confinement: Confinement | None = None
) -> tuple[int, float]:
    """Fork the job; give its pid, and when that was by the monotonic clock.

    A machine that has no process free is asked again for a while.

    Raises:
        OSError: what stopped it before its exec.
    """
    for pause in PAUSES_S:
        try:
            return _spawn(order, descriptors, confinement)
        except BlockingIOError:  # EAGAIN, of fork or of exec: others of its user have them all
            time.sleep(pause)
    return _spawn(order, descriptors, confinement)


def _spawn(
    order: dict[str, Any], descriptors: list[int], confinement: Confinement | None
) -> tuple[int, float]:
    report, write_end = os.pipe()
    launcher, began = os.getpid(), time.monotonic()
    try:
        pid = os.fork()
        if pid == 0:
            _child(order, descriptors, launcher, write_end, confinement)
        os.close(write_end)
        write_end = -1
        trouble = os.read(report, 1000)
    finally:
        os.close(report)
        if write_end >= 0:
            os.close(write_end)
    if trouble:
        os.waitpid(pid, 0)
        number, text = json.loads(trouble)
        raise OSError(number, text) if number else OSError(text)
    return pid, began


def _child(
    order: dict[str, Any],
    descriptors: list[int],
    launcher: int,
    write_end: int,
    confinement: Confinement | None,
) -> None:
    try:
        os.dup2(write_end, REPORT, inheritable=False)
        _become(order, descriptors, launcher, confinement)
    except BaseException as error:  # noqa: BLE001 (a forked child must never return)
        text = f"{type(error).__name__}: {error}"[:150]
        os.write(REPORT, json.dumps([getattr(error, "errno", None), text]).encode())
    finally:
        os._exit(127)


def _become(
    order: dict[str, Any], descriptors: list[int], launcher: int, confinement: Confinement | None
) -> None:
    """Turn this forked child into the job; returns only by raising."""
    os.setsid()
    for target, source in enumerate(descriptors[2:5]):
        os.dup2(source, target)
    os.closerange(REPORT + 1, MAX_DESCRIPTORS)
    be_the_first_to_go()
    # Exec keeps what is blocked: whoever started the worker may have blocked some.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for name, (soft, hard) in order["rlimits"].items():
        _limit(getattr(resource, name), soft, hard)
    ruleset = confinement.begin(order) if confinement is not None else -1
    if order["uid"] is not None:
        os.setgroups([])
        os.setresgid(order["gid"], order["gid"], order["gid"])
        os.setresuid(order["uid"], order["uid"], order["uid"])
    # After setresuid, which clears it: the job must not outlive this process.
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != launcher:
        raise OSError("the helper ended while the job was started")
    os.chdir(order["cwd"])
    if confinement is not None:
        confinement.finish(ruleset)
    os.execve(order["argv"][0], order["argv"], order["env"])  # noqa: S606 (that is our purpose)


def be_the_first_to_go() -> None:
    """Where the machine's memory runs out, this process is killed rather than who runs it."""
    with contextlib.suppress(OSError):
        adjustment = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        try:
            os.write(adjustment, b"1000")
        finally:
            os.close(adjustment)


def _limit(which: int, soft: int, hard: int) -> None:
    """Set a limit; where we may not raise an inherited one, that one stays the bound."""
    try:
        resource.setrlimit(which, (soft, hard))
    except (ValueError, OSError):
        _, most = resource.getrlimit(which)
        if most == resource.RLIM_INFINITY:
            raise
        resource.setrlimit(which, (min(soft, most), min(hard, most)))
