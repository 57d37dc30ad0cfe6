"""`network: true` through both daemons, jailed and not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from harness import System, system
from slots import JAIL, LEVELS

from runyard.worker.sandbox.levels import NONE

HOST = "127.0.0.2"
"""Not 127.0.0.1, which a task's clients take for its own and reach without the proxy."""
PROGRAM = """
import urllib.error, urllib.request
def get(url):
    try:
        return urllib.request.urlopen(url, timeout=10).read().decode()
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"
    except OSError as error:
        return f"nothing: {error}"
"""


class Site(BaseHTTPRequestHandler):
    """Says that it was reached."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"reached")

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def sites() -> Iterator[tuple[int, int]]:
    """Serve two sites, of which one is allowed."""
    servers = [ThreadingHTTPServer((HOST, 0), Site) for _ in range(2)]
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    yield servers[0].server_port, servers[1].server_port
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module", params=LEVELS)
def running(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    sites: tuple[int, int],
) -> Iterator[System]:
    state = tmp_path_factory.mktemp("network")
    rule = f"--network-allow={HOST}:{sites[0]}"
    with system(state, f"--isolation={request.param}", "--slots=1", rule) as started:
        yield started


def said(document: dict[str, Any]) -> str:
    assert document["outcome"] == "success", document
    return str(document["stdout"])


def test_a_task_that_asks_reaches_what_is_allowed_whichever_way_it_asks(
    running: System, sites: tuple[int, int]
) -> None:
    code = f"{PROGRAM}print(get('http://{HOST}:{sites[0]}/'))"
    assert said(running.run(code, network=True)) == "reached\n"
    assert said(running.run(code.encode(), network="true")) == "reached\n"
    assert running.get(code, network="true").text == "reached\n"
    (worker,) = running.workers()
    assert worker["network"] is True


def test_what_is_not_allowed_is_refused_where_there_is_a_jail(
    running: System, sites: tuple[int, int]
) -> None:
    code = f"{PROGRAM}print(get('http://{HOST}:{sites[1]}/'))"
    document = running.run(code, network=True)
    text = said(document)
    if document["isolation"] == NONE:
        assert text == "reached\n", "nothing filters there, and the result says isolation none"
    else:
        assert text.startswith("403")
        assert "a loopback address; tasks reach public addresses only" in text


def test_a_task_that_does_not_ask_reaches_nothing_where_there_is_a_jail(
    running: System, sites: tuple[int, int]
) -> None:
    code = f"{PROGRAM}print(get('http://{HOST}:{sites[0]}/'))"
    document = running.run(code)
    jailed = document["isolation"] != NONE
    assert said(document).startswith("nothing: " if jailed else "reached")


@pytest.mark.slow
def test_a_name_is_resolved_by_the_worker(
    tmp_path_factory: pytest.TempPathFactory, sites: tuple[int, int]
) -> None:
    name = socket.gethostname().lower()
    try:
        address = socket.getaddrinfo(name, None, socket.AF_INET)[0][4][0]
    except OSError:
        pytest.skip(f"this machine's own name, {name}, has no address here")
    with ThreadingHTTPServer((str(address), 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://{name}:{server.server_port}/"
        state = tmp_path_factory.mktemp("named")
        options = ("--network-default", f"--network-allow={name}:{server.server_port}")
        try:
            with system(state, f"--isolation={JAIL}", "--slots=1", *options) as running:
                program = f"{PROGRAM}print(get({url!r}))"
                assert said(running.run(program)) == "reached\n"
                assert said(running.run(program, network=False)).startswith("nothing: ")
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.slow
def test_where_the_operator_gives_none_asking_is_refused(tmp_path: Any) -> None:
    with system(tmp_path, "--network=none", "--slots=1") as running:
        document = {"code": "print(1)", "network": True}
        answer = requests.post(f"{running.url}/execute", json=document, timeout=30)
        assert answer.status_code == 400
        assert "no worker here has a way out for tasks" in answer.text
        assert said(running.run("print(1)")) == "1\n"
