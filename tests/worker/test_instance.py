"""A run's folder: what it records, and what a later run finds of those that are gone."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runyard.worker.sandbox import instance, record
from runyard.worker.sandbox.instance import Instance, InstanceUnusable, forget, leftovers
from runyard.worker.sandbox.record import Thing

BASE = b'{"base": "/sys/fs/cgroup", "kind": "cgroup"}\n'
HOLDER = """
import sys
sys.path.insert(0, sys.argv[1])
import instance
held = instance.Instance(sys.argv[2])
held.note_base("folder", "/tmp")
held.note("folder", "/tmp/x")
print(held.id, flush=True)
sys.stdin.read()
"""


def holder(state: Path) -> subprocess.Popen[bytes]:
    """Start another run, as the janitor is started: without this package or any other."""
    folder = str(Path(instance.__file__).parent)
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", HOLDER, folder, str(state)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


def test_what_lives_is_no_leftover_and_what_was_killed_is(tmp_path: Path) -> None:
    own = Instance(str(tmp_path))
    with holder(tmp_path) as other:
        assert other.stdout is not None
        other_id = other.stdout.readline().decode().strip()
        assert not leftovers(str(tmp_path))
        other.send_signal(signal.SIGKILL)
    (left,) = leftovers(str(tmp_path))
    assert left.id == other_id != own.id
    assert left.things == [Thing("folder", "/tmp/x")]
    assert not leftovers(str(tmp_path))  # it is held by us, who clean it
    forget(left)
    assert os.listdir(tmp_path / "instances") == [own.id]
    forget(own)
    assert not os.listdir(tmp_path / "instances")


def test_what_could_not_be_cleaned_is_left_to_a_later_start(tmp_path: Path) -> None:
    Instance(str(tmp_path)).release()
    (left,) = leftovers(str(tmp_path))
    left.release()
    (again,) = leftovers(str(tmp_path))
    assert again.id == left.id
    forget(again)


def test_a_child_that_keeps_the_lock_keeps_the_run_alive(tmp_path: Path) -> None:
    own = Instance(str(tmp_path))
    kept = os.dup(own.fd)
    own.release()
    assert not leftovers(str(tmp_path))
    os.close(kept)
    (left,) = leftovers(str(tmp_path))
    forget(left)


def test_a_folder_without_a_lock_is_only_removed_when_it_is_empty(tmp_path: Path) -> None:
    (tmp_path / "instances" / "empty").mkdir(parents=True)
    (tmp_path / "instances" / "other").mkdir()
    (tmp_path / "instances" / "other" / "record").write_bytes(BASE)
    (tmp_path / "instances" / "file").touch()
    (tmp_path / "instances" / "link").symlink_to(tmp_path)
    (tmp_path / "lock").touch()
    assert not leftovers(str(tmp_path))
    assert set(os.listdir(tmp_path / "instances")) == {"other", "file", "link"}
    assert not leftovers(str(tmp_path / "none"))


def test_a_start_that_another_takes_for_a_leftover_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir, made = os.mkdir, []

    def taken(path: str, mode: int = 0o777) -> None:
        mkdir(path, mode)
        made.append(path)
        if len(made) == 2:  # the first is the folder of all
            assert not leftovers(str(tmp_path))
            assert not os.path.exists(path)

    monkeypatch.setattr(os, "mkdir", taken)
    own = Instance(str(tmp_path))
    assert len(made) == 3
    assert own.path == made[-1]
    own.release()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "instances").touch()
    with pytest.raises(InstanceUnusable, match=f"{tmp_path}: File exists"):
        Instance(str(tmp_path))


def test_what_would_not_be_read_is_not_written(tmp_path: Path) -> None:
    own = Instance(str(tmp_path))
    for kind, path in (("cgroup", "relative"), ("cgroup", "/a/../b"), ("socket", "/a/b")):
        with pytest.raises(InstanceUnusable, match="record"):
            own.note(kind, path)
    with pytest.raises(InstanceUnusable, match="record"):
        own.note("folder", "/" + "x" * record.MAX_LINE)
    assert not own.things
    own.release()


def test_a_line_that_was_cut_off_does_not_spoil_the_next(tmp_path: Path) -> None:
    own = Instance(str(tmp_path))
    own.note_base("folder", "/tmp")
    with open(Path(own.path, "record"), "ab") as file:
        file.write(b'{"path": "/tmp/a", "ki')
    own.note("folder", "/tmp/b")
    assert own.things == [Thing("folder", "/tmp/b")]
    own.release()


def test_a_lock_that_was_removed_meanwhile_is_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Instance(str(tmp_path))
    lock = Path(own.path, "lock")
    own.release()
    flock = fcntl.flock

    def late(fd: int, operation: int) -> None:
        lock.unlink()  # another start cleaned it, and let go, between our opening it and this
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    assert not leftovers(str(tmp_path))
    lock.touch()
    replaced: list[int] = []

    def replace(fd: int, operation: int) -> None:
        lock.unlink()
        lock.touch()  # and a third made it anew
        replaced.append(fd)

    monkeypatch.setattr(fcntl, "flock", replace)
    assert not leftovers(str(tmp_path))
    assert replaced


def test_a_record_keeps_any_name_and_each_thing_once(tmp_path: Path) -> None:
    own = Instance(str(tmp_path))
    odd = "/tmp/" + os.fsdecode(b"\xff\n{\xc3\xa4")
    own.note_base("folder", "/tmp")
    for path in (odd, "/tmp/b", odd):
        own.note("folder", path)
    assert own.things == [Thing("folder", odd), Thing("folder", "/tmp/b")]
    own.release()


@pytest.mark.parametrize(
    "line",
    [
        b'{"path": "/sys/fs/cgroup", "kind": "cgroup"}',
        b'{"path": "/sys/fs/cgroupx/a", "kind": "cgroup"}',
        b'{"path": "/sys/fs/cgroup/../../../etc", "kind": "cgroup"}',
        b'{"path": "/sys/fs/cgroup//a", "kind": "cgroup"}',
        b'{"path": "/sys/fs/cgroup/a\\u0000b", "kind": "cgroup"}',
        b'{"path": "/sys/fs/cgroup/a", "kind": "folder"}',
        b'{"path": "/sys/fs/cgroup/a", "kind": ["cgroup"]}',
        b'{"path": "/sys/fs/cgroup/a", "kind": "cgroup", "base": "/etc"}',
        b'{"path": "/etc/passwd", "kind": "cgroup"}',
        b'{"base": "/", "kind": "cgroup"}\n{"path": "/etc/passwd", "kind": "cgroup"}',
        b'{"base": "/", "kind": "cgroup"}\n{"path": "//etc/passwd", "kind": "cgroup"}',
        b'{"base": "//", "kind": "cgroup"}\n{"path": "///etc", "kind": "cgroup"}',
        b'{"path": "/sys/fs/cgroup/a", "kind": "cgroup", "more": 1}',
        b'{"base": "/etc/..", "kind": "cgroup"}\n{"path": "/etc/passwd", "kind": "cgroup"}',
        b'{"path": "sys/fs/cgroup/a", "kind": "cgroup"}',
        b'{"path": 7, "kind": "cgroup"}',
        b'{"path": "/sys/fs/cgroup/a", "kind": "cgr',
        b'["path", "kind"]',
        b"[" * 16000,
        b"\xff\xfe\x00",
        b'{"path": "/sys/fs/cgroup/' + b"a" * record.MAX_LINE + b'", "kind": "cgroup"}',
    ],
)
def test_a_line_that_is_torn_or_hostile_is_passed_over(line: bytes) -> None:
    good = b'\n{"path": "/sys/fs/cgroup/good", "kind": "cgroup"}\n'
    assert record.things(BASE + line + good) == [Thing("cgroup", "/sys/fs/cgroup/good")]


def test_a_thing_counts_only_below_a_base_noted_before() -> None:
    assert not record.things(b'{"path": "/sys/fs/cgroup/a", "kind": "cgroup"}\n' + BASE)
