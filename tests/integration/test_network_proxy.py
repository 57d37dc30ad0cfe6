"""The way out of a network namespace, with real sockets and the clients that programs use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_twisted
from netns import PORT, Alone
from sites import NAME, Sites
from slots import until
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred

from runyard.worker.network.egress import MOST_CONNECTIONS, Egress
from runyard.worker.network.policy import Policy, parse_allow
from runyard.worker.network.resolve import Threads

reactor: Any = installed

PRELUDE = f"""
import json, socket, ssl, sys, urllib.error, urllib.request
NAME, PROXY = {NAME!r}, ("127.0.0.1", {PORT})
def say(*what):
    print(json.dumps(what))
def ask(data, size):
    with socket.create_connection(PROXY, 20) as talk:
        talk.sendall(data)
        got = b""
        while len(got) < size and (more := talk.recv(size - len(got))):
            got += more
    return got
"""


def look(name: str) -> list[str]:
    """Resolve as a name server would: one name is this machine."""
    if name != NAME:
        raise OSError(-2, "Name or service not known")
    return ["127.0.0.1"]


class Rig:
    """Sites on this machine, a program without a network, and the proxy between them."""

    def __init__(self, folder: Path) -> None:
        self.sites = Sites(folder)
        self.alone = Alone()
        self.egress = Egress(
            reactor,
            self.alone.listening,
            Policy(tuple(parse_allow(f"{NAME}:{port}") for port in self.sites.ports)),
            Threads(reactor, look).share(),
            {"attempt": "a.1"},
        )
        self.egress.start()

    def run(self, code: str) -> Deferred[Any]:
        """Run a client there; fires with what it said."""
        ports = "PLAIN, SECURE, UPGRADING = " + repr(self.sites.ports)
        return self.alone.run(
            f"{PRELUDE}{ports}\nCERTIFICATE = {str(self.sites.certificate)!r}\n{code}"
        )

    async def stop(self) -> None:
        """End it all."""
        await self.egress.stop()
        self.alone.close()
        await self.sites.stop()


@pytest_twisted.async_yield_fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(tmp_path)
    yield made
    await made.stop()


@pytest_twisted.ensureDeferred
async def test_urllib_gets_and_posts_by_its_environment(rig: Rig) -> None:
    page, length, words = await rig.run("""
url = f"http://{NAME}:{PLAIN}/a?b=c;d"
page = urllib.request.urlopen(url, timeout=20).read().decode()
long = urllib.request.urlopen(url, data=b"x" * 3_000_000, timeout=20).read()
try:
    urllib.request.urlopen("http://10.0.0.1/", timeout=20)
except urllib.error.HTTPError as error:
    words = [error.code, error.read().decode()]
say(page, len(long) - long.index(b"xxx"), words)
""")
    assert page.startswith("GET /a?b=c;d\naccept-encoding: identity\nconnection: close\nhost: ")
    assert "proxy" not in page
    assert length == 3_000_000
    text = "runyard: 10.0.0.1 is a private address; tasks reach public addresses only\n"
    assert words == [403, text]
    assert rig.egress.counters.refused == 1
    assert rig.egress.counters.bytes_up > 3_000_000


@pytest_twisted.ensureDeferred
async def test_tls_goes_through_connect(rig: Rig) -> None:
    (page,) = await rig.run("""
context = ssl.create_default_context(cafile=CERTIFICATE)
url = f"https://{NAME}:{SECURE}/secret"
say(urllib.request.urlopen(url, timeout=20, context=context).read().decode())
""")
    assert page.startswith("GET /secret\n")


@pytest_twisted.ensureDeferred
async def test_an_upgrade_and_a_half_close_through_connect(rig: Rig) -> None:
    first, second, third = await rig.run("""
with socket.create_connection(PROXY, 20) as talk:
    talk.sendall(b"CONNECT %b:%d HTTP/1.1\\r\\n\\r\\n" % (NAME.encode(), UPGRADING))
    first = talk.recv(1000).decode()
    talk.sendall(b"GET / HTTP/1.1\\r\\nUpgrade: x\\r\\n\\r\\n")
    second = talk.recv(1000).decode()
    talk.sendall(b"hello")
    third = talk.recv(5)
    talk.shutdown(socket.SHUT_WR)
    while more := talk.recv(1000):
        third += more
