from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from runyard.protocols.limits import Limits
from runyard.worker.jobs import JobsFolder
from runyard.worker.sandbox.interface import Job
from runyard.worker.sandbox.plain import environment
from runyard.worker.sandbox.rlimits import rlimits
from runyard.worker.sandbox.runtimes import (
    Account,
    Interpreter,
    RuntimeUnusable,
    find_interpreters,
    parse_option,
    probe,
)

NOBODY = Account("nobody", 65534, 65534)


def test_an_option_names_a_runtime_or_the_default_one() -> None:
    assert parse_option("/usr/bin/python3") == ("python", "/usr/bin/python3")
    assert parse_option("crawler=/venv/bin/python") == ("python:crawler", "/venv/bin/python")
    for wrong in ("python3", "Bad Name=/x", "x=relative", "=/x"):
        with pytest.raises(ValueError, match="must be"):
            parse_option(wrong)


def test_a_probe_finds_the_interpreter_behind_a_script(tmp_path: Path) -> None:
    shim = tmp_path / "python3"
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    shim.chmod(0o755)
    found = probe("python", str(shim), None)
    assert Path(found.path).resolve() == Path(sys.executable).resolve()
    assert found.version.startswith("3.")


@pytest.mark.parametrize(
    "content", ["#!/bin/sh\nexit 3\n", "#!/bin/sh\necho hello\n", "not a program"]
)
def test_what_is_no_python_is_named_with_its_reason(tmp_path: Path, content: str) -> None:
    fake = tmp_path / "python3"
    fake.write_text(content)
    fake.chmod(0o755)
    with pytest.raises(RuntimeUnusable, match="python3 does not run"):
        probe("python", str(fake), None)
    with pytest.raises(RuntimeUnusable, match="does not run"):
        find_interpreters([str(tmp_path / "missing")], None)


def test_a_python_that_the_tasks_user_cannot_reach_is_told_with_the_way_out(tmp_path: Path) -> None:
    hidden = tmp_path / "home"
    hidden.mkdir(mode=0o700)
    (hidden / "python3").symlink_to("/usr/bin/python3")
    if os.geteuid() != 0:
        hidden.chmod(0)
    with pytest.raises(RuntimeUnusable, match="may not run"):
        probe("python", str(hidden / "python3"), NOBODY if os.geteuid() == 0 else None)


def test_python_variables_count_only_when_the_task_sets_them() -> None:
    interpreter = Interpreter("python", "/p", "3.11")
    plain = interpreter.argv("main.py", ("a",), {})
    assert plain == ["/p", "-E", "-s", "-u", "-X", "utf8", "main.py", "a"]
    assert "-E" not in interpreter.argv("main.py", (), {"PYTHONHASHSEED": "0"})


def test_the_environment_is_a_fixed_few_and_the_task_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "y")
    job = Job("a", "python", b"", b"", (), (("A", "1"), ("HOME", "/mine")), Limits(), 10.0)
    given = environment(job, "/jobs/1")
    assert given == {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/mine", "TMPDIR": "/jobs/1/tmp",
        "LANG": "C.UTF-8", "A": "1",
    }  # fmt: skip


def test_rlimits_follow_the_limits_and_count_processes_only_for_an_own_user() -> None:
    limits = Limits(cpu_s=1.2, memory_bytes=64 << 20, processes=10, file_bytes=4096)
    given = rlimits(limits, slots=3, own_uid=True)
    assert given["RLIMIT_CPU"] == (2, 3)
    assert given["RLIMIT_DATA"] == (64 << 20, 64 << 20)
    assert given["RLIMIT_FSIZE"] == (4096, 4096)
    assert given["RLIMIT_NPROC"] == (30, 30)
    assert given["RLIMIT_CORE"] == (0, 0)
    assert "RLIMIT_NPROC" not in rlimits(limits, slots=3, own_uid=False)


def test_a_later_start_removes_what_was_written_down_and_nothing_else(tmp_path: Path) -> None:
    first = JobsFolder(tmp_path)
    (first.path / "1").mkdir()
    assert first.path.stat().st_mode & 0o777 == 0o711
    second = JobsFolder(tmp_path)
    assert not first.path.exists()
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / "jobs").write_text(f"{precious}\n")
    third = JobsFolder(tmp_path)
    assert precious.exists(), "only folders of our own making"
    third.remove()
    assert not third.path.exists()
    second.remove()
