"""Mounts that are really made, in mount namespaces of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kernels import each_user, mounts, run

START = """
import shutil
become({uid})
ids = os.getuid(), os.getgid()
namespaces.unshare(namespaces.NEWUSER | namespaces.NEWNS | namespaces.NEWPID | namespaces.NEWIPC)
namespaces.write_maps(None, uid=(0, ids[0]), gid=(0, ids[1]))
mounts.make_private()
mounts.tmpfs('/tmp', size=1 << 20, inodes=64)
os.chdir('/tmp')
def put(path, text='x'):
    with open(path, 'w') as target: target.write(text)
def kinds(path):
    for line in open('/proc/self/mountinfo'):
        if line.split()[4] == path: found = line.split()[5], line.split(' - ')[1].split()[0]
    return found
"""


def start(uid: int) -> str:
    return START.format(uid=uid)


@each_user
def test_a_tmpfs_has_its_size_inodes_and_mode(uid: int) -> None:
    code = """
os.mkdir('t')
flags = mounts.NOSUID | mounts.NODEV | mounts.NOEXEC
mounts.tmpfs('t', size=64 << 10, inodes=8, mode=0o1777, flags=flags)
print(oct(os.stat('t').st_mode), kinds('/tmp/t'))
print(refused(put, 't/large', 'x' * 100000), os.stat('t/large').st_size)
print([refused(put, 't/%d' % n, '') for n in range(8)].count('ENOSPC'))
mounts.unmount('t')
print(os.listdir('t'), refused(mounts.unmount, 't'))
"""
    assert run(start(uid) + code).splitlines() == [
        "0o41777 ('rw,nosuid,nodev,noexec,relatime', 'tmpfs')",
        "ENOSPC 65536",
        "2",
        "[] EINVAL",
    ]


@each_user
@pytest.mark.parametrize("old", [False, True])
def test_a_bind_is_read_only_with_all_below_it(uid: int, old: bool) -> None:
    code = f"""
if {old}:
    syscalls.NUMBERS['mount_setattr'] = (1000, 1000)  # ENOSYS
os.makedirs('from/a b'); os.makedirs('to'); os.mkdir('top')
mounts.tmpfs('from/a b', size=1 << 16, inodes=8, flags=mounts.NOEXEC)
put('from/file'); put('from/a b/file')
mounts.bind('from', 'to')
print(kinds('/tmp/to')[0], kinds('/tmp/to/a\\\\040b')[0])
print(refused(put, 'to/file'), refused(put, 'to/a b/file'), refused(put, 'from/file'))
mounts.bind('from', 'top', recursive=False)
print(refused(put, 'top/file'), os.listdir('top/a b'))
put('one'); mounts.bind('from/file', 'one', flags=mounts.NOEXEC)
print(kinds('/tmp/one')[0].split(',')[:2], refused(put, 'one'))
os.mkdir('usr'); mounts.bind('/usr', 'usr')  # what the outer namespace locked stays as it is
print(refused(put, 'usr/x') in ('EROFS', 'EACCES'))
"""
    assert run(start(uid) + code).splitlines() == [
        "ro,nosuid,nodev,relatime ro,nosuid,nodev,noexec,relatime",
        "EROFS EROFS None",
        "EROFS []",
        "['rw', 'nosuid'] None",
        "True",
    ]


@each_user
def test_a_new_root_lets_go_of_the_old_one(uid: int) -> None:
    code = """
os.mkdir('root')
mounts.tmpfs('root', size=1 << 16, inodes=32, mode=0o755)
os.mkdir('root/proc'); put('root/here')
if os.fork() == 0:
    mounts.proc('root/proc')
    mounts.pivot_into('root')
    mounts.set_flags('/', mounts.RDONLY)
    print(os.getcwd(), sorted(os.listdir('/')), refused(put, '/x'), os.getpid(), flush=True)
    print(len(open('/proc/self/mountinfo').read().splitlines()), flush=True)
    print(os.path.exists('/proc/1/status'), os.path.exists('/proc/meminfo'),
          refused(put, '/proc/self/comm'), flush=True)
    print(sorted(os.listdir('..')), refused(os.listdir, '/tmp'), flush=True)
    os._exit(0)
print(os.wait()[1])
"""
    assert run(start(uid) + code).splitlines() == [
        "/ ['here', 'proc'] EROFS 1",
        "2",
        "True False EROFS",
        "['here', 'proc'] ENOENT",
        "0",
    ]


def test_errors_say_what_and_where() -> None:
    code = """
for call, arguments in ((mounts.mount, ('none', '/no/such', 'tmpfs')),
        (mounts.bind, ('/no/source', '/tmp')), (mounts.set_flags, ('/no/such', 1)),
        (mounts.pivot_into, ('/usr',)), (mounts.unmount, ('/no/such',))):
    try: call(*arguments)
    except OSError as error: print(error.strerror)
"""
    assert run(start(os.getuid()) + code).splitlines() == [
        "mount tmpfs on /no/such: No such file or directory",
        "mount /no/source on /tmp: No such file or directory",
        "mount_setattr /no/such: No such file or directory",
        "pivot_root /usr: Invalid argument",
        "umount2 /no/such: No such file or directory",
    ]


def test_what_would_be_no_limit_or_cut_short_is_refused() -> None:
    for size, inodes in ((0, 1), (1, 0), (-1, 1)):
        with pytest.raises(ValueError, match="a tmpfs of"):
            mounts.tmpfs("/no/such", size=size, inodes=inodes)
    with pytest.raises(ValueError, match="a NUL in"):
        mounts.mount(None, "/tmp\0x", None)


INFO = rb"""22 1 0:1 / / rw - ext4 d rw
23 22 0:2 / /a rw shared:1 - tmpfs t rw
24 23 0:3 / /a/b\040c\134x rw - tmpfs t rw
25 22 0:4 / /ab rw - tmpfs t rw
26 23 0:5 / /a rw - tmpfs t rw
"""


def test_mount_points_below_a_folder() -> None:
    assert mounts.points(INFO, "/a") == ["/a", "/a/b c\\x"]
    assert mounts.points(INFO, "/") == ["/", "/a", "/a/b c\\x", "/ab"]
    assert mounts.points(INFO, "/a/b") == []
    assert "/" in mounts.mounted_at("/")
    assert Path(mounts.mounted_at("/proc")[0]) == Path("/proc")
