"""A worker where a container's default profile forbids namespaces."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import TWISTD, Daemon, System
from kernels import landlock, syscalls

import runyard.worker
from runyard.daemon.keys import make_keys

CONTAINER = str(Path(__file__).parent.parent / "helpers" / "container.py")
NOBODY = 65534
SOMEBODY = 61000 + os.getpid() % 4000
"""Who runs nothing else here: that would count against the limits."""
USER = SOMEBODY if os.getuid() == 0 else os.getuid()
PLAIN = "/usr/bin/python3"
PACKAGES = str(Path(runyard.worker.__path__[0]).parents[1])
pytestmark = pytest.mark.skipif(
    syscalls.MACHINE not in syscalls.MACHINES or landlock.abi() < 3,
    reason="this kernel cannot confine tasks without namespaces",
)


@pytest.fixture
def state() -> Iterator[Path]:
    """Give a folder that anybody may use."""
    with tempfile.TemporaryDirectory(prefix="ry-container-") as folder:
        Path(folder).chmod(0o1777)
        yield Path(folder)


def inside(uid: int) -> tuple[tuple[str, ...], dict[str, str]]:
    """Give what comes before twistd, and variables: nobody cannot read root's interpreters."""
    if uid == os.getuid():
        return (sys.executable, CONTAINER, str(uid), sys.executable), {}
    done = subprocess.run(
        [PLAIN, "-c", "import twisted.internet.reactor, runyard.worker.tap"],
        env={"PYTHONPATH": PACKAGES}, user=uid, group=uid, check=False, capture_output=True,
        cwd="/",
    )  # fmt: skip
    if done.returncode:
        pytest.skip("this user can run no interpreter that has what a worker needs")
    return (sys.executable, CONTAINER, str(uid), PLAIN), {"PYTHONPATH": PACKAGES}


USERS = (
    [0, pytest.param(SOMEBODY, id="user", marks=pytest.mark.slow)]
    if os.getuid() == 0
    else [os.getuid()]
)


@pytest.mark.parametrize("uid", USERS)
def test_a_worker_says_why_there_are_no_jails_and_names_the_ways_out(state: Path, uid: int) -> None:
    before, env = inside(uid)
    done = subprocess.run(
        [*before, TWISTD, "--nodaemon", "--pidfile=", "worker", f"--state={state / 's'}"],
        capture_output=True, text=True, timeout=60, check=False, cwd="/", env=os.environ | env,
    )  # fmt: skip
    assert done.returncode == 1, done
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert re.search(r"no jail can be made here: .*clone3", said), said
    assert "seccomp profile must allow clone, clone3, unshare, mount and pivot_root" in said
    assert "Or run with less: --min-isolation restricted, or --allow-unsandboxed" in said


@pytest.mark.parametrize("uid", USERS)
def test_tasks_run_at_level_restricted_where_that_is_allowed(state: Path, uid: int) -> None:
    before, env = inside(uid)
    make_keys(state / "s" / "keys")
    keys = state / "keys"
    keys.mkdir()
    for name in ("controller.pub", "fleet.secret"):
        shutil.copy(state / "s" / "keys" / name, keys / name)
        os.chown(keys / name, uid, uid)
    listen = f"unix:{state / 'w'}"
    worker = Daemon(
        "worker", "--min-isolation=restricted", f"--listen={listen}", f"--state={state / 'ws'}",
        f"--controller-key={keys / 'controller.pub'}", f"--fleet-secret={keys / 'fleet.secret'}",
        "--name=held", "--slots=2", env=env, before=before,
    )  # fmt: skip
    try:
        worker.says("listens on")
        running = System(state / "s", f"--worker={listen}")
        try:
            found = running.workers()[0]
            assert (found["isolation"], found["slots"]) == ("restricted", 1)
            code = "import os, subprocess; print(os.getuid()); subprocess.run(['id', '-u'])"
            task = running.run(code, format="text")
            assert (task["outcome"], task["isolation"]) == ("success", "restricted"), task
            first, second = task["stdout"].split()
            assert first == second
            assert int(first) not in {0, NOBODY} if uid == 0 else int(first) == uid
            broken = running.run("print('no JSON')", format="json")
            ended = (broken["outcome"], broken["isolation"])
            assert ended == ("format_error", "restricted"), broken
        finally:
            running.stop()
    finally:
        assert worker.stop() == 0, worker.output
    assert "is for one task at a time: 1 slot, not 2" in worker.output
    assert "no jail can be made here" in worker.output


def test_what_stands_before_it_is_what_forbids(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, CONTAINER, str(os.getuid()), shutil.which("unshare") or "", "-U", "true"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert "Operation not permitted" in done.stderr


def test_the_switch_that_allows_no_user_namespaces_is_named(state: Path) -> None:
    _, env = inside(USER)
    close = "echo 0 > /proc/sys/user/max_user_namespaces || exit 77; exec setpriv"
    nested = ["unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c"]
    done = subprocess.run(
        [
            *nested, f'{close} --ambient-caps=-all --inh-caps=-all "$@"', "sh", PLAIN, TWISTD,
            "--nodaemon", "--pidfile=", "worker", f"--state={state / 's'}",
        ],
        capture_output=True, text=True, timeout=60, check=False, cwd="/", env=os.environ | env,
        user=USER if os.getuid() == 0 else None, group=USER if os.getuid() == 0 else None,
        extra_groups=[] if os.getuid() == 0 else None,
    )  # fmt: skip
    said = done.stdout + done.stderr
    if done.returncode == 77 or "unshare failed" in said:
        pytest.skip(f"no user namespace can be closed here: {said}")
    assert done.returncode == 1, said
    assert "no jail can be made here: [Errno 28]" in said
    assert "/proc/sys/user/max_user_namespaces forbids it; allow it by: sysctl -w" in said
    assert "Or run with less: --min-isolation restricted" in said
