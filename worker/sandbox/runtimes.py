"""The interpreters that a worker offers: found and probed once, at start."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from attrs import frozen

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,31}")
PROBE = """
import json, os, sys
names = ("prefix", "base_prefix", "exec_prefix", "base_exec_prefix")
folders = {getattr(sys, name) for name in names}
folders |= {each for each in sys.path if os.path.isdir(each)}
for path in (sys.executable, os.path.realpath(sys.executable)):
    folders.add(os.path.dirname(path))
with open("/proc/self/maps") as maps:
    files = {line.split(None, 5)[5].strip() for line in maps if len(line.split(None, 5)) == 6}
folders |= {os.path.dirname(each) for each in files if ".so" in each and each.startswith("/")}
print(json.dumps({
    "executable": sys.executable, "version": sys.version_info[:2],
    "reachable": os.access(sys.argv[1], os.X_OK), "folders": sorted(folders),
}))
"""
PROBE_S = 20
OLDEST = (3, 9)
OLDEST_TEXT = "3.9"
MOST_SAID = 300


class RuntimeUnusable(Exception):
    """An interpreter cannot be used for tasks; the text names it and says why."""


class FolderUnreachable(RuntimeUnusable):
    """The tasks' user cannot enter a folder made for it, whatever the interpreter."""


@frozen
class Account:
    """The user that tasks run as."""

    name: str
    uid: int
    gid: int


@frozen
class Interpreter:
    """A Python that was seen to run as the tasks' user.

    Attributes:
        name: The language's name in requests: ``python`` or ``python:NAME``.
        folders: Those that it reads itself from, none of them too wide to be shown to tasks.
        path: Its own idea of `sys.executable`: behind a version manager's shim, before a virtual
            environment's link, so that its packages are found.
    """

    name: str
    path: str
    version: str
    folders: tuple[str, ...] = ()

    def argv(self, program: str, args: tuple[str, ...]) -> list[str]:
        """Give the command line: unbuffered, UTF-8, no user site."""
        return [self.path, "-s", "-u", "-X", "utf8", program, *args]


def task_account() -> Account | None:
    """Give the unprivileged account for tasks where we are root; None where we are not."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam("nobody")
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def parse_option(value: str) -> tuple[str, str]:
    """Split ``[NAME=]PATH`` into the language's name and the path.

    Raises:
        ValueError: the name is not of its form, or the path is not absolute.
    """
    name, equals, path = value.partition("=")
    if not equals:
        name, path = "", value
    elif not NAME.fullmatch(name):
        raise ValueError(f"{name!r} must be lower-case letters, digits, '_', '.', '-' (at most 32)")
    if not os.path.isabs(path):
        raise ValueError(f"{path!r} must be an absolute path")
    return (f"python:{name}" if name else "python"), path


def find_interpreters(options: list[str], account: Account | None) -> tuple[Interpreter, ...]:
    """Probe the interpreters of the options, or find a default one.

    Raises:
        RuntimeUnusable: one that was named does not run, or no default was found.
    """
    wanted = dict(parse_option(value) for value in options)
    found = [probe(name, path, account) for name, path in wanted.items()]
    if "python" not in wanted:
        found.insert(0, _default(account))
    return tuple(found)


def probe(name: str, path: str, account: Account | None) -> Interpreter:
    """Run an interpreter once as the tasks' user.

    Raises:
        RuntimeUnusable: it does not run, is too old, or that user cannot enter a folder of its own
            where the tasks' folders are made.
    """
    drop: dict[str, Any] = {}
    if account is not None:
        drop = {"user": account.uid, "group": account.gid, "extra_groups": []}
    who = account.name if account is not None else "this user"
    try:
        with tempfile.TemporaryDirectory(prefix="runyard-probe-") as folder:
            Path(folder).chmod(0o711)
            done = subprocess.run(  # noqa: S603 (the operator's own path)
                [path, "-I", "-c", PROBE, folder], capture_output=True, timeout=PROBE_S, cwd="/",
                env={}, check=True, stdin=subprocess.DEVNULL, **drop,
            )  # fmt: skip
        found = json.loads(done.stdout.splitlines()[-1])
        numbers = (int(found["version"][0]), int(found["version"][1]))
        executable, reachable = str(found["executable"]), bool(found["reachable"])
        folders = tuple(str(each) for each in found["folders"])
    except PermissionError:
        if os.path.isfile(path) and not os.stat(path).st_mode & 0o111:
            raise RuntimeUnusable(f"{name}: {path} is no program: it is not executable") from None
        raise RuntimeUnusable(
            f"{name}: {who} may not run {path}; tasks run as {who}, so every folder above it"
            " and above the installation it links to must let others enter (chmod o+x)"
        ) from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:MOST_SAID]
        raise RuntimeUnusable(
            f"{name}: {path} is no Python that works here, {OLDEST_TEXT} is the oldest that does:"
            f" it ended with {error.returncode}: {said}"
        ) from None
    except (subprocess.TimeoutExpired, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else f"no answer within {PROBE_S:g} s"
        raise RuntimeUnusable(f"{name}: {path} cannot be run: {why}") from None
    except (ValueError, LookupError, TypeError):
        raise RuntimeUnusable(f"{name}: {path} is no Python: it does not answer as one") from None
    version = f"{numbers[0]}.{numbers[1]}"
    if not reachable:
        raise FolderUnreachable(
            f"tasks run as {who}, who may not enter a folder made in {tempfile.gettempdir()}: let"
            " others enter every folder above it (chmod o+x), or set TMPDIR to another folder"
        )
    if numbers < OLDEST:
        raise RuntimeUnusable(
            f"{name}: {path} is Python {version}; {OLDEST_TEXT} is the oldest that works"
        )
    return Interpreter(name, executable, version, folders)


def _default(account: Account | None) -> Interpreter:
    base = getattr(sys, "_base_executable", sys.executable)
    tried = []
    for path in dict.fromkeys([base, "/usr/bin/python3", shutil.which("python3") or base]):
        if not Path(path).exists():
            continue
        try:
            return probe("python", path, account)
        except FolderUnreachable:
            raise
        except RuntimeUnusable as error:
            tried.append(str(error))
    raise RuntimeUnusable(
        "no Python was found that tasks can use; name one by --python PATH\n  " + "\n  ".join(tried)
    )
