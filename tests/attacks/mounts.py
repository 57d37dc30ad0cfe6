# mypy: ignore-errors
"""Mounts, unmounts, changes the root."""
for label, args in (
    ("tmpfs", (b"x", b"/tmp", b"tmpfs", 0, None)), ("bind", (b"/", b"/tmp", None, 4096, None)),
    ("proc", (b"x", b"/tmp", b"proc", 0, None)), ("writable", (b"", b"/", None, 32 | 4096, None)),
    ("sysfs", (b"x", b"/tmp", b"sysfs", 0, None)), ("overlay", (b"x", b"/tmp", b"overlay", 0, b"lowerdir=/usr:/etc")),
):
    alone("mount " + label, lambda: checked(libc.mount(*args)))
alone("umount /proc", lambda: checked(libc.umount2(b"/proc", 2)))
alone("umount /", lambda: checked(libc.umount2(b"/", 2)))
alone("chroot", os.chroot, os.getcwd())
alone("pivot_root", call, "pivot_root", b".", b".")
alone("fsopen", call, "fsopen", b"tmpfs", 0)
alone("open_tree", call, "open_tree", -100, b"/", 1)
alone("mount_setattr", call, "mount_setattr", -100, b"/", 0, ctypes.create_string_buffer(32), 32)
