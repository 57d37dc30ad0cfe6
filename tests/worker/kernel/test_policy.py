"""What the programs answer, for both machines over all numbers: pure."""

from __future__ import annotations

import errno
import struct

import bpf_machine
import pytest
from kernels import bpf, policy, restricted, seccomp, syscalls

OWN = 4321
POLICIES = {
    "namespaced": policy.NAMESPACED,
    "restricted": restricted.restricted(),
    "own pid": restricted.restricted(own_pid=OWN),
    "owner": restricted.restricted(own_pid=OWN, owns_files=True),
}
PROGRAMS = {
    (name, machine): seccomp.program(machine, rules)
    for name, rules in POLICIES.items()
    for machine in syscalls.MACHINES
}
each_machine = pytest.mark.parametrize("machine", syscalls.MACHINES)
each_program = pytest.mark.parametrize(("name", "machine"), PROGRAMS)


def ask(name: str, machine: str, call: str, *arguments: int) -> str:
    arch = seccomp.ARCHITECTURES[machine]
    number = syscalls.number(call, machine)
    return bpf_machine.answer(PROGRAMS[name, machine], arch, number, *arguments)


def has(call: str, machine: str) -> bool:
    return syscalls.NUMBERS[call][syscalls.MACHINES.index(machine)] is not None


@each_program
def test_every_number_is_answered_as_the_policy_names_it(name: str, machine: str) -> None:
    rules = POLICIES[name].rules
    column = syscalls.MACHINES.index(machine)
    by_number = {syscalls.NUMBERS[call][column]: block for call, block in rules.items()}
    by_number.pop(None, None)
    arch = seccomp.ARCHITECTURES[machine]
    for number in range(600):
        data = struct.pack("=IIQ6Q", number, arch, 0, *[0] * 6)
        got, steps = bpf_machine.execute(PROGRAMS[name, machine], data)
        block = by_number.get(number, policy.ALLOW)
        expected, own = bpf_machine.execute(bpf.encode(block), data)
        if number > syscalls.NEWEST:
            expected = 0x00050000 | 38
        assert got == expected, number
        assert steps - own <= 13, number


@each_program
def test_other_architectures_are_killed(name: str, machine: str) -> None:
    for arch in (0x40000003, 0x40000028, 0, 0xFFFFFFFF, 0xC000003E, 0xC00000B7):
        if arch != seccomp.ARCHITECTURES[machine]:
            for number in (0, 1, 11, 59, 435, 0xFFFFFFFF):
                assert bpf_machine.answer(PROGRAMS[name, machine], arch, number) == "kill"


@each_program
def test_x32_and_unknown_numbers_are_not_there(name: str, machine: str) -> None:
    arch = seccomp.ARCHITECTURES[machine]
    for number in (syscalls.NEWEST + 1, 512, 547, 1 << 30, (1 << 30) | 1, 1 << 31, 0xFFFFFFFF):
        assert bpf_machine.answer(PROGRAMS[name, machine], arch, number) == "ENOSYS"
    newest = "EPERM" if name == "owner" else "allow"  # file_setattr
    assert bpf_machine.answer(PROGRAMS[name, machine], arch, syscalls.NEWEST) == newest


def test_no_program_for_another_machine() -> None:
    with pytest.raises(syscalls.UnsupportedMachine, match="riscv64"):
        seccomp.program("riscv64", policy.NAMESPACED)


@each_program
def test_what_is_denied_is_denied_whatever_its_arguments(name: str, machine: str) -> None:
    for call in policy.DENIED:
        if has(call, machine):
            assert ask(name, machine, call) == "EPERM", call
            assert ask(name, machine, call, *[-1] * 6) == "EPERM", call
    assert ask(name, machine, "clone3") == "ENOSYS"
    for call in ("read", "write", "openat", "execve", "futex", "getrandom", "prctl", "seccomp"):
        assert ask(name, machine, call) == "allow", call
    for call in ("landlock_create_ruleset", "landlock_restrict_self", "pidfd_open"):
        assert ask(name, machine, call) == "allow", call


# Written a second time, so that a name that is lost there is missed here.
DANGEROUS = """
ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp pidfd_getfd mount
umount2 pivot_root chroot unshare setns open_tree open_tree_attr move_mount fsopen fsconfig fsmount
fspick mount_setattr statmount listmount name_to_handle_at open_by_handle_at fanotify_init
swapon swapoff reboot kexec_load kexec_file_load init_module finit_module delete_module acct
quotactl quotactl_fd syslog iopl ioperm vhangup settimeofday clock_settime clock_adjtime adjtimex
sethostname setdomainname bpf perf_event_open userfaultfd io_uring_setup io_uring_enter
io_uring_register add_key request_key keyctl vmsplice memfd_secret modify_ldt mbind set_mempolicy
migrate_pages move_pages lookup_dcookie
"""
CHANGING_OWN = "chmod fchmod fchmodat fchmodat2 chown fchown fchownat lchown file_setattr"
CHANGING_ATTRIBUTES = """
setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat
"""


