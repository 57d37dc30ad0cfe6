# mypy: ignore-errors
"""Makes itself more important: priority, real-time, locked memory, scheduling of others."""
def better():
    return checked(libc.setpriority(0, 0, -5))
alone("priority", better)
for pid in {1, os.getppid()}:
    alone(f"priority of {pid}", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))
alone("real time", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))
alone("i/o", lambda: checked(libc.syscall(251 if platform.machine() == "x86_64" else 30, 1, 0, 1 << 13)))
