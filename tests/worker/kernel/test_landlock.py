"""Rulesets: their bytes by ABI, and what they really withhold."""

from __future__ import annotations

import errno
import os
import struct
import tempfile
from pathlib import Path

import pytest
from kernels import each_user, landlock, run

here = landlock.abi()
needs = pytest.mark.skipif(here < 1, reason="no Landlock here")
needs_scopes = pytest.mark.skipif(here < landlock.SIGNALS_SCOPED, reason="no scopes here")


@pytest.mark.parametrize(
    ("version", "size", "highest"),
    [(1, 8, 12), (2, 8, 13), (3, 8, 14), (4, 16, 14), (5, 16, 15), (6, 24, 15), (7, 24, 15)],
)
def test_the_attribute_is_as_long_as_its_abi_knows(version: int, size: int, highest: int) -> None:
    whole = landlock.attribute(version, tcp=False)
    assert len(whole) == size
    fields = struct.unpack(f"={size // 8}Q", whole)
    assert fields == ((2 << highest) - 1, 3, 3)[: size // 8]
    assert struct.unpack_from("=Q", landlock.attribute(7, scopes=False), 16) == (0,)
    assert landlock.attribute(7)[8:16] == bytes(8)
    for access in (landlock.READ_EXECUTE, landlock.read_write(version)):
        assert not access & ~landlock.handled(version)
    assert not landlock.read_write(version) & (1 << 6 | 1 << 11 | 1 << 15)


def test_no_landlock_is_an_error() -> None:
    with pytest.raises(OSError, match="no Landlock") as caught:
        landlock.prepare(0)
    assert caught.value.errno == errno.ENOSYS


@needs
def test_a_path_that_is_not_there_is_named_and_nothing_stays_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError, match="openat /no/such: No such file"):
        landlock.prepare(here, read_execute=["/usr", "/no/such"])
    assert len(os.listdir("/proc/self/fd")) == before


@needs
@each_user
def test_only_what_was_named_can_be_reached(uid: int) -> None:
    with tempfile.TemporaryDirectory() as folder:  # not in tmp_path, where no other user may go
        Path(folder).chmod(0o755)
        Path(folder, "one").write_text("one")
        for name in ("own", "seen", "hidden"):
            file = Path(folder, name, "file")
            file.parent.mkdir()
            file.parent.chmod(0o777)
            file.write_text(name)
            file.chmod(0o666)
        reach(folder, uid)


def reach(folder: str, uid: int) -> None:
    code = f"""
os.chdir({folder!r})
become({uid})
capabilities.no_new_privs()
rules = landlock.prepare(landlock.abi(), read_execute=['seen', 'one', '/bin', '/usr', '/lib'],
                         read_write_in=['own'], devices=['/dev/null'])
landlock.apply(landlock.abi(), rules)
os.close(rules.value)
def read(path):
    with open(path) as source: return source.read()
def write(path):
    with open(path, 'w') as target: return target.write('x')
print(read('seen/file'), read('one'), read('own/file'), refused(read, 'hidden/file'))
print(refused(write, 'seen/file'), refused(write, 'one'), write('own/file'), write('/dev/null'))
print(refused(os.listdir, 'hidden'), os.listdir('seen'), refused(os.mkdir, 'seen/x'))
print(refused(os.rename, 'own/file', 'seen/file2'), refused(os.link, 'seen/file', 'own/link'))
os.mkdir('own/x'); os.rename('own/file', 'own/x/file'); os.symlink('../../hidden', 'own/x/away')
print(refused(read, 'own/x/away/file'), refused(os.mkfifo, 'own/fifo'))
print(refused(read, '/proc/self/environ'), os.spawnv(os.P_WAIT, '/bin/true', ['true']))
"""
    assert run(code).splitlines() == [
        "seen one own EACCES",
        "EACCES EACCES 1 1",
        "EACCES ['file'] EACCES",
        "EACCES EXDEV",
        "EACCES None",
        "EACCES 0",
    ]


@needs_scopes
@each_user
def test_processes_and_abstract_sockets_outside_are_out_of_reach(uid: int) -> None:
    code = f"""
import socket
become({uid})
outside = socket.socket(socket.AF_UNIX)
outside.bind(b'\\0runyard-test-%d' % os.getpid())
outside.listen()
name = outside.getsockname()
waits, holds = os.pipe()
def waiting():
    child = os.fork()
    if child: return child
    os.close(holds)
    os.read(waits, 1)  # until the parent ends
    os._exit(0)
victim = waiting()
socket.socket(socket.AF_UNIX).connect(name)
capabilities.no_new_privs()
version = landlock.abi()
landlock.apply(version, landlock.prepare(version, read_execute=['/']))
child = waiting()
print(refused(os.kill, victim, 9), refused(os.kill, child, 9), os.WTERMSIG(os.waitpid(child, 0)[1]))
inside = socket.socket(socket.AF_UNIX)
print(refused(inside.connect, name))
"""
    assert run(code).splitlines() == ["EPERM None 9", "EPERM"]
