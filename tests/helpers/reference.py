"""A small supervisor to compare with: a program run by plain Python, with nothing of ours in it."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import subprocess
import tempfile
from pathlib import Path

from attrs import frozen
from slots import ACCOUNT, INTERPRETERS

from runyard.protocols.limits import Limits
from runyard.worker.sandbox.plain import PATH
from runyard.worker.sandbox.rlimits import rlimits

ADDRESS = re.compile(rb"0x[0-9a-f]{6,16}")
PATIENCE_S = 60


@frozen
class Seen:
    """How a program ended: its exit code, or minus its signal's number, and what it wrote."""

    code: int
    stdout: bytes
    stderr: bytes


def normal(code: int, stdout: bytes, stderr: bytes, folder: str) -> Seen:
    """Take out what differs from run to run: the folder's path, addresses."""
    where = re.compile(re.escape(folder.encode()))
    texts = [ADDRESS.sub(b"0xADDRESS", where.sub(b"FOLDER", each)) for each in (stdout, stderr)]
    return Seen(code, *texts)


def _limit() -> None:
    own_uid = ACCOUNT is not None
    for name, pair in rlimits(Limits(), slots=2, own_uid=own_uid).items():
        resource.setrlimit(getattr(resource, name), pair)


def run_plainly(code: bytes, stdin: bytes = b"") -> Seen:
    """Run a program in a folder of its own; what it leaves running is killed."""
    with tempfile.TemporaryDirectory(prefix="runyard-reference-") as made:
        Path(made).chmod(0o711)
        folder = Path(made) / "1"
        (folder / "tmp").mkdir(parents=True)
        (folder / "main.py").write_bytes(code)
        who: dict[str, object] = {}
        if ACCOUNT is not None:
            who = {"user": ACCOUNT.uid, "group": ACCOUNT.gid, "extra_groups": []}
            for path in (folder, folder / "tmp", folder / "main.py"):
                os.chown(path, ACCOUNT.uid, ACCOUNT.gid)
        with tempfile.TemporaryFile() as given:
            given.write(stdin)
            given.seek(0)
            return _supervise(folder, given.fileno(), who)


def _supervise(folder: Path, stdin: int, who: dict[str, object]) -> Seen:
    where = str(folder)
    env = {"PATH": PATH, "HOME": where, "TMPDIR": f"{where}/tmp", "LANG": "C.UTF-8"}
    argv = [INTERPRETERS[0].path, "-s", "-u", "-X", "utf8", "main.py"]
    process = subprocess.Popen(  # type: ignore[call-overload]
        argv, cwd=where, env=env, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True, preexec_fn=_limit,  # noqa: PLW1509 (nobody else runs here)
        umask=0o077, **who,
    )  # fmt: skip
    # Not by communicate(): what the program left behind holds the pipes. They take 64 KiB.
    with process:
        ended = process.wait(PATIENCE_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.stdout.read(), process.stderr.read()
    return normal(ended, stdout, stderr, where)
