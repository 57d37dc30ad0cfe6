"""Daemons that are stopped, killed, left alone or started twice."""

from __future__ import annotations

import signal
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from harness import (
    TWISTD,
    Daemon,
    System,
    eventually,
    processes_with,
    select_nothing,
    system,
    words,
)

from runyard.daemon.keys import make_keys


@pytest.fixture
def marker() -> str:
    """Make a word that only this test's processes have in their command lines."""
    return f"runyard-test-{uuid.uuid4().hex}"


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def sleeper(marker: str, seconds: float) -> str:
    """Give a program whose process is a child with the marker in its command line."""
    child = f"import time; time.sleep({seconds})"
    return (
        "import subprocess, sys\n"
        f"subprocess.run([sys.executable, '-c', {child!r}, {marker!r}], check=True)\n"
        "print('done')"
    )


def lives(process: psutil.Process) -> bool:
    """Whether it runs; an orphan that has ended may wait for init, as a zombie."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone(processes: list[psutil.Process]) -> Callable[[], bool]:
    return lambda: not any(lives(each) for each in processes)


def local_worker(running: System) -> psutil.Process:
    return next(each for each in running.processes() if "--local" in words(each))


def boots(running: System) -> list[str]:
    return [worker["boot"] for worker in running.workers()]


def start_in_vain(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a daemon that is to end by itself at once."""
    command = [str(TWISTD), "--nodaemon", "--pidfile=", "--logfile=-", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd="/")


def only_line(ended: subprocess.CompletedProcess[str]) -> str:
    """Give the one line that a daemon says before it exits non-zero, with no traceback anywhere."""
    assert ended.returncode != 0, ended
    assert "Traceback" not in ended.stdout + ended.stderr, ended
    (line,) = ended.stderr.strip().splitlines()
    return line


def test_a_scheduler_that_is_told_to_stop_answers_everybody_first(
    tmp_path: Path, marker: str, threads: ThreadPoolExecutor
) -> None:
    with system(tmp_path, "--slots=1") as running, requests.Session() as kept:
        processes = running.processes()
        assert kept.get(f"{running.url}/healthz", timeout=10).status_code == 200
        runs = threads.submit(running.get, sleeper(marker, 2))
        eventually("it runs", lambda: processes_with(marker))
        waits = threads.submit(running.get, sleeper(f"{marker}-second", 2))
        eventually("the other waits", lambda: waiting(running) == 2)
        running.daemon.process.terminate()
        eventually("no new connection is taken", lambda: not listens(running))
        late = kept.get(f"{running.url}/execute", params={"code": "print(1)"}, timeout=10)
        assert running.daemon.process.wait(20) == 0
    eventually("all its processes are gone", gone(processes), 2)
    assert (runs.result().status_code, runs.result().text) == (200, "done\n")
    for answer in (waits.result(), late):
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.text.startswith("runyard: ")
    assert waits.result().headers["X-Task-Outcome"] == "cancelled"
    assert processes_with(marker) == []
    assert "Traceback" not in running.daemon.read()


def test_a_second_signal_hurries_and_still_answers(
    tmp_path: Path, marker: str, threads: ThreadPoolExecutor
) -> None:
    with system(tmp_path, "--slots=1") as running:
        processes = running.processes()
        runs = threads.submit(running.get, sleeper(marker, 25), timeout=30)
        eventually("it runs", lambda: processes_with(marker))
        running.daemon.process.send_signal(signal.SIGINT)
        running.daemon.says("stopping in order")
        select_nothing(1.1)
        running.daemon.process.send_signal(signal.SIGINT)
        assert running.daemon.process.wait(10) == 0
    assert runs.result().status_code == 503
    eventually("all its processes are gone", gone(processes), 2)
    assert processes_with(marker) == []
    assert "Traceback" not in running.daemon.read()


def waiting(running: System) -> int:
    """Tell how many tasks wait, one of this question's own among them; it is taken back."""
    fields = {"code": "print(1)", "wait": False}
    posted = requests.post(f"{running.url}/execute", json=fields, timeout=10)
    requests.delete(f"{running.url}{posted.headers['Location']}", timeout=10)
    return int(posted.json()["queue"]["position"])


