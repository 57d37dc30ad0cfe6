"""System calls by name: their numbers on the machines that we know, and one way to make them.

Sources: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of Linux 6.17.
Only what we call or filter is listed; what a machine never had is None there.
"""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False  # the module typing takes longer to load than all of ours
if TYPE_CHECKING:
    from typing import Self, TypeAlias

    Kept: TypeAlias = "ctypes.c_long | ctypes.c_int"
    Argument: TypeAlias = "int | bytes | Kept | ctypes.Array[ctypes.c_char] | None"
    Step: TypeAlias = "tuple[tuple[object, ...], Kept | None, str]"

X86_64 = "x86_64"
AARCH64 = "aarch64"
MACHINES = (X86_64, AARCH64)
MACHINE = os.uname().machine
"""As the kernel says it to this process; "i686" under a 32-bit personality."""

NEWEST = 469
"""file_setattr of Linux 6.17, the newest that was looked at. From 424 on all machines agree."""

# fmt: off
NUMBERS: dict[str, tuple[int | None, int | None]] = {  # name: (x86_64, aarch64)
    "acct": (163, 89), "add_key": (248, 217), "adjtimex": (159, 171), "bpf": (321, 280),
    "capset": (126, 91), "chdir": (80, 49), "chmod": (90, None), "chown": (92, None),
    "chroot": (161, 51), "clock_adjtime": (305, 266), "clock_settime": (227, 112),
    "clone": (56, 220), "clone3": (435, 435), "close": (3, 57), "connect": (42, 203),
    "create_module": (174, None), "delete_module": (176, 106), "execve": (59, 221),
    "fanotify_init": (300, 262), "fanotify_mark": (301, 263), "fchmod": (91, 52),
    "fchmodat": (268, 53), "fchmodat2": (452, 452), "fchown": (93, 55), "fchownat": (260, 54),
    "fcntl": (72, 25), "file_setattr": (469, 469), "finit_module": (313, 273),
    "fremovexattr": (199, 16), "fsconfig": (431, 431), "fsetxattr": (190, 7), "fsmount": (432, 432),
    "fsopen": (430, 430), "fspick": (433, 433), "futex": (202, 98), "get_kernel_syms": (177, None),
    "getpid": (39, 172), "getrandom": (318, 278), "init_module": (175, 105),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "io_uring_setup": (425, 425),
    "ioctl": (16, 29), "ioperm": (173, None), "iopl": (172, None), "ioprio_set": (251, 30),
    "kcmp": (312, 272), "kexec_file_load": (320, 294), "kexec_load": (246, 104),
    "keyctl": (250, 219), "kill": (62, 129), "landlock_add_rule": (445, 445),
    "landlock_create_ruleset": (444, 444), "landlock_restrict_self": (446, 446),
    "lchown": (94, None), "listmount": (458, 458), "lookup_dcookie": (212, 18),
    "lremovexattr": (198, 15), "lsetxattr": (189, 6), "lsm_set_self_attr": (460, 460),
    "mbind": (237, 235), "memfd_secret": (447, 447), "migrate_pages": (256, 238),
    "mkdirat": (258, 34), "mknod": (133, None), "mknodat": (259, 33), "modify_ldt": (154, None),
    "mount": (165, 40), "mount_setattr": (442, 442), "move_mount": (429, 429),
    "move_pages": (279, 239), "mq_open": (240, 180), "mq_unlink": (241, 181), "msgctl": (71, 187),
    "msgget": (68, 186), "msgrcv": (70, 188), "msgsnd": (69, 189), "name_to_handle_at": (303, 264),
    "nfsservctl": (180, 42), "open_by_handle_at": (304, 265), "open_tree": (428, 428),
    "open_tree_attr": (467, 467), "openat": (257, 56), "perf_event_open": (298, 241),
    "personality": (135, 92), "pidfd_getfd": (438, 438), "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424), "pivot_root": (155, 41), "prctl": (157, 167),
    "prlimit64": (302, 261), "process_madvise": (440, 440), "process_mrelease": (448, 448),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "ptrace": (101, 117),
    "query_module": (178, None), "quotactl": (179, 60), "quotactl_fd": (443, 443), "read": (0, 63),
    "reboot": (169, 142), "removexattr": (197, 14), "removexattrat": (466, 466),
    "request_key": (249, 218), "rt_sigaction": (13, 134), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "sched_setaffinity": (203, 122), "sched_setattr": (314, 274),
    "sched_setparam": (142, 118), "sched_setscheduler": (144, 119), "seccomp": (317, 277),
    "semctl": (66, 191), "semget": (64, 190), "semop": (65, 193), "semtimedop": (220, 192),
    "set_mempolicy": (238, 237), "set_mempolicy_home_node": (450, 450), "setdomainname": (171, 162),
    "sethostname": (170, 161), "setns": (308, 268), "setpgid": (109, 154),
    "setpriority": (141, 140), "setresgid": (119, 149), "setresuid": (117, 147),
    "setsid": (112, 157), "setsockopt": (54, 208), "settimeofday": (164, 170), "setxattr": (188, 5),
    "setxattrat": (463, 463), "shmat": (30, 196), "shmctl": (31, 195), "shmdt": (67, 197),
    "shmget": (29, 194), "socket": (41, 198), "socketpair": (53, 199), "statmount": (457, 457),
    "swapoff": (168, 225), "swapon": (167, 224), "symlinkat": (266, 36), "_sysctl": (156, None),
    "sysfs": (139, None), "syslog": (103, 116), "tgkill": (234, 131), "tkill": (200, 130),
    "truncate": (76, 45), "umount2": (166, 39), "unshare": (272, 97), "uselib": (134, None),
    "userfaultfd": (323, 282), "ustat": (136, None), "vhangup": (153, 58), "vmsplice": (278, 75),
    "write": (1, 64),
}
# fmt: on

