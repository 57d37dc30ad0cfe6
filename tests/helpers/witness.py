"""What tasks themselves tell of when and how often they ran, whatever the daemons say."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from attrs import define

PROGRAM = """
import os, time
token, first_s, again_s, path = {token!r}, {first_s!r}, {again_s!r}, {path!r}
pid, log = os.getpid(), os.open(path, os.O_WRONLY | os.O_APPEND)

def say(what):
    line = f"{{token}} {{pid}} {{what}} {{time.monotonic()!r}}\\n"
    os.write(log, line.encode())

with open(path) as lines:
    ran = any(line.startswith(token + " ") for line in lines)
say("start")
end = time.monotonic() + (again_s if ran else first_s)
while time.monotonic() < end:
    time.sleep(0.05)
    say("lives")
print(pid, flush=True)
say("end")
"""


@define
class Run:
    """One run of a task, by its own word; times are of the machine's monotonic clock."""

    token: str
    pid: int
    start: float
    last: float
    ended: bool = False


class Witness:
    """A file to which tasks of any user append when they start, live and end."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "witness"
        self.path.touch()
        self.path.chmod(0o666)
        folder.chmod(0o755)

    def program(self, token: str, first_s: float, again_s: float | None = None) -> str:
        """Give a task that runs for so long; `again_s` when it has been started before."""
        again = first_s if again_s is None else again_s
        return PROGRAM.format(token=token, first_s=first_s, again_s=again, path=str(self.path))

    def runs(self) -> dict[str, list[Run]]:
        """List the runs of each token, in the order of their starts."""
        found: dict[str, dict[int, Run]] = {}
        text = self.path.read_text()
        for line in text[: text.rfind("\n") + 1].splitlines():
            token, pid, what, at = line.split()
            now = float(at)
            run = found.setdefault(token, {}).setdefault(int(pid), Run(token, int(pid), now, now))
            run.last = now
            run.ended = run.ended or what == "end"
        return {token: list(runs.values()) for token, runs in found.items()}

    def of(self, token: str) -> list[Run]:
        """List the runs of one token."""
        return self.runs().get(token, [])

    def check_that_none_ran_in_two_places(self) -> None:
        """See that each run of a token began after the last sign of life of the one before."""
        for runs in self.runs().values():
            for one, other in pairwise(runs):
                assert other.start > one.last, (one, other)


@contextmanager
def witness() -> Iterator[Witness]:
    """Have one in a folder that tasks can reach: pytest's own are closed to their user."""
    folder = tempfile.mkdtemp(prefix="witness-", dir="/tmp" if os.path.isdir("/tmp") else None)
    try:
        yield Witness(Path(folder))
    finally:
        shutil.rmtree(folder)
