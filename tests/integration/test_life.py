"""Who cancels a task or hangs up ends it, with every process that it started."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlsplit

import psutil
import pytest
import requests
from harness import System, eventually, processes_with, system, words

TREE = """
import os, subprocess, sys, time
print("started", flush=True)
os.environ["WORD"] = sys.argv[1]
sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
subprocess.Popen([*sleeper, sys.argv[1]])
orphaning = (
    "import os, subprocess, sys;"
    "subprocess.Popen([*sys.argv[1:], os.environ['WORD']], start_new_session=True)"
)
subprocess.run([sys.executable, "-c", orphaning, *sleeper])
time.sleep(60)
"""
TREE_SIZE = 3  # the task, its child, and a grandchild in a session of its own, without a parent
HANG_UPS = 20


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with system(tmp_path_factory.mktemp("life"), "--slots=1", "--drain-timeout=2") as started:
        yield started


@pytest.fixture
def marker() -> str:
    """Make a word that only this test's processes have in their command lines."""
    return f"runyard-test-{uuid.uuid4().hex}"


def submit(running: System, code: str, **fields: Any) -> str:
    """Send a task that nobody waits for; give its URL."""
    fields = {"code": code, "wait": False, **fields}
    answer = requests.post(f"{running.url}/execute", json=fields, timeout=10)
    assert answer.status_code == 202, answer.text
    return f"{running.url}{answer.headers['Location']}"


def delete(url: str) -> dict[str, Any]:
    answer = requests.delete(url, timeout=20)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def idle(running: System) -> bool:
    return all(worker["in_use"] == 0 for worker in running.workers())


def gone(word: str) -> bool:
    return not processes_with(word)


def position(url: str) -> int:
    return int(requests.get(url, timeout=10).json()["queue"]["position"])


def call(running: System, code: str, **fields: Any) -> socket.socket:
    """Send a waiting POST and leave the answer to come."""
    body = json.dumps({"code": code, **fields}).encode()
    return connect(running, "POST /execute", body)


def connect(running: System, request: str, body: bytes = b"") -> socket.socket:
    parts = urlsplit(running.url)
    assert parts.hostname is not None
    connection = socket.create_connection((parts.hostname, parts.port or 0), timeout=10)
    head = (
        f"{request} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    return connection


def test_a_cancelled_running_task_is_gone_with_all_its_processes(
    running: System, marker: str
) -> None:
    url = submit(running, TREE, args=[marker])
    eventually("the tree stands", lambda: len(processes_with(marker)) == TREE_SIZE)
    document = delete(url)
    assert processes_with(marker) == []
    assert (document["state"], document["outcome"]) == ("finish", "cancelled")
    assert document["reason"] == "asked"
    assert document["stdout"] == "started\n"
    assert len(document["attempts"]) == 1
    assert delete(url) == document == requests.get(url, timeout=10).json()


def test_a_cancelled_pending_task_never_starts(running: System, marker: str) -> None:
    first = submit(running, TREE, args=[marker])
    eventually("the first one runs", lambda: processes_with(marker))
    second = submit(running, TREE, args=[f"{marker}-second"])
    third = submit(running, "print('third')")
    document = delete(second)
    assert (document["state"], document["outcome"]) == ("finish", "cancelled")
    assert (document["reason"], document["attempts"]) == ("asked", [])
    assert document["started_at"] is None
    delete(first)
    assert delete(second) == document
    finished = requests.get(third, {"wait": "20"}, timeout=30).json()
    assert finished["stdout"] == "third\n"
    assert processes_with(f"{marker}-second") == []


def test_a_finished_task_cannot_be_cancelled_any_more(running: System) -> None:
    document = running.run("print(1)")
    assert delete(f"{running.url}/tasks/{document['id']}") == document
    assert document["outcome"] == "success"


@pytest.mark.parametrize("task", ["01a21059-fab8-7fd7-95f8-3ec01bdf1e7a", "nothing", "..%2f"])
def test_an_unknown_task_cannot_be_cancelled(running: System, task: str) -> None:
    answer = requests.delete(f"{running.url}/tasks/{task}", timeout=10)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_client_that_hangs_up_ends_its_task_and_frees_the_slot(
    running: System, marker: str
) -> None:
    for number in range(HANG_UPS):
        word = f"{marker}-{number}."
        if number % 2:
            connection = call(running, TREE, args=[word])
        else:
            code = quote_plus(f"import sys\nsys.argv.append({word!r})\n{TREE}")
            connection = connect(running, f"GET /execute?code={code}")
        eventually("it runs", partial(processes_with, word))
        connection.close()
        eventually("it is gone", partial(gone, word), 5)
    eventually("the slot is free", lambda: idle(running), 5)
    answer = running.get("print('short')", timeout=5)
    assert answer.text == "short\n"
    logs = running.daemon.read() + (running.state / "workers" / "local-1" / "log").read_text()
    assert "Traceback" not in logs
    assert "Unhandled" not in logs


def test_a_client_that_hangs_up_before_its_task_starts_takes_it_out_of_the_queue(
    running: System, marker: str
) -> None:
    first = submit(running, TREE, args=[marker])
    eventually("the first one runs", lambda: processes_with(marker))
    connection = call(running, TREE, args=[f"{marker}-second"])
    last = submit(running, "print('last')")
    eventually("both wait", lambda: position(last) == 2)
    connection.close()
    eventually("the one before it is gone", lambda: position(last) == 1)
    delete(first)
    assert requests.get(last, {"wait": "20"}, timeout=30).json()["stdout"] == "last\n"
    assert processes_with(f"{marker}-second") == []


def test_a_task_that_is_to_continue_does_so_when_its_client_hangs_up(
    tmp_path_factory: pytest.TempPathFactory, marker: str
) -> None:
    with system(tmp_path_factory.mktemp("life"), "--slots=2", "--drain-timeout=2") as running:
        code = "import time; time.sleep(60)"
        kept = call(running, code, args=[f"{marker}-kept"], on_disconnect="continue", timeout=60)
        ended = call(running, TREE, args=[f"{marker}-ended"])
        (pid,) = eventually("one runs", partial(processes_with, f"{marker}-kept"))
        eventually("the other runs", partial(processes_with, f"{marker}-ended"))
        kept.close()
        ended.close()
        eventually("the other is gone", partial(gone, f"{marker}-ended"), 5)
        assert processes_with(f"{marker}-kept") == [pid]
        eventually("its slot alone is held", lambda: running.workers()[0]["in_use"] == 1, 5)
        os.kill(pid, signal.SIGKILL)
        eventually("its slot is free", lambda: idle(running), 5)


def test_nothing_of_a_task_outlives_a_worker_that_is_killed_as_it_starts(
    tmp_path_factory: pytest.TempPathFactory, marker: str
) -> None:
    with system(tmp_path_factory.mktemp("life"), "--slots=1") as running:
        (worker,) = psutil.Process(running.daemon.pid).children()
        (helper,) = [c for c in worker.children() if any("launcher" in a for a in words(c))]
        children = Path(f"/proc/{helper.pid}/task/{helper.pid}/children")
        url = submit(running, TREE, args=[marker], attempts=1)
        until = time.monotonic() + 5
        while not children.read_text() and time.monotonic() < until:
            pass  # a look each 20 ms would come too late
        worker.suspend()  # so what its helper tells it stays unread
        eventually("the tree stands", lambda: len(processes_with(marker)) == TREE_SIZE)
        worker.kill()
        document = requests.get(url, {"wait": "20"}, timeout=30).json()
        assert document["outcome"] == "network_fail"
        eventually("the tree is gone", partial(gone, marker), 5)
