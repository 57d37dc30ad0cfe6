"""Groups of the running kernel, where this process may make some."""

from __future__ import annotations

import errno
import signal
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from grouped import BASE, NAME, WITH_V1, WITH_V2, Waiting, real_group, run_in, unified
from harness import eventually

from runyard.worker.sandbox.cgroups import files, v1
from runyard.worker.sandbox.cgroups.group import SlotGroup
from runyard.worker.sandbox.cgroups.where import CORE, Base

MIB = 1024 * 1024
LIMIT = 64 * MIB
# 256 MiB at most, in steps: should the limit not hold, nothing else on the machine is harmed.
GREEDY = "held = [bytearray(4096 * 1024) for _ in range(64)]\nprint('held')"
FORKS = """
refused = 0
for _ in range(5):
    try:
        if os.fork() == 0:
            time.sleep(600)
    except OSError:
        refused += 1
print(refused, flush=True)
os._exit(0)
"""
BUSY = "until = time.monotonic() + 0.5\nwhile time.monotonic() < until: pass"
# Each is gone before it can be signalled, unless forks are stopped first. It ends by itself, too.
COMET = """
os.setsid()
until = time.monotonic() + 20
print('flying', flush=True)
os.close(1)
while time.monotonic() < until:
    try:
        if os.fork():
            os._exit(0)
    except OSError:
        time.sleep(0.0001)
"""


@pytest.fixture
def group() -> Iterator[SlotGroup]:
    with real_group(BASE) as group:
        yield group


@WITH_V1
def test_what_uses_more_memory_than_the_limit_is_killed_and_counted(group: SlotGroup) -> None:
    group.set_limits(LIMIT, None, None)
    group.begin()
    assert run_in(group, GREEDY) == (-signal.SIGKILL, b"")
    counted = group.end()
    assert counted.oom_kills == 1
    assert counted.peak_bytes is not None
    assert LIMIT - 8 * MIB < counted.peak_bytes <= LIMIT


@WITH_V1
def test_one_tasks_end_is_not_told_of_the_next(group: SlotGroup) -> None:
    group.set_limits(LIMIT, 2, None)
    group.begin()
    run_in(group, GREEDY)
    group.end()
    group.begin()
    assert run_in(group, "print(1)") == (0, b"1\n")
    oom_kills, refused, cpu_s, peak = group.end()
    assert (oom_kills, refused) == (0, 0)
    assert cpu_s is not None
    assert 0 < cpu_s < 5
    assert peak is not None
    assert peak < LIMIT / 2


@WITH_V1
def test_what_forks_past_the_limit_is_refused_and_counted(group: SlotGroup) -> None:
    group.set_limits(None, 3, None)
    group.begin()
    process = Waiting(FORKS)
    group.attach(process.pid)
    process.go()
    assert process.process.stdout is not None
    assert process.process.stdout.readline() == b"3\n"
    assert group.end().pids_refused == 3
    eventually("two are left", lambda: len(group.pids()) == 2 or process.process.poll())
    group.kill()
    assert process.end()[0] == 0


@WITH_V1
def test_two_busy_processes_share_half_a_core(group: SlotGroup) -> None:
    group.set_limits(None, None, 0.5)
    busy = [Waiting(BUSY) for _ in range(2)]
    for process in busy:
        group.attach(process.pid)
    group.begin()
    for process in busy:
        process.go()
    for process in busy:
        process.end()
    used = group.end().cpu_s
    assert used is not None
    assert 0.1 < used < 0.4  # 0.25, and what a period or two let through


def limits(group: SlotGroup) -> tuple[int, int]:
    folder = Path(group.folders["memory"])
    return int((folder / v1.LIMIT).read_text()), int((folder / v1.WITH_SWAP).read_text())


@WITH_V1
def test_memory_is_raised_and_lowered_with_swap_at_the_same_value(group: SlotGroup) -> None:
    if not Path(group.folders["memory"], v1.WITH_SWAP).exists():
        pytest.skip("swap is not counted here")
    none = limits(group)
    for mebibytes in (64, 128, 32, 128):
        group.set_limits(mebibytes * MIB, None, None)
        assert limits(group) == (mebibytes * MIB, mebibytes * MIB)
    group.set_limits(None, None, None)
    assert limits(group) == none


