# mypy: ignore-errors
"""Hides thirty processes in sessions and groups of their own, deaf to what can be ignored."""
for _ in range(30):
    try:
        pid = os.fork()
    except OSError:
        break
    if pid == 0:
        for move in (os.setsid, lambda: os.setpgid(0, 0)):
            try:
                move()
            except OSError:
                pass
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        libc.prctl(1, 0, 0, 0, 0)
        libc.prctl(15, b"ry_evil", 0, 0, 0)
        while True:
            time.sleep(1)
