"""What a process in an outer box sees: the machine's files read-only, and fresh places to write.

System calls by ctypes and no dependency, since it runs in the box's first process.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct

LIBC = ctypes.CDLL(None, use_errno=True)
SYS_MOUNT_SETATTR = 442  # the same number on all architectures
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
MOUNT_ATTR_RDONLY = 1
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
MASKED = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs")
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR, IFF_UP = 0x8913, 0x8914, 0x8916, 1
METADATA = "169.254.169.254"
MIB = 1024 * 1024


def checked(result: int, what: str) -> None:
    """Raise the OSError of a call that gave -1."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Call mount(2). Raises OSError."""
    texts = [text.encode() or None for text in (source, target, kind, options)]
    checked(LIBC.mount(texts[0], texts[1], texts[2], flags, texts[3]), f"mount {kind} on {target}")


def tmpfs(target: str, size: int, mode: str = "1777") -> None:
    """Mount a sized memory file system."""
    options = f"size={size},nr_inodes={max(1024, size // 8192)},mode={mode}"
    mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, options)


def read_only() -> None:
    """Make all that is mounted now read-only, in this mount namespace alone."""
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    attributes = struct.pack("=QQQQ", MOUNT_ATTR_RDONLY, 0, 0, 0)
    result = LIBC.syscall(
        SYS_MOUNT_SETATTR, AT_FDCWD, b"/", AT_RECURSIVE, attributes, len(attributes)
    )
    checked(result, "mount_setattr of / to read-only")


def devices(shm: int) -> None:
    """Replace /dev by a few harmless devices; no disk is among them."""
    kept = {name: os.open(f"/dev/{name}", os.O_PATH) for name in DEVICES}
    mount("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, f"size={MIB},mode=755")
    for name, descriptor in kept.items():
        os.close(os.open(f"/dev/{name}", os.O_CREAT | os.O_WRONLY))
        mount(f"/proc/self/fd/{descriptor}", f"/dev/{name}", flags=MS_BIND)
        os.close(descriptor)
    for name in ("shm", "pts"):
        os.mkdir(f"/dev/{name}")
    tmpfs("/dev/shm", shm)
    mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666")
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1"}
    for name, target in (links | {"stderr": "fd/2"}).items():
        os.symlink(target, f"/dev/{name}")


def processes(masked: bool) -> None:
    """Mount this namespace's own /proc; masked: the kernel's settings in it are read-only."""
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for path in MASKED if masked else ():
        if os.path.exists(path):
            mount(path, path, flags=MS_BIND | MS_REC)
            mount("", path, flags=MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)


def groups(controllers: list[str]) -> None:
    """Mount the hierarchies in which the box has a group, each with that group as its root."""
    mount("tmpfs", "/sys/fs/cgroup", "tmpfs", MS_NOSUID | MS_NODEV, f"size={MIB},mode=755")
    for name in controllers:
        target = f"/sys/fs/cgroup/{'unified' if name == 'v2' else name}"
        os.mkdir(target)
        if name == "v2":
            mount("cgroup2", target, "cgroup2")
        else:
            mount("cgroup", target, "cgroup", options=name)


def loopback() -> None:
    """Bring up the only network interface.

    It has the metadata services' address too, so that this one is there to be reached: by a
    sandbox without a network of its own it is.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16sH22x", b"lo", 0))
        flags = struct.unpack("16sH22x", request)[1] | IFF_UP
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags))
        address = struct.pack("16sH2x4s16x", b"lo:0", socket.AF_INET, socket.inet_aton(METADATA))
        fcntl.ioctl(control, SIOCSIFADDR, address)


def furnish(tmp: int, shm: int, controllers: list[str], masked: bool) -> None:
    """Make the whole view of a box. Raises OSError, whose text names the step."""
    read_only()
    devices(shm)
    for path in ("/tmp", "/var/tmp", "/run"):
        with contextlib.suppress(FileNotFoundError):
            tmpfs(path, tmp, "755" if path == "/run" else "1777")
    processes(masked)
    if controllers:
        groups(controllers)
    loopback()


def points() -> list[str]:
    """List the mount points of this namespace, in order."""
    with open("/proc/self/mountinfo", encoding="utf-8") as lines:
        return [line.split()[4] for line in lines]
