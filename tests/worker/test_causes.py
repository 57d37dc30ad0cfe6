"""Which limit an end proves, a reason at a time; and what does not prove one."""

from __future__ import annotations

from typing import Any

import pytest

from runyard.protocols.limits import MIB, Limits
from runyard.protocols.tasks import LimitHit, Reason
from runyard.worker.causes import memory_limit, proven_limit, refused_limit
from runyard.worker.sandbox.interface import Ending
from runyard.worker.verdict import verdict

LIMITS = Limits(wall_s=2, cpu_s=1, memory_bytes=64 * MIB, processes=8, disk_bytes=4 * MIB)


def ending(**fields: Any) -> Ending:
    usual: dict[str, Any] = {
        "status": 0, "stdout": b"", "stderr": b"", "stdout_truncated": False,
        "stderr_truncated": False, "full": None, "measured": 0, "wall_s": 0.5, "cpu_s": 0.1,
        "max_rss_bytes": MIB,
    }  # fmt: skip
    return Ending(**(usual | fields))


def proven(
    signal_text: str | None, stopped: Reason | None = None, **fields: Any
) -> tuple[Any, ...] | None:
    if "cpu_s" in fields:
        fields = {"main_cpu_s": fields["cpu_s"]} | fields
    hit = proven_limit(ending(**fields), LIMITS, stopped, signal_text)
    return None if hit is None else (hit[0], hit[2].name, hit[2].allowed, hit[2].measured)


OUTPUT = (Reason.OUTPUT_LIMIT, "output_bytes", LIMITS.output_bytes, 2 * MIB)
WALL = (Reason.TIMEOUT, "wall_s", 2, 2.5)
TREE = (Reason.CPU_LIMIT, "cpu_s", 1, 1.2)


@pytest.mark.parametrize(
    ("signal_text", "stopped", "fields", "want"),
    [
        ("SIGKILL", None, {"full": "stdout", "measured": 2 * MIB}, OUTPUT),
        (None, None, {"full": "stderr", "measured": 2 * MIB}, OUTPUT),
        ("SIGKILL", None, {"full": "stdout", "measured": 2 * MIB, "over_cpu": True}, OUTPUT),
        ("SIGKILL", None, {"late": True, "wall_s": 2.5}, WALL),
        ("SIGKILL", Reason.TIMEOUT, {"wall_s": 2.5}, WALL),
        (None, Reason.TIMEOUT, {"wall_s": 2.5}, WALL),
        (None, Reason.TIMEOUT, {"wall_s": 1.9}, None),
        ("SIGKILL", None, {"wall_s": 2.5}, None),
        ("SIGKILL", None, {"over_cpu": True, "cpu_s": 1.2}, TREE),
        ("SIGKILL", Reason.TIMEOUT, {"over_cpu": True, "cpu_s": 1.2, "wall_s": 2.5}, TREE),
        (None, None, {"over_cpu": True, "cpu_s": 1.2}, None),
        ("SIGXCPU", None, {"cpu_s": 1.2}, TREE),
        ("SIGXCPU", None, {"cpu_s": 0.2}, None),
        ("SIGKILL", None, {"cpu_s": 1.2}, None),
        ("SIGKILL", None, {"cpu_s": 5.0, "main_cpu_s": 0.1}, None),
        ("SIGKILL", None, {"cpu_s": 5.0, "main_cpu_s": None}, None),
        ("SIGXCPU", None, {"cpu_s": 5.0, "main_cpu_s": None}, None),
        ("SIGXCPU", None, {"cpu_s": 5.0, "main_cpu_s": 1.2}, TREE),
        ("SIGSEGV", None, {"cpu_s": 1.2}, None),
        ("SIGKILL", None, {"oom_kills": 1}, None),
        (None, None, {}, None),
    ],
)  # fmt: skip
def test_a_limit_is_named_where_it_is_proven(
    signal_text: str | None,
    stopped: Reason | None,
    fields: dict[str, Any],
    want: tuple[Any, ...] | None,
) -> None:
    assert proven(signal_text, stopped, **fields) == want


