"""The real slots: processes, pipes and folders of this machine."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_twisted
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater

from runyard.protocols.limits import MIB, Limits
from runyard.worker.jobs import JobsFolder
from runyard.worker.sandbox import plain
from runyard.worker.sandbox.interface import Ending, Job, SandboxError
from runyard.worker.sandbox.pipes import CappedPipe
from runyard.worker.sandbox.plain import PlainSandbox
from runyard.worker.sandbox.runtimes import find_interpreters, task_account

reactor: Any = installed
ACCOUNT = task_account()
INTERPRETERS = find_interpreters([], ACCOUNT)


class Slots:
    """A started sandbox of two slots."""

    def __init__(self, state: Path, task_files: tuple[tuple[str, str], ...] = ()) -> None:
        self.jobs = JobsFolder(reactor, state)
        self.jobs.make()
        self.sandbox = PlainSandbox(reactor, 2, self.jobs, INTERPRETERS, ACCOUNT, task_files)
        self.sandbox.start()

    def start(
        self, code: str | bytes, started: Callable[[], None] = lambda: None, **more: Any
    ) -> Any:
        limits = Limits(**{k: more.pop(k) for k in list(more) if k in Limits.__annotations__})
        fields: dict[str, Any] = {"stdin": b"", "args": (), "env": (), "lease": 600.0}
        raw = code.encode() if isinstance(code, str) else code
        job = Job("a.1", "python", raw, limits=limits, **(fields | more))
        return self.sandbox.run(job, started)

    def run(self, code: str | bytes, **more: Any) -> Deferred[Ending]:
        done: Deferred[Ending] = self.start(code, **more).done
        return done

    def helpers(self) -> list[psutil.Process]:
        children = psutil.Process().children()
        return [c for c in children if c.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def slots(tmp_path: Path) -> Any:
    made = Slots(tmp_path)
    yield made
    pytest_twisted.blockon(made.sandbox.stop())
    assert not list(made.jobs.path.glob("*/*")), "no folder of a job is left"
    pytest_twisted.blockon(made.jobs.remove())
    assert not made.jobs.path.exists()
    assert not made.helpers()


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


def marked(marker: str) -> list[int]:
    everyone = psutil.process_iter(["cmdline"])
    return [p.pid for p in everyone if marker in (p.info["cmdline"] or ())]


DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        code = 'import time; time.sleep(600)'
        os.execv(sys.executable, [sys.executable, '-c', code, 'ry_daemon'])
    os._exit(0)
os.wait()
print('left behind', flush=True)
"""


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
    assert lines[1:] == ["['main.py', 'tmp'] []", "True", "True False True", f"1 1 {uid}"]


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
        while list(slots.jobs.path.glob("*/*")):  # the helpers tidy up behind the answer
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


async def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    end = reactor.seconds() + seconds
    while not true():
        assert reactor.seconds() < end
        await deferLater(reactor, 0.01)


def all_ready(slots: Slots) -> bool:
    made = slots.sandbox._open
    return len(made) == 2 and all(slot.ready for slot in made)


DEEP = "import os\nfor i in range(1500):\n    os.mkdir('d'); os.chdir('d'); open('f', 'w').close()"
CLOSED = "import os\nos.makedirs('a/b')\nfor p in ('a/b', 'a', 'tmp', '.'): os.chmod(p, 0)"
GONE = "import os, shutil\nshutil.rmtree(os.getcwd(), ignore_errors=True)"
LINKS = "import os\nos.symlink('/', 'tmp/l'); os.unlink('main.py'); os.symlink('/etc', 'main.py')"
FULL = "for i in range(4000): open(f'tmp/{i}', 'w').close()"


