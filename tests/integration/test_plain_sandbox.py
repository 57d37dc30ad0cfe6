"""The real slots: processes, pipes and folders of this machine."""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_twisted
from slots import ACCOUNT, DAEMON, Slots, marked, reactor, running_slots
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from runyard.protocols.limits import MIB
from runyard.worker.sandbox.interface import SandboxError


@pytest.fixture
def slots(tmp_path: Path) -> Any:
    with running_slots(tmp_path) as made:
        yield made


@pytest_twisted.ensureDeferred
async def test_input_and_output_pass_to_the_byte_at_their_largest(slots: Slots) -> None:
    stdin = bytes(range(256)) * (16 * MIB // 256)
    code = (
        b"import sys, hashlib\ndata = sys.stdin.buffer.read()\n"
        b"sys.stdout.buffer.write(data)\nsys.stderr.write(hashlib.sha256(data).hexdigest())\n#"
    )
    code += b"x" * (MIB - len(code))
    ending = await slots.run(code, stdin=stdin, output_bytes=16 * MIB)
    assert ending.status == 0
    assert ending.stdout == stdin
    assert ending.stderr.decode() == hashlib.sha256(stdin).hexdigest()
    assert not ending.stdout_truncated


@pytest_twisted.ensureDeferred
async def test_arguments_and_variables_arrive_however_odd(slots: Slots) -> None:
    args, value = ("", "ü", "\x01" * 30_000, "a b"), '"' * 20_000
    code = "import os, sys; print(ascii(sys.argv), ascii(os.environ['A']))"
    ending = await slots.run(code, args=args, env=(("A", value),))
    assert ending.stdout.decode() == f"{['main.py', *args]!a} {value!a}\n"


@pytest_twisted.ensureDeferred
async def test_a_stream_past_its_cap_is_cut_there_and_the_job_is_ended(slots: Slots) -> None:
    for name in ("stdout", "stderr"):
        ending = await slots.run(
            f"import sys\nwhile True: sys.{name}.write('x' * 999)", output_bytes=5000
        )
        assert ending.full == name
        assert getattr(ending, name) == b"x" * 5000
        assert os.WTERMSIG(ending.status) == signal.SIGKILL
        assert ending.measured > 5000


@pytest_twisted.ensureDeferred
async def test_exactly_the_cap_is_not_past_it(slots: Slots) -> None:
    ending = await slots.run("import sys; sys.stdout.write('x' * 5000)", output_bytes=5000)
    assert (ending.status, ending.full, len(ending.stdout)) == (0, None, 5000)


@pytest_twisted.ensureDeferred
async def test_nothing_of_a_job_outlives_it_not_even_a_daemon(slots: Slots) -> None:
    ending = await slots.run(DAEMON)
    assert (ending.status, ending.stdout) == (0, b"left behind\n")
    assert not marked("ry_daemon")


@pytest_twisted.ensureDeferred
async def test_a_kill_takes_a_tree_that_ignores_signals(slots: Slots) -> None:
    code = (
        "import signal, subprocess, sys, time\n"
        "for n in range(1, 32):\n"
        "    if n not in (9, 19): signal.signal(n, signal.SIG_IGN)\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', 'ry_child'],"
        " start_new_session=True)\nprint('up', flush=True)\ntime.sleep(600)"
    )
    up: Deferred[None] = Deferred()
    job = slots.start(code, lambda: up.callback(None))
    await up
    while job._pipes["stdout"].measured < len("up\n"):
        await deferLater(reactor, 0.01)
    job.kill()
    ending = await job.done
    assert os.WTERMSIG(ending.status) == signal.SIGKILL
    assert ending.stdout == b"up\n"
    assert not marked("ry_child")


@pytest_twisted.ensureDeferred
async def test_the_slot_itself_ends_a_job_whose_worker_does_not(slots: Slots) -> None:
    ending = await slots.run("import time; time.sleep(60)", wall_s=0.2)
    assert ending.late
    assert 2.0 < ending.wall_s < 10.0


@pytest_twisted.ensureDeferred
async def test_a_helper_that_dies_takes_its_job_s_whole_tree_and_another_follows(
    slots: Slots,
) -> None:
    job = slots.start(DAEMON.replace("os.wait()", "") + "import time; time.sleep(600)")
    while not job._pipes["stdout"].measured or not marked("ry_daemon"):
        await deferLater(reactor, 0.01)
    before = {helper.pid for helper in slots.helpers()}
    (busy,) = [h for h in slots.helpers() if h.children()]
    busy.kill()
    with pytest.raises(SandboxError, match="helper process ended"):
        await job.done
    assert not marked("ry_daemon"), "gone before anybody is told"
    while len(slots.helpers()) < 2 or {h.pid for h in slots.helpers()} == before:
        await deferLater(reactor, 0.02)
    assert (await slots.run("print(1)")).stdout == b"1\n"


@pytest_twisted.ensureDeferred
async def test_the_job_is_the_main_module_in_a_folder_of_its_own(slots: Slots) -> None:
    code = (
        "import os, sys, inspect\ndef f(): pass\n"
        "print(__name__, __file__, sys.path[0] == os.getcwd(), inspect.getsource(f).strip())\n"
        "print(sorted(os.listdir()), os.listdir(os.environ['TMPDIR']))\n"
        "print(os.environ['HOME'] == os.getcwd())\n"
        "print(os.getsid(0) == os.getpid(), os.isatty(0), sys.stdin.read() == '')\n"
        "print(sys.flags.utf8_mode, sys.flags.ignore_environment, os.geteuid())"
    )
    ending = await slots.run(code)
    uid = ACCOUNT.uid if ACCOUNT else os.geteuid()
    assert ending.stderr == b""
    lines = ending.stdout.decode().splitlines()
    assert lines[0].startswith("__main__ ")
    assert lines[0].endswith("/main.py True def f(): pass")
    assert lines[1:] == ["['main.py'] []", "True", "True False True", f"1 0 {uid}"]


@pytest_twisted.ensureDeferred
async def test_task_files_are_beside_the_program_and_stay_the_operator_s(tmp_path: Path) -> None:
    shared = Path("/tmp") / f"runyard-test-files-{os.getpid()}"
    shared.mkdir(mode=0o755)
    (shared / "data.txt").write_text("from the operator")
    slots = Slots(tmp_path, (("data.txt", str(shared / "data.txt")),))
    try:
        ending = await slots.run(
            "print(open('data.txt').read())\n"
            "try: open('data.txt', 'w')\nexcept OSError as e: print(type(e).__name__)"
        )
        expected = "from the operator\n" + ("PermissionError\n" if ACCOUNT else "")
        assert ending.stdout.decode() == expected
    finally:
        await slots.sandbox.stop()
        await slots.jobs.remove()
        (shared / "data.txt").unlink()
        shared.rmdir()


@pytest_twisted.ensureDeferred
async def test_nothing_piles_up(slots: Slots) -> None:
    async def count() -> tuple[int, int, int]:
        while list(slots.jobs.path.glob("[0-9]*/*")):  # the helpers tidy up behind the answer
            await deferLater(reactor, 0.02)
        await deferLater(reactor, 0.05)
        me = psutil.Process()
        helpers = sum(helper.num_fds() for helper in slots.helpers())
        return me.num_fds(), helpers, len(me.children(recursive=True))

    await slots.run("print(1)")
    first = await count()
    for _ in range(30):
        await slots.run("print(1)")
    assert await count() == first
