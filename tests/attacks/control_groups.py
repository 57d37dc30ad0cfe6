# mypy: ignore-errors
"""Reaches control groups: its own, or others'."""
for root, folders, files in os.walk("/sys/fs/cgroup"):
    for name in ("cgroup.procs", "memory.limit_in_bytes", "memory.max", "pids.max", "cpu.max", "cpu.cfs_quota_us", "release_agent"):
        if name in files:
            attempt(f"{root}/{name}", lambda: os.close(os.open(f"{root}/{name}", os.O_WRONLY)))
    del folders[20:]
with open("/proc/self/cgroup") as file:
    say("group", file.read().split())