@pytest.mark.parametrize("code", [DEEP, CLOSED, GONE, LINKS, FULL])
@pytest_twisted.ensureDeferred
async def test_no_folder_that_a_job_leaves_costs_the_next_its_slot(slots: Slots, code: str) -> None:
    await until(lambda: all_ready(slots))
    helpers = {helper.pid for helper in slots.helpers()}
    for _ in range(2):
        ending = await slots.run(code, wall_s=60)
        assert ending.status == 0, ending.stderr
        began = reactor.seconds()
        both = [slots.run("print(1)"), slots.run("print(1)")]
        for each in both:
            assert (await each).stdout == b"1\n"
        assert reactor.seconds() - began < 3
    assert {helper.pid for helper in slots.helpers()} == helpers
    await until(lambda: not list(slots.jobs.path.glob("*/*")))


@pytest_twisted.ensureDeferred
async def test_a_helper_that_dies_amid_a_deep_folder_is_followed_by_a_ready_one(
    slots: Slots,
) -> None:
    await until(lambda: all_ready(slots))
    job = slots.start(DEEP + "\nprint('up', flush=True)\nimport time; time.sleep(600)")
    await until(lambda: bool(job._pipes["stdout"].measured))
    job._slot.abandon()
    assert not job._slot.free
    with pytest.raises(SandboxError):
        await job.done
    await until(lambda: all_ready(slots))
    await until(lambda: not list(slots.jobs.path.glob("*/*")))


@pytest_twisted.ensureDeferred
async def test_a_slot_takes_jobs_early_at_the_first_start_and_later_only_when_ready(
    slots: Slots,
) -> None:
    endings = [slots.run("print(1)"), slots.run("print(1)")]
    with pytest.raises(SandboxError, match="no slot is ready"):
        slots.run("print(1)")
    for each in endings:
        assert (await each).stdout == b"1\n"
    for slot in list(slots.sandbox._open):
        slot.abandon()
    with pytest.raises(SandboxError, match="no slot is ready"):
        slots.run("print(1)")
    await until(lambda: len(slots.sandbox._open) == 2)
    assert all(not slot.free for slot in slots.sandbox._open), "not before it says so"
    await until(lambda: all_ready(slots))
    assert (await slots.run("print(1)")).stdout == b"1\n"


