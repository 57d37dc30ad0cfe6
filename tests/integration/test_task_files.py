"""Files into a task's folder and out of it, in real slots: with and without a jail."""

from __future__ import annotations

import base64
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_twisted
import requests
from harness import system
from quickly import quick_of
from slots import LEVELS, Slots, reactor

from runyard.protocols.files import NONE as NOTHING
from runyard.protocols.files import File, Files, pack
from runyard.protocols.limits import FILES_BYTES, MIB
from runyard.worker.sandbox.interface import Ending
from runyard.worker.sandbox.levels import FULL, NONE

SOON_S = 15.0
"""Far more than any of it takes, far less than a walk without end."""


@pytest.fixture(params=LEVELS)
def slots(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    made = Slots(tmp_path, level=request.param)
    yield made
    pytest_twisted.blockon(made.sandbox.stop())
    pytest_twisted.blockon(made.jobs.remove())  # a million files are longer than its end waits


def found(ending: Ending) -> dict[str, bytes]:
    assert ending.status == 0, ending.stderr
    return {each.name: each.content for each in ending.files.files}


GIVEN = [
    File("a.txt", b"text\n"), File("data/deep/b.bin", bytes(range(256)) * 3), File("empty", b""),
    File("漫畫/ü b%20.txt", "é".encode()), File("same.txt", b"same"), File("lib.py", b"X = 42"),
]  # fmt: skip
CHANGE = """
import lib, os
assert open('data/deep/b.bin', 'rb').read() == bytes(range(256)) * 3
assert open('empty').read() == '' and open('漫畫/ü b%20.txt').read() == 'é'
open('a.txt', 'a').write('more'); open('same.txt', 'w').write('same')
os.makedirs('out/x'); open('out/x/new.bin', 'wb').write(b'\\0\\xff\\n')
open('line\\nend', 'w').close()
os.symlink('/etc/passwd', 'passwd')
print(lib.X)
"""


@pytest_twisted.ensureDeferred
async def test_files_go_in_and_what_is_new_or_changed_comes_out(slots: Slots) -> None:
    ending = await slots.run(CHANGE, files=pack(GIVEN))
    assert ending.stdout == b"42\n"
    assert found(ending) == {
        "a.txt": b"text\nmore", "out/x/new.bin": b"\0\xff\n", "line\nend": b"",
    }  # fmt: skip
    assert ending.files.left_out == ()


@pytest_twisted.ensureDeferred
async def test_a_task_that_leaves_none_gives_none(slots: Slots) -> None:
    ending = await slots.run("import tempfile\ntempfile.NamedTemporaryFile(delete=False)")
    assert ending.status == 0
    assert ending.files == NOTHING


@pytest_twisted.ensureDeferred
async def test_sixteen_mebibytes_go_in_and_out(slots: Slots) -> None:
    content = os.urandom(FILES_BYTES)
    code = "data = open('in', 'rb').read()\nopen('out', 'wb').write(data[::-1])"
    ending = await slots.run(code, files=pack([File("in", content)]))
    assert found(ending) == {"out": content[::-1]}


@pytest_twisted.ensureDeferred
async def test_a_task_ended_by_force_gives_its_files_too(slots: Slots) -> None:
    code = "open('partial', 'w').write('so far')\nprint('up', flush=True)\nwhile True: pass"
    job = slots.start(code)
    job.watch(lambda: job.output("stdout", 0, 9)[0] and job.kill())
    ending = await job.done
    assert ending.status != 0
    assert ending.files == Files((File("partial", b"so far"),))


CLOSED = """
import os
os.mkdir('d'); open('d/x', 'w').close(); open('y', 'w').close()
for p in ('d/x', 'd', 'y', '.'): os.chmod(p, 0)
"""
HOSTILE = {
    "links": (
        "import os\nfor i, t in enumerate(['/etc/passwd', '/', '..']): os.symlink(t, f'l{i}')",
        0, 0,
    ),
    "fifos": ("import os\nos.mkfifo('f'); os.mkfifo('main.py.fifo', 0)", 0, 0),
    "sockets": ("import socket\ns = socket.socket(socket.AF_UNIX); s.bind('s')", 0, 0),
    "hard links": ("import os\nopen('a', 'w').write('x'); os.link('a', 'b')", 1, 1),
    "sparse": ("open('s', 'wb').truncate(10 << 20); open('t', 'wb').truncate(16 << 20)", 1, 1),
    "many": ("for i in range(600): open(f'f{i}', 'w').close()", 100, 101),
    "closed": (CLOSED, 2, 0),
    "deep": (
        "import os\nfor i in range(60): os.mkdir('d'); os.chdir('d'); open('f', 'w').close()",
        7, 1,
    ),
    "bytes": ("open(b'\\xff\\xfe', 'w').close(); open('n' * 255, 'w').close()", 1, 1),
    "program": ("import os\nos.unlink('main.py'); os.mkdir('main.py')", 0, 0),
}  # fmt: skip


@pytest.mark.parametrize("kind", quick_of(HOSTILE, "links", "closed", "many"))
@pytest_twisted.ensureDeferred
async def test_whatever_a_task_leaves_is_bounded_and_harms_nobody(slots: Slots, kind: str) -> None:
    code, files, left_out = HOSTILE[kind]
    began = reactor.seconds()
    ending = await slots.run(code)
    assert ending.status == 0, ending.stderr
    assert (len(ending.files.files), len(ending.files.left_out)) == (files, left_out), ending.files
    assert reactor.seconds() - began < SOON_S
    assert (await slots.run("print(1)")).stdout == b"1\n"


MANY = "for i in range(COUNT): open(f'f{i}', 'w').close()"
DEEP = "import os\nfor i in range(COUNT): os.mkdir('d'); os.chdir('d'); open('f', 'w').close()"
WIDE = """
import os
for i in range(COUNT):
    os.makedirs('/'.join(str(i // 9 ** n % 9) for n in range(6)), exist_ok=True)
"""


@pytest.mark.slow
@pytest_twisted.ensureDeferred
async def test_a_million_files_or_a_tree_without_end_hold_nobody_up(slots: Slots) -> None:
    """As far as the task comes within its time and the jail's disk; fewer on the machine's own."""
    count = 30_000 if slots.sandbox.isolation == NONE else 1_000_000
    for code in (MANY, DEEP, WIDE):
        job = slots.start(code.replace("COUNT", str(count)), wall_s=60)
        end = reactor.callLater(8, job.kill)
        ending = await job.done
        if end.active():
            end.cancel()
        began = reactor.seconds()
        assert len(ending.files.files) <= 100
        assert ending.clean
        assert (await slots.run("print(1)")).stdout == b"1\n"
        assert reactor.seconds() - began < SOON_S


@pytest_twisted.ensureDeferred
async def test_files_that_fill_the_memory_cost_the_slot_nothing(slots: Slots) -> None:
    code = (
        "import os\nfor i in range(5):\n"
        "    open(f'f{i}', 'wb').write(os.urandom(3 << 20))\n"
        "open('g', 'wb').write(os.urandom(5 << 20))"
    )
    ending = await slots.run(code, memory_bytes=32 * MIB)
    assert ending.status == 0, ending
    assert [each.size for each in ending.files.files] == [3 * MIB] * 5
    assert ending.files.left_out == ("g",)
    assert (await slots.run("print(1)")).stdout == b"1\n"


@pytest.mark.skipif(FULL not in LEVELS, reason="only a control group bounds files' memory")
@pytest_twisted.ensureDeferred
async def test_a_task_ended_for_its_memory_gives_what_it_had_written(tmp_path: Path) -> None:
    slots = Slots(tmp_path, level=FULL)
    code = "import os\nfor i in range(60):\n    open(f'{i:02}', 'wb').write(os.urandom(1 << 20))"
    try:
        helpers = [slot.exited for slot in slots.sandbox.pool.slots]
        ending = await slots.run(code, memory_bytes=16 * MIB, disk_bytes=100 * MIB)
        assert ending.oom_kills, ending
        assert [each.size for each in ending.files.files[:10]] == [MIB] * 10
        assert not any(exited.called for exited in helpers), "its slot goes on"
        assert (await slots.run("print(1)")).stdout == b"1\n"
    finally:
        await slots.sandbox.stop()
        await slots.jobs.remove()


@pytest_twisted.ensureDeferred
async def test_a_task_has_no_descriptor_of_the_file_that_its_files_are_told_in(
    slots: Slots,
) -> None:
    code = (
        "import os\nn = [os.readlink(f'/proc/self/fd/{f}') for f in range(3, 50)"
        " if os.path.exists(f'/proc/self/fd/{f}')]\nprint(n)"
    )
    assert (await slots.run(code, files=pack(GIVEN))).stdout == b"[]\n"


@pytest.fixture
def theirs() -> Any:
    """Make a folder of an operator's files, where the tasks' user may read it."""
    folder = Path(tempfile.mkdtemp(prefix="runyard-test-"))
    folder.chmod(0o755)
    for name in ("keep.txt", "both.txt"):
        (folder / name).write_text("the operator's")
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("level", LEVELS)
@pytest_twisted.ensureDeferred
async def test_operators_files_stay_and_a_task_s_own_take_their_place(
    tmp_path: Path, theirs: Path, level: str
) -> None:
    links = tuple((name, str(theirs / name)) for name in ("keep.txt", "both.txt"))
    slots = Slots(tmp_path, task_files=links, level=level)
    try:
        code = "print(open('keep.txt').read(), open('both.txt').read())"
        ending = await slots.run(code, files=pack([File("both.txt", b"mine")]))
        assert ending.stdout == b"the operator's mine\n", ending.stderr
        assert ending.files == NOTHING
    finally:
        await slots.sandbox.stop()
        await slots.jobs.remove()
    assert (theirs / "both.txt").read_text() == "the operator's"


@pytest_twisted.ensureDeferred
async def test_a_fresh_task_s_interpreter_starts_anew(slots: Slots) -> None:
    hashes = [(await slots.run("print(hash('a'))", fresh=True)).stdout for _ in range(2)]
    assert hashes[0] != hashes[1]
    ending = await slots.run("open('b', 'w').write(open('a').read())", fresh=True,
                             files=pack([File("a", b"1")]))  # fmt: skip
    assert found(ending) == {"b": b"1"}


@pytest.mark.parametrize("level", quick_of(LEVELS, LEVELS[-1]))
def test_over_http_they_go_in_and_come_out(tmp_path: Path, level: str) -> None:
    big = os.urandom(FILES_BYTES - 100)
    given = [
        {"name": "a/é.txt", "content": "ü\n"},
        {"name": "big", "content": base64.b64encode(big).decode(), "encoding": "base64"},
    ]
    code = (
        "import os\nos.makedirs('o/ü'); open('o/ü/x y?.txt', 'w').write(open('a/é.txt').read())\n"
        "open('big2', 'wb').write(open('big', 'rb').read()[::-1]); open('z' * 200 + 'x', 'w')"
    )
    with system(tmp_path, f"--isolation={level}") as started:
        document = started.run(code, files=given, fresh=True)
        assert (document["outcome"], document["isolation"]) == ("success", level), document
        names = {each["name"]: each["size"] for each in document["files"]}
        assert names == {"o/ü/x y?.txt": 3, "big2": len(big), "z" * 200 + "x": 0}
        content = {}
        for name in names:
            path = f"{started.url}/tasks/{document['id']}/files/{quote(name)}"
            answer = requests.get(path, timeout=60)
            assert answer.headers["Content-Disposition"].startswith("attachment;")
            content[name] = answer.content
        assert content == {"o/ü/x y?.txt": "ü\n".encode(), "big2": big[::-1], "z" * 200 + "x": b""}
        code = "open('partial', 'w').write('so far')\nwhile True: pass"
        document = started.run(code, timeout=0.5)
        assert (document["reason"], document["files"]) == (
            "timeout", [{"name": "partial", "size": 6}],
        )  # fmt: skip
