"""The two servers: started on free ports, measured as a tree of processes, ended."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import psutil

BENCH = Path(__file__).parent
TWISTD = Path(sys.executable).with_name("twistd")
READY = re.compile(r"(?:production|ready) +(http://\S+)")
PATIENCE_S = 30.0
SETTLE_S = 0.05


class Server:
    """A server process; its output goes to a file, so that a full pipe never stops it."""

    def __init__(self, name: str, argv: list[str], output: Path) -> None:
        self.name = name
        self._output = output
        with output.open("wb") as stream:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, cwd="/"
            )
        try:
            self.url = self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self) -> str:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            found = READY.search(self._output.read_text(errors="replace"))
            if found is not None:
                return found[1]
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError(f"{self.name} is not ready:\n{self._output.read_text(errors='replace')}")

    def cpu_ms(self) -> float:
        """Give the processor time that its tree has used so far, with what has ended in it."""
        time.sleep(SETTLE_S)  # what is tidied up after an answer belongs to it
        root = psutil.Process(self._process.pid)
        total = 0.0
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total * 1000

    def stop(self) -> None:
        """End it in order, by force if that takes too long."""
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_S)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()


def task_interpreter(url: str) -> str:
    """Ask runyard which Python its tasks run on."""
    code = quote("import sys; print(sys.executable)", safe="")
    with urlopen(f"{url}/execute?code={code}", timeout=PATIENCE_S) as answer:
        path: bytes = answer.read()
    return path.decode().strip()


SYSTEM_PYTHON = "/usr/bin/python3"


@contextmanager
def both(folder: Path, options: list[str]) -> Iterator[tuple[Server, Server, str]]:
    """Run naive and runyard (with options of its own) side by side, on one interpreter.

    That is the system's, where there is one: another may import much at each start, which only the
    naive server would pay for.
    """
    if Path(SYSTEM_PYTHON).exists():
        options = [f"--python={SYSTEM_PYTHON}", *options]
    argv = [
        str(TWISTD), "--nodaemon", "--pidfile=", "--logfile=-", "scheduler", "--banner",
        "--port=0", "--debug-port=0", f"--state={folder / 'state'}", *options,
    ]  # fmt: skip
    runyard = Server("runyard", argv, folder / "runyard.log")
    try:
        python = task_interpreter(runyard.url)
        argv = [sys.executable, str(BENCH / "naive.py"), python]
        naive = Server("naive", argv, folder / "naive.log")
        try:
            yield naive, runyard, python
        finally:
            naive.stop()
    finally:
        runyard.stop()
