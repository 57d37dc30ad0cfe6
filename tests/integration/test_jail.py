"""What a task in a jail sees, and that ordinary programs find there what they need."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator

import pytest
import pytest_twisted
from jailed import JAIL_LEVELS, Jails, stopped
from slots import INTERPRETERS

SEES = """
import json, os, pwd, socket, stat, sys
print(json.dumps({
    "env": dict(os.environ),
    "top": sorted(os.listdir('/')),
    "tmp": os.listdir('/tmp') + os.listdir('/dev/shm'),
    "task": os.listdir('.'),
    "pids": sorted(int(p) for p in os.listdir('/proc') if p.isdigit()),
    "ids": [os.getuid(), os.geteuid(), os.getgid(), os.getgroups()],
    "host": socket.gethostname(),
    "nets": [line.split(':')[0].strip() for line in open('/proc/net/dev').readlines()[2:]]
        if os.path.exists('/proc/net/dev') else ['lo'],
    "fds": sorted(int(f) for f in os.listdir('/proc/self/fd')),
    "dev": sorted(os.listdir('/dev')),
    "user": pwd.getpwuid(os.getuid()).pw_name,
    "home": os.path.expanduser('~'),
    "cwd": os.getcwd(),
    "argv": sys.argv,
    "umask": os.umask(0o22),
}))
"""
TOP = {
    ".files", ".runyard", "bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "mnt", "proc",
    "sbin", "task", "tmp", "usr",
}  # fmt: skip
WRITES = """
import os
made = []
for folder in ('/', '/usr', '/usr/bin', '/etc', '/dev', '/.runyard', '/.files', '/mnt', '/proc'):
    try:
        os.close(os.open(f'{folder}/x', os.O_RDWR | os.O_CREAT))
        made.append(folder)
    except OSError:
        pass
for name in ('/etc/passwd', '/.runyard/zygote/sitecustomize.py', '/usr/bin/env'):
    try:
        os.close(os.open(name, os.O_WRONLY))
        made.append(name)
    except OSError:
        pass
for folder in ('/tmp', '/task', '/dev/shm'):
    os.close(os.open(f'{folder}/x', os.O_RDWR | os.O_CREAT))
print(made)
"""
POOLS = """
import multiprocessing as m
def double(x):
    return x * 2
if __name__ == '__main__':
    for how in ('spawn', 'fork', 'forkserver'):
        with m.get_context(how).Pool(2) as pool:
            print(how, pool.map(double, range(4)))
"""
LIBRARY = """
import asyncio, ctypes, functools, inspect, os, pickle, signal, sqlite3, subprocess, sys, threading
import dataclasses
@dataclasses.dataclass
class Kept:
    x: int
def source(): return 'mine'
async def wait():
    await asyncio.sleep(0)
    process = await asyncio.create_subprocess_exec('/bin/echo', 'sub', stdout=-1)
    return (await process.communicate())[0]
print(asyncio.run(wait()))
print(ctypes.CDLL(None).getpid() == os.getpid())
print(inspect.getsource(source).strip(), pickle.loads(pickle.dumps(Kept(3))))
base = sqlite3.connect('base.db')
base.execute('create table t (x)')
base.executemany('insert into t values (?)', [(n,) for n in range(100)])
base.commit()
print(base.execute('select sum(x) from t').fetchone())
print(subprocess.run(['sh', '-c', 'echo $0 $((1+1))'], capture_output=True, text=True).stdout)
print(subprocess.run([sys.executable, '-c', 'print(7)'], capture_output=True, text=True).stdout)
say = functools.partial(print, 'thread\\n', end='')
threads = [threading.Thread(target=say) for _ in range(3)]
[t.start() for t in threads]; [t.join() for t in threads]
signal.signal(signal.SIGUSR1, lambda *a: print('handled'))
os.kill(os.getpid(), signal.SIGUSR1)
signal.signal(signal.SIGALRM, lambda *a: print('alarm'))
signal.setitimer(signal.ITIMER_REAL, 0.01)
signal.pause()
"""
SERVER = """
import socket, threading
server = socket.socket()
server.bind(('127.0.0.1', 8080))
server.listen()
def serve():
    peer, _ = server.accept()
    peer.sendall(b'hello')
    peer.close()
