"""The outer box of hostile tests: proven by a canary, and seen to fail where it is not whole."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import box_canary
import box_canary_inside
import pytest
from box import NoBox, Size, inside_box, run, run_pytest
from outer_box import AS_ROOT, outer_box  # noqa: F401 (a fixture)

MIB = 1024 * 1024
PYTHON = sys.executable
SMALL = Size(wall_s=20, memory=96 * MIB, pids=40, tmp=16 * MIB, shm=8 * MIB)
LEAVES = """
import os, subprocess, sys
subprocess.Popen(["/bin/sleep", "600"], start_new_session=True)
for name in os.listdir("/sys/fs/cgroup"):
    os.mkdir(f"/sys/fs/cgroup/{name}/below")
sys.exit(7)
"""

pytestmark = pytest.mark.usefixtures("outer_box")


@AS_ROOT
def test_what_a_program_leaves_is_told_and_ends_with_the_box() -> None:
    before = Path("/proc/self/mountinfo").read_text()
    boxed = run([PYTHON, "-I", "-S", "-c", LEAVES], SMALL)
    assert boxed.code == 7
    assert [line.split(" ", 1)[1] for line in boxed.processes] == ["/bin/sleep 600"]
    assert len(boxed.groups) == len(boxed.held)
    assert boxed.gone
    assert Path("/proc/self/mountinfo").read_text() == before


@AS_ROOT
def test_a_group_below_the_boxs_own_holds_what_enters_it() -> None:
    code = (
        "import os\n"
        "for name in ('memory', 'pids'):\n"
        "    folder = f'/sys/fs/cgroup/{name}/below'\n"
        "    if os.path.isdir(f'/sys/fs/cgroup/{name}'):\n"
        "        os.mkdir(folder)\n"
        "        open(f'{folder}/cgroup.procs', 'w').write('0')\n"
        "print(sorted({line.split(':')[2] for line in open('/proc/self/cgroup').read().split()}))\n"
    )
    boxed = run([PYTHON, "-I", "-S", "-c", code], SMALL)
    assert boxed.code == 0, boxed.stderr
    if "v2" in boxed.held and "memory" in boxed.held and len(boxed.held) > 3:
        assert b"'/below'" in boxed.stdout


def test_each_check_of_the_canary_can_fail() -> None:
    """Asked on this machine itself, without a box, those that are harmless there say what is so."""
    marker = Path(os.devnull)
    with socket.create_server(("127.0.0.1", 0)) as server:
        facts = {
            "marker": sys.argv[0], "marker_pid": os.getppid() or os.getpid(),
            "marker_file": str(marker), "marker_port": server.getsockname()[1],
        }  # fmt: skip
        assert box_canary_inside.marker_process(facts)
        assert box_canary_inside.marker_file(facts)
        assert box_canary_inside.network(facts)
    roomy = Size(wall_s=20, memory=200 * MIB, pids=60, tmp=32 * MIB, shm=16 * MIB)
    claimed = {"pids": 20, "memory": -200 * MIB, "tmp": 1 * MIB, "shm": 1 * MIB}
    folder = str(Path(box_canary_inside.__file__).parent)
    code = (
        "import json, sys; sys.path.append(sys.argv[1]); import box_canary_inside as canary\n"
        "facts = json.loads(sys.argv[2])\n"
        "print([bool(check(facts)) for check in (canary.processes, canary.memory, canary.places)])"
    )
    boxed = run([PYTHON, "-B", "-c", code, folder, json.dumps(claimed)], roomy)
    assert boxed.stdout == b"[True, True, True]\n", boxed.stderr


def test_a_canary_that_says_nothing_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box_canary, "_wall", lambda **_: "")
    monkeypatch.setattr(box_canary, "HERE", Path("/nowhere"))
    with pytest.raises(AssertionError, match="does not hold"):
        box_canary.demand(SMALL)


def test_a_box_that_cannot_be_furnished_is_none() -> None:
    with pytest.raises(NoBox, match="mount"):
        run([PYTHON], Size(tmp=-1))


def test_this_process_is_in_no_box() -> None:
    assert not inside_box()


@pytest.mark.slow
def test_a_box_of_full_size_holds() -> None:
    box_canary.demand()


@AS_ROOT
@pytest.mark.slow
def test_pytest_runs_in_a_box() -> None:
    test = "tests/integration/test_outer_box.py::test_this_process_is_in_no_box"
    boxed = run_pytest(test, size=Size(wall_s=60))
    assert boxed.code == 1
    assert b"assert not True" in boxed.stdout or b"no outer box" in boxed.stdout


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes an ordinary user, which only root can")
def test_an_ordinary_user_has_a_box_by_a_user_namespace() -> None:
    code = (
        "import os, sys; os.setgroups([]); os.setresgid(65534, 65534, 65534);"
        "os.setresuid(65534, 65534, 65534); os.execv('/usr/bin/python3', sys.argv[1:])"
    )
    program = str(Path(box_canary_inside.__file__).with_name("box_inside.py"))
    order = {
        "argv": ["/bin/sh", "-c", "id -u; echo x > /tmp/x && ls /tmp; touch /etc/x; ulimit -p"],
        "cwd": "/tmp", "host": "ry-box-user", "masked": False, "user": True, "uid": None, "env": {},
        "wall_s": 10, "memory": 512 * MIB, "pids": 40, "cpus": 1, "tmp": MIB, "shm": MIB,
        "report": 1,
    }  # fmt: skip
    python = ["/usr/bin/python3", "-I", "-S"]
    argv = [*python, "-c", code, *python, program, json.dumps(order)]
    boxed = run(argv, SMALL, masked=False)
    assert b"0\nx\n40\n" in boxed.stdout, (boxed.stdout, boxed.stderr)
    assert b"Read-only" in boxed.stderr
