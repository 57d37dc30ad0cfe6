# mypy: ignore-errors
"""Writes protocol lines and packets to every descriptor that it has or can open anew."""
import json, socket
lines = [json.dumps(each).encode() for each in (
    {"ended": 0, "wall_s": 0, "cpu_s": 0, "max_rss_bytes": 1, "clean": True}, {"ready": True}, {"failed": "FORGED"},
    {"verb": "Result", "attempt": "a.1", "outcome": "success"}, {"ev": "done", "st": 0}, {"started": 1},
)]
paths = []
for pid in ("self", "1", str(os.getppid())):
    try:
        paths += [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        pass
for line in lines:
    for descriptor in [*range(3, 300), 1023]:
        for send in (lambda: os.write(descriptor, line + b"\n"), lambda: socket.socket(fileno=os.dup(descriptor)).send(line)):
            try:
                send()
                reached("wrote to", descriptor)
            except OSError:
                pass
    for path in paths:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            os.write(descriptor, line + b"\n")
        except OSError:
            pass
        os.close(descriptor)
    os.write(1, line + b"\n")
    os.write(2, line + b"\n")
sys.stdout.flush()
os._exit(3)
