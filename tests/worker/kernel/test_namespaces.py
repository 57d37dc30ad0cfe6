"""Namespaces that are really made, in processes of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kernels import each_user, run

UNIFIED = next(
    (p for p in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified") if Path(p, "cgroup.procs").exists()
     and Path(p, "cgroup.controllers").exists()), None,
)  # fmt: skip
START = """
import encodings.idna, socket, signal
ALL = (namespaces.NEWUSER | namespaces.NEWPID | namespaces.NEWNS | namespaces.NEWIPC
       | namespaces.NEWUTS | namespaces.NEWCGROUP | namespaces.NEWNET)
become({uid})
def inside(work, flags=ALL, **more):
    sys.stdout.flush()
    pid, pidfd = namespaces.clone3(flags, **more)
    if pid == 0:
        try: work(); sys.stdout.flush()
        except BaseException as error: os.write(2, repr(error).encode())
        finally: os._exit(7)
    return pidfd, os.waitpid(pid, 0)[1] >> 8
"""


def start(uid: int) -> str:
    return START.format(uid=uid)


@each_user
def test_a_child_in_all_namespaces_is_pid_1_with_one_user_mapped(uid: int) -> None:
    code = """
outer = {name: os.readlink('/proc/self/ns/' + name) for name in os.listdir('/proc/self/ns')}
euid, egid = os.geteuid(), os.getegid()
host = socket.gethostname()
def work():
    names = 'user pid mnt ipc uts cgroup net'.split()
    print(os.getpid(), os.getppid(), os.getuid())
    print([n for n in names if os.readlink('/proc/self/ns/' + n) == outer[n]])
    namespaces.write_maps(None, uid=(1000, euid), gid=(1001, egid))
    print(os.getuid(), os.getgid(), refused(os.setgroups, []), refused(os.setuid, 0))
    namespaces.set_hostname('sandbox')
    print(socket.gethostname())
pidfd, status = inside(work)
print(pidfd, status, socket.gethostname() == host)
"""
    assert run(start(uid) + code).splitlines() == [
        "1 0 65534",
        "[]",
        "1000 1001 EPERM EINVAL",
        "sandbox",
        "-1 7 True",
    ]


@each_user
def test_the_pidfd_is_ours_alone_and_kills_everything(uid: int) -> None:
    code = """
import select
started, starts = os.pipe()
pid, pidfd = namespaces.clone3(namespaces.NEWUSER | namespaces.NEWPID, pidfd=True)
if pid == 0:
    capabilities.die_with_parent()  # should the test fail
    os.fork()
    os.write(starts, b'x')
    while True: signal.pause()
print(pid > 1, pidfd > 2, os.get_inheritable(pidfd))
os.close(starts)
os.read(started, 1)
signal.pidfd_send_signal(pidfd, signal.SIGKILL)
select.select([pidfd], [], [])
print(os.waitpid(pid, 0)[1])
while os.read(started, 5): pass  # no process holds the other end
"""
    assert run(start(uid) + code).splitlines() == ["True True False", "9"]


@each_user
def test_maps_of_another_process_and_of_ids_that_are_not_ours(uid: int) -> None:
    code = """
waits, holds = os.pipe()
said, says = os.pipe()
euid, egid = os.geteuid(), os.getegid()
pid, _ = namespaces.clone3(namespaces.NEWUSER)
if pid == 0:
    os.read(waits, 1)
    os.write(says, b'%d %d' % (os.getuid(), os.getgid()))
    os._exit(0)
namespaces.write_maps(pid, uid=(5, euid), gid=(6, egid))
os.write(holds, b'x')
print(os.read(said, 99))
def work():
    try: namespaces.write_maps(None, uid=(0, 12345), gid=(0, 12345))
    except OSError as error: print(error.errno, error.strerror)
inside(work)
"""
    assert run(start(uid) + code).splitlines() == [
        "b'5 6'",
        "1 write '0 12345 1' to /proc/self/uid_map: Operation not permitted",
    ]


@each_user
def test_loopback_works_after_it_was_brought_up(uid: int) -> None:
    code = """
def work():
    server = socket.socket(); server.bind(('127.0.0.1', 0)); server.listen()
    print(refused(socket.create_connection, server.getsockname()) == 'ENETUNREACH')
    namespaces.loopback_up()
    for family, host in ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')):
        server = socket.socket(family); server.bind((host, 0)); server.listen()
        socket.create_connection(server.getsockname()[:2]).sendall(b'hi')
        print(server.accept()[0].recv(9))
    print(refused(socket.create_connection, ('192.0.2.1', 80)))
print(inside(work, namespaces.NEWUSER | namespaces.NEWNET)[1])
"""
    assert run(start(uid) + code).splitlines() == ["True", "b'hi'", "b'hi'", "ENETUNREACH", "7"]


@each_user
def test_unshare_moves_this_process(uid: int) -> None:
    code = """
before = os.readlink('/proc/self/ns/uts')
namespaces.unshare(namespaces.NEWUSER | namespaces.NEWUTS)
print(before != os.readlink('/proc/self/ns/uts'))
print(refused(namespaces.unshare, 1))
print(refused(namespaces.clone3, 1 << 62), refused(namespaces.clone3, cgroup=99))
"""
    assert run(start(uid) + code).splitlines() == ["True", "EINVAL", "EINVAL EBADF"]


@pytest.mark.skipif(os.getuid() != 0 or UNIFIED is None, reason="needs root and cgroup v2")
def test_a_child_can_begin_in_a_cgroup() -> None:
    assert UNIFIED is not None
    ours = next(
        line.split("::")[1]
        for line in Path("/proc/self/cgroup").read_text().splitlines()
        if line.startswith("0::")
    )
    group = Path(UNIFIED, ours.lstrip("/"), f"runyard-kernel-{os.getpid()}")
    group.mkdir()
    try:
        code = f"""
def work():
    print([line.strip().rsplit('/')[-1] for line in open('/proc/self/cgroup') if line[:3] == '0::'])
group = os.open({str(group)!r}, os.O_PATH | os.O_DIRECTORY)
print(inside(work, 0, cgroup=group, pidfd=True)[0] > 2)
"""
        assert run(start(0) + code).splitlines() == [f"['{group.name}']", "True"]
    finally:
        group.rmdir()
