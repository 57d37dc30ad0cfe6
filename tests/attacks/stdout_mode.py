# mypy: ignore-errors
"""Changes the pipes that it was given: not blocking, size, lock, owner of its signals."""
import fcntl
for descriptor in (0, 1, 2):
    for label, action in (
        ("not blocking", lambda: os.set_blocking(descriptor, False)),
        ("size", lambda: fcntl.fcntl(descriptor, 1031, 4096)),
        ("lock", lambda: fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)),
        ("record lock", lambda: fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)),
        ("owner", lambda: fcntl.fcntl(descriptor, fcntl.F_SETOWN, 1)),
        ("asynchronous", lambda: fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_ASYNC | os.O_APPEND)),
        ("reopened", lambda: os.close(os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR | os.O_NONBLOCK))),
    ):
        try:
            action()
        except OSError:
            pass
os.set_blocking(1, True)
