"""Limits of tasks in jails: what ends them, how it is told, and that the next task has its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import pytest_twisted
from jailed import FULL_FIRST, Jails, stopped

from runyard.protocols.limits import MIB
from runyard.protocols.tasks import Ended, Reason
from runyard.worker.sandbox.levels import FULL

MEMORY = {
    "list": "x = [bytearray(1 << 20) for _ in range(300)]",
    "mmap": "import mmap\nx = []\nfor _ in range(300):\n"
    "    x.append(mmap.mmap(-1, 1 << 20)); x[-1].write(b'x' * (1 << 20))",
    "files": "for n in range(200):\n    open(f'/tmp/{n}', 'wb').write(b'x' * (1 << 20))",
    "children": "import os, time\nfor _ in range(6):\n    if not os.fork():\n"
    "        x = bytearray(b'x') * (40 << 20); time.sleep(600)\nos.wait()[1] and os._exit(1)",
    "itself": "x = bytearray(b'x') * (300 << 20)",
}
BURN = """
import os, time
for _ in range(3): os.fork()
end = time.monotonic() + 30
while time.monotonic() < end: pass
"""
USES = """
import os
if os.fork() == 0:
    x = bytearray(b'x') * (40 << 20)
    import time
    while time.process_time() < 0.3: pass
    os._exit(0)
