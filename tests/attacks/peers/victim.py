# mypy: ignore-errors
"""A task beside an attack, which looks at itself until it is ended: "ok" each time, or WRONG."""
import os, select, signal, socket, threading, time

TEXT = b"mine alone\n" * 100
with open("kept", "wb") as file:
    file.write(TEXT)
with open("/dev/shm/kept_by_victim" if os.access("/dev/shm", os.W_OK) else "kept2", "wb") as file:
    file.write(TEXT)
signals = []
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCONT):
    signal.signal(number, lambda number, frame: signals.append(number))
here, there = socket.socketpair()
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    os.close(writing)
    os.read(reading, 1)
    os._exit(0)
folder, host, before = sorted(os.listdir(".")), socket.gethostname(), os.environ.copy()


def checks():
    with open("kept", "rb") as file:
        yield file.read() == TEXT, "its file was changed"
    yield sorted(os.listdir(".")) == folder, "its folder was changed"
    came = list(signals)
    signals.clear()
    yield not came, f"signals came: {came}"
    here.send(b"x")
    yield bool(select.select([there], [], [], 5)[0]) and there.recv(10) == b"x", "its socket does not answer"
    yield os.waitpid(child, os.WNOHANG) == (0, 0), "its child was ended"
    yield socket.gethostname() == host, "the host's name was changed"
    yield os.environ == before and threading.active_count() == 1, "the process was changed"
    yield os.getpriority(os.PRIO_PROCESS, 0) == 0, "its priority was changed"


while True:
    wrong = [text for good, text in checks() if not good]
    print("WRONG " + "; ".join(wrong) if wrong else "ok", flush=True)
    time.sleep(0.05)