say(first, second, third.decode())
""")
    assert first.startswith("HTTP/1.1 200 ")
    assert second.startswith("HTTP/1.1 101 ")
    assert third == "HELLObye"


@pytest_twisted.ensureDeferred
async def test_socks(rig: Rig) -> None:
    four, five, codes = await rig.run("""
name, port, plain = NAME.encode(), PLAIN.to_bytes(2), b"GET / HTTP/1.0\\r\\n\\r\\n"
def five(kind, address, port):
    return b"\\5\\1\\0\\5\\1\\0" + bytes([kind]) + address + port
def named(name):
    return bytes([len(name)]) + name
v4 = ask(b"\\4\\1" + port + b"\\0\\0\\0\\1me\\0" + name + b"\\0" + plain, 20)
v5 = ask(five(3, named(name), port) + plain, 24)
codes = [
    ask(five(kind, address, port), 12)[3]
    for kind, address in [
        (1, bytes([127, 0, 0, 1])), (4, bytes(15) + b"\\1"),
        (4, bytes(10) + b"\\xff\\xff\\x7f\\0\\0\\1"),
        (3, named(b"127.1")), (3, named(b"none.test")),
    ]
]
say(v4.hex(), v5.hex(), codes)
""")
    assert bytes.fromhex(four) == b"\0\x5a" + bytes(6) + b"HTTP/1.0 200"
    assert bytes.fromhex(five) == b"\5\0\5\0\0\1" + bytes(6) + b"HTTP/1.0 200"
    assert codes == [2, 2, 2, 2, 4]


@pytest_twisted.ensureDeferred
async def test_the_namespace_has_no_other_way_out(rig: Rig) -> None:
    (errors,) = await rig.run("""
errors = []
for place in [("127.0.0.1", PLAIN), ("198.51.100.1", 80)]:
    try:
        socket.create_connection(place, 5)
    except OSError as error:
        errors.append(type(error).__name__)
say(errors)
""")
    assert errors == ["ConnectionRefusedError", "OSError"]
    assert rig.egress.counters.connections == 0


@pytest_twisted.ensureDeferred
async def test_more_connections_than_are_served_at_a_time_wait(rig: Rig) -> None:
    most: list[int] = []
    serve = rig.egress.buildProtocol

    def build(addr: Any) -> Any:
        side = serve(addr)
        most.append(rig.egress.open)
        return side

    rig.egress.buildProtocol = build  # type: ignore[method-assign]
    (answers,) = await rig.run("""
talks = [socket.create_connection(PROXY, 20) for _ in range(100)]
request = b"GET http://%b:%d/ HTTP/1.1\\r\\n\\r\\n" % (NAME.encode(), PLAIN)
answers = 0
for talk in talks:
    talk.sendall(request)
    answers += talk.recv(12) == b"HTTP/1.1 200"
    talk.close()
say(answers)
""")
    assert answers == 100
    assert max(most) == MOST_CONNECTIONS
    await until(lambda: rig.egress.open == 0)


@pytest_twisted.ensureDeferred
async def test_stop_ends_what_is_open(rig: Rig) -> None:
    said = rig.run("""
talk = socket.create_connection(PROXY, 20)
talk.sendall(b"CONNECT %b:%d HTTP/1.1\\r\\n\\r\\n" % (NAME.encode(), UPGRADING))
talk.recv(1000)
try:
    end = talk.recv(1)
except ConnectionResetError:
    end = b"reset"
try:
    socket.create_connection(PROXY, 5)
except ConnectionRefusedError:
    say(end.decode(), "refused")
""")
    await until(lambda: rig.egress.counters.bytes_up == 0 and rig.egress.open == 1)
    await until(lambda: any(side._relay is not None for side in rig.egress._sides))
    await rig.egress.stop()
    assert await said == ["reset", "refused"]
