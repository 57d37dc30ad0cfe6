from __future__ import annotations

import pytest

from runyard.worker.sandbox.choosing import homes
from runyard.worker.sandbox.jail.layout import layout, refuse_wide, within, without_nested
from runyard.worker.sandbox.runtimes import Interpreter, RuntimeUnusable

PRIVATE = ["/root", "/home/me", "/opt/yard/state"]


def reading(*folders: str) -> Interpreter:
    return Interpreter("python:a", "/somewhere/python3", "3.11", ("/usr/lib/python3.11", *folders))


def test_a_folder_lies_in_itself_and_in_those_above_by_whole_names() -> None:
    assert within("/a", "/a")
    assert within("/a/b", "/a")
    assert within("/a", "/")
    assert not within("/ab", "/a")
    assert not within("/a", "/a/b")


def test_folders_in_others_and_in_usr_are_left_out() -> None:
    given = ["/usr/lib", "/opt/a/lib", "/opt/a", "/opt/ab", "/usr", "/opt/a", "/usrlocal"]
    assert without_nested(given) == ["/opt/a", "/opt/ab", "/usrlocal"]
    assert without_nested([]) == []


@pytest.mark.parametrize(
    "folder",
    ["/", "/root", "/home", "/home/me", "/etc", "/var", "/opt", "/opt/yard", "/opt/yard/state"],
)
def test_a_folder_that_is_not_the_interpreter_s_alone_is_refused(folder: str) -> None:
    with pytest.raises(RuntimeUnusable) as caught:
        refuse_wide([reading("/opt/python"), reading(folder)], PRIVATE)
    assert f"python:a: /somewhere/python3 reads from {folder}, which" in str(caught.value)
    assert "in a folder of its own" in str(caught.value)


@pytest.mark.parametrize("folder", ["/tmp/venv", "/dev/shm/venv", "/task", "/proc", "/mnt/x"])
def test_a_folder_that_each_task_has_for_itself_is_refused(folder: str) -> None:
    with pytest.raises(RuntimeUnusable, match="install it elsewhere"):
        refuse_wide([reading(folder)], PRIVATE)


def test_what_is_its_own_is_taken_wherever_it_lies() -> None:
    refuse_wide(
        [reading("/root/.pyenv/versions/3.12.1", "/home/me/venv", "/opt/yard/venv", "/usr", "/bin",
                 "/var/lib/python", "/etcetera", "/opt/yard/state/venv")],
        PRIVATE,
    )  # fmt: skip


def test_homes_are_those_of_people() -> None:
    assert "/root" in homes()
    assert not {"/usr/sbin", "/bin", "/usr/games"} & set(homes())


def test_a_janitor_is_told_of_each_folder_once_and_of_no_secret_of_etc() -> None:
    told = layout("/place", "/own", [reading("/opt/py", "/opt/py/lib")], "/files", 7, 8)
    sources = [source for source, _ in told["binds"]]
    assert sources.count("/opt/py") == 1
    assert ["/own", "/.runyard"] in told["binds"]
    assert "/etc/python3.11" in sources
    assert not {"/etc", "/etc/shadow", "/etc/ssl", "/etc/ssl/private", "/opt/py/lib"} & set(sources)
    assert (told["place"], told["task_files"], told["uid"], told["gid"]) == (
        "/place",
        "/files",
        7,
        8,
    )
    assert "root" not in told["files"]["/etc/passwd"]
