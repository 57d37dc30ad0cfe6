# mypy: ignore-errors
"""Writes the kernel's settings: each is given the value that it has."""
for path in ("kernel/core_pattern", "kernel/hostname", "kernel/modprobe", "vm/overcommit_memory", "net/ipv4/ip_forward",
             "kernel/ns_last_pid", "user/max_user_namespaces", "fs/binfmt_misc/register", "net/ipv4/ping_group_range"):
    whole = "/proc/sys/" + path
    def again(whole=whole):
        return write(whole, read(whole, 4096))
    attempt(path, again)
for path in ("/proc/sysrq-trigger", "/sys/kernel/uevent_helper", "/sys/power/state", "/proc/self/coredump_filter_"):
    attempt(path, lambda: os.close(os.open(path, os.O_WRONLY)))