def test_nothing_dangerous_was_forgotten() -> None:
    assert set(DANGEROUS.split()) <= policy.DENIED


def test_denied_and_conditional_names_do_not_meet() -> None:
    conditional = {n for n, b in policy.NAMESPACED.rules.items() if len(b) > 1} | {"clone3"}
    assert not conditional & policy.DENIED
    assert set(policy.NAMESPACED.rules) == conditional | policy.DENIED
    assert set(policy.NAMESPACED.rules) <= set(syscalls.NUMBERS)
    more = {*restricted.SESSIONS, *restricted.SHARED_MEMORY, *policy.ON_A_PROCESS}
    more |= {*restricted.OWNERSHIP, *restricted.ATTRIBUTES}
    assert not more & policy.DENIED
    assert set(restricted.OWNERSHIP) == set(CHANGING_OWN.split())
    assert set(restricted.ATTRIBUTES) == set(CHANGING_ATTRIBUTES.split())


THREAD = 0x3D0F00  # what pthread_create asks for
FORK = 0x01200011
CASES = [
    ("clone", (THREAD,), "allow"),
    ("clone", (FORK,), "allow"),
    *(("clone", (FORK | bit,), "EPERM") for bit in (0x20000, *(1 << n for n in range(25, 31)))),
    ("clone", (0x1_0000_0000 | FORK,), "allow"),
    ("ioctl", (0, 0x5401), "allow"),
    ("ioctl", (0, 0x5412), "EPERM"),
    ("ioctl", (0, 0x7_0000_5412), "EPERM"),
    ("ioctl", (0, 0x541C), "EPERM"),
    ("ioctl", (0, 0x5423), "EPERM"),
    ("socket", (1, 1, 0), "allow"),
    ("socket", (1, 0o2004002, 0), "allow"),
    ("socket", (1, 3, 0), "EPERM"),
    *(("socket", (family, 3, 0), "EAFNOSUPPORT") for family in (0, 16, 17, 29, 38, 40, 44, -1)),
    ("socketpair", (1, 1, 0), "allow"),
    ("socketpair", (30, 1, 0), "EAFNOSUPPORT"),
    ("setsockopt", (3, 6, 31), "ENOPROTOOPT"),
    ("setsockopt", (3, 6, 1), "allow"),
    ("setsockopt", (3, 1, 31), "allow"),
    ("personality", (0xFFFFFFFF,), "allow"),
    ("personality", (0,), "allow"),
    ("personality", (0x0040000,), "EPERM"),
    ("personality", (8,), "EPERM"),
    ("mknodat", (0, 0, 0o100644), "allow"),
    ("mknodat", (0, 0, 0o644), "allow"),
    ("mknodat", (0, 0, 0o010600), "allow"),
    ("mknodat", (0, 0, 0o140600), "allow"),
    ("mknodat", (0, 0, 0o020666, 0x103), "EPERM"),
    ("mknodat", (0, 0, 0o060666), "EPERM"),
    ("mknodat", (0, 0, 0x10000 | 0o020666), "EPERM"),
]
INTERNET = [
    *(("socket", (family, kind, 0), "allow") for family in (2, 10) for kind in (1, 2, 0o2000001)),
    ("socket", (2, 1, 6), "allow"),
    ("socket", (2, 2, 17), "allow"),
    *(("socket", (family, kind, 0), "EPERM") for family in (2, 10) for kind in (3, 10, 0o2000003)),
    *(("socket", (2, 1, protocol), "EPROTONOSUPPORT") for protocol in (132, 256, 262)),
    ("socket", (2, 2, 1), "EPROTONOSUPPORT"),
    ("socket", (10, 5, 0), "EPROTONOSUPPORT"),
]
NEVER_INTERNET = [("socket", arguments, "EAFNOSUPPORT") for _, arguments, _ in INTERNET]
RESTRICTED = [
    *NEVER_INTERNET,
    ("setsid", (), "EPERM"),
    ("setpgid", (0, 0), "EPERM"),
    *((each, (), errno.errorcode[errno.EOPNOTSUPP]) for each in CHANGING_ATTRIBUTES.split()),
    ("shmget", (1, 2, 3), "EPERM"),
    ("mq_open", (), "EPERM"),
    ("prlimit64", (0, 7, 1), "allow"),
    ("prlimit64", (1, 7, 1), "EPERM"),
    ("sched_setaffinity", (0,), "allow"),
    ("sched_setscheduler", (OWN,), "EPERM"),
    ("setpriority", (0, 0, 5), "allow"),
    ("setpriority", (0, 1, 5), "EPERM"),
    ("setpriority", (2, 0, 5), "EPERM"),
    ("ioprio_set", (1, 0), "allow"),
    ("ioprio_set", (3, 0), "EPERM"),
]
FREE = [
    ("kill", (1, 9), "allow"),
    ("tgkill", (1, 1, 9), "allow"),
    ("fcntl", (0, 8, 1), "allow"),
    ("fchmod", (3, 0), "allow"),
]
HELD = [
    ("kill", (OWN, 9), "allow"),
    ("kill", (0, 15), "allow"),
    ("kill", (-OWN, 15), "allow"),
    *(("kill", (pid, 9), "EPERM") for pid in (-1, 1, OWN + 1, -OWN - 1)),
    ("tgkill", (OWN, 5, 6), "allow"),
    ("tgkill", (5, OWN, 6), "EPERM"),
    ("tkill", (OWN, 6), "allow"),
    ("tkill", (1, 6), "EPERM"),
    ("rt_sigqueueinfo", (1, 9), "EPERM"),
    ("rt_tgsigqueueinfo", (1, 1, 9), "EPERM"),
    ("pidfd_send_signal", (3, 9), "EPERM"),
    ("fcntl", (0, 8, 1), "EPERM"),
    ("fcntl", (0, 15, 1), "EPERM"),
    ("fcntl", (0, 1, 1), "allow"),
    ("ioctl", (0, 0x8901), "EPERM"),
    ("ioctl", (0, 0x8902), "EPERM"),
]
# fmt: off
TABLE = {
    "namespaced": [*CASES, *INTERNET, *FREE, ("setsid", (), "allow"), ("shmget", (), "allow"),
                   ("setxattr", (), "allow")],
    "restricted": [*CASES, *RESTRICTED, *FREE],
    "own pid": [*CASES, *RESTRICTED, *HELD, ("fchmod", (3, 0), "allow")],
    "owner": [*CASES, *RESTRICTED, *HELD, ("fchmod", (3, 0), "EPERM"), ("fchownat", (), "EPERM"),
              ("file_setattr", (), "EPERM")],
}
# fmt: on


