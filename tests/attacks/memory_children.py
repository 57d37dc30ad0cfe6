# mypy: ignore-errors
"""Takes memory in sixteen children, each below the limit of one process."""
import mmap
pids = []
for _ in range(16):
    pid = os.fork()
    if pid == 0:
        area = mmap.mmap(-1, 100 << 20)
        for offset in range(0, len(area), 4096):
            area[offset] = 1
        time.sleep(0.5)
        os._exit(33)
    pids.append(pid)
held = sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 33 for pid in pids)
(reached if held == 16 else stopped)(held, "of 16 children held 100 MiB each")
