"""Real daemons for the integration tests: started on free ports, in folders of their own."""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests

TWISTD = Path(sys.executable).with_name("twistd")
PATIENCE_S = 30.0
READY = re.compile(r"production +(http://\S+)\s+debug +(http://\S+)")


def eventually(what: str, true: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
    """Wait until a condition of another process holds; give its value."""
    until = time.monotonic() + seconds
    while True:
        value = true()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        select_nothing(0.02)


def select_nothing(seconds: float) -> None:
    """Give other processes time between two looks at them."""
    with selectors.DefaultSelector() as selector:
        selector.select(seconds)


class Daemon:
    """A twistd process whose output is read as it comes."""

    def __init__(
        self,
        *arguments: str,
        env: dict[str, str] | None = None,
        cwd: Path = Path("/"),
        before: tuple[str, ...] = (),
    ) -> None:
        self.output = ""
        # A file: a pipe that nobody reads would fill, and stop the daemon at its next line of log.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as this does)
        self.process = subprocess.Popen(
            [*before, TWISTD, "--nodaemon", "--pidfile=", "--logfile=-", *arguments],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=cwd,
            env={**os.environ, **(env or {})},
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def read(self) -> str:
        """Give everything that it has written so far."""
        size = os.fstat(self._log.fileno()).st_size
        self.output = os.pread(self._log.fileno(), size, 0).decode("utf-8", "replace")
        return self.output

    def says(self, pattern: str, seconds: float = PATIENCE_S) -> re.Match[str]:
        """Wait until its output has a pattern."""

        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.read())
            if found is None and self.process.poll() is not None:
                found = re.search(pattern, self.read())
                assert found is not None, f"ended with {self.process.returncode}:\n{self.output}"
            return found

        match: re.Match[str] = eventually(f"{pattern!r} in\n{self.read()}", look, seconds)
        return match

    def stop(self, number: int = signal.SIGTERM, seconds: float = PATIENCE_S) -> int:
        """Signal it and wait for its end; give its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(seconds)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.read()
        return code


class System:
    """A scheduler with its local workers."""

    def __init__(
        self,
        state: Path,
        *options: str,
        env: dict[str, str] | None = None,
        cwd: Path = Path("/"),
        level: str = "none",
    ) -> None:
        self.state = state
        self.daemon = Daemon(
            "scheduler", *(["--allow-unsandboxed"] if level == "none" else []),
            f"--isolation={level}", "--banner", "--port=0", "--debug-port=0",
            f"--state={state}", *options, env=env, cwd=cwd,
        )  # fmt: skip
        match = self.daemon.says(READY.pattern)
        self.url, self.debug_url = match.groups()

    def get(self, code: str, **query: Any) -> requests.Response:
        """GET /execute, plain."""
        return requests.get(f"{self.url}/execute", {"code": code, **query}, timeout=60)

    def run(self, code: str | bytes, **fields: Any) -> dict[str, Any]:
        """POST /execute as JSON (bytes go raw); give the task document."""
        if isinstance(code, bytes):
            answer = requests.post(
                f"{self.url}/execute", data=code, params=fields, timeout=60,
                headers={"Content-Type": "text/x-python", "Accept": "application/json"},
            )  # fmt: skip
        else:
            answer = requests.post(f"{self.url}/execute", json={"code": code, **fields}, timeout=60)
        assert answer.status_code in (200, 202, 502), answer.text
        document: dict[str, Any] = answer.json()
        return document

    def workers(self) -> list[dict[str, Any]]:
        """GET /workers."""
        found: list[dict[str, Any]] = requests.get(f"{self.url}/workers", timeout=10).json()[
            "workers"
        ]
        return found

    def processes(self) -> list[psutil.Process]:
        """List every process below the scheduler, workers and their helpers."""
        return psutil.Process(self.daemon.pid).children(recursive=True)

    def stop(self) -> int:
        """End it; give the scheduler's exit code."""
        return self.daemon.stop()


@contextmanager
def system(
    state: Path,
    *options: str,
    env: dict[str, str] | None = None,
    cwd: Path = Path("/"),
    level: str = "none",
) -> Iterator[System]:
    """Run a whole system for a while, its local workers at a level of isolation."""
    running = System(state, *options, env=env, cwd=cwd, level=level)
    try:
        yield running
    finally:
        running.stop()


def words(process: psutil.Process) -> list[str]:
    """Give a process's command line; one that has just ended has none."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def processes_with(marker: str) -> list[int]:
    """List the processes that have a text in their command line."""
    everyone = psutil.process_iter(["pid", "cmdline"])
    return [p.pid for p in everyone if any(marker in part for part in p.info["cmdline"] or ())]
