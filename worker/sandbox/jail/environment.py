"""The variables of a jailed task: pure."""

from __future__ import annotations

import os

from runyard.worker.sandbox.interface import Job

PATH = "/usr/local/bin:/usr/bin:/bin"
FIXED = {"PATH": PATH, "HOME": "/task", "TMPDIR": "/tmp", "LANG": "C.UTF-8"}  # noqa: S108 (the jail's)
EARLY = ("PYTHON", "LC_", "LD_", "MALLOC_", "GLIBC_", "LANG")
"""What a process reads once, at its start: a child that runs already would not heed it."""


def of(job: Job) -> dict[str, str]:
    """Give a job's variables: a fixed few, then its own; nothing of the worker's."""
    return FIXED | dict(job.env)


def needs_fresh(job: Job) -> bool:
    """Whether a job sets what only a process that starts anew would heed."""
    return any(name.startswith(EARLY) or name == "TZ" for name, _ in job.env)


def with_hook(env: dict[str, str], hook: str) -> dict[str, str]:
    """Put the hook's folder first on the path that modules are looked for; it takes itself off."""
    theirs = env.get("PYTHONPATH")
    return env | {"PYTHONPATH": f"{hook}{os.pathsep}{theirs}" if theirs else hook}