os.wait()
"""


@pytest.fixture(scope="module", params=FULL_FIRST)
def jails(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Jails]:
    made = Jails(tmp_path_factory.mktemp("limits"), request.param)
    yield made
    stopped(made)


@pytest.fixture
def full(jails: Jails) -> Jails:
    """Only where a control group proves it."""
    if jails.sandbox.isolation != FULL:
        pytest.skip("only control groups prove this")
    return jails


READS = """
import os
left = 120 << 20
for top, _, names in os.walk('/usr/lib'):
    for path in (os.path.join(top, name) for name in names):
        if left <= 0 or os.path.islink(path) or not os.path.isfile(path): continue
        file = os.open(path, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        while data := os.read(file, 1 << 20): left -= len(data)
        os.close(file)
print(left <= 0)
"""
FILLS = "for n in range(6): open(f'/tmp/{n}', 'wb').write(bytes(8 << 20))"


async def unharmed(jails: Jails) -> None:
    code = "x = bytearray(b'x') * (100 << 20)\nprint(sum(x[::1 << 20]))"
    assert await jails.says(code) == f"{100 * ord('x')}\n"


def hit(ended: Ended, reason: Reason) -> tuple[float, float]:
    assert ended.reason is reason, (ended.reason, ended.detail, ended.stderr[-300:])
    assert ended.limit is not None
    return ended.limit.allowed, ended.limit.measured


@pytest.mark.parametrize("what", MEMORY)
@pytest_twisted.ensureDeferred
async def test_memory_of_the_whole_task_is_held_and_told(full: Jails, what: str) -> None:
    allowed = 128 * MIB
    ended = await full.run(
        MEMORY[what], memory_bytes=allowed, disk_bytes=256 * MIB, file_bytes=64 * MIB, wall_s=20
    )
    limit, measured = hit(ended, Reason.MEMORY_LIMIT)
    assert limit == allowed
    assert allowed <= measured < allowed + 16 * MIB
    await unharmed(full)


@pytest_twisted.ensureDeferred
async def test_what_a_task_read_is_no_memory_of_the_next(full: Jails) -> None:
    assert await full.says(READS) == "True\n"
    ended = await full.run(MEMORY["itself"], memory_bytes=64 * MIB)
    assert ended.reason is Reason.MEMORY_LIMIT
    assert ended.limit is not None
    assert ended.limit.measured < 80 * MIB


@pytest_twisted.ensureDeferred
async def test_the_files_of_a_task_take_no_memory_from_the_next(full: Jails) -> None:
    for _ in range(3):
        assert await full.says(FILLS) == ""
        assert await full.says("x = bytearray(b'x') * (48 << 20)", memory_bytes=64 * MIB) == ""


@pytest_twisted.ensureDeferred
async def test_without_groups_memory_is_a_process_s_and_not_said(jails: Jails) -> None:
    if jails.sandbox.isolation == FULL:
        pytest.skip("there are groups")
    ended = await jails.run(MEMORY["list"], memory_bytes=64 * MIB)
    assert (ended.reason, ended.limit) == (Reason.EXCEPTION, None)
    assert ended.detail.startswith("It raised MemoryError")


@pytest_twisted.ensureDeferred
async def test_processes_and_threads_are_counted_together(full: Jails) -> None:
    forks = "import os, time\nfor _ in range(40):\n    if not os.fork(): time.sleep(600)"
    limit, measured = hit(await full.run(forks, processes=20), Reason.PROCESS_LIMIT)
    assert (limit, measured) == (20, 21)
    threads = (
        "import threading\ne = threading.Event()\n"
        "for _ in range(40): threading.Thread(target=e.wait, daemon=True).start()"
    )
    hit(await full.run(threads, processes=20), Reason.PROCESS_LIMIT)
    allowed = threads.replace("40", "19")
    assert (await full.run(allowed, processes=20)).outcome.value == "success"
    assert (await full.run(allowed.replace("19", "20"), processes=20)).outcome.value != "success"


@pytest_twisted.ensureDeferred
async def test_a_refusal_that_the_program_minded_nothing_of_is_not_its_end(full: Jails) -> None:
    code = (
        "import os, sys, time\ntry:\n    while True:\n"
        "        if not os.fork(): time.sleep(600)\n"
        "except OSError: sys.exit(3)"
    )
    ended = await full.run(code, processes=4)
    assert (ended.reason, ended.exit_code, ended.limit) == (Reason.EXIT_CODE, 3, None)
    assert "refused a process at its limit of 4" in ended.detail


@pytest_twisted.ensureDeferred
async def test_what_its_children_used_is_not_its_own_time(jails: Jails) -> None:
    code = (
        "import os, time\n"
        "def burn(s):\n    while time.process_time() < s: pass\n"
        "for n in range(2):\n    if not os.fork(): burn(0.15); os._exit(0)\n"
        "for n in range(2): os.wait()\n"
        "burn(0.1); os.kill(os.getpid(), 9)"
    )
    ending = await (await jails.soon(code)).done
    assert ending.status == 9
    assert ending.main_cpu_s is not None
    assert 0.05 < ending.main_cpu_s < 0.2
    assert ending.cpu_s >= 0.35


@pytest_twisted.ensureDeferred
async def test_processes_are_bounded_without_groups_too(jails: Jails) -> None:
    code = (
        "import os, time\nn = 0\ntry:\n"
        "    while n < 50:\n"
        "        if not os.fork(): time.sleep(600)\n"
        "        n += 1\n"
        "except OSError as error: print(n, error.errno)"
    )
    assert await jails.says(code, processes=20) == "19 11\n"


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm", "/task"])
@pytest_twisted.ensureDeferred
async def test_disk_is_one_limit_for_all_its_folders(jails: Jails, folder: str) -> None:
    code = f"for n in range(100): open(f'{folder}/{{n}}', 'wb').write(b'x' * (1 << 20))"
    for allowed in (8 * MIB, 64 * MIB):
        limit, measured = hit(await jails.run(code, disk_bytes=allowed), Reason.DISK_LIMIT)
        assert (limit, measured) == (allowed, allowed)
    assert (await jails.run(code, disk_bytes=110 * MIB)).outcome.value == "success"
    many = f"for n in range(100_000): open(f'{folder}/{{n}}', 'w').close()"
    ended = await jails.run(many)
    assert (ended.reason, ended.limit) == (Reason.DISK_LIMIT, None), "there was room for bytes"
    assert "16384" in ended.detail
    assert (await jails.run("open('/tmp/x', 'w').write('x')")).outcome.value == "success"


@pytest_twisted.ensureDeferred
async def test_a_file_has_a_limit_of_its_own(jails: Jails) -> None:
    ended = await jails.run("with open('x', 'wb') as f: f.write(b'x' * 9000)", file_bytes=8192)
    assert ended.detail.startswith("It raised OSError: [Errno 27]")


@pytest_twisted.ensureDeferred
async def test_processor_time_of_many_processes_is_held(full: Jails) -> None:
    ended = await full.run(BURN, cpu_s=0.5, wall_s=20)
    limit, measured = hit(ended, Reason.CPU_LIMIT)
    assert limit == 0.5
    assert 0.5 <= measured < 2.0
    assert ended.usage is not None
    assert ended.usage.cpu_s < 1.3 * ended.usage.wall_s + 0.2, (
        "no more than one processor at a time"
    )


@pytest_twisted.ensureDeferred
async def test_processor_time_of_one_process_is_held(jails: Jails) -> None:
    limit, _ = hit(await jails.run("while True: pass", cpu_s=1), Reason.CPU_LIMIT)
    assert limit == 1


@pytest_twisted.ensureDeferred
async def test_output_past_its_limit_ends_it(jails: Jails) -> None:
    ended = await jails.run("while True: print('x' * 99)", output_bytes=4096)
    assert hit(ended, Reason.OUTPUT_LIMIT)[0] == 4096
    assert ended.stdout_truncated
    assert len(ended.stdout) == 4096


@pytest_twisted.ensureDeferred
async def test_the_keeper_ends_what_runs_past_its_limit(jails: Jails) -> None:
    """The worker has a timer too, in the executor, which is not there."""
    ended = await jails.run("import time\nwhile True: time.sleep(1)", wall_s=0.05)
    assert hit(ended, Reason.TIMEOUT)[0] == 0.05
    job = await jails.soon("import time; time.sleep(600)", lease=0.1)
    assert (await job.done).forsaken


@pytest_twisted.ensureDeferred
async def test_what_it_used_is_its_own(jails: Jails) -> None:
    ended = await jails.run(USES)
    assert ended.usage is not None
    assert 0.3 <= ended.usage.cpu_s < 1.5
    assert 40 * MIB < ended.usage.max_rss_bytes < 80 * MIB
    little = (await jails.run("pass")).usage
    assert little is not None
    assert little.cpu_s < 0.2
    assert little.max_rss_bytes < 24 * MIB