@each_program
def test_arguments_decide(name: str, machine: str) -> None:
    for call, arguments, expected in TABLE[name]:
        got = ask(name, machine, call, *arguments)
        assert got == expected, (call, [hex(each) for each in arguments])


def test_mknod_of_x86_64_looks_at_its_second_argument() -> None:
    assert ask("namespaced", "x86_64", "mknod", 0, 0o020666) == "EPERM"
    assert ask("namespaced", "x86_64", "mknod", 0, 0o010666) == "allow"


def test_a_search_finds_the_step_with_and_without_long_jumps() -> None:
    starts = [0, *range(5, 2000, 3)]
    program = bpf.encode(bpf.load(0, bpf.search([(s, bpf.result(s)) for s in starts])))
    for number in (0, 4, 5, 6, 7, 8, 1000, 1999, 2**32 - 1):
        got, steps = bpf_machine.execute(program, struct.pack("=I60x", number))
        assert got == max(start for start in starts if start <= number)
        assert steps <= 22


def test_what_does_not_fit_is_an_error() -> None:
    long = [*bpf.result(1)] * 300
    with pytest.raises(ValueError, match="a jump of 300"):
        bpf.if_one_of((1,), bpf.result(0), long)
    with pytest.raises(ValueError, match="5000 instructions, 4096"):
        bpf.encode(bpf.result(0) * 5000)


SPARING = [
    ("prlimit64", (0,), "allow"),
    ("prlimit64", (2,), "allow"),
    ("prlimit64", (1,), "EPERM"),
    ("sched_setaffinity", (1,), "EPERM"),
    ("setpriority", (0, 0), "allow"),
    ("setpriority", (0, 1), "EPERM"),
    ("setpriority", (1, 1), "allow"),
    ("setpriority", (2, 0), "EPERM"),
    ("ioprio_set", (1, 1), "EPERM"),
]


@pytest.mark.parametrize("machine", syscalls.MACHINES)
@pytest.mark.parametrize(("call", "arguments", "expected"), SPARING)
def test_the_keeper_is_spared(
    machine: str, call: str, arguments: tuple[int, ...], expected: str
) -> None:
    assert ask("namespaced", machine, call, *arguments) == expected