thread = threading.Thread(target=serve)
thread.start()
client = socket.create_connection(('localhost', 8080))
print(client.recv(5).decode())
client.recv(1)
client.close()
thread.join()
"""


@pytest.fixture(scope="module", params=JAIL_LEVELS)
def jails(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Jails]:
    made = Jails(tmp_path_factory.mktemp("jails"), request.param)
    yield made
    stopped(made)


@pytest_twisted.ensureDeferred
async def test_a_task_sees_its_own_alone(jails: Jails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "secret")
    seen = json.loads(await jails.says(SEES, args=("one",)))
    assert seen.pop("env") == {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/task", "TMPDIR": "/tmp",
        "LANG": "C.UTF-8",
    }  # fmt: skip
    theirs = {folder.split("/")[1] for each in INTERPRETERS for folder in each.folders}
    assert set(seen.pop("top")) - theirs <= TOP
    pids = seen.pop("pids")
    assert pids[0] == 1
    assert len(pids) == 2
    devices = ["fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom"]
    assert seen == {
        "tmp": [], "task": ["main.py"], "ids": [1000, 1000, 1000, []] if os.geteuid() == 0
        else seen["ids"], "host": "task", "nets": ["lo"], "fds": [0, 1, 2, 3],
        "dev": [*devices, "zero"], "user": "task", "home": "/task", "cwd": "/task",
        "argv": ["main.py", "one"], "umask": 0o22,
    }  # fmt: skip


@pytest_twisted.ensureDeferred
async def test_only_its_own_three_folders_can_be_written_to(jails: Jails) -> None:
    assert await jails.says(WRITES) == "[]\n"
    assert await jails.says("import os; print(os.listdir('/tmp'), os.listdir())") == (
        "[] ['main.py']\n"
    )


@pytest_twisted.ensureDeferred
async def test_the_library_works(jails: Jails) -> None:
    assert await jails.says(LIBRARY) == (
        "b'sub\\n'\nTrue\ndef source(): return 'mine' Kept(x=3)\n(4950,)\nsh 2\n\n7\n\n"
        "thread\nthread\nthread\nhandled\nalarm\n"
    )


@pytest_twisted.ensureDeferred
async def test_pools_of_processes_work(jails: Jails) -> None:
    seen = await jails.says(POOLS)
    assert seen == "".join(f"{how} [0, 2, 4, 6]\n" for how in ("spawn", "fork", "forkserver"))


@pytest_twisted.ensureDeferred
async def test_a_fixed_port_is_free_again_for_the_next_task(jails: Jails) -> None:
    for _ in range(3):
        assert await jails.says(SERVER) == "hello\n"


@pytest_twisted.ensureDeferred
async def test_a_large_input_comes_whole(jails: Jails) -> None:
    code = "import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())"
    data = os.urandom(16 << 20)
    assert await jails.says(code, stdin=data) == hashlib.sha256(data).hexdigest() + "\n"


@pytest_twisted.ensureDeferred
async def test_what_is_read_at_a_start_only_is_heeded(jails: Jails) -> None:
    code = "import os, sys, time; print(time.tzname[0], hash('a'), sys.path[1], sys.argv[1:])"
    env = (("TZ", "Asia/Tokyo"), ("PYTHONHASHSEED", "0"), ("PYTHONPATH", "/tmp/mine"))
    seen = {await jails.says(code, env=env, args=("1", "é")) for _ in range(2)}
    assert len(seen) == 1
    (text,) = seen
    assert text.startswith("JST ")
    assert text.endswith(" /tmp/mine ['1', 'é']\n")
    assert await jails.says("import os; print(os.environ['A'])", env=(("A", "=b"),)) == "=b\n"


@pytest_twisted.ensureDeferred
async def test_its_end_is_told_as_it_was(jails: Jails) -> None:
    assert (await jails.run("import sys; sys.exit(7)")).exit_code == 7
    assert (await jails.run("import os; os.kill(os.getpid(), 11)")).signal == "SIGSEGV"
    ended = await jails.run("x = {}\nx['y']")
    assert (ended.reason, ended.detail) == ("exception", "It raised KeyError: 'y' (line 2).")
    assert ended.stderr.startswith(b'Traceback (most recent call last):\n  File "/task/main.py"')
