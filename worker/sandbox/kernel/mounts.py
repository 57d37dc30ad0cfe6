"""Mounts: made, bound, held to reading, and a new root entered.

Sources: include/uapi/linux/mount.h (MS_*, MOUNT_ATTR_*, struct mount_attr: attr_set, attr_clr,
propagation, userns_fd, each __u64), fcntl.h. Raised is OSError, with what and where.
"""

from __future__ import annotations

import errno
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runyard.worker.sandbox.kernel import files, syscalls
else:
    from kernel import files, syscalls

RDONLY, NOSUID, NODEV, NOEXEC = 1, 2, 4, 8
"""The same in MS_*, MOUNT_ATTR_* and statvfs's ST_*."""
MS_REMOUNT, MS_NOSYMFOLLOW, MS_NOATIME, MS_NODIRATIME, MS_BIND = 32, 256, 1024, 2048, 4096
MS_REC, MS_PRIVATE, MS_RELATIME = 1 << 14, 1 << 18, 1 << 21
ST_NOATIME, ST_NODIRATIME, ST_RELATIME, ST_NOSYMFOLLOW = 1024, 2048, 4096, 8192  # linux/statfs.h
MNT_DETACH = 2
AT_FDCWD, AT_RECURSIVE = -100, 0x8000


def mount(
    source: str | None, target: str, kind: str | None, flags: int = 0, data: str | None = None
) -> None:
    """Make, bind, move or change a mount, as the call of that name does."""
    given = [_encoded(each) for each in (source, target, kind)]
    about = f"{kind or source or 'flags'} on {target}"
    syscalls.call("mount", *given, flags, _encoded(data), about=about)


def unmount(target: str, flags: int = MNT_DETACH) -> None:
    """Take a mount away, by default also while it is in use."""
    syscalls.call("umount2", _encoded(target), flags, about=target)


def make_private(target: str = "/") -> None:
    """Let no mount below here be seen in another mount namespace, nor theirs here."""
    mount(None, target, None, MS_REC | MS_PRIVATE)


def bind(
    source: str,
    target: str,
    *,
    recursive: bool = True,
    flags: int = RDONLY | NOSUID | NODEV,
) -> None:
    """Show a folder or a file at another place too, with these flags in addition to its own.

    With `recursive`, what is mounted below comes along and gets the flags too.
    """
    mount(source, target, None, MS_BIND | (MS_REC if recursive else 0))
    if flags:
        set_flags(target, flags, recursive=recursive)


def set_flags(target: str, flags: int, *, recursive: bool = False) -> None:
    """Add RDONLY, NOSUID, NODEV, NOEXEC to a mount, and with `recursive` to all below it."""
    attributes = struct.pack("=4Q", flags, 0, 0, 0)
    try:
        syscalls.call(
            "mount_setattr",
            AT_FDCWD,
            _encoded(target),
            AT_RECURSIVE if recursive else 0,
            attributes,
            len(attributes),
            about=target,
        )
    except OSError as error:
        if error.errno != errno.ENOSYS:  # before Linux 5.12
            raise
        remount(target, flags, recursive=recursive)


def remount(target: str, flags: int, *, recursive: bool = False) -> None:
    """Do the same by mount(2), one mount after the other.

    The flags that a mount has are given again: in a user namespace those that came with it are
    locked, and a remount without them is EPERM.
    """
    for each in mounted_at(target) if recursive else [os.path.realpath(target)]:
        mount(None, each, None, MS_REMOUNT | MS_BIND | flags | _flags_of(each))


def mounted_at(folder: str) -> list[str]:
    """List the mount points at a folder and below it, as /proc/self/mountinfo has them."""
    with open("/proc/self/mountinfo", "rb") as table:
        return points(table.read(), os.path.realpath(folder))


def points(mountinfo: bytes, folder: str) -> list[str]:
    """Pick the mount points at a folder and below it out of proc(5)'s mountinfo: pure."""
    ours = os.fsencode(folder)
    below = ours.rstrip(b"/") + b"/"
    found = [_plain(line.split(b" ")[4]) for line in mountinfo.splitlines()]
    chosen = dict.fromkeys(each for each in found if each == ours or each.startswith(below))
    return [os.fsdecode(each) for each in chosen]


def tmpfs(
    target: str,
    *,
    size: int,
    inodes: int,
    mode: int = 0o700,
    flags: int = NOSUID | NODEV,
) -> None:
    """Mount an empty file system in memory, of so many bytes and inodes.

    Its root belongs to whoever mounts it. A size of 0 would be no limit at all: ValueError.
    """
    if size < 1 or inodes < 1:
        raise ValueError(f"a tmpfs of {size} bytes and {inodes} inodes")
    mount("tmpfs", target, "tmpfs", flags, f"size={size:d},nr_inodes={inodes:d},mode={mode:o}")


def proc(target: str, *, subset_pid: bool = True, flags: int = RDONLY) -> None:
    """Mount this pid namespace's processes, without the rest of /proc with `subset_pid` (5.8).

    EPERM where the namespace around this one has only a masked /proc (a container's).
    """
    data = "subset=pid" if subset_pid else None
    mount("proc", target, "proc", NOSUID | NODEV | NOEXEC | flags, data)


def pivot_into(folder: str) -> None:
    """Make a mount point the root and the working folder, and let go of the old root.

    The old one is stacked under the new for a moment (pivot_root(2)), so no folder for it is
    needed.
    """
    os.chdir(folder)
    syscalls.call("pivot_root", b".", b".", about=folder)
    unmount(".")
    os.chdir("/")


def _encoded(text: str | None) -> bytes | None:
    """Give the bytes. Raises ValueError for a NUL, which would cut the text short."""
    return None if text is None else files.encoded(text)


def _plain(field: bytes) -> bytes:
    """Undo mountinfo's octal escapes of space, tab, newline and backslash."""
    for code in (b"040", b"011", b"012", b"134"):
        field = field.replace(b"\\" + code, bytes([int(code, 8)]))
    return field


def _flags_of(target: str) -> int:
    """Translate statvfs's flags into those of mount(2)."""
    has = os.statvfs(target).f_flag
    other = {
        ST_NOATIME: MS_NOATIME,
        ST_NODIRATIME: MS_NODIRATIME,
        ST_RELATIME: MS_RELATIME,
        ST_NOSYMFOLLOW: MS_NOSYMFOLLOW,
    }
    kept = has & (RDONLY | NOSUID | NODEV | NOEXEC)
    for ours, theirs in other.items():
        kept |= theirs if has & ours else 0
    return kept