def listens(running: System) -> bool:
    parts = urlsplit(running.url)
    try:
        socket.create_connection((str(parts.hostname), parts.port or 0), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_the_worker_of_a_killed_scheduler_is_adopted_by_the_next_one(
    tmp_path: Path, marker: str, threads: ThreadPoolExecutor
) -> None:
    with system(tmp_path, "--slots=1") as first:
        worker, before = local_worker(first), boots(first)
        cut = threads.submit(first.get, sleeper(marker, 60), timeout=60)
        eventually("it runs", lambda: processes_with(marker))
        assert first.daemon.stop(signal.SIGKILL) == -signal.SIGKILL
    assert isinstance(cut.exception(), requests.ConnectionError)
    assert lives(worker)
    with system(tmp_path, "--slots=1") as second:
        assert boots(second) == before
        assert second.run("print('adopted')")["stdout"] == "adopted\n"
        assert processes_with(marker) == []
        assert boots(second) == before
        assert second.stop() == 0
    eventually("its worker ends with it", gone([worker]), 2)


def test_a_local_worker_that_is_left_alone_ends_itself(tmp_path: Path) -> None:
    make_keys(tmp_path / "keys")
    worker = Daemon(
        "worker", "--local", "--allow-unsandboxed", "--isolation=none", "--slots=2",
        "--alone-timeout=0.5",
        f"--state={tmp_path}", f"--listen=unix:{tmp_path / 'socket'}:mode=600",
    )  # fmt: skip
    try:
        worker.says("listens on")
        helpers = psutil.Process(worker.pid).children(recursive=True)
        assert worker.process.wait(10) == 0
        eventually("its helpers are gone", gone(helpers), 2)
        assert "Traceback" not in worker.read()
    finally:
        worker.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with system(tmp_path_factory.mktemp("restarts"), "--slots=1", "--drain-timeout=2") as started:
        yield started


def killed_while_it_runs(running: System, future: Future[Any], marker: str) -> Any:
    """Kill the local worker under a task; give what its client gets."""
    before = boots(running)
    eventually("it runs", lambda: processes_with(marker))
    local_worker(running).kill()
    result = future.result()
    eventually("another worker is there", lambda: boots(running) not in ([], before))
    assert processes_with(marker) == []
    return result


def test_a_task_whose_worker_is_killed_runs_again_and_its_client_sees_the_end(
    shared: System, marker: str, threads: ThreadPoolExecutor
) -> None:
    future = threads.submit(shared.run, sleeper(marker, 1))
    document = killed_while_it_runs(shared, future, marker)
    assert (document["outcome"], document["stdout"]) == ("success", "done\n")
    failures = [(each["number"], each["failure"]) for each in document["attempts"]]
    assert failures == [(1, "network_fail"), (2, None)]


def test_a_task_that_may_run_once_only_is_not_run_again(
    shared: System, marker: str, threads: ThreadPoolExecutor
) -> None:
    future = threads.submit(shared.run, sleeper(marker, 1), attempts=1)
    document = killed_while_it_runs(shared, future, marker)
    assert document["outcome"] == "network_fail"
    assert [each["failure"] for each in document["attempts"]] == ["network_fail"]


def test_a_second_scheduler_on_the_same_state_folder_says_so_and_ends(shared: System) -> None:
    arguments = (
        "--allow-unsandboxed",
        "--isolation=none",
        "--port=0",
        "--debug-port=0",
        f"--state={shared.state}",
    )
    line = only_line(start_in_vain("scheduler", *arguments))
    assert str(shared.state) in line
    assert "another scheduler holds it" in line
    assert shared.run("print('unharmed')")["stdout"] == "unharmed\n"


@pytest.mark.parametrize(("taken", "other"), [("port", "debug-port"), ("debug-port", "port")])
def test_a_port_in_use_is_named_and_nothing_is_left_running(
    tmp_path: Path, taken: str, other: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        number = listening.getsockname()[1]
        arguments = (f"--{taken}={number}", f"--{other}=0", f"--state={tmp_path}")
        line = only_line(
            start_in_vain("scheduler", "--allow-unsandboxed", "--isolation=none", *arguments)
        )
    assert f"port {number}" in line
    assert processes_with(str(tmp_path)) == []
