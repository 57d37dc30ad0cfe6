"""The tables against the machine's headers, and calls by name."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest
from kernels import restricted, run, seccomp, syscalls

X86_64 = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
GENERIC = Path("/usr/include/asm-generic/unistd.h")


def test_no_number_stands_twice_and_new_ones_agree() -> None:
    for column in (0, 1):
        numbers = [pair[column] for pair in syscalls.NUMBERS.values() if pair[column] is not None]
        assert not [number for number, times in Counter(numbers).items() if times > 1]
        assert max(filter(None, numbers)) <= syscalls.NEWEST
    for pair in syscalls.NUMBERS.values():
        assert pair[0] == pair[1] or max(filter(None, pair)) < 424


@pytest.mark.skipif(not X86_64.exists(), reason="no headers of x86_64 here")
def test_numbers_of_x86_64_are_the_headers() -> None:
    pairs = re.findall(r"^#define __NR_(\w+) (\d+)$", X86_64.read_text(), re.MULTILINE)
    compare(0, {name: int(value) for name, value in pairs})


@pytest.mark.skipif(not GENERIC.exists(), reason="no generic headers here")
def test_numbers_of_aarch64_are_the_generic_headers() -> None:
    text = GENERIC.read_text()
    pairs = re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)$", text, re.MULTILINE)
    compare(1, {name: int(value) for name, value in pairs})


def compare(column: int, known: dict[str, int]) -> None:
    ours = {name: pair[column] for name, pair in syscalls.NUMBERS.items()}
    newest = max(known.values())
    assert len(set(ours) & set(known)) > 100
    for name, number in ours.items():
        if name in known:
            assert number == known[name], name
        else:  # newer than the headers, or not of this machine
            assert number is None or number > newest, name


@pytest.mark.parametrize("machine", ["riscv64", "i686", ""])
def test_another_machine_is_refused_by_name(machine: str) -> None:
    with pytest.raises(
        syscalls.UnsupportedMachine, match=f"x86_64 and aarch64, not for '{machine}'"
    ):
        syscalls.number("read", machine)


def test_a_call_that_a_machine_lacks_is_refused() -> None:
    assert syscalls.number("iopl", "x86_64") == 172
    with pytest.raises(syscalls.UnsupportedMachine, match="aarch64 has no system call iopl"):
        syscalls.number("iopl", "aarch64")


def test_calls_give_results_and_errors_with_a_name() -> None:
    assert syscalls.call("getpid") == os.getpid()
    with pytest.raises(ProcessLookupError, match=r"kill nobody: No such process") as caught:
        syscalls.call("kill", 2**22 + 1, 0, about="nobody")
    assert caught.value.errno == errno.ESRCH
    with pytest.raises(OSError, match=r"prctl 38: Invalid argument"):
        syscalls.prctl(38, 2)


def test_all_64_bits_of_an_integer_arrive() -> None:
    reading, writing = os.pipe()
    data = ctypes.create_string_buffer(b"far above what 32 bits can say")
    assert ctypes.addressof(data) > 1 << 32
    assert syscalls.call("write", writing, ctypes.addressof(data), 9) == 9
    assert os.read(reading, 10) == b"far above"
    assert syscalls.call("write", writing, b"abc", 3) == 3
    assert os.read(reading, 10) == b"abc"
    os.close(reading)
    os.close(writing)


def test_the_modules_load_little() -> None:
    loaded = run(
        "print(*sorted(set(sys.modules) & set('typing re enum subprocess fcntl'.split())))"
    )
    assert not loaded


def interpreters() -> list[str]:
    """Give other versions here: on the path, or beside ours where a version manager put it."""
    versions = ("3.8", "3.12", "3.13", "3.14")
    beside = Path(sys.base_prefix).parent
    found = [next(beside.glob(f"{each}.*/bin/python{each}"), None) for each in versions]
    on_path = [shutil.which(f"python{each}") for each in versions]
    pairs = zip(found, on_path, strict=True)
    return [
        str(first or second)
        for first, second in pairs
        if first or (second and "shims" not in second)  # they may answer for no version
    ]


@pytest.mark.skipif(not interpreters(), reason="no other interpreters here")
def test_other_interpreters_load_and_call() -> None:
    code = "print(syscalls.call('getpid') == os.getpid(), len(bytes(seccomp.program('x86_64', P))))"
    for python in interpreters():
        done = run("P = restricted.restricted(own_pid=1)\n" + code, python=python).split()
        assert done[0] == "True"
        assert int(done[1]) == len(seccomp.program("x86_64", restricted.restricted(own_pid=1)))
