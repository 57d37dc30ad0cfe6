"""Filters that are really installed, in processes of their own."""

from __future__ import annotations

import os
import shutil

import pytest
from kernels import each_user, run, syscalls

pytestmark = pytest.mark.skipif(syscalls.MACHINE not in syscalls.MACHINES, reason="not our machine")
# `become` is last: what is imported after it may lie where that user may not look.
START = """
import ctypes, json, signal, socket, subprocess, resource
ready = seccomp.prepare(seccomp.program(syscalls.MACHINE, {policy}))
become({uid})
capabilities.no_new_privs()
ready.install()
call = syscalls.call
"""


def start(uid: int = os.getuid(), policy: str = "policy.NAMESPACED") -> str:
    return START.format(uid=uid, policy=policy)


def test_what_is_denied_is_denied_by_the_filter_and_not_for_want_of_privileges() -> None:
    # Without privileges, should the filter not hold; its answer is one that no call gives.
    code = """
for name in sorted(policy.DENIED):
    if syscalls.NUMBERS[name][syscalls.MACHINES.index(syscalls.MACHINE)] is not None:
        answer = refused(call, name, 0, 0, 0, 0, 0, 0)
        if answer != 'EBADFD': print(name, answer)
print('asked')
"""
    apart = "namespaces.unshare(namespaces.NEWUSER | namespaces.NEWUTS)\ncapabilities.drop()\n"
    apart += "capabilities.no_new_privs()"
    other = "policy.NAMESPACED.with_rules(dict.fromkeys(policy.DENIED, policy.refuse(77)))"
    held = start(policy=other).replace("capabilities.no_new_privs()", apart)
    assert run(held + code) == "asked"


@each_user
def test_arguments_decide_for_a_real_process(uid: int) -> None:
    code = """
print(refused(call, 'ptrace', 0), refused(os.chroot, '/'))
print(refused(call, 'clone3', 0, 0), refused(call, 'clone', 0x10000011, 0, 0, 0, 0))
print(refused(call, 'ioctl', 0, 0x5412, b'x'), refused(call, 'personality', 0x40000))
print(call('personality', 0xffffffff))
for family, kind, protocol in ((16, 3, 0), (17, 3, 0), (40, 1, 0), (2, 3, 1), (2, 1, 132)):
    print(refused(socket.socket, family, kind, protocol), end=' ')
print(refused(socket.socketpair, 30))
print(refused(os.mknod, '/dev/shm/never', 0o020666, os.makedev(1, 3)))
"""
    assert run(start(uid) + code).splitlines() == [
        "EPERM EPERM",
        "ENOSYS EPERM",
        "EPERM EPERM",
        "0",
        "EAFNOSUPPORT EAFNOSUPPORT EAFNOSUPPORT EPERM EPROTONOSUPPORT EAFNOSUPPORT",
        "EPERM",
    ]


def test_a_filter_without_no_new_privs_and_privileges_is_refused() -> None:
    code = """
ready = seccomp.prepare(seccomp.program(syscalls.MACHINE, policy.NAMESPACED))
if os.getuid() == 0: become(65534)
print(refused(ready.install))
capabilities.no_new_privs()
print(refused(seccomp.install, b'x' * 8), refused(seccomp.install, b''))
ready.install()
print([line.split()[1] for line in open('/proc/self/status') if line.startswith('Seccomp:')])
"""
    assert run(code).splitlines() == ["EACCES", "EINVAL EINVAL", "['2']"]


@pytest.mark.skipif(syscalls.MACHINE != "x86_64", reason="x32 and i386 are of x86_64")
def test_32_bits_end_the_process_and_x32_is_not_there() -> None:
    code = """
import mmap
libc = syscalls.LIBC
print(libc.syscall(ctypes.c_long(0x40000000 | 39)), ctypes.get_errno())
page = mmap.mmap(-1, 4096, prot=7)
page.write(b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3")  # mov eax, 20 (getpid); int 0x80; ret
entry = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
if os.fork() == 0:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    entry()
    os._exit(0)
print(os.WTERMSIG(os.wait()[1]) == signal.SIGSYS)
"""
    assert run(start() + code).splitlines() == ["-1 38", "True"]


