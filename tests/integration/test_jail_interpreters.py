"""Interpreters of operators in jails, wherever they live, and what zygotes import beforehand."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from jailed import Jails
from slots import INTERPRETERS, ROOT, UIDS

from runyard.worker.sandbox.interface import SandboxError
from runyard.worker.sandbox.jail.making import JailPlan
from runyard.worker.sandbox.levels import NAMESPACES
from runyard.worker.sandbox.probing import probe
from runyard.worker.sandbox.runtimes import Interpreter, RuntimeUnusable, find_interpreters

VERSIONS = Path.home() / ".pyenv" / "versions"
OTHERS = [
    str(found)
    for found in sorted(VERSIONS.glob("3.*/bin/python3"))
    if int(re.findall(r"/3\.(\d+)", str(found))[0]) >= 9
]
WHO = "import sys; print('%d.%d' % sys.version_info[:2], sys.argv[1:], sys.flags.utf8_mode)"
BASE_UID = UIDS if ROOT else None


async def answers(state: Path, code: str, *, language: str = "python", **plan: Any) -> str:
    jails = Jails(state, NAMESPACES, **plan)
    try:
        return await jails.says(code, language=language, args=("é",))
    finally:
        await jails.stop()


@pytest.fixture
def aside() -> Iterator[Path]:
    """Make a folder that is not in /tmp, of which each task has its own."""
    with tempfile.TemporaryDirectory(prefix="runyard-test-", dir="/var/tmp") as made:
        yield Path(made)


@pytest.fixture
def venv(aside: Path) -> Path:
    """Make a virtual environment with a package, under a folder that is its owner's alone."""
    home = aside / "home"
    home.mkdir(mode=0o700)
    made = home / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", made], check=True)
    (site,) = made.glob("lib/python3.*/site-packages")
    (site / "crawled.py").write_text("WORD = 'found'\n")
    return made


@pytest_twisted.ensureDeferred
async def test_a_virtual_environment_under_a_closed_home(tmp_path: Path, venv: Path) -> None:
    code = "import crawled, sys; print(crawled.WORD, sys.prefix)"
    named = find_interpreters([f"crawler={venv}/bin/python", "/usr/bin/python3"], None)
    (tmp_path / "a").mkdir()
    said = await answers(tmp_path / "a", code, language="python:crawler", interpreters=named)
    assert said == f"found {venv}\n"
    (tmp_path / "b").mkdir()
    default = find_interpreters([f"{venv}/bin/python"], None)
    beside = f"import os; print(os.listdir({str(venv.parent)!r}))"
    assert (await answers(tmp_path / "b", code, interpreters=default)) == f"found {venv}\n"
    (tmp_path / "c").mkdir()
    assert await answers(tmp_path / "c", beside, interpreters=default) == "['venv']\n"


@pytest.mark.parametrize(
    "path",
    [each if "3.13" in each else pytest.param(each, marks=pytest.mark.slow) for each in OTHERS],
)
@pytest_twisted.ensureDeferred
async def test_other_pythons_are_zygotes_and_are_executed(tmp_path: Path, path: str) -> None:
    version = ".".join(re.findall(r"/(3)\.(\d+)", path)[0])
    for options, language in (([path], "python"), ([f"other={path}"], "python:other")):
        state = tmp_path / language.replace(":", "-")
        state.mkdir()
        found = find_interpreters(options, None)
        said = await answers(state, WHO, language=language, interpreters=found)
        assert said == f"{version} ['é'] 1\n"


@pytest_twisted.ensureDeferred
async def test_what_is_preloaded_is_there(tmp_path: Path) -> None:
    code = "import sys; print('json.decoder' in sys.modules, 'decimal' in sys.modules)"
    assert await answers(tmp_path, code) == "False False\n"
    (tmp_path / "b").mkdir()
    assert await answers(tmp_path / "b", code, preload=("json", "decimal")) == "True True\n"


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("threads_here", "--preload threads_here: importing leaves 1 threads running"),
        ("not_there", "--preload not_there: ModuleNotFoundError: No module named 'not_there'"),
        ("raises", "--preload raises: KeyError: 'in it'"),
        ("ends", "--preload ends: SystemExit: 0"),
    ],
)
def test_a_module_that_cannot_be_preloaded_stops_the_start_and_says_why(
    tmp_path: Path, venv: Path, module: str, text: str
) -> None:
    (site,) = venv.glob("lib/python3.*/site-packages")
    (site / "threads_here.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    (site / "raises.py").write_text("raise KeyError('in it')\n")
    (site / "ends.py").write_text("import sys; sys.exit(0)\n")
    plan = JailPlan(find_interpreters([f"{venv}/bin/python"], None), None, BASE_UID, (module,))
    with pytest.raises(RuntimeUnusable, match="^" + re.escape(text)):
        probe(plan)


def test_an_interpreter_that_does_not_run_in_a_jail_stops_the_start(aside: Path) -> None:
    """It ran outside, where the files that it needs are there."""
    script = aside / "python3"
    script.write_text(f"#!{sys.executable}\n")
    ours = find_interpreters(["/usr/bin/python3"], None)
    hidden = Interpreter("python:hidden", str(script), "3.11", ())
    with pytest.raises(RuntimeUnusable, match=f"python:hidden: {script} does not run in a jail"):
        probe(JailPlan((*ours, hidden), None, BASE_UID))
    good = Interpreter("python:good", "/usr/bin/python3", "3.11", ())
    assert NAMESPACES in probe(JailPlan((*ours, good), None, BASE_UID))[0].proven


@pytest_twisted.ensureDeferred
async def test_one_that_is_gone_later_is_a_fault_of_ours_not_of_the_task_s(tmp_path: Path) -> None:
    gone = Interpreter("python:gone", "/usr/bin/python3-gone", "3.11", ())
    jails = Jails(tmp_path, NAMESPACES, interpreters=(*INTERPRETERS, gone))
    try:
        with pytest.raises(SandboxError, match="FileNotFoundError"):
            await jails.run("print(1)", language="python:gone")
        assert await jails.says("print(1)") == "1\n"
    finally:
        await jails.stop()


@pytest_twisted.ensureDeferred
async def test_task_files_lie_beside_the_program_read_only(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "data.txt").write_text("theirs")
    (given / "helper.py").write_text("WORD = 'helps'\n")
    (given / "run.js").write_text(
        "console.log('node', require('fs').readFileSync('data.txt', 'utf8'))"
    )
    code = (
        "import helper, os\nprint(helper.WORD, open('data.txt').read())\n"
        "try: open('data.txt', 'w')\nexcept OSError as error: print(error.errno)\n"
        "os.unlink('data.txt'); print(os.path.exists('/.files/data.txt'))\n"
    )
    (tmp_path / "state").mkdir()
    jails = Jails(tmp_path / "state", NAMESPACES, task_files=str(given))
    try:
        assert (await jails.says(code)) in ("helps theirs\n30\nTrue\n", "helps theirs\n13\nTrue\n")
        assert (await jails.says("print(open('data.txt').read())")) == "theirs\n"
        if shutil.which("node") == "/usr/bin/node":
            node = "import subprocess; subprocess.run(['node', 'run.js'], check=True)"
            assert (await jails.says(node, memory_bytes=1 << 30)) == "node theirs\n"
    finally:
        await jails.stop()
    assert (given / "data.txt").read_text() == "theirs"
