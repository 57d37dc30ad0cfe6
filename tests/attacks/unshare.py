# mypy: ignore-errors
"""Makes namespaces of its own, by every way."""
for label, flag in (("user", 0x10000000), ("mount", 0x20000), ("net", 0x40000000), ("pid", 0x20000000),
                    ("ipc", 0x8000000), ("uts", 0x4000000), ("cgroup", 0x2000000), ("time", 0x80)):
    alone("unshare " + label, call, "unshare", flag)
    def nested(flag=flag):
        import struct
        pid = call("clone3", struct.pack("=QQQQQ48x", flag, 0, 0, 0, signal.SIGCHLD), 88)
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        return pid
    alone("clone3 " + label, nested)
for name in ("user", "mnt", "net", "pid"):
    for pid in (1, os.getppid()):
        def join(pid=pid, name=name):
            return call("setns", os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY), 0)
        alone(f"join {name} of {pid}", join)
