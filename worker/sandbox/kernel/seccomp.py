"""Seccomp programs: put together from a policy (pure), and installed by one call.

Sources: include/uapi/linux/seccomp.h, audit.h (AUDIT_ARCH_*), filter.h (struct sock_fprog:
unsigned short len, then a pointer).
"""

from __future__ import annotations

import ctypes
import errno
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runyard.worker.sandbox.kernel import bpf, policy, syscalls
else:
    from kernel import bpf, policy, syscalls

SECCOMP_SET_MODE_FILTER = 1
ARCHITECTURES = {syscalls.X86_64: 0xC000003E, syscalls.AARCH64: 0xC00000B7}


def program(machine: str, rules: policy.Policy) -> bytes:
    """Give the filter's bytes, an array of struct sock_filter: pure.

    A call of another architecture (32-bit ones) ends the process. Numbers above the newest that we
    know answer ENOSYS, which takes in those of x32 (bit 30), and 512 to 547, its old ones. A call
    passes about a dozen instructions, or none: kernels from 5.11 remember the numbers that are
    always allowed. Raises UnsupportedMachine.
    """
    if machine not in ARCHITECTURES:
        syscalls.number("read", machine)  # its error says it all
    body = bpf.load(bpf.NUMBER_AT, bpf.search(_steps(_by_number(machine, rules))))
    ours = bpf.if_one_of((ARCHITECTURES[machine],), body, policy.KILL)
    return bpf.encode(bpf.load(bpf.ARCH_AT, ours))


def _by_number(machine: str, rules: policy.Policy) -> dict[int, bpf.Block]:
    column = syscalls.MACHINES.index(machine)
    found: dict[int, bpf.Block] = {}
    for name, block in rules.rules.items():
        number = syscalls.NUMBERS[name][column]
        if number is not None:
            found[number] = block
    return found


def _steps(rules: dict[int, bpf.Block]) -> list[tuple[int, bpf.Block]]:
    """Turn blocks by number into steps over all numbers; neighbours that are alike are one."""
    unknown = policy.refuse(errno.ENOSYS)
    steps: list[tuple[int, bpf.Block]] = []
    for number in range(syscalls.NEWEST + 2):
        block = rules.get(number, policy.ALLOW) if number <= syscalls.NEWEST else unknown
        if not steps or steps[-1][1] != block:
            steps.append((number, block))
    return steps


class Prepared:
    """A program where the kernel can read it, so that installing it allocates nothing."""

    def __init__(self, filters: bytes) -> None:
        self._filters = ctypes.create_string_buffer(filters, len(filters))
        header = struct.pack("@HP", len(filters) // 8, ctypes.addressof(self._filters))
        self._header = ctypes.create_string_buffer(header, len(header))

    def install(self) -> None:
        """Hold this thread, and what it starts, to the program for good.

        Raises OSError: EACCES without no_new_privs (and CAP_SYS_ADMIN), EINVAL for a bad program.
        """
        syscalls.call("seccomp", SECCOMP_SET_MODE_FILTER, 0, self._header)


def prepare(filters: bytes) -> Prepared:
    """Make a program ready; one may be installed in any number of forked children."""
    return Prepared(filters)


def install(filters: bytes) -> None:
    """Install a program at once; see `Prepared.install`."""
    prepare(filters).install()
