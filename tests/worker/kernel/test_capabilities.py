"""Privileges that are really given up, in processes of their own."""

from __future__ import annotations

import os

import pytest
from kernels import run

as_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root")
LOOK = """
def sets():
    lines = [line.split() for line in open('/proc/self/status')]
    return [int(line[1], 16) for line in lines if line[0][:3] == 'Cap']  # inh prm eff bnd amb
"""


@as_root
def test_nothing_is_left_and_nothing_comes_back_by_exec() -> None:
    code = """
capabilities.no_new_privs()
capabilities.drop()
print(sets())
os.execv('/bin/grep', ['grep', '-c', '^Cap.*0000000000000000', '/proc/self/status'])
"""
    assert run(LOOK + "sys.stdout.reconfigure(line_buffering=True)\n" + code).splitlines() == [
        "[0, 0, 0, 0, 0]",
        "5",
    ]


@as_root
def test_what_was_ambient_is_so_no_more() -> None:
    code = """
one = 1 << capabilities.CAP_KILL
header = b'\\x22\\x05\\x08\\x20' + bytes(4)
syscalls.call('capset', header, one.to_bytes(4, 'little') * 3 + bytes(12))
syscalls.prctl(47, 2, capabilities.CAP_KILL)  # PR_CAP_AMBIENT_RAISE
print(sets()[4] == one)
capabilities.drop(one, bounding=False)
print(sets()[::4], sets()[1] == one)
"""
    assert run(LOOK + code).splitlines() == ["True", "[0, 0] True"]


@as_root
def test_a_given_set_is_kept() -> None:
    code = """
keep = 1 << capabilities.CAP_SETUID | 1 << capabilities.CAP_KILL | 1 << 38
keep &= sets()[1]
capabilities.drop(keep)
print(sets() == [0, keep, keep, keep, 0], keep > 0xffffffff)
capabilities.drop(0, bounding=False)
print(sets() == [0, 0, 0, keep, 0])
print(refused(capabilities.drop, 1 << capabilities.CAP_KILL, bounding=False))
print(refused(capabilities.drop_bounding))
"""
    assert run(LOOK + code).splitlines() == ["True True", "True", "EPERM", "EPERM"]


def test_root_of_a_user_namespace_is_nobody_with_locked_securebits() -> None:
    code = """
become(65534)
namespaces.unshare(namespaces.NEWUSER)
namespaces.write_maps(None, uid=(0, os.getuid()), gid=(0, os.getgid()))
print(sets()[2] != 0)
capabilities.lock_securebits()
capabilities.drop(bounding=False)
print(sets()[3] != 0)
sys.stdout.flush()
os.execv('/bin/grep', ['grep', '-c', '^Cap.*0000000000000000', '/proc/self/status'])
"""
    if os.getuid() != 0:
        code = code.replace("become(65534)\n", "")
    assert run(LOOK + code).splitlines() == ["True", "True", "4"]


def test_dumpable_no_new_privs_and_the_parents_death() -> None:
    code = """
capabilities.set_dumpable(False)
print(syscalls.prctl(3))
capabilities.set_dumpable(True)
print(syscalls.prctl(3), syscalls.prctl(39))
capabilities.no_new_privs()
print(syscalls.prctl(39))
reading, writing = os.pipe()
middle = os.fork()
if middle == 0:
    up, ready = os.pipe()
    if os.fork() == 0:
        capabilities.die_with_parent()
        os.write(ready, b'x')
        os.close(reading)
        os.read(os.pipe()[0], 1)
    os.read(up, 1)
    os._exit(0)
os.close(writing)
print(os.waitpid(middle, 0)[1], os.read(reading, 1))  # the end of file: no one holds it any more
"""
    assert run(code).splitlines() == ["0", "1 0", "1", "0 b''"]
