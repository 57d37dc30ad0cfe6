"""A jailed task's way out: who gets one, where it leads, and that it ends with the task."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sites import NAME, Sites
from slots import JAIL, Slots, until
from twisted.internet import reactor as installed
from twisted.internet.defer import gatherResults

from runyard.worker.network.egress import Egress
from runyard.worker.network.gateway import Gateway
from runyard.worker.network.policy import parse_allow
from runyard.worker.sandbox.interface import SandboxError

reactor: Any = installed
PRELUDE = """
import json, os, socket, urllib.error, urllib.request
def say(*what): print(json.dumps(what), flush=True)
def get(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)
proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
"""
LISTENERS = """
lines = open("/proc/self/net/tcp").read().splitlines()[1:]
say(proxies, [line for line in lines if line.split()[3] == "0A"])
"""


def look(name: str) -> list[str]:
    """Resolve as a name server would: one name is this machine."""
    if name != NAME:
        raise OSError(-2, "Name or service not known")
    return ["127.0.0.1"]


class Watched(Gateway):
    """A gateway that keeps what it has opened."""

    opened: list[Egress]

    def open(self, slot: int, listening: socket.socket, attempt: str) -> Egress:
        self.opened.append(super().open(slot, listening, attempt))
        return self.opened[-1]


class Rig:
    """Slots with a gateway, and sites that its rules name."""

    def __init__(self, folder: Path) -> None:
        self.sites = Sites(folder)
        rules = tuple(parse_allow(f"{NAME}:{port}") for port in self.sites.ports)
        self.gateway = Watched(reactor, rules, look=look)
        self.gateway.opened = []
        (folder / "state").mkdir()
        self.slots = Slots(folder / "state", level=JAIL, gateway=self.gateway)

    async def run(self, code: str, *, network: bool = True, **more: Any) -> Any:
        """Run a program; give what it said."""
        ending = await self.slots.run(PRELUDE + code, network=network, **more)
        assert not ending.stderr, ending.stderr.decode()
        return [json.loads(line) for line in ending.stdout.splitlines()]

    async def stop(self) -> None:
        await self.slots.sandbox.stop()
        await self.slots.jobs.remove()
        await self.sites.stop()


@pytest_twisted.async_yield_fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(tmp_path)
    yield made
    await made.stop()


@pytest_twisted.ensureDeferred
async def test_a_task_reaches_what_a_rule_names_by_a_name_that_the_worker_resolves(
    rig: Rig,
) -> None:
    url = f"http://{NAME}:{rig.sites.plain}/x"
    said = await rig.run(f"say(*get({url!r}), proxies)")
    (status, text, proxies) = said[0]
    assert status == 200
    assert text.startswith("GET /x")
    assert proxies["http_proxy"] == proxies["HTTPS_PROXY"]
    assert proxies["http_proxy"].startswith("http://127.0.0.1:")
    assert rig.gateway.opened[-1].counters.refused == 0


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://127.0.0.2:PORT/", "a loopback address"),
        ("http://169.254.169.254/latest/", "a cloud metadata address"),
        ("http://10.1.2.3/", "a private address"),
        ("http://[::ffff:127.0.0.1]:PORT/", "a loopback address"),
        ("http://nowhere.test/", "nowhere.test has no address"),
    ],
)
async def test_what_is_not_public_is_refused_in_words(rig: Rig, url: str, word: str) -> None:
    (said,) = await rig.run(f"say(*get({url.replace('PORT', str(rig.sites.plain))!r}))")
    assert said[0] in (403, 502)
    assert word in said[1]


@pytest_twisted.ensureDeferred
async def test_a_task_without_the_network_has_no_way_at_all(rig: Rig) -> None:
    await rig.run("", network=True)
    opened = len(rig.gateway.opened)
    code = f"{LISTENERS}say(*get('http://127.0.0.1:{rig.sites.plain}/'), *get('http://{NAME}/'))"
    both = await gatherResults([rig.slots.run(PRELUDE + code) for _ in range(2)])
    for ending in both:
        listeners, reached = (json.loads(line) for line in ending.stdout.splitlines())
        assert listeners == [{}, []]
        assert reached[0] == reached[2] == 0
    assert len(rig.gateway.opened) == opened


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), 9)"])
async def test_connections_that_a_task_holds_end_with_it(rig: Rig, end: str) -> None:
    code = f"""
host, port = proxies["http_proxy"].removeprefix("http://").split(":")
held = []
for _ in range(5):
    held.append(socket.create_connection((host, int(port)), 10))
    held[-1].sendall(b"CONNECT {NAME}:{rig.sites.upgrading} HTTP/1.1\\r\\n\\r\\n")
    assert held[-1].recv(1000).startswith(b"HTTP/1.1 200")
held.append(socket.create_connection((host, int(port)), 10))
if os.fork() == 0:  # whatever else has them goes with the task
    import time; time.sleep(600)
say(len(held)); {end}
"""
    assert await rig.run(code) == [[6]]
    assert rig.gateway.opened[-1].open == 0
    both = await gatherResults([rig.slots.run(PRELUDE + LISTENERS) for _ in range(2)])
    assert [json.loads(ending.stdout) for ending in both] == [[{}, []]] * 2


@pytest_twisted.ensureDeferred
async def test_a_task_that_is_killed_in_a_request_leaves_no_connection(rig: Rig) -> None:
    asked = f"GET http://{NAME}:{rig.sites.plain}/ HTTP/1.1\\r\\nHost: {NAME}\\r\\n"
    job = rig.slots.start(f"""{PRELUDE}
host, port = proxies["http_proxy"].removeprefix("http://").split(":")
made = socket.create_connection((host, int(port)), 10)
made.sendall(b"{asked}")  # the head never ends
made.recv(1)
""", network=True)  # fmt: skip
    await until(lambda: bool(rig.gateway.opened) and rig.gateway.opened[-1].open == 1)
    job.kill()
    assert (await job.done).status == 9
    assert rig.gateway.opened[-1].open == 0


@pytest_twisted.ensureDeferred
async def test_a_fresh_interpreter_has_the_variables_and_a_task_s_own_come_first(
    rig: Rig,
) -> None:
    env = (("TZ", "UTC"), ("NO_PROXY", "mine.test"), ("no_proxy", "mine.test"))
    url = f"http://{NAME}:{rig.sites.plain}/y"
    (said,) = await rig.run(f"say(*get({url!r}), proxies)", env=env)
    assert said[0] == 200
    assert said[2]["NO_PROXY"] == said[2]["no_proxy"] == "mine.test"


@pytest_twisted.ensureDeferred
async def test_a_worker_that_cannot_serve_the_way_fails_the_task_and_goes_on(
    tmp_path: Path, logged_failures: Any
) -> None:
    slots = Slots(tmp_path, level=JAIL)  # no gateway: as where no descriptor was left to receive it
    with pytest.raises(SandboxError, match="no way out"):
        await slots.run("print(1)", network=True)
    assert (await slots.run("print(2)")).stdout == b"2\n"
    await slots.sandbox.stop()
    await slots.jobs.remove()
