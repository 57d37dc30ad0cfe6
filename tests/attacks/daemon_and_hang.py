# mypy: ignore-errors
"""Leaves a daemon and hangs, so that it is ended by force."""
if os.fork() == 0:
    try:
        os.setsid()
    except OSError:
        pass
    if os.fork() == 0:
        libc.prctl(15, b"ry_evil", 0, 0, 0)
        while True:
            time.sleep(0.05)
    os._exit(0)
time.sleep(600)
