# mypy: ignore-errors
"""Sends signals to whatever it sees or guesses, and to groups."""
parent = os.getppid()
for pid in visible():
    if pid == parent:
        continue
    for number in (signal.SIGSTOP, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except OSError:
            continue
        reached("sent", number, "to", pid)
for pid in {1, parent}:
    for number in (signal.SIGSTOP, signal.SIGTSTP):
        try:
            os.kill(pid, number)
        except OSError as error:
            stopped(pid, error)
time.sleep(0.1)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
attempt("everyone", os.kill, -1, signal.SIGTERM)
