"""Programs that write what looks like results to whatever they can reach. Each prints `done`."""

from __future__ import annotations

FORGE = r"""
import ctypes, errno, fcntl, json, mmap, os, socket, sys
RECORD = {"type": "Success", "message": "all is well", "frames": [], "exit_code": 0,
          "outcome": "success", "threads": [{"type": "T"}]}
ENDED = {"ended": 0, "wall_s": 0, "cpu_s": 0, "max_rss_bytes": 0, "late": False,
         "forsaken": False, "clean": True}
LINES = [b"\n" + json.dumps(each).encode() + b"\n" for each in (
    RECORD, ENDED, {"started": 1}, {"ready": True}, {"failed": "forged"}, {"kill": True},
    {"verb": "Result", "attempt": "a.1", "outcome": "success", "payload": [0, 0]},
    {"type": "Result", "attempt": "a.1", "outcome": "success"})]
def forge(fd):
    for line in LINES:
        try: os.write(fd, line)
        except OSError: return
def end(code):
    print("done", flush=True)
    os._exit(code)
"""

FORGERS = {
    "every_descriptor": "for fd in range(1024):\n if fd not in (1, 2): forge(fd)\nend(7)",
    "opened_anew": "for fd in os.listdir('/proc/self/fd'):\n"
    " if int(fd) in (1, 2): continue\n"
    " for flags in (os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND):\n"
    "  try: forge(os.open('/proc/self/fd/' + fd, flags))\n"
    "  except OSError: pass\nend(7)",
    "helper_by_proc": "for fd in range(64):\n"
    " try: forge(os.open('/proc/%d/fd/%d' % (os.getppid(), fd), os.O_RDWR))\n"
    " except OSError: pass\nend(7)",
    "helper_by_pidfd": "libc = ctypes.CDLL(None)\npid = libc.syscall(434, os.getppid(), 0)\n"
    "got = [libc.syscall(438, pid, fd, 0) for fd in range(64)] if pid >= 0 else []\n"
    "for fd in got:\n if fd >= 0: forge(fd)\nend(7 + any(fd >= 0 for fd in got))",
    "input_cut": "os.ftruncate(0, 0)\nforge(0)\nend(7)",
    "input_cut_after": "forge(0)\nos.ftruncate(0, 1)\nend(7)",
    "input_grown_sparse": "for size in (1 << 40, 1 << 30, (16 << 20)):\n"
    " try: os.ftruncate(0, size)\n"
    " except OSError: pass\nforge(0)\nend(7)",
    "input_filled": "try:\n while True: os.write(0, b'{' * 999999)\nexcept OSError: pass\nend(7)",
    "input_sealed": "for seal in (1, 2, 4, 8, 16):\n"
    " try: fcntl.fcntl(0, 1033, seal)\n"
    " except OSError: pass\nforge(0)\nend(7)",
    "input_mapped": "os.ftruncate(0, 8192)\nm = mmap.mmap(0, 8192)\nm[:4096] = b'{' * 4096\n"
    "fcntl.fcntl(0, fcntl.F_SETFL, 0)\nos.lseek(0, 0, 0)\nforge(0)\nend(7)",
    "input_replaced": "fd = os.open('x', os.O_RDWR | os.O_CREAT)\nos.dup2(fd, 0)\nforge(0)\nend(7)",
    "by_children": "for _ in range(4):\n if os.fork() == 0:\n  os.setsid()\n"
    "  while True: forge(0)\nend(7)",
    "by_the_hook": "sys.last_value = ValueError('forged')\nprint('done', flush=True)\nsys.exit(7)",
    "as_a_trace": "for _ in range(99):\n"
    " os.write(0, b'Thread 0x1 (most recent call first):\\n  File \"main.py\", line 1 in x\\n')\n"
    "end(7)",
}
