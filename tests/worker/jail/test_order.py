from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.protocols.limits import Limits
from runyard.worker.sandbox.interface import Job
from runyard.worker.sandbox.jail import environment, packets
from runyard.worker.sandbox.jail.order import pack, unpack

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
TEXTS = st.lists(TEXT, max_size=4)
NAMES = st.text(st.characters(exclude_characters="\0=", exclude_categories=["Cs"]), min_size=1)
NUMBER = st.integers(-1, 2**63 - 1)
ORDERS = st.tuples(
    st.floats(0.01, 300), st.floats(0, 1e6), st.integers(1, 2**40), st.booleans(),
    st.lists(st.tuples(st.integers(0, 20), NUMBER, NUMBER), max_size=4), TEXTS, TEXTS,
    st.dictionaries(NAMES, TEXT, max_size=4),
)  # fmt: skip


@given(ORDERS)
def test_an_order_is_read_as_it_was_packed(given: tuple[object, ...]) -> None:
    wall, lease, disk, network, limits, argv, args, env = given
    read = unpack(pack(*given))  # type: ignore[arg-type]
    assert (read.wall_s, read.lease_s) == (wall, lease)
    assert (read.disk_bytes, read.network, read.rlimits) == (disk, network, limits)
    assert [each.decode() for each in read.exec_argv] == argv
    assert [each.decode() for each in read.args] == args
    assert dict(each.decode().partition("=")[::2] for each in read.env) == env


@given(ORDERS, st.data())
def test_a_torn_order_is_none(given: tuple[object, ...], data: st.DataObject) -> None:
    packed = pack(*given)  # type: ignore[arg-type]
    cut = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises((ValueError, IndexError)):
        unpack(packed[:cut])
    with pytest.raises((ValueError, IndexError)):
        unpack(packed + b"more\0")


@pytest.mark.parametrize("packed", [b"", b"\0", b"a\0b\0c\0d\0", b"1\x001\x001\x000\x00-1\x000\0"])
def test_what_is_no_order_is_none(packed: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        unpack(packed)


def test_packets_say_the_same_as_json() -> None:
    import json

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        odd = 'a "b" \\ \n \x00 é \udc80 \U0001f600'[:11]
        packets.send(ours, ended=9, late=True, wall_s=0.25, failed=odd)
        told = json.loads(theirs.recv(packets.MAX_PACKET))
        assert told == {"ended": 9, "late": True, "wall_s": 0.25, "failed": odd}
        packets.send(ours, failed="x" * 5000)
        assert len(json.loads(theirs.recv(packets.MAX_PACKET))["failed"]) == 500
        theirs.sendall(json.dumps({"renew": 2.5}).encode())
        assert packets.verb_of(packets.receive(ours)[0]) == (b"renew", b"2.5")
        socket.send_fds(theirs, [b'{"run": "a"}'], [theirs.fileno(), 0])
        packet, rights = packets.receive(ours)
        assert packets.verb_of(packet) == (b"run", b'"a"')
        assert len(rights) == 2
        for each in rights:
            socket.close(each)
        theirs.close()
        assert packets.receive(ours) == (b"", [])
        packets.send(ours, ended=0)  # to nobody: noticed when it is read


@given(st.text(st.characters(max_codepoint=0xFFFF), max_size=100))
def test_any_text_is_written_as_json(text: str) -> None:
    import json

    assert json.loads(packets.written(text)) == text


@pytest.mark.parametrize(
    ("name", "fresh"),
    [("PYTHONPATH", True), ("PYTHONHASHSEED", True), ("TZ", True), ("LD_PRELOAD", True),
     ("LC_ALL", True), ("LANG", True), ("LANGUAGE", True), ("MALLOC_ARENA_MAX", True),
     ("TZDIR", False), ("A", False), ("MYPYTHON", False), ("HOME", False)],
)  # fmt: skip
def test_what_is_read_at_a_start_only_needs_a_fresh_process(name: str, fresh: bool) -> None:
    job = Job("a", "python", b"", b"", (), ((name, "x"),), Limits(), 10.0)
    assert environment.needs_fresh(job) is fresh
    assert environment.of(job)[name] == "x"


def test_the_hook_comes_before_a_task_s_own_path() -> None:
    assert environment.with_hook({}, "/hook") == {"PYTHONPATH": "/hook"}
    given = environment.with_hook({"PYTHONPATH": "/mine:/too"}, "/hook")
    assert given == {"PYTHONPATH": "/hook:/mine:/too"}
