"""Groups that a run left are emptied and removed by a later one; nothing else is touched."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from grouped import BASE, NAME, WITH_V1, WITH_V2, Waiting, real_group, unified
from harness import eventually

from runyard.worker.sandbox import instance
from runyard.worker.sandbox.cgroups import cleaning, files
from runyard.worker.sandbox.cgroups.where import CORE, Base
from runyard.worker.sandbox.instance import Held

UNUSED = 1  # the freezer, where pids are bounded
SANDBOX = str(Path(instance.__file__).parent)
# A run that makes a group for a slot whose process outlives it.
RUN = """
import os, subprocess, sys
sys.path.insert(0, sys.argv[1])
import instance
from cgroups import finding
run = instance.Instance(sys.argv[2])
base, _ = finding.look()
for parent in set(base.folders.values()):
    run.note_base("cgroup", parent)
    run.note("cgroup", parent + "/runyard-test-" + run.id)
group = finding.make(base, "runyard-test-" + run.id)
slot = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"])
group.attach(slot.pid)
print(slot.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[tuple[Held, int]]:
    """A run that was killed, and a pidfd of its slot's process."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", RUN, SANDBOX, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as run:  # fmt: skip
        assert run.stdout is not None
        slot = os.pidfd_open(int(run.stdout.readline()))
        run.send_signal(signal.SIGKILL)
    (left,) = instance.leftovers(str(tmp_path))
    paths = [thing.path for thing in left.things]
    try:
        yield left, slot
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(slot, signal.SIGKILL)
        assert select.select([slot], [], [], 10)[0]
        os.close(slot)
        for path in paths:
            eventually(f"{path} is gone", partial(files.rmdir, path))


@WITH_V1
def test_what_a_killed_run_recorded_is_emptied_and_removed(killed: tuple[Held, int]) -> None:
    left, slot = killed
    paths = [thing.path for thing in left.things]
    assert len(paths) == len(list(filter(os.path.isdir, paths))) + UNUSED >= 3
    for path in paths:
        eventually(f"{path} is gone", partial(cleaning.clean, path))
    assert select.select([slot], [], [], 10)[0]  # it has ended
    instance.forget(left)


def bases() -> list[object]:
    return [
        pytest.param(BASE.only("memory"), "memory", marks=WITH_V1),
        pytest.param(BASE.only("freezer"), "freezer", marks=WITH_V1),
        pytest.param(unified(), CORE, marks=WITH_V2),
    ]


@pytest.mark.parametrize(("base", "controller"), bases())
def test_groups_below_go_too(base: Base, controller: str) -> None:
    with real_group(base) as group:
        path = group.folders[controller]
        os.makedirs(f"{path}/a/b")
        process = Waiting("")
        files.write(f"{path}/a/b/cgroup.procs", str(process.pid))
        cleaning.clean(path)
        assert process.end()[0] == -signal.SIGKILL
        eventually("it is gone", lambda: cleaning.clean(path))
        assert not os.path.exists(path)


@WITH_V1
def test_the_group_of_this_process_is_never_emptied() -> None:
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from cgroups import cleaning, files\n"
        "files.write(sys.argv[2] + '/cgroup.procs', str(os.getpid()))\n"
        "cleaning.clean(sys.argv[2])"
    )
    with real_group(BASE.only("memory")) as group:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code, SANDBOX, group.folders["memory"]],
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        assert done.returncode == 1
        assert f"{NAME}: this very process is in the group" in done.stderr


def test_what_is_no_group_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "cgroup.kill").touch()
    with pytest.raises(files.GroupError, match="no control group that is mounted here"):
        cleaning.clean(str(tmp_path))
    assert not (tmp_path / "cgroup.kill").read_text()
    assert cleaning.clean(str(tmp_path / "gone"))


def test_the_root_of_a_hierarchy_and_what_a_link_hides_are_not_touched(tmp_path: Path) -> None:
    mountinfo = f"30 23 0:26 / {tmp_path}/groups rw - cgroup2 cgroup2 rw\n"
    (tmp_path / "groups" / "a").mkdir(parents=True)
    (tmp_path / "groups" / "link").symlink_to("a")
    for name in ("groups", "groups/link", "groups/a/../a"):
        with pytest.raises(files.GroupError, match="no control group"):
            cleaning.clean(str(tmp_path / name) if ".." not in name else f"{tmp_path}/{name}",
                           mountinfo)  # fmt: skip
    assert cleaning.clean(f"{tmp_path}/groups/a", mountinfo)