def test_memory_is_named_where_the_kernel_killed_for_it() -> None:
    assert memory_limit(ending(max_rss_bytes=10**12), LIMITS) is None
    for peak, measured in ((None, 64 * MIB), (70 * MIB, 70 * MIB), (60 * MIB, 64 * MIB)):
        hit = memory_limit(ending(oom_kills=1, peak_bytes=peak), LIMITS)
        assert hit is not None
        assert (hit[0], hit[2].allowed, hit[2].measured) == (
            Reason.MEMORY_LIMIT, 64 * MIB, measured,
        )  # fmt: skip


THREAD = {"type": "RuntimeError", "message": "can't start new thread"}
FORK = {"type": "BlockingIOError", "message": "[Errno 11] Resource temporarily unavailable"}
NO_SPACE = {"type": "OSError", "message": "[Errno 28] No space left on device"}
FULL_DISK = LimitHit("disk_bytes", 4 * MIB, 4 * MIB)
OTHER = {"type": "KeyError", "message": "'x'"}


@pytest.mark.parametrize(
    ("fields", "error", "want"),
    [
        ({"pids_refused": 1}, None, None),
        ({"pids_refused": 1}, {"threads": 1}, None),
        ({"pids_refused": 1}, THREAD, Reason.PROCESS_LIMIT),
        ({"pids_refused": 1}, FORK, Reason.PROCESS_LIMIT),
        ({"pids_refused": 1}, OTHER, None),
        ({"pids_refused": 1}, {"type": "RuntimeError", "message": "mine"}, None),
        ({}, FORK, None),
        ({"disk_full": True}, None, None),
        ({"names_full": 99}, None, None),
        ({"names_full": 99}, OTHER, None),
        ({"names_full": 99}, NO_SPACE, Reason.DISK_LIMIT),
        ({"disk_full": True}, NO_SPACE, Reason.DISK_LIMIT),
        ({"disk_full": True}, OTHER, None),
        ({"disk_full": True}, {"type": "OSError", "message": "[Errno 2] x"}, None),
        ({}, NO_SPACE, None),
        ({"pids_refused": 1, "disk_full": True}, NO_SPACE, Reason.DISK_LIMIT),
    ],
)
def test_what_was_refused_is_named_where_the_failure_speaks_of_it(
    fields: dict[str, Any], error: Any, want: Reason | None
) -> None:
    hit = refused_limit(ending(status=256, **fields), LIMITS, error)
    assert (None if hit is None else hit[0]) == want


@pytest.mark.parametrize(
    ("fields", "want"),
    [
        ({"disk_full": True}, (FULL_DISK, "limit of 4194304 bytes.")),
        ({"names_full": 99}, (None, "files and folders as it may have: 99.")),
        ({"disk_full": True, "names_full": 99}, (FULL_DISK, "limit of 4194304 bytes.")),
    ],
)
def test_names_that_ran_out_are_not_bytes(fields: dict[str, Any], want: Any) -> None:
    hit = refused_limit(ending(status=256, **fields), LIMITS, NO_SPACE)
    assert hit is not None
    assert hit[2] == want[0]
    assert hit[1].endswith(want[1])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "It ended with exit code 3."),
        ({"pids_refused": 2}, "code 3; it had been refused a process at its limit of 8."),
        ({"disk_full": True, "names_full": 9}, "; its files filled its limit of 4194304 bytes."),
        ({"names_full": 9}, "code 3; it had as many files and folders as it may have: 9."),
    ],
)
def test_a_refusal_that_was_caught_is_told_beside_the_code(
    fields: dict[str, Any], said: str
) -> None:
    ended = verdict(ending(status=3 << 8, **fields), LIMITS, None, "full")
    assert (ended.reason, ended.limit) == (Reason.EXIT_CODE, None)
    assert ended.detail.endswith(said)
