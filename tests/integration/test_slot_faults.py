"""Slots whose helper, job or machine misbehaves."""

from __future__ import annotations

import errno
import os
import signal
import tracemalloc
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_twisted
from slots import DAEMON, Slots, all_ready, marked, reactor, running_slots, until
from twisted.internet.protocol import ProcessProtocol

from runyard.worker.sandbox import pool
from runyard.worker.sandbox.interface import SandboxError
from runyard.worker.sandbox.pipes import CappedPipe


@pytest.fixture
def slots(tmp_path: Path) -> Any:
    with running_slots(tmp_path) as made:
        yield made


DEEP = "import os\nfor i in range(1500):\n    os.mkdir('d'); os.chdir('d'); open('f', 'w').close()"


CLOSED = """import os
os.makedirs('a/b')
for p in ('a/b', 'a', os.environ['TMPDIR'], '.'): os.chmod(p, 0)"""


GONE = "import os, shutil\nshutil.rmtree(os.getcwd(), ignore_errors=True)"


LINKS = """import os
os.symlink('/', os.environ['TMPDIR'] + '/l'); os.unlink('main.py'); os.symlink('/etc', 'main.py')"""


FULL = "import os\nfor i in range(4000): open(os.environ['TMPDIR'] + f'/{i}', 'w').close()"


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
    await until(lambda: not list(slots.jobs.path.glob("[0-9]*/*")))


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
    await until(lambda: not list(slots.jobs.path.glob("[0-9]*/*")))


@pytest_twisted.ensureDeferred
async def test_a_slot_takes_jobs_early_at_the_first_start_and_later_only_when_ready(
    slots: Slots,
) -> None:
    endings = [slots.run("print(1)"), slots.run("print(1)")]
    with pytest.raises(SandboxError, match="no slot is ready"):
        slots.run("print(1)")
    for each in endings:
        assert (await each).stdout == b"1\n"
    for slot in list(slots.sandbox.pool.slots):
        slot.abandon()
    with pytest.raises(SandboxError, match="no slot is ready"):
        slots.run("print(1)")
    await until(lambda: len(slots.sandbox.pool.slots) == 2)
    assert all(not slot.free for slot in slots.sandbox.pool.slots), "not before it says so"
    await until(lambda: all_ready(slots))
    assert (await slots.run("print(1)")).stdout == b"1\n"


@pytest.mark.parametrize("what", ["memfd_create", "pipe", "dup"])
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
        if what == "dup" and nth == 2:
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
    monkeypatch.setattr(slots.sandbox.pool, "_delay", 0.02)
    slots.sandbox.pool.slots[0].abandon()
    await until(lambda: len(tries) >= 3)
    monkeypatch.undo()
    await until(lambda: all_ready(slots))
    assert psutil.Process().num_fds() <= before


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
    await until(lambda: slot not in slots.sandbox.pool.slots and all_ready(slots))


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
    monkeypatch.setattr(pool, "STOP_S", 0.3)
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
    slots.sandbox.pool.slots[0].abandon()
    await until(lambda: len(slots.sandbox.pool.slots) == 1)
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
