# mypy: ignore-errors
"""Empties, grows and seals the file behind its stdin."""
import fcntl
for label, action in (
    ("empty", lambda: os.ftruncate(0, 0)), ("grow", lambda: os.ftruncate(0, 1 << 40)),
    ("seal", lambda: fcntl.fcntl(0, 1033, 0xF)), ("punch", lambda: libc.fallocate(0, 3, ctypes.c_long(0), ctypes.c_long(1 << 30))),
    ("reopen", lambda: os.ftruncate(os.open("/proc/self/fd/0", os.O_RDWR), 0)),
):
    try:
        say(label, action())
    except OSError as error:
        stopped(label, error)
