"""What the tasks' proxy costs: a long download through it, and the reactor's turns meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from netns import Alone
from sites import NAME
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from runyard.daemon.lag import measure_lag
from runyard.worker.network.egress import Egress
from runyard.worker.network.policy import Policy, parse_allow
from runyard.worker.network.resolve import Threads

reactor: Any = installed
SIZE = 100_000_000

SERVER = f"""
import socket
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
piece = bytes(1_000_000)
while True:
    talk, _ = listening.accept()
    asked = b""
    while not asked.endswith(b"\\r\\n\\r\\n"):
        asked += talk.recv(1000)
    talk.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: {SIZE}\\r\\n\\r\\n")
    for _ in range({SIZE} // len(piece)):
        talk.sendall(piece)
    talk.close()
"""
CLIENT = """
import json, time, urllib.request
begun = time.monotonic()
with urllib.request.urlopen(URL, timeout=50) as answer:
    size = 0
    while piece := answer.read(1 << 18):
        size += len(piece)
print(json.dumps([size, time.monotonic() - begun]))
"""


def client(host: str, port: int) -> str:
    return f"URL = 'http://{host}:{port}/'\n{CLIENT}"


def direct(port: int) -> Deferred[Any]:
    """Download without the proxy, in a process too."""
    command = [sys.executable, "-c", client("127.0.0.1", port)]
    return deferToThread(subprocess.check_output, command, timeout=60)


async def proxied(port: int) -> tuple[float, float]:
    """Download through the proxy; give the seconds, and the reactor's longest turn in ms."""
    alone = Alone()
    policy = Policy((parse_allow(f"{NAME}:{port}"),))
    resolver = Threads(reactor, lambda name: ["127.0.0.1"]).share()
    egress = Egress(reactor, alone.listening, policy, resolver, {})
    egress.start()
    lag: Deferred[Any] = Deferred.fromCoroutine(measure_lag(reactor, 1.0))
    try:
        size, seconds = await alone.run(client(NAME, port))
    finally:
        worst = (await lag)["worst_own_ms"]
        await egress.stop()
        alone.close()
    assert size == SIZE
    assert egress.counters.bytes_down > SIZE
    return seconds, worst


@pytest.mark.slow
@pytest_twisted.ensureDeferred
async def test_a_long_download(site: int) -> None:
    straight, through = [], []
    for _ in range(3):
        straight.append(json.loads(await direct(site))[1])
        through.append(await proxied(site))
    ratio = min(through)[0] / min(straight)
    worst = max(turn for _, turn in through)
    sys.stderr.write(f"100 MB: {straight} {through}: ratio {ratio:.2f}, worst turn {worst} ms\n")
    assert ratio < 20
    assert worst < 100


@pytest.fixture
def site() -> Iterator[int]:
    """Give the port of a server that has much to say."""
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE)
    assert server.stdout is not None
    yield int(server.stdout.readline())
    server.kill()
    server.communicate()
