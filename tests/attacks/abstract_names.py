# mypy: ignore-errors
"""Leaves a listener that the next task could take for somebody else's."""
import socket
pid = os.fork()
if pid == 0:
    try:
        os.setsid()
    except OSError:
        pass
    held = []
    for family, address in ((socket.AF_UNIX, b"\0ry_left"), (socket.AF_INET, ("127.0.0.1", 8080))):
        try:
            made = socket.socket(family)
            made.bind(address)
            made.listen()
            held.append(made)
        except OSError:
            pass
    libc.prctl(15, b"ry_evil", 0, 0, 0)
    os.write(1, b"listening\n")
    time.sleep(600)
time.sleep(0.2)
