"""Which limit ended a task, as far as what was measured proves it: pure."""

from __future__ import annotations

import math

from runyard.protocols.inspected import Record
from runyard.protocols.limits import Limits
from runyard.protocols.tasks import LimitHit, Reason
from runyard.worker.sandbox.interface import Ending

CPU_SLACK_S = 0.25
"""How far below the limit the measured time may be: the kernel counts the limit by its ticks."""
REFUSED_PROCESS = ("BlockingIOError", "RuntimeError", "OSError")
"""What Python raises where it gets no process or no thread; RuntimeError for threads alone."""

Hit = tuple[Reason, str, LimitHit]


def proven_limit(
    ending: Ending, limits: Limits, stopped: Reason | None, signal_text: str | None
) -> Hit | None:
    """Name the limit for which a task was ended, whatever became of it by itself.

    In the order of proof: a stream past its cap, what only processor time ends, the wall limit,
    and a SIGKILL where the kernel would have sent one.
    """
    cpu = _cpu(ending, limits, signal_text)
    sure = cpu if ending.over_cpu or signal_text == "SIGXCPU" else None
    return _output(ending, limits) or sure or _wall(ending, limits, stopped, signal_text) or cpu


def memory_limit(ending: Ending, limits: Limits) -> Hit | None:
    """Name memory where the kernel's own counter says that it killed for it."""
    if not ending.oom_kills:
        return None
    measured = ending.peak_bytes if ending.peak_bytes is not None else limits.memory_bytes
    hit = LimitHit("memory_bytes", limits.memory_bytes, max(measured, limits.memory_bytes))
    text = f"It used more than its limit of {limits.memory_bytes} bytes of memory."
    return Reason.MEMORY_LIMIT, text, hit


def refused_limit(
    ending: Ending, limits: Limits, error: Record | None
) -> tuple[Reason, str, LimitHit | None] | None:
    """Name the limit at which a task that failed was refused something.

    The kernel says that it was; that the failure comes of it is proven by the exception alone. A
    program can be refused something, mind nothing, and fail for another reason.
    """
    told = error.get("type") if error is not None else None
    message = str(error.get("message", "")) if error is not None else ""
    no_process = told in REFUSED_PROCESS and ("thread" in message or "[Errno 11]" in message)
    no_room = told == "OSError" and "[Errno 28]" in message
    if ending.pids_refused and no_process:
        hit = LimitHit("processes", limits.processes, limits.processes + 1)
        text = f"It started more processes and threads than its limit of {limits.processes}."
        return Reason.PROCESS_LIMIT, text, hit
    if ending.disk_full and no_room:
        hit = LimitHit("disk_bytes", limits.disk_bytes, limits.disk_bytes)
        text = f"Its files passed its limit of {limits.disk_bytes} bytes."
        return Reason.DISK_LIMIT, text, hit
    if ending.names_full and no_room:
        text = f"It made as many files and folders as it may have: {ending.names_full}."
        return Reason.DISK_LIMIT, text, None  # a number that is none of its limits
    return None


def refusals(ending: Ending, limits: Limits) -> str:
    """Say what a task was refused that ended by an exit code, without a claim that it is why."""
    found = []
    if ending.pids_refused:
        found.append(f"it had been refused a process at its limit of {limits.processes}")
    if ending.disk_full:
        found.append(f"its files filled its limit of {limits.disk_bytes} bytes")
    elif ending.names_full:
        found.append(f"it had as many files and folders as it may have: {ending.names_full}")
    return "".join(f"; {each}" for each in found)


def _output(ending: Ending, limits: Limits) -> Hit | None:
    if ending.full is None:
        return None
    hit = LimitHit("output_bytes", limits.output_bytes, ending.measured)
    text = f"Its {ending.full} passed {limits.output_bytes} bytes, so it was stopped."
    return Reason.OUTPUT_LIMIT, text, hit


def _cpu(ending: Ending, limits: Limits, signal_text: str | None) -> Hit | None:
    spent = 0.0 if ending.main_cpu_s is None else ending.main_cpu_s
    # The kernel sends SIGXCPU at the limit, and SIGKILL a second later (rlimits.py).
    ends = {"SIGXCPU": limits.cpu_s, "SIGKILL": math.ceil(limits.cpu_s) + 1}
    if not ending.over_cpu and spent < ends.get(signal_text or "", math.inf) - CPU_SLACK_S:
        return None
    if signal_text is None:  # it ended by itself before the kill
        return None
    measured = ending.cpu_s if ending.over_cpu else spent
    hit = LimitHit("cpu_s", limits.cpu_s, round(measured, 3))
    text = f"It used more than its limit of {limits.cpu_s:g} s of processor time."
    return Reason.CPU_LIMIT, text, hit


def _wall(
    ending: Ending, limits: Limits, stopped: Reason | None, signal_text: str | None
) -> Hit | None:
    past = signal_text == "SIGKILL" or ending.wall_s > limits.wall_s
    if not past or not (stopped is Reason.TIMEOUT or ending.late):
        return None
    hit = LimitHit("wall_s", limits.wall_s, round(ending.wall_s, 3))
    text = f"It ran longer than its limit of {limits.wall_s:g} s and was stopped."
    return Reason.TIMEOUT, text, hit