def test_a_program_may_add_a_filter_of_its_own() -> None:
    code = """
from kernel import bpf
seccomp.install(bpf.encode(bpf.load(0, bpf.if_one_of(
    (syscalls.number('getpid'),), policy.refuse(77), policy.ALLOW))))
print(refused(call, 'getpid'), refused(call, 'ptrace', 0))
seccomp.install(bpf.encode(policy.ALLOW))
print(refused(call, 'ptrace', 0))
"""
    assert run(start() + code).splitlines() == ["EBADFD EPERM", "EPERM"]


ORDINARY = """
import asyncio, concurrent.futures, multiprocessing, sqlite3, tempfile, threading, random, shutil
import multiprocessing.pool, multiprocessing.synchronize, concurrent.futures.thread, shutil, pty
def double(number): return number * 2
async def loop():
    server = await asyncio.start_server(lambda r, w: w.close(), '127.0.0.1', 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    got = await reader.read()
    writer.close(); server.close()
    child = await asyncio.create_subprocess_exec('/bin/echo', 'hi', stdout=-1)
    return got, (await child.communicate())[0]
def main():
    with multiprocessing.get_context('fork').Pool(2) as pool: print(pool.map(double, [1, 2]))
    with concurrent.futures.ThreadPoolExecutor(3) as pool: print(list(pool.map(double, [3])))
    print(asyncio.run(loop()))
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        base = sqlite3.connect(os.path.join(folder, 'base'))
        print(base.execute('select 1+1').fetchone()); base.close()
        os.mkfifo(os.path.join(folder, 'fifo'))
    child = subprocess.Popen(['/bin/cat'], stdin=-1, start_new_session=True)
    child.kill(); print(child.wait())
    print(subprocess.run('echo $((6*7)) | cat', shell=True, capture_output=True).stdout)
    print(socket.getaddrinfo('localhost', 80)[0][4][1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
    os.nice(1); os.sched_setaffinity(0, os.sched_getaffinity(0))
    if os.fork() == 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.abort()
    print(os.WTERMSIG(os.wait()[1]))
main()
"""


def test_ordinary_python_does_what_it_does_elsewhere() -> None:
    assert run(start() + ORDINARY) == run("import socket, subprocess, resource\n" + ORDINARY)


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
@pytest.mark.slow
def test_node_runs() -> None:
    code = """
print(subprocess.run(['node', '-e', 'setTimeout(() => console.log(require("crypto").randomBytes(4)'
    '.length, require("child_process").execFileSync("echo", ["hi"]) + ""), 1)'],
    capture_output=True, text=True, check=True).stdout.split())
"""
    assert run(start() + code) == "['4', 'hi']"


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no compiler here")
@pytest.mark.slow
def test_a_compiler_and_its_program_run() -> None:
    code = """
import tempfile
with tempfile.TemporaryDirectory() as folder:
    subprocess.run(['gcc', '-x', 'c', '-pthread', '-o', folder + '/a', '-'], check=True, input=b'''
#include <pthread.h>
#include <stdio.h>
static void *f(void *p) { return p; }
int main() { pthread_t t; void *r; pthread_create(&t, 0, f, "hi"); pthread_join(t, &r); puts(r); }
''')
    print(subprocess.run([folder + '/a'], capture_output=True, check=True).stdout)
"""
    assert run(start() + code) == "b'hi\\n'"


