# mypy: ignore-errors
"""Traces, reads and takes descriptors of whatever it sees."""
for pid in [1, os.getppid(), *visible()[:40]]:
    try:
        os.kill(pid, 0)
        seen = True
    except OSError as error:
        seen = error.errno == errno.EPERM
    if not seen:
        continue
    alone(f"ptrace {pid}", call, "ptrace", 0x4206, pid, 0, 0)
    area = (ctypes.c_void_p * 2)(ctypes.addressof(ctypes.create_string_buffer(8)), 8)
    alone(f"read memory of {pid}", call, "process_vm_readv", pid, area, 1, area, 1, 0)
    def take(pid=pid):
        return call("pidfd_getfd", os.pidfd_open(pid), 0, 0)
    alone(f"take a descriptor of {pid}", take)
    attempt(f"memory file of {pid}", lambda: os.open(f"/proc/{pid}/mem", os.O_RDWR))
