# mypy: ignore-errors
"""Leaves a daemon: forked twice, in a session of its own."""
if os.fork() == 0:
    os.setsid() if hasattr(os, "setsid") else None
    if os.fork() == 0:
        libc.prctl(15, b"ry_evil", 0, 0, 0)
        while True:
            time.sleep(0.05)
    os._exit(0)
os.wait()
