"""Landlock: which files a process may reach, told before the task comes and applied in one call.

Source: include/uapi/linux/landlock.h (struct landlock_ruleset_attr: handled_access_fs,
handled_access_net, scoped, each __u64; struct landlock_path_beneath_attr, packed: allowed_access
__u64, parent_fd __s32). ABI 1 came with Linux 5.13, 7 with 6.15.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from runyard.worker.sandbox.kernel import files, syscalls
else:
    from kernel import files, syscalls

CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
MAKE_CHAR, MAKE_BLOCK = 1 << 6, 1 << 11
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15  # ABI 2, 3, 5
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
"""What a rule on a file may allow; the rest is for folders, and EINVAL on a file."""
NET_BIND_TCP, NET_CONNECT_TCP = 1, 2  # ABI 4
SCOPE_ABSTRACT_UNIX, SCOPE_SIGNAL = 1, 2  # ABI 6
SIGNALS_SCOPED = 6
"""From this ABI on a task can signal only what was started under its own rules."""

LOG_SAME_EXEC_OFF, LOG_SUBDOMAINS_OFF = 1 << 0, 1 << 2  # flags of restrict_self, ABI 7
LOGS = 7

READ_EXECUTE = EXECUTE | READ_FILE | READ_DIR
DEVICES = READ_FILE | WRITE_FILE | READ_DIR | TRUNCATE


def abi() -> int:
    """Ask the kernel for its version; 0 where there is no Landlock, or it is off or not allowed."""
    try:
        return syscalls.call("landlock_create_ruleset", None, 0, CREATE_RULESET_VERSION)
    except OSError as error:
        if error.errno in {errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}:
            return 0
        raise


def handled(version: int) -> int:
    """Give every access to files that this ABI can withhold, and so does."""
    return (1 << (13 + (version >= 2) + (version >= 3) + (version >= 5))) - 1


def attribute(version: int, *, tcp: bool = True, scopes: bool = True) -> bytes:
    """Give struct landlock_ruleset_attr in the length that this ABI knows: pure.

    `tcp` False withholds bind and connect (ABI 4); `scopes` withholds signals and abstract sockets
    of processes outside (ABI 6).
    """
    net = 0 if tcp else NET_BIND_TCP | NET_CONNECT_TCP
    scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL if scopes else 0
    whole = struct.pack("=3Q", handled(version), net, scoped)
    return whole[: 24 if version >= SIGNALS_SCOPED else 16 if version >= 4 else 8]


def read_write(version: int) -> int:
    """Give what a task may do in folders of its own: all but devices."""
    return handled(version) & ~(MAKE_CHAR | MAKE_BLOCK | IOCTL_DEV)


def prepare(
    version: int,
    *,
    read_execute: Iterable[str] = (),
    read_write_in: Iterable[str] = (),
    devices: Iterable[str] = (),
    tcp: bool = True,
    scopes: bool = True,
) -> ctypes.c_long:
    """Make a ruleset and give its descriptor, which is closed on exec and may be used often.

    Paths are files or folders with all below them, each of its kind when this is called. Raises
    OSError with the path that it was about, and ENOSYS where `version` is 0.
    """
    if version < 1:
        raise OSError(errno.ENOSYS, "this kernel has no Landlock")
    attributes = attribute(version, tcp=tcp, scopes=scopes)
    ruleset = ctypes.c_long(-1)
    syscalls.call("landlock_create_ruleset", attributes, len(attributes), 0, into=ruleset)
    try:
        for path in read_execute:
            _allow(ruleset, path, READ_EXECUTE)
        for path in read_write_in:
            _allow(ruleset, path, read_write(version))
        for path in devices:
            _allow(ruleset, path, DEVICES & handled(version))
    except BaseException:
        files.close(ruleset)
        raise
    return ruleset


def _allow(ruleset: ctypes.c_long, path: str, access: int) -> None:
    if not os.path.isdir(path):
        access &= OF_FILES
    beneath = ctypes.create_string_buffer(struct.pack("=Qi", access, -1), 12)
    where = ctypes.c_int.from_buffer(beneath, 8)
    files.opened(path, os.O_PATH, where)
    try:
        syscalls.call("landlock_add_rule", ruleset, RULE_PATH_BENEATH, beneath, 0, about=path)
    finally:
        files.close(where)


def apply(version: int, ruleset: int | ctypes.c_long) -> None:
    """Hold this thread, and what it starts, to the ruleset for good.

    What is withheld is not written to the audit log (from ABI 7), which a task could else fill.
    Raises OSError: EPERM without no_new_privs (and CAP_SYS_ADMIN), E2BIG under 16 others.
    """
    quiet = LOG_SAME_EXEC_OFF | LOG_SUBDOMAINS_OFF if version >= LOGS else 0
    syscalls.call("landlock_restrict_self", ruleset, quiet)
