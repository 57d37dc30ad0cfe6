"""All of it in the order of a jail: each step leaves the next possible, and all hold at once."""

from __future__ import annotations

import os

import pytest
from kernels import each_user, landlock, run, syscalls

SLOT = 200_000
"""What root becomes: the user 0 cannot be mapped by a zygote without CAP_SETFCAP."""

JAIL = """
import encodings.idna, signal, socket, subprocess, threading
become({uid})
euid, egid = os.getuid(), os.getgid()
version = landlock.abi()
ready = seccomp.prepare(seccomp.program(syscalls.MACHINE, policy.NAMESPACED))
os.environ['SECRET'] = 'x'
namespaces.unshare(namespaces.NEWUSER | namespaces.NEWNS | namespaces.NEWNET)
namespaces.write_maps(None, uid=(euid, euid), gid=(egid, egid))
mounts.make_private()
namespaces.loopback_up()
capabilities.drop()  # the zygote's state: no privileges, and new user namespaces still work
capabilities.no_new_privs()
capabilities.set_dumpable(True)
pid, pidfd = namespaces.clone3(
    namespaces.NEWUSER | namespaces.NEWPID | namespaces.NEWNS | namespaces.NEWIPC
    | namespaces.NEWUTS | namespaces.NEWCGROUP, pidfd=True)
if pid:
    status = os.waitpid(pid, 0)[1]
    print(os.WIFEXITED(status) and os.WEXITSTATUS(status))
    sys.exit()
capabilities.die_with_parent()
namespaces.write_maps(None, uid=(1000, euid), gid=(1000, egid))
mounts.tmpfs('/tmp', size=1 << 20, inodes=64)
mounts.proc('/proc')
namespaces.set_hostname('sandbox')
capabilities.set_dumpable(False)
child = os.fork()
if child:
    capabilities.drop()
    status = os.waitpid(child, 0)[1]
    os._exit(os.waitstatus_to_exitcode(status))
capabilities.set_dumpable(True)
rules = landlock.prepare(version, read_execute=['/'], read_write_in=['/tmp'],
                         devices=['/dev/null']) if version else None
os.setsid()
capabilities.drop()
if rules is not None: landlock.apply(version, rules); os.close(rules.value)
ready.install()
"""
TASK = """
print(os.getpid(), os.getuid(), os.getgid(), socket.gethostname(), os.listdir('/tmp'))
print([line.split()[1] for line in open('/proc/self/status') if line[:3] == 'Cap'])
print(sorted(int(name) for name in os.listdir('/proc') if name.isdigit()))
def read(path):
    with open(path) as source: return source.read()
print(refused(read, '/proc/1/environ'), refused(os.kill, 1, signal.SIGTERM))
print(refused(syscalls.call, 'ptrace', 16, 1, 0, 0), refused(os.unlink, '/etc/passwd'))
print(refused(namespaces.unshare, namespaces.NEWUSER), refused(os.setuid, 0))
with open('/tmp/main.py', 'w') as target: target.write('print(6 * 7)')
sys.stdout.flush()
print(os.spawnv(os.P_WAIT, '/bin/cat', ['cat', '/tmp/main.py']), flush=True)
server = socket.create_server(('127.0.0.1', 0))
def serve(): server.accept()[0].sendall(b'own')
threading.Thread(target=serve).start()
print(socket.create_connection(server.getsockname()).recv(9))
print(refused(socket.create_connection, ('192.0.2.1', 80)), flush=True)
os._exit(3)
"""


@each_user
@pytest.mark.skipif(syscalls.MACHINE not in syscalls.MACHINES, reason="not our machine")
def test_a_jail_of_these_parts_holds_and_lets_work(uid: int) -> None:
    lines = run(JAIL.format(uid=uid or SLOT) + TASK).splitlines()
    withheld = "EACCES" if landlock.abi() else "EROFS" if os.getuid() else "None"
    scoped = landlock.abi() >= landlock.SIGNALS_SCOPED
    none = ", ".join(["'0000000000000000'"] * 5)
    assert lines == [
        "2 1000 1000 sandbox []",
        f"[{none}]",
        "[1, 2]",
        f"EACCES {'EPERM' if scoped else 'None'}",
        f"EPERM {withheld}",
        "EPERM EINVAL",
        "print(6 * 7)0",
        "b'own'",
        "ENETUNREACH",
        "3",
    ]
