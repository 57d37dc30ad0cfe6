"""Version 2's logic on folders of plain files: what is written where, and what is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runyard.worker.sandbox.cgroups import files, finding, v2
from runyard.worker.sandbox.cgroups.where import CORE, Base

FILES = {
    "cgroup.procs": "", "cgroup.kill": "", "cgroup.freeze": "0\n", "cpu.stat": "usage_usec 0\n",
    "memory.max": "max\n", "memory.swap.max": "max\n", "memory.current": "4096\n",
    "memory.peak": "8192\n", "memory.events": "low 0\nmax 0\noom 0\noom_kill 3\n",
    "pids.max": "max\n", "pids.events": "max 7\n", "cpu.max": "max 100000\n",
}  # fmt: skip


def made(base: Path, without: str = "") -> v2.Group:
    def mkdir(path: str, mode: int) -> None:
        os.mkdir(path, mode)
        for name in set(FILES) - {without}:
            Path(path, name).write_text(FILES[name])

    return v2.make(Base(2, dict.fromkeys((CORE, "memory", "pids", "cpu"), str(base))), "s0", mkdir)


@pytest.fixture
def group(tmp_path: Path) -> Iterator[v2.Group]:
    group = made(tmp_path)
    yield group
    group.close()


def text(group: v2.Group, name: str) -> str:
    return Path(group.folders[CORE], name).read_text()


def put(group: v2.Group, name: str, value: str) -> None:
    Path(group.folders[CORE], name).write_text(value)


def test_limits_are_written_as_the_kernel_reads_them(group: v2.Group) -> None:
    group.set_limits(64 << 20, 32, 0.5)
    assert text(group, "memory.max") == str(64 << 20)
    assert text(group, "memory.swap.max") == "0"
    assert text(group, "pids.max") == "32"
    assert text(group, "cpu.max") == "50000 100000"
    group.set_limits(None, None, None)
    assert [text(group, n) for n in ("memory.max", "pids.max")] == ["max", "max"]
    assert text(group, "cpu.max") == "max 100000"


def test_only_what_has_changed_is_written(group: v2.Group) -> None:
    group.set_limits(64 << 20, 32, 1.0)
    put(group, "memory.max", "seen")
    put(group, "pids.max", "seen")
    group.set_limits(64 << 20, 33, 1.0)
    assert text(group, "memory.max") == "seen"
    assert text(group, "pids.max") == "33"


def test_a_limit_whose_writing_failed_is_written_again(
    group: v2.Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    group.set_limits(64 << 20, None, None)
    with monkeypatch.context() as patch:
        patch.setattr(files, "write", fail)
        with pytest.raises(files.GroupError):
            group.set_limits(65 << 20, None, None)
    put(group, "memory.max", "unknown")
    group.set_limits(64 << 20, None, None)
    assert text(group, "memory.max") == str(64 << 20)


def fail(path: str, value: str) -> None:
    raise files.GroupError(path, OSError(5, "Input/output error"))


def test_a_quota_is_never_below_what_the_kernel_takes(group: v2.Group) -> None:
    group.set_limits(None, None, 0.000001)
    assert text(group, "cpu.max") == "1000 100000"


def test_files_that_can_be_given_up_are_no_base(group: v2.Group) -> None:
    put(group, "memory.stat", "anon 9000\nfile 3000\nkernel 1000\nshmem 500\n")
    put(group, "memory.current", "13000\n")
    group.note_base()
    assert group.base_bytes == 10500
    assert group.own_bytes(13000) == 13000, "not looked at where it is little"


def test_counters_are_differences(group: v2.Group) -> None:
    put(group, "cpu.stat", "usage_usec 1500000\nuser_usec 9\n")
    group.begin()
    put(group, "cpu.stat", "usage_usec 2000000\nuser_usec 9\n")
    put(group, "memory.events", "low 0\noom 5\noom_kill 4\noom_group_kill 9\n")
    put(group, "pids.events", "max 9\n")
    put(group, "memory.peak", "123456\n")
    assert group.end() == (1, 2, 0.5, 123456)
    assert group.used_s() == 0.5


def test_a_peak_that_cannot_be_reset_is_told_only_where_it_has_grown(group: v2.Group) -> None:
    def refuse(value: bytes) -> None:
        raise files.GroupError("memory.peak", OSError(22, "Invalid argument"))

    group._hot["peak"].write = refuse  # type: ignore[method-assign]
    group.begin()
    assert group.end().peak_bytes is None
    put(group, "memory.peak", "9000\n")
    assert group.end().peak_bytes == 9000
    group.begin()
    assert group.end().peak_bytes is None


def test_an_older_kernel_has_no_peak(tmp_path: Path) -> None:
    group = made(tmp_path, without="memory.peak")
    group.begin()
    assert group.end().peak_bytes is None
    group.close()


def test_killing_is_one_write(group: v2.Group) -> None:
    assert group.kill()
    assert text(group, "cgroup.kill") == "1"


def test_killing_never_kills_this_process(group: v2.Group) -> None:
    put(group, "cgroup.procs", f"{os.getpid()}\n")
    with pytest.raises(files.GroupError, match="this very process"):
        group.kill()
    assert not text(group, "cgroup.kill")


def test_attaching_writes_the_process(group: v2.Group) -> None:
    group.attach(4242)
    assert text(group, "cgroup.procs") == "4242"


def test_a_process_that_we_cannot_see_is_not_listed(group: v2.Group) -> None:
    put(group, "cgroup.procs", "0\n7\n0\n12\n")
    assert group.pids() == [7, 12]


def delegated(path: Path, procs: str = "") -> Base:
    for name, value in (
        ("cgroup.type", "domain\n"), ("cgroup.subtree_control", "pids\n"), ("cgroup.procs", procs),
    ):  # fmt: skip
        (path / name).write_text(value)
    (path / finding.LEAF).mkdir()
    (path / finding.LEAF / "cgroup.procs").write_text("")
    return Base(2, dict.fromkeys((CORE, "memory", "pids"), str(path)))


def test_the_worker_moves_to_a_leaf_before_controllers_are_enabled(tmp_path: Path) -> None:
    base = delegated(tmp_path)
    assert finding.prepare(base, [4242]) == (base, {})
    assert (tmp_path / finding.LEAF / "cgroup.procs").read_text() == "4242"
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory"


def test_the_root_of_all_groups_needs_no_leaf(tmp_path: Path) -> None:
    base = delegated(tmp_path)
    (tmp_path / "cgroup.type").unlink()
    finding.prepare(base, [4242])
    assert not (tmp_path / finding.LEAF / "cgroup.procs").read_text()


def test_others_in_the_group_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = files.write

    def busy(path: str, value: str) -> None:
        if path.endswith("subtree_control"):
            raise files.GroupError(path, OSError(16, "Device or resource busy"))
        write(path, value)

    base = delegated(tmp_path, "17\n18\n")
    monkeypatch.setattr(files, "write", busy)
    narrowed, why_not = finding.prepare(base, [4242])
    assert set(narrowed.folders) == {CORE, "pids"}
    assert "holds other processes (17, 18)" in why_not["memory"]
    assert "Delegate=yes" in why_not["memory"]


def test_a_group_that_is_not_ours_to_write_says_what_to_do(tmp_path: Path) -> None:
    base = Base(2, dict.fromkeys((CORE, "memory"), str(tmp_path / "gone")))
    narrowed, why_not = finding.prepare(base, [4242])
    assert set(narrowed.folders) == {CORE}
    assert "gone/cgroup.subtree_control" in why_not["memory"]
