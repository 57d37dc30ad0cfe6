"""Level `restricted` as it really is: what a task can do there, and what it cannot."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from attrs import evolve
from kernels import landlock, syscalls
from slots import DAEMON, INTERPRETERS, ROOT, UNUSED, Slots, marked, running_slots

from runyard.worker.sandbox import trying
from runyard.worker.sandbox.levels import RESTRICTED
from runyard.worker.sandbox.restricting import restriction

HAS = landlock.abi() if syscalls.MACHINE in syscalls.MACHINES else 0
pytestmark = pytest.mark.skipif((1 if ROOT else 3) > HAS, reason="this kernel's Landlock is none")
HELD = restriction(INTERPRETERS, (), UNUSED)

WORK = """
import asyncio, os, sqlite3, subprocess, sys, tempfile, threading
async def loop():
    child = await asyncio.create_subprocess_exec('/bin/echo', 'hi', stdout=-1)
    return (await child.communicate())[0]
with tempfile.NamedTemporaryFile('w+') as file:
    file.write('kept'); file.seek(0); print(file.read())
print(asyncio.run(loop()), subprocess.run(['sh', '-c', 'exit 7']).returncode)
base = sqlite3.connect('own.db'); base.execute('create table t (a)'); base.commit()
os.rename('own.db', 'moved.db')
thread = threading.Thread(target=print, args=('thread',)); thread.start(); thread.join()
child = subprocess.Popen(['cat'], stdin=-1); child.terminate(); print(child.wait())
with os.fdopen(os.dup(1), 'w') as out: out.write(open('main.py').read()[1:7])
print(' ' + open('/proc/self/status').readline().split()[0])
raise KeyError('told')
"""
CURIOUS = """
import glob, os, socket
def tried(call, *given):
    try: return call(*given)
    except OSError as error: return error.strerror
print(tried(os.listdir, '/'), tried(os.listdir, '..'), tried(open, '/etc/passwd'))
print(tried(open, f'/proc/{os.getppid()}/environ'), tried(os.kill, os.getppid(), 9))
print(tried(socket.socket, socket.AF_INET), tried(os.chmod, 'main.py', 0o600))
print(tried(os.setxattr, 'main.py', 'user.x', b''))
status = dict(line.split()[:2] for line in open('/proc/self/status') if len(line.split()) > 1)
print(status['CapEff:'], status['NoNewPrivs:'])
"""


@pytest.fixture
def slots(tmp_path: Path) -> Iterator[Slots]:
    with running_slots(tmp_path, level=RESTRICTED) as made:
        yield made


@pytest_twisted.ensureDeferred
async def test_ordinary_work_is_done(slots: Slots) -> None:
    ending = await slots.run(WORK)
    said = "kept\nb'hi\\n' 7\nthread\n-15\nimport Name:\n"
    assert ending.stdout.decode() == said, ending.stderr.decode()
    assert b"KeyError" in ending.told
    assert ending.stderr.decode().endswith(
        "in <module>\n    raise KeyError('told')\nKeyError: 'told'\n"
    )
    assert slots.sandbox.isolation == RESTRICTED


@pytest_twisted.ensureDeferred
async def test_what_is_not_the_task_s_is_out_of_its_reach(slots: Slots) -> None:
    ending = await slots.run(CURIOUS)
    no, never = "Permission denied", "Operation not permitted"
    assert ending.stdout.decode().splitlines() == [
        f"{no} {no} {no}",
        f"{no} {never}",
        f"Address family not supported by protocol {None if ROOT else never}",
        "Operation not supported",
        "0000000000000000 1",
    ], ending.stderr.decode()


@pytest_twisted.ensureDeferred
async def test_what_a_task_leaves_running_is_ended_and_its_files_are_gone(slots: Slots) -> None:
    daemon = DAEMON.replace("os.setsid()", "try: os.setsid()\n    except OSError: pass")
    ending = await slots.run(daemon + "open('left', 'w').write('x')")
    assert (ending.status, ending.clean) == (0, True), ending.stderr.decode()
    assert not marked("ry_daemon")
    after = await slots.run("import os; print(os.listdir(), os.listdir(os.environ['TMPDIR']))")
    assert after.stdout == b"['main.py'] []\n", after.stderr


@pytest_twisted.ensureDeferred
async def test_a_task_has_as_many_processes_as_it_may(slots: Slots) -> None:
    code = """
import os
made = 0
gate, opener = os.pipe()
try:
    while made < 100:
        if os.fork() == 0:
            os.close(opener); os.read(gate, 1); os._exit(0)
        made += 1
except BlockingIOError: print(made)
"""
    ending = await slots.run(code, processes=8)
    made = int(ending.stdout)
    assert made == 7 if ROOT else 0 < made < 100, "others of its user's come and go"
    assert ending.clean


@pytest.mark.parametrize("abi", [each for each in (1, 2, 3, 5) if each <= HAS])
def test_it_holds_with_the_landlock_of_older_kernels(abi: int) -> None:
    older = evolve(HELD, abi=abi)
    found = trying.why_not(older, INTERPRETERS[0], UNUSED)
    assert found is None if ROOT or abi >= 3 else "is older" in str(found)


def test_without_landlock_or_for_a_shared_uid_with_an_early_one_it_is_not_had() -> None:
    none = trying.why_not(evolve(HELD, abi=0), INTERPRETERS[0], UNUSED)
    assert none is not None
    assert none.startswith("isolation 'restricted' is not to be had here: ")
    least = 1 if ROOT else 3
    assert f"Landlock is needed, version {least}: there is none (Linux 5.13 or later" in none
    early = trying.why_not(evolve(HELD, abi=2, owns_files=True), INTERPRETERS[0], None)
    assert "Landlock is needed, version 3: this kernel's is older" in str(early)


def test_a_hole_is_told() -> None:
    open_ = evolve(HELD, read=("/",))
    found = trying.why_not(open_, INTERPRETERS[0], UNUSED)
    assert found is not None
    assert found.startswith("isolation 'restricted' does not hold here: files of the machine")


def test_the_attack_gets_through_where_nothing_is_confined(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "long").write_text("x")
    with socket.create_server(("127.0.0.1", 0)) as port, socket.socket(socket.AF_UNIX) as name:
        name.bind("\0ry-test-" + str(os.getpid()))
        name.listen()
        code = (
            "import sys; sys.path.append(sys.argv[1]); import confinedattack as attack;"
            " attack.outside(sys.argv[2], sys.argv[3]);"
            " attack.others(int(sys.argv[4]), int(sys.argv[5]), sys.argv[6])"
        )
        ours = (str(os.getpid()), str(port.getsockname()[1]), f"ry-test-{os.getpid()}")
        done = subprocess.run(
            [
                sys.executable, "-c", code, trying.ATTACK.parent, tmp_path / "secret",
                tmp_path / "shared", *ours,
            ],
            capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path,
            env={"TMPDIR": str(tmp_path)},
        )  # fmt: skip
    Path("/dev/shm/x").unlink(missing_ok=True)
    said: list[Any] = done.stdout.splitlines()
    # what it tries of the kernel is not tried outside of any confinement
    words = "be read, be changed, be cut or moved, be set, looked into, signalled, ports, sockets"
    for word in words.split(", "):
        assert [line for line in said if word in line], (word, said)