LIBC = ctypes.PyDLL(None, use_errno=True)
"""Called with the interpreter's lock held: a child made by a raw call finds it held, by itself."""

_syscall = LIBC.syscall
_syscall.restype = ctypes.c_long


class UnsupportedMachine(Exception):
    """This machine, or this call on it, is not in our tables."""


def number(name: str, machine: str = MACHINE) -> int:
    """Give a call's number. Raises UnsupportedMachine, or KeyError for a name not in our table."""
    if machine not in MACHINES:
        raise UnsupportedMachine(
            f"system calls are known for {' and '.join(MACHINES)}, not for {machine!r}"
        )
    found = NUMBERS[name][MACHINES.index(machine)]
    if found is None:
        raise UnsupportedMachine(f"{machine} has no system call {name}")
    return found


def call(name: str, *arguments: Argument, about: str = "", into: Kept | None = None) -> int:
    """Make a system call and give its result, also `into` a number of C's.

    Integers go as 64 bits (negative ones sign-extended), bytes and ctypes arrays as pointers, None
    as NULL. Raises OSError with the kernel's number and a text that names the call and what it was
    `about`, and UnsupportedMachine. While calls are noted, it is, and the result is 0.
    """
    numbered = (number(name), *arguments)
    given = tuple(ctypes.c_long(each) if isinstance(each, int) else each for each in numbered)
    what = f"{name} {about}" if about else name
    if _noted:
        _noted[-1].append((given, into, what))
        return 0
    result = checked(_syscall(*given), what)
    if into is not None:
        into.value = result
    return result


class Noted:
    """Calls that are noted, to be made later and as often as wanted.

    To make them touches little memory, which a process that was just forked has to copy page by
    page. ``with Noted() as calls:`` notes what is called inside; what a call results in goes to a
    later one by `into`.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def __enter__(self) -> Self:
        _noted.append(self.steps)
        return self

    def __exit__(self, *_: object) -> None:
        _noted.pop()

    def make(self) -> None:
        """Make them in their order. Raises OSError as `call` does; those after it are not made."""
        for given, into, what in self.steps:
            result = _syscall(*given)
            if result < 0:
                checked(result, what)
            if into is not None:
                into.value = result


_noted: list[list[Step]] = []


def checked(result: int, what: str) -> int:
    """Give a result that is not negative. Raises OSError from errno otherwise."""
    if result >= 0:
        return result
    code = ctypes.get_errno()
    raise OSError(code, f"{what}: {os.strerror(code)}")


def prctl(option: int, value: int = 0, more: int = 0) -> int:
    """Change or ask something of this process; what is not given is 0. Raises OSError."""
    return call("prctl", option, value, more, 0, 0, about=str(option))