@each_user
def test_restricted_holds_signals_sessions_limits_and_the_network(uid: int) -> None:
    code = """
bystander = os.getppid()
print(refused(os.kill, bystander, 0), refused(os.kill, os.getpid(), 0))
print(refused(os.kill, 0, 0), refused(call, 'tgkill', bystander, bystander, 0))
print(refused(os.setsid), refused(os.setpgid, 0, 0))
print(refused(resource.prlimit, bystander, resource.RLIMIT_CPU, (1, 1)))
print(resource.getrlimit(resource.RLIMIT_CORE)[0] >= -1, refused(os.setpriority, 0, bystander, 1))
print(refused(os.sched_setaffinity, bystander, {0}), refused(os.sched_setaffinity, 0, {0}))
print(refused(socket.socket, socket.AF_INET), refused(socket.socket, socket.AF_UNIX) is not None)
reading, writing = os.pipe()
print(refused(call, 'fcntl', reading, 8, bystander), refused(call, 'shmget', 0, 1, 0o1600))
print(refused(os.chmod, '/dev/null', 0o666), refused(os.fchown, reading, -1, -1))
import threading
threading.Thread(target=print, args=('thread',)).start()
"""
    setup = (
        "os.getpid() == os.getsid(0) or os.setsid()\n"
        + start(uid, "restricted.restricted(own_pid=os.getpid(), owns_files=True)")
    ).replace("become(", "import threading\nbecome(")
    assert run(setup + code).splitlines() == [
        "EPERM None",
        "None EPERM",
        "EPERM EPERM",
        "EPERM",
        "True EPERM",
        "EPERM None",
        "EAFNOSUPPORT True",
        "EPERM EPERM",
        "EPERM EPERM",
        "thread",
    ]


@each_user
def test_an_owner_cannot_change_a_file_s_mode_by_any_way(uid: int) -> None:
    code = """
import struct
open_to_all = struct.pack('<I', 2) + b''.join(
    struct.pack('<HHI', tag, 6, 0xFFFFFFFF) for tag in (1, 4, 0x20))
name = 'system.posix_acl_access'
answers = [refused(os.chmod, mine, 0o666), refused(os.fchmod, handle, 0o666)]
answers += [refused(os.setxattr, each, name, open_to_all) for each in (mine, handle)]
answers += [refused(os.setxattr, mine, name, open_to_all, follow_symlinks=False)]
answers += [refused(os.removexattr, each, 'user.x') for each in (mine, handle)]
answers += [refused(os.removexattr, mine, 'user.x', follow_symlinks=False)]
answers += [refused(call, each, 0, 0, 0, 0, 0, 0)
            for each in ('setxattrat', 'removexattrat', 'file_setattr')]
print(*answers)
print(oct(os.stat(mine).st_mode))
"""
    made = f"""
import tempfile
handle, path = tempfile.mkstemp()
os.chown(handle, {uid}, {uid})
os.unlink(path)
mine = f'/proc/self/fd/{{handle}}'
"""
    held = made + start(uid, "restricted.restricted(owns_files=True)")
    expected = ["EPERM", "EPERM", *["ENOTSUP"] * 8, "EPERM"]
    assert run(held + code).splitlines() == [" ".join(expected), "0o100600"]


def test_restricted_lets_ordinary_work_be_done_where_landlock_holds_signals() -> None:
    code = """
import asyncio, multiprocessing.pool, multiprocessing.synchronize, threading
def double(number): return number * 2
async def loop():
    child = await asyncio.create_subprocess_exec('/bin/echo', 'hi', stdout=-1)
    return (await child.communicate())[0], await asyncio.to_thread(double, 4)
with multiprocessing.get_context('fork').Pool(2) as pool: print(pool.map(double, [1, 2]))
print(asyncio.run(loop()))
child = subprocess.Popen(['/bin/cat'], stdin=-1); child.terminate(); print(child.wait())
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)); os.nice(1)
if os.fork() == 0:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.abort()
print(os.WTERMSIG(os.wait()[1]))
"""
    assert run(start(policy="restricted.restricted()") + code).splitlines() == [
        "[2, 4]",
        "(b'hi\\n', 8)",
        "-15",
        "6",
    ]