@pytest.mark.parametrize("what", ["memfd_create", "pipe", "open"])
@pytest_twisted.ensureDeferred
async def test_no_descriptors_is_a_sandbox_error_and_leaks_none(
    slots: Slots, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    await until(lambda: all_ready(slots))
    before = psutil.Process().num_fds()
    real = getattr(os, what)
    for nth in (1, 2):
        calls: list[int] = []

        def limited(*args: Any, nth: int = nth, calls: list[int] = calls, **more: Any) -> Any:
            calls.append(1)
            if len(calls) >= nth:
                raise OSError(errno.EMFILE, "Too many open files")
            return real(*args, **more)

        monkeypatch.setattr(os, what, limited)
        if what == "open" and nth == 2:
            break
        with pytest.raises(SandboxError, match="Too many open files"):
            slots.run("print(1)")
        monkeypatch.undo()
    monkeypatch.undo()
    assert psutil.Process().num_fds() == before
    assert (await slots.run("print(1)")).stdout == b"1\n"


@pytest_twisted.ensureDeferred
async def test_a_helper_that_cannot_be_started_is_tried_again(
    slots: Slots, monkeypatch: pytest.MonkeyPatch
) -> None:
    await until(lambda: all_ready(slots))
    before = psutil.Process().num_fds()
    tries: list[int] = []

    def failing(*args: Any, **more: Any) -> Any:
        tries.append(1)
        raise BlockingIOError(errno.EAGAIN, "no process is free")

    monkeypatch.setattr(reactor, "spawnProcess", failing)
    monkeypatch.setattr(slots.sandbox, "_delay", 0.02)
    slots.sandbox._open[0].abandon()
    await until(lambda: len(tries) >= 3)
    monkeypatch.undo()
    await until(lambda: all_ready(slots))
    assert psutil.Process().num_fds() == before


@pytest_twisted.ensureDeferred
async def test_an_end_that_is_not_clean_is_told_and_its_slot_not_used_again(slots: Slots) -> None:
    await until(lambda: all_ready(slots))
    job = slots.start("import time; time.sleep(600)")
    slot = job._slot
    slot._packet({
        "ended": 9, "wall_s": 1.0, "cpu_s": 1.0, "max_rss_bytes": 1, "clean": False, "late": True,
        "forsaken": False,
    })  # fmt: skip
    assert not (await job.done).clean
    assert not slot.free
    slot.abandon()
    await until(lambda: slot not in slots.sandbox._open and all_ready(slots))


@pytest_twisted.ensureDeferred
async def test_a_start_that_is_told_after_the_kill_leaves_the_watchdog_on(slots: Slots) -> None:
    job = slots.start("import time; time.sleep(600)")
    job.kill()
    watchdog = job._slot._watchdog
    job._slot._packet({"started": 1})
    assert job._slot._watchdog is watchdog
    assert watchdog.active()
    assert os.WTERMSIG((await job.done).status) == signal.SIGKILL


@pytest_twisted.ensureDeferred
async def test_a_neighbour_s_threads_do_not_count_against_a_job(slots: Slots) -> None:
    await until(lambda: all_ready(slots))
    crowd = slots.start(
        "from threading import Thread\nimport time\n"
        "for _ in range(20): Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
        "print('up', flush=True)\ntime.sleep(600)"
    )
    await until(lambda: bool(crowd._pipes["stdout"].measured))
    assert (await slots.run("print(1)", processes=4)).stdout == b"1\n"
    crowd.kill()
    await crowd.done


@pytest_twisted.ensureDeferred
async def test_a_job_goes_first_where_memory_runs_out(slots: Slots) -> None:
    ending = await slots.run("print(open('/proc/self/oom_score_adj').read().strip())")
    assert ending.stdout == b"1000\n"


@pytest_twisted.ensureDeferred
async def test_a_helper_that_is_frozen_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "STOP_S", 0.3)
    slots = Slots(tmp_path)
    await until(lambda: all_ready(slots))
    job = slots.start(DAEMON.replace("os.wait()", "") + "import time; time.sleep(600)")
    job.done.addErrback(lambda failure: failure.trap(SandboxError))
    await until(lambda: bool(job._pipes["stdout"].measured) and bool(marked("ry_daemon")))
    for helper in slots.helpers():
        helper.suspend()
    await slots.sandbox.stop()
    assert not slots.helpers()
    assert not marked("ry_daemon")
    await slots.jobs.remove()


@pytest_twisted.ensureDeferred
async def test_what_the_reactor_has_started_is_no_orphan(slots: Slots) -> None:
    ended: list[object] = []
    protocol = ProcessProtocol()
    protocol.processEnded = ended.append  # type: ignore[assignment, method-assign]
    other = reactor.spawnProcess(protocol, "/bin/sleep", ["sleep", "600"], env={})
    await until(lambda: all_ready(slots))
    slots.sandbox._open[0].abandon()
    await until(lambda: len(slots.sandbox._open) == 1)
    await until(lambda: all_ready(slots))
    assert not ended
    other.signalProcess("KILL")
    await until(lambda: bool(ended))


def test_a_stream_of_single_bytes_costs_no_more_than_its_bytes() -> None:
    read_end, write_end = os.pipe()
    pipe = CappedPipe(reactor, read_end, 10**6, lambda: None)
    tracemalloc.start()
    for _ in range(50_000):
        pipe._keep(b"x")
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 200_000
    assert pipe.finish() == b"x" * 50_000
    os.close(write_end)


def test_an_end_that_was_another_pipe_s_is_not_believed() -> None:
    read_end, write_end = os.pipe()
    pipe = CappedPipe(reactor, read_end, 100, lambda: None)
    os.write(write_end, b"a")
    pipe.connectionLost(None)
    os.write(write_end, b"b")
    assert pipe in reactor.getReaders()
    os.close(write_end)
    pipe.connectionLost(None)
    assert pipe.fileno() == -1
    assert pipe.finish() == b"ab"


@pytest_twisted.ensureDeferred
async def test_a_job_started_as_another_ends_keeps_its_streams(slots: Slots) -> None:
    for _ in range(150):
        ending = await slots.run("print(1)")
        assert (ending.status, ending.stdout, ending.stderr) == (0, b"1\n", b"")