@WITH_V1
def test_a_write_that_failed_does_not_spoil_the_next(
    group: SlotGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of the two writes fails, in whichever direction."""
    if not Path(group.folders["memory"], v1.WITH_SWAP).exists():
        pytest.skip("swap is not counted here")
    write, failing = files.write, [""]

    def fail(path: str, value: str) -> None:
        if path.endswith(failing[0]):
            raise files.GroupError(path, OSError(errno.EIO, "Input/output error"))
        write(path, value)

    monkeypatch.setattr(files, "write", fail)
    for name, failed, then in product((v1.LIMIT, v1.WITH_SWAP), (32, 128), (16, 64, 96, 256)):
        failing[0] = "no file"
        group.set_limits(64 * MIB, None, None)
        failing[0] = "/" + name
        with pytest.raises(files.GroupError):
            group.set_limits(failed * MIB, None, None)
        failing[0] = "no file"
        group.set_limits(then * MIB, None, None)
        assert limits(group) == (then * MIB, then * MIB)


@WITH_V1
def test_a_quota_above_that_of_a_group_above_is_that_one() -> None:
    with real_group(BASE.only("cpu")) as outer:
        outer.set_limits(None, None, 0.5)
        with real_group(Base(1, {"cpu": outer.folders["cpu"]}), "inner") as inner:
            inner.set_limits(None, None, 2.0)
            assert Path(inner.folders["cpu"], "cpu.cfs_quota_us").read_text() == "-1\n"
            inner.set_limits(None, None, 0.25)
            assert Path(inner.folders["cpu"], "cpu.cfs_quota_us").read_text() == "25000\n"


def kinds() -> list[object]:
    older = BASE.only("pids"), BASE.only("freezer")
    newer = unified()
    return [
        pytest.param(older[0], False, id="pids", marks=WITH_V1),
        pytest.param(older[1], False, id="freezer", marks=WITH_V1),
        pytest.param(newer, False, id="cgroup.kill", marks=WITH_V2),
        pytest.param(newer, True, id="cgroup.freeze", marks=WITH_V2),
    ]


@pytest.mark.parametrize(("base", "by_list"), kinds())
def test_nothing_flies_from_a_kill(base: Base, by_list: bool) -> None:
    with real_group(base) as group:
        group.set_limits(None, 8, None)
        process = Waiting(COMET)
        group.attach(process.pid)
        process.go()
        assert process.end()[1] == b"flying\n"
        began = time.monotonic()
        eventually("none is left", lambda: SlotGroup.kill(group) if by_list else group.kill())
        assert time.monotonic() - began < 15  # it would have ended by itself after 20
        group.begin()
        assert not group.end().pids_refused


STOPS = {"pids": ("pids.max", "0\n", "8\n"), "freezer": ("freezer.state", "FROZEN\n", "THAWED\n"),
         CORE: ("cgroup.freeze", "1\n", "0\n")}  # fmt: skip
STOPPING = [
    pytest.param(BASE.only("pids"), id="pids", marks=WITH_V1),
    pytest.param(BASE.only("freezer"), id="freezer", marks=WITH_V1),
    pytest.param(unified(), id="cgroup.freeze", marks=WITH_V2),
]


@pytest.mark.parametrize("base", STOPPING)
def test_forks_are_stopped_while_what_is_listed_is_killed(base: Base) -> None:
    with real_group(base) as group:
        group.set_limits(None, 8, None)
        controller = next(iter(base.folders))
        name, stopped, going = STOPS[controller]
        path = Path(group.folders[controller], name)
        with group._halted():
            assert path.read_text() == stopped
        assert path.read_text() == going


@WITH_V1
def test_a_group_with_something_in_it_is_not_removed_yet(group: SlotGroup) -> None:
    process = Waiting("")
    group.attach(process.pid)
    assert group.pids() == [process.pid]
    assert not group.remove()
    process.go()
    process.end()


@WITH_V1
def test_errors_name_the_file_and_what_to_do(group: SlotGroup) -> None:
    process = Waiting("")
    process.go()
    process.end()
    with pytest.raises(files.GroupError, match=r"/cgroup\.procs: No such process") as caught:
        group.attach(process.pid)
    assert caught.value.errno == errno.ESRCH
    with pytest.raises(files.GroupError, match=f"{NAME}: File exists"):
        v1.make(BASE, NAME)
    assert all(Path(path).exists() for path in group.paths)


@WITH_V2
def test_version_2_counts_cpu_without_a_controller() -> None:
    base = unified()
    assert base is not None
    with real_group(base) as group:
        group.begin()
        assert run_in(group, BUSY)[0] == 0
        counted = group.end()
        assert counted.cpu_s is not None
        assert 0.05 < counted.cpu_s < 5
        assert counted.peak_bytes is None
        assert set(group.folders) == {CORE}
