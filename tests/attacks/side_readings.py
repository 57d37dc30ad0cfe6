# mypy: ignore-errors
"""Reads of others' work: kernel addresses, other processes' names, the machine's mounts."""
for path, good in (("/proc/kallsyms", b"0000000000000000"), ("/proc/modules", b""), ("/proc/timer_list", b""), ("/proc/slabinfo", b""),
                   ("/proc/sched_debug", b""), ("/proc/vmallocinfo", b""), ("/proc/iomem", b"00000000-00000000")):
    try:
        data = read(path, 60)
    except OSError as error:
        stopped(path, error)
        continue
    (stopped if data.startswith(good) and good or not data else reached)(path, data[:40])
strangers = [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) not in (1, os.getpid(), os.getppid())]
for pid in strangers:
    try:
        reached("sees", pid, read(f"/proc/{pid}/cmdline"))
    except OSError:
        pass
