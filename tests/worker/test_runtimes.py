from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

from runyard.protocols.limits import Limits
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
    ("content", "why"),
    [
        ("#!/bin/sh\necho no >&2; exit 3\n", "no Python that works here.* ended with 3: no"),
        ("#!/bin/sh\necho hello\n", "is no Python: it does not answer as one"),
        ("not a program", "cannot be run: Exec format error"),
    ],
)
def test_what_is_no_python_is_named_with_its_reason(tmp_path: Path, content: str, why: str) -> None:
    fake = tmp_path / "python3"
    fake.write_text(content)
    fake.chmod(0o755)
    with pytest.raises(RuntimeUnusable, match=why):
        probe("python", str(fake), None)
    fake.chmod(0o644)
    with pytest.raises(RuntimeUnusable, match="is no program: it is not executable"):
        probe("python", str(fake), None)
    with pytest.raises(RuntimeUnusable, match="cannot be run: No such file"):
        find_interpreters([str(tmp_path / "missing")], None)


def test_a_python_that_the_tasks_user_cannot_reach_is_told_with_the_way_out(tmp_path: Path) -> None:
    hidden = tmp_path / "home"
    hidden.mkdir(mode=0o700)
    (hidden / "python3").symlink_to("/usr/bin/python3")
    if os.geteuid() != 0:
        hidden.chmod(0)
    with pytest.raises(RuntimeUnusable, match="may not run"):
        probe("python", str(hidden / "python3"), NOBODY if os.geteuid() == 0 else None)


def test_a_program_runs_unbuffered_in_utf_8_without_the_user_s_site() -> None:
    argv = Interpreter("python", "/p", "3.11").argv("main.py", ("a",))
    assert argv == ["/p", "-s", "-u", "-X", "utf8", "main.py", "a"]


def test_the_environment_is_a_fixed_few_and_the_task_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "y")
    job = Job("a", "python", b"", b"", (), (("A", "1"), ("HOME", "/mine")), Limits(), 10.0)
    given = environment(job, "/jobs/1", "/hook")
    assert given == {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/mine", "TMPDIR": "/jobs/1.tmp",
        "LANG": "C.UTF-8", "A": "1", "PYTHONPATH": "/hook",
    }  # fmt: skip


def test_rlimits_follow_the_limits_and_count_processes_only_for_an_own_user() -> None:
    limits = Limits(cpu_s=1.2, memory_bytes=64 << 20, processes=10, file_bytes=4096)
    given = rlimits(limits, slots=3, own_uid=True)
    assert given["RLIMIT_CPU"] == (2, 3)
    assert given["RLIMIT_DATA"] == (64 << 20, 64 << 20)
    assert given["RLIMIT_FSIZE"] == (4096, 4096)
    assert given["RLIMIT_NPROC"][0] > 3 * 256, "every slot, at the most a task may ask for"
    assert given["RLIMIT_NPROC"] == rlimits(Limits(), slots=3, own_uid=True)["RLIMIT_NPROC"]
    assert given["RLIMIT_CORE"] == (0, 0)
    assert "RLIMIT_NPROC" not in rlimits(limits, slots=3, own_uid=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run tasks as another user")
def test_a_temporary_folder_that_the_tasks_user_cannot_enter_is_told_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = tmp_path / "home"
    hidden.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(hidden))
    for options in ([], ["/usr/bin/python3"]):
        with pytest.raises(RuntimeUnusable, match="set TMPDIR") as caught:
            find_interpreters(options, NOBODY)
        assert str(hidden) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not list(hidden.iterdir())


def test_a_task_s_own_python_path_follows_the_hook_s() -> None:
    job = Job("a", "python", b"", b"", (), (("PYTHONPATH", "/mine:/too"),), Limits(), 10.0)
    assert environment(job, "/jobs/1", "/hook")["PYTHONPATH"] == "/hook:/mine:/too"
